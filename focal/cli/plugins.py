"""``focal plugins``: what is installed, and whether it works."""

from __future__ import annotations

import click

from ._group import MODULES, Command, Group, Number
from ._out import put
from ._shell import Shell

_limit = click.option(
    "--limit", type=Number(0.1), default=5.0, show_default=True, metavar="S",
    help="Seconds that trying one may take.",
)  # fmt: skip


@click.group("plugins", cls=Group, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Look at the plugins that are there, and try each in a process of its own."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list", cls=Command)
@_limit
@click.pass_obj
def list_(shell: Shell, limit: float = 5.0) -> None:
    """List the plugins: name, state, what installed it, file; below it, what is wrong."""
    from ..inventory import inventory

    with shell.working("trying the plugins"):
        found = inventory(shell.roster(), shell.models(), MODULES, limit)
    shell.show_all(found)


@command.command("show", cls=Command)
@click.argument("name")
@_limit
@click.pass_obj
def show(shell: Shell, name: str, limit: float) -> None:
    """Show the plugin NAME: its hooks, what it adds with which options, how long its import is."""
    from ..inventory import show
    from ._show import details

    for plugin in show(shell.roster(), shell.models(), name, MODULES, limit):
        if shell.json:
            shell.show(plugin)
        else:
            put(details(plugin))
