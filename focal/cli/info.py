"""``focal info``: what is in a packet file."""

from __future__ import annotations

import click

from ._group import FILE, Command
from ._shell import Shell


@click.command("info", cls=Command)
@click.argument("packet", type=FILE)
@click.option("--quality", metavar="Q", help="What a TinyVoice packet without header holds.")
@click.pass_obj
def command(shell: Shell, packet: str, quality: str | None) -> None:
    """Tell what is in PACKET (- is stdin): who made it, when, how long it is and what it costs."""
    from ..packets import describe

    shell.show(describe(shell.app(), packet, quality))
