"""``focal inbox``: what came."""

from __future__ import annotations

import click

from ._group import Command, Group
from ._shell import Shell


@click.group("inbox", cls=Group)
def command() -> None:
    """Look after the messages that came."""


@command.command("list", cls=Command)
@click.option("--count", type=click.IntRange(1), default=50, show_default=True, help="At most.")
@click.pass_obj
def list_(shell: Shell, count: int) -> None:
    """List the newest messages, the newest last."""
    from ..stored import held

    shell.show_all(held(shell.app(), count), "the inbox is empty")


@command.command("show", cls=Command)
@click.argument("id")
@click.pass_obj
def show(shell: Shell, id: str) -> None:
    """Show the message ID and what was done with it."""
    from ..stored import look

    shell.show_all(look(shell.app(), id))


@command.command("play", cls=Command)
@click.argument("id")
@click.option("--sink", default="speaker", show_default=True, help="For example wav:in/.")
@click.pass_obj
def play(shell: Shell, id: str, sink: str) -> None:
    """Play the message ID, also a second time."""
    from ..stored import play

    file = shell.run(play(shell.app(), id, sink))
    shell.note(f"{id} -> {file}" if file else f"played {id}")


@command.command("drop", cls=Command)
@click.argument("id")
@click.pass_obj
def drop(shell: Shell, id: str) -> None:
    """Delete the message ID; it will not be taken a second time."""
    from ..stored import forget

    dropped = forget(shell.app(), id)
    if shell.json:
        shell.show_all(dropped)
    shell.note(f"dropped {id}")
