"""The hooks are what the design says, told to people as they are."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest

from focal.plugins import NAME, hookspecs
from focal.plugins.rules import HOOKS
from tests.deadline import ROOT

ADDS = {"sources", "codecs", "transports", "sinks", "commands", "doctor"}
DECIDES = {"choose_codec", "wrap_transport"}
PASSES = {"captured", "encoded", "framed", "sent", "received", "decoded", "played"}


def spec(hook: str) -> Callable[..., object]:
    found: Callable[..., object] = getattr(hookspecs, hook)
    return found


def options(hook: str) -> dict[str, object]:
    """Return what pluggy noted about a hook."""
    found: dict[str, object] = getattr(spec(hook), f"{NAME}_spec")
    return found


def test_there_are_the_hooks_of_the_design_and_no_others() -> None:
    assert {hook.removeprefix("focal_") for hook in HOOKS} == ADDS | DECIDES | PASSES


def test_the_first_answer_decides_where_one_is_enough() -> None:
    assert {hook for hook in HOOKS if options(hook)["firstresult"]} == {
        f"focal_{name}" for name in DECIDES
    }


def test_hooks_on_what_passes_take_the_arguments_of_the_design() -> None:
    taken = {name: list(inspect.signature(spec(f"focal_{name}")).parameters) for name in PASSES}
    assert taken == {
        "captured": ["clip"],
        "encoded": ["message"],
        "framed": ["message", "frames"],
        "sent": ["message", "link"],
        "received": ["message", "link"],
        "decoded": ["message", "clip"],
        "played": ["message", "sink"],
    }


@pytest.mark.parametrize("hook", HOOKS)
def test_each_is_typed_and_says_who_calls_it_and_what_an_error_does(hook: str) -> None:
    signature = inspect.signature(spec(hook))
    assert signature.return_annotation is not signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    said = inspect.getdoc(spec(hook)) or ""
    assert re.search(r"Called (once|by)", said), "who calls it, and when"
    assert "thread" in said, "in which thread"
    assert re.search(r"An\s+error", said), "what an error does"


def test_the_page_has_every_hook_with_its_arguments() -> None:
    page = (ROOT / "docs" / "hooks.md").read_text()
    headed = re.findall(r"^### (focal_\w+)\((.*)\)$", page, re.MULTILINE)
    real = [(hook, ", ".join(inspect.signature(spec(hook)).parameters)) for hook in HOOKS]
    assert headed == real
