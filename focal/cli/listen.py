"""``focal listen``: what comes in is kept, written and played."""

from __future__ import annotations

import click

from ._group import Command, Seconds
from ._shell import Shell


@click.command("listen", cls=Command)
@click.option("--via", multiple=True, metavar="LINK", help="A link; may be repeated.")
@click.option("--play", is_flag=True, default=None, help="Play what arrives.")
@click.option("--save", metavar="DIR", help="Write what arrives as WAV files into DIR.")
@click.option(
    "--sink", multiple=True, metavar="SPEC", help="For example jsonl:log; may be repeated."
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N messages.")
@click.option("--timeout", type=Seconds(), metavar="S", help="End after S seconds.")
@click.pass_obj
def command(
    shell: Shell,
    via: tuple[str, ...],
    play: bool | None,
    save: str | None,
    sink: tuple[str, ...],
    count: int | None,
    timeout: float | None,
) -> None:
    """Receive messages until interrupted: one line, or one JSON object, for each."""
    from ..listening import Enough, listen

    app = shell.app(via=via, play=play, save=save)
    shell.run(listen(app, sink, Enough(count, timeout), shell.show, shell.note))
