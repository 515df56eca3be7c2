"""``focal demo``: the newcomer's minute."""

from __future__ import annotations

import click

from ._group import Command
from ._shell import Shell


@click.command("demo", cls=Command)
@click.option("--out", default="demo.wav", show_default=True, metavar="FILE", help="What arrived.")
@click.option("--quality", metavar="Q", help="For example c2-700c.")
@click.pass_obj
def command(shell: Shell, out: str, quality: str | None) -> None:
    """Send a spoken message over a simulated radio that loses frames, and hear it."""
    from ..demo import run

    with shell.working("sending a spoken message over a radio that loses frames"):
        done = run(shell.app(quality=quality), out)
    shell.show(done)
