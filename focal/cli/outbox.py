"""``focal outbox``: what waits to be sent, and what became of it."""

from __future__ import annotations

import click

from ._group import Command, Group
from ._shell import Shell


@click.group("outbox", cls=Group)
def command() -> None:
    """Look after the messages that wait to be sent."""


@command.command("list", cls=Command)
@click.option("--all", "all_", is_flag=True, help="What is done, too.")
@click.pass_obj
def list_(shell: Shell, all_: bool) -> None:
    """List what waits: one line for each message and link."""
    from ..stored import outgoing

    shell.show_all(outgoing(shell.app(), all=all_), "the outbox is empty")


@command.command("dead", cls=Command)
@click.pass_obj
def dead(shell: Shell) -> None:
    """List what ended refused, expired or unknown."""
    from ..stored import outgoing

    shell.show_all(outgoing(shell.app(), dead=True), "nothing ended badly")


@command.command("show", cls=Command)
@click.argument("id")
@click.pass_obj
def show(shell: Shell, id: str) -> None:
    """Show what happened to the message ID."""
    from ..stored import history

    legs, events = history(shell.app(), id)
    shell.show_all([*legs, *events])


@command.command("retry", cls=Command)
@click.argument("id")
@click.pass_obj
def retry(shell: Shell, id: str) -> None:
    """Queue the message ID again where it ended badly."""
    from ..stored import retry

    shell.show_all(retry(shell.app(), id))


@command.command("drop", cls=Command)
@click.argument("id")
@click.pass_obj
def drop(shell: Shell, id: str) -> None:
    """Give the message ID up."""
    from ..stored import give_up

    dropped = give_up(shell.app(), id)
    if shell.json:
        shell.show_all(dropped)
    shell.note(f"dropped {id}")
