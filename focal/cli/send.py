"""``focal send``: something said goes out."""

from __future__ import annotations

import click

from ._group import FILE, Command, Number, Seconds
from ._shell import Shell


@click.command("send", cls=Command)
@click.argument("file", required=False, type=FILE)
@click.option("--via", multiple=True, metavar="LINK", help="A link; may be repeated.")
@click.option("--quality", metavar="Q", help="For example c2-1300; default: auto.")
@click.option("--to", metavar="PEER", help="An origin (~1a2b3c4d), a name, a link's own address.")
@click.option(
    "--record", is_flag=False, flag_value=0.0, type=Number(0), metavar="[SECONDS]",
    help="Record from the microphone; without SECONDS until Enter.",
)  # fmt: skip
@click.option("--text", metavar="T", help="Send a text instead of speech.")
@click.option(
    "--raw", type=click.IntRange(1), metavar="RATE", help="Stdin is bare 16-bit samples, mono."
)
@click.option(
    "--wait", type=click.Choice(["queued", "sent", "delivered"]),
    help="What to wait for; default: sent.",
)  # fmt: skip
@click.option(
    "--timeout", type=Seconds(), metavar="S",
    help="Wait so long at most; default: the message's lifetime.",
)  # fmt: skip
@click.option(
    "--fit", metavar="FIT",
    help="Choose what fits 1frame, 2frames, or 3s-air (seconds of air).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what it would cost; send nothing.")
@click.pass_obj
def command(
    shell: Shell,
    file: str | None,
    via: tuple[str, ...],
    quality: str | None,
    to: str | None,
    record: float | None,
    text: str | None,
    raw: int | None,
    wait: str | None,
    timeout: float | None,
    fit: str | None,
    dry_run: bool,
) -> None:
    """Send FILE (- is stdin), a recording or a text; it stays in the outbox until it got there."""
    if sum(given is not None for given in (file, record, text)) != 1:
        raise click.UsageError("say one of FILE, --record and --text")
    if text == "":
        raise click.UsageError("--text is empty: there is nothing to send")
    if to == "":
        raise click.UsageError("--to is empty: leave it out to send to everybody")
    from ..fit import Fit
    from ..sending import Order, price, send

    app = shell.app(via=via, quality=quality, wait=wait)
    order = Order(file, record, text, raw, to, timeout, Fit.parse(fit) if fit else None)
    if dry_run:
        shell.show_all(shell.run(price(app, order, shell.explain)))
        return
    with shell.working("sending") as say:
        shell.run(send(app, order, shell.show, say, shell.explain, shell.asker))
