"""``focal bridge``: what comes by one link goes on to others."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._group import FILE, Command, Seconds
from ._out import put
from ._shell import Shell

if TYPE_CHECKING:
    from ..app import App
    from ..bridging import Plan, Told

KINDS = ("voice", "text", "data", "receipt", "sealed")
HOST = "127.0.0.1"


def _place(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[str, int] | None:
    """Read ``[HOST:]PORT``; a port of 0 is any that is free."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65_536):
        raise click.BadParameter(f"{text!r} is no [HOST:]PORT.", context, option)
    return host.strip("[]") or HOST, int(port)


@click.command("bridge", cls=Command)
@click.argument("links", nargs=-1, metavar="[LINK LINK...]")
@click.option("--config", type=FILE, metavar="FILE", help="Read this file, not focal.toml.")
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(KINDS),
    metavar="KIND",
    help=f"Let only this kind of message cross: {', '.join(KINDS)}; may be repeated.",
)
@click.option("--check", "check_", is_flag=True, help="Open every link once; say what may cross.")
@click.option("--explain", metavar="ID", help="Show what was decided on the message ID, and when.")
@click.option(
    "--metrics",
    callback=_place,
    metavar="[HOST:]PORT",
    help="Serve metrics for Prometheus, and health.",
)
@click.option(
    "--drain",
    type=Seconds(),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Go on sending so long when stopped.",
)
@click.pass_obj
def command(
    shell: Shell,
    links: tuple[str, ...],
    config: str | None,
    allow: tuple[str, ...],
    check_: bool,
    explain: str | None,
    metrics: tuple[str, int] | None,
    drain: float,
) -> None:
    """Pass messages on from link to link until stopped.

    Two LINKs or more are joined all to all. Without any, the tables [[bridge]] of focal.toml say
    what crosses.
    """
    if explain is not None:
        from ..explaining import explained
        from ._bridge import story

        for known in explained(shell.app(), explain):
            if shell.json:
                shell.show(known)
            else:
                put(story(known))
        return
    from ..bridging import plan

    app = _app(shell, config)
    planned = plan(app, links, allow)
    if check_:
        _check(shell, app, planned)
    else:
        _run(shell, app, planned, drain, metrics)


def _app(shell: Shell, config: str | None) -> App:
    if config is None:
        return shell.app()
    from ..app import App
    from ..settings import Settings
    from ..where import home_folder

    settings = Settings.of(Path(config), os.environ)
    return App(settings, shell.plugins(), home_folder(shell.home, os.environ))


def _check(shell: Shell, app: App, plan: Plan) -> None:
    from ..bridging import check
    from ..core.errors import FocalError

    shell.show_all(plan.crossings)
    tried = shell.run(check(app, plan))
    shell.show_all(tried)
    if closed := [one for one in tried if not one.open]:
        names = ", ".join(one.link for one in closed)
        raise FocalError(f"{len(closed)} of {len(tried)} links did not open: {names}")


def _run(shell: Shell, app: App, plan: Plan, drain: float, metrics: tuple[str, int] | None) -> None:
    from ..bridging import CLOSING, Said, bridge, gently
    from ._run import TERMINATED, Interrupted
    from ._show import as_text

    for crossing in plan.crossings:
        shell.note(as_text(crossing))
    said = Said(partial(_tell, shell), shell.note)
    try:
        shell.run(gently(partial(bridge, app, plan, said, drain, metrics), drain + CLOSING))
    except Interrupted as interrupted:
        if interrupted.code != TERMINATED:
            raise
        # Being stopped is how a bridge's work is done.


def _tell(shell: Shell, told: Told) -> None:
    """Print what a bridge tells; people read what passes and what ends badly, programs all."""
    from ..core.events import Progress

    if shell.json or not isinstance(told, Progress) or told.state.final:
        shell.show(told)
