"""What is made from the code is what the code makes now: ``python -m docs.generate``."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.generate import commands, made
from focal.cli._group import MODULES


@pytest.mark.parametrize("path", made(), ids=lambda path: path.name)
def test_a_made_file_is_current(path: Path) -> None:
    current = path.read_text(encoding="utf-8")
    assert current == made()[path], "python -m docs.generate writes it again"


@pytest.mark.parametrize("name", MODULES)
def test_every_command_has_its_help(name: str) -> None:
    assert f"\n## focal {name}\n" in commands()
    assert f"\nUsage: focal {name} " in commands()


def test_what_is_in_a_group_has_its_help() -> None:
    assert "\n### focal outbox retry\n" in commands()
    assert "Queue the message ID again" in commands()
