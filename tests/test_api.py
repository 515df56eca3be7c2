"""The public names: all there, all lazy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import focal
from tests.deadline import environment


@pytest.mark.parametrize("name", focal.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(focal, name).__module__.startswith("focal.") or name == "NodeEvent"
    assert name in dir(focal)


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Bridge'"):
        focal.Bridge  # noqa: B018  # pyright: ignore


def test_importing_focal_imports_nothing_else_of_ours() -> None:
    code = "import sys, focal; print(*[m for m in sys.modules if m.startswith('focal.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "\n")
