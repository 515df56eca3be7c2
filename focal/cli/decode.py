"""``focal decode``: a packet file becomes a WAV file."""

from __future__ import annotations

import click

from ._group import Command
from ._shell import Shell


@click.command("decode", cls=Command)
@click.argument("packet")
@click.option("-o", "--out", required=True, metavar="WAV", help="The WAV file to write.")
@click.option("--quality", metavar="Q", help="What a TinyVoice packet without header holds.")
@click.pass_obj
def command(shell: Shell, packet: str, out: str, quality: str | None) -> None:
    """Decode PACKET, in focal's or in TinyVoice's form, into a WAV file."""
    from ..packets import decode_packet

    with shell.working(f"decoding {packet}"):
        decoded = decode_packet(shell.app(), packet, out, quality)
    shell.show(decoded)
