"""Writes what is made from the code: ``python -m docs.generate``.

The law of this module: a file of its own for each thing, made from the code and nothing else;
tests/test_docs_made.py holds that the files are the ones it makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from focal.cli._group import MODULES, Group, focal
from focal.schema import schema

FOLDER = Path(__file__).parent
SHAPE: dict[str, Any] = {"terminal_width": 80, "max_content_width": 80}


def made() -> dict[Path, str]:
    """Return every file that is made, with its text."""
    return {
        FOLDER / "commands.md": commands(),
        FOLDER / "focal.schema.json": json.dumps(schema(), indent=2) + "\n",
    }


def commands() -> str:
    """Return the page with the help of every command of ours, those of plugins left out."""
    top = click.Context(focal, info_name="focal", **SHAPE, **focal.context_settings)
    below = [inside for name in MODULES for inside in _within(_context(top, focal, name))]
    return "\n".join([HEAD, *(_section(context) for context in (top, *below))])


HEAD = """\
# Commands

Made from the commands' own `--help`. Every command takes `--home`, `--json`, `--log` and `-v`,
before or after its name; what `--json` prints and what exit codes mean is in [events](events.md).
"""


def _context(parent: click.Context, group: Group, name: str) -> click.Context:
    command = group.get_command(parent, name)
    assert command is not None, f"{group.name} lists {name} and has no such command"
    return click.Context(command, parent=parent, info_name=name, **SHAPE)


def _within(context: click.Context) -> Iterator[click.Context]:
    """Yield a command and, where it is a group, those in it."""
    yield context
    if isinstance(context.command, Group):
        for name in context.command.list_commands(context):
            yield from _within(_context(context, context.command, name))


def _section(context: click.Context) -> str:
    path = context.command_path
    level = "#" * max(2, len(path.split()))
    return f"{level} {path}\n\n```text\n{context.command.get_help(context)}\n```\n"


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")
