"""``focal config``: what is configured, and who said so."""

from __future__ import annotations

import os

import click

from ._group import Command, Group
from ._out import put
from ._shell import Shell


@click.group("config", cls=Group)
def command() -> None:
    """Look at what is configured."""


@command.command("show", cls=Command)
@click.option("--via", multiple=True, metavar="LINK", help="As given to a command.")
@click.option("--quality", metavar="Q", help="Likewise.")
@click.option("--wait", type=click.Choice(["queued", "sent", "delivered"]), help="Likewise.")
@click.option("--save", metavar="DIR", help="Likewise.")
@click.option("--play", is_flag=True, default=None, help="Likewise.")
@click.pass_obj
def show(shell: Shell, /, **flags: object) -> None:
    """Show every setting and where it comes from; secrets are hidden."""
    from ..config import show

    shell.show_all(show(shell.home, os.environ, **flags))


@command.command("path", cls=Command)
@click.pass_obj
def path(shell: Shell) -> None:
    """Say which file is read, also one that is not right."""
    from ..config import file

    found = file(shell.home, os.environ)
    shell.show(found)
    if not found.exists:
        shell.note("there is none yet; it may also be focal.toml in the working directory")


@command.command("schema", cls=Command)
@click.pass_obj
def schema(shell: Shell) -> None:
    """Print the JSON schema of focal.toml, for editors."""
    import json

    from ..schema import schema

    put(json.dumps(schema(), indent=None if shell.json else 2))
