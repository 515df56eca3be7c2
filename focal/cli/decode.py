"""``focal decode``: a packet file becomes a WAV file."""

from __future__ import annotations

import click

from ._group import FILE, Command
from ._out import writing
from ._shell import Shell


@click.command("decode", cls=Command)
@click.argument("packet", type=FILE)
@click.option(
    "-o", "--out", required=True, type=FILE, metavar="WAV",
    help="The WAV file to write; - is stdout.",
)  # fmt: skip
@click.option("--quality", metavar="Q", help="What a TinyVoice packet without header holds.")
@click.pass_obj
def command(shell: Shell, packet: str, out: str, quality: str | None) -> None:
    """Decode PACKET (- is stdin), in focal's or in TinyVoice's form, into a WAV file."""
    from ..packets import decode_packet

    shell.check_out(out)
    with shell.working(f"decoding {packet}"), writing():
        decoded = decode_packet(shell.app(), packet, out, quality)
    shell.wrote(decoded, out)
