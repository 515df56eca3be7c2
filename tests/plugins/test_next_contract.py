"""A plugin built against this version keeps working when a hook gains an argument."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy
import pytest

from focal.core.errors import PluginError
from focal.plugins import NAME, hookimpl, hookspecs
from focal.plugins.asking import Asker
from focal.plugins.registry import Registry
from focal.plugins.roster import Roster
from focal.plugins.rules import HOOKS

hookspec = pluggy.HookspecMarker(NAME)


def written(hook: str, arguments: Iterable[str], result: str = "None") -> Callable[..., object]:
    """Return a function as its author writes it: these arguments, by name and in this order."""
    made: dict[str, Callable[..., object]] = {}
    exec(f"def {hook}({', '.join(arguments)}): return {result}", made)
    return made[hook]


def arguments(hook: str) -> list[str]:
    return list(inspect.signature(getattr(hookspecs, hook)).parameters)


def grown(hook: str) -> ModuleType:
    """Return the specifications of the next version: one hook has one argument more."""
    told: dict[str, Any] = getattr(getattr(hookspecs, hook), f"{NAME}_spec")
    following = ModuleType("next_hookspecs")
    vars(following).update({name: getattr(hookspecs, name) for name in HOOKS})
    more = written(hook, [*arguments(hook), "weather"])
    setattr(following, hook, hookspec(more, firstresult=told["firstresult"]))
    return following


def asked(registry: Registry, hook: str, given: Mapping[str, object]) -> list[tuple[str, object]]:
    return list(Asker(registry, time.monotonic).ask(hook, given))


def plugin(hook: str, function: Callable[..., object]) -> object:
    return SimpleNamespace(**{hook: hookimpl(function)})


@pytest.mark.parametrize("hook", HOOKS)
def test_a_plugin_of_today_is_called_with_what_it_knows(hook: str) -> None:
    names = arguments(hook)
    registry = Registry(Roster({}), specs=grown(hook))
    today = written(hook, names, f"[{', '.join(names)}]")
    registry.register(plugin(hook, today), "today")
    given = {**{name: f"a {name}" for name in names}, "weather": "rain"}
    assert asked(registry, hook, given) == [("today", [f"a {name}" for name in names])]


def test_one_of_tomorrow_gets_the_new_argument_beside_one_of_today() -> None:
    registry = Registry(Roster({}), specs=grown("focal_sent"))
    today = written("focal_sent", ["message"], "message")
    tomorrow = written("focal_sent", ["weather", "link"], "(weather, link)")
    registry.register(plugin("focal_sent", today), "today")
    registry.register(plugin("focal_sent", tomorrow), "tomorrow")
    given = {"message": "m", "link": "hill", "weather": "rain"}
    assert dict(asked(registry, "focal_sent", given)) == {
        "today": "m",
        "tomorrow": ("rain", "hill"),
    }


def test_one_of_tomorrow_is_refused_by_the_focal_of_today() -> None:
    tomorrow = plugin("focal_sent", written("focal_sent", ["message", "weather"]))
    with pytest.raises(PluginError, match="focal_sent has no argument 'weather'"):
        Registry(Roster({})).register(tomorrow, "tomorrow")
