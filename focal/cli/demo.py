"""``focal demo``: the newcomer's minute."""

from __future__ import annotations

import click

from ._group import FILE, Command
from ._out import writing
from ._shell import Shell


@click.command("demo", cls=Command)
@click.option(
    "--out", default="demo.wav", show_default=True, type=FILE, metavar="FILE",
    help="What arrived; - is stdout.",
)  # fmt: skip
@click.option("--quality", metavar="Q", help="For example c2-700c.")
@click.pass_obj
def command(shell: Shell, out: str, quality: str | None) -> None:
    """Send a spoken message over a simulated radio that loses frames, and hear it."""
    from ..demo import run

    shell.check_out(out)
    with shell.working("sending a spoken message over a radio that loses frames"), writing():
        done = run(shell.app(quality=quality), out)
    shell.wrote(done, out)
