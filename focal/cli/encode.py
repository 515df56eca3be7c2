"""``focal encode``: a sound file becomes a packet file."""

from __future__ import annotations

import click

from ._group import FILE, Command
from ._out import writing
from ._shell import Shell


@click.command("encode", cls=Command)
@click.argument("file", type=FILE)
@click.option(
    "-o", "--out", required=True, type=FILE, metavar="PACKET",
    help="The packet file to write; - is stdout.",
)  # fmt: skip
@click.option("--quality", metavar="Q", help="For example c2-1300; default: auto.")
@click.option("--raw", type=int, metavar="RATE", help="FILE is bare 16-bit samples, mono.")
@click.option(
    "--format", "form", type=click.Choice(["focal", "tinyvoice"]), default="focal",
    help="Whose packet it is.",
)  # fmt: skip
@click.option("--fit", metavar="FIT", help="Choose what fits so many frames: 1frame, 2frames.")
@click.pass_obj
def command(
    shell: Shell,
    file: str,
    out: str,
    quality: str | None,
    raw: int | None,
    form: str,
    fit: str | None,
) -> None:
    """Encode the speech in FILE (- is stdin) into one packet."""
    from ..fit import Fit
    from ..packets import encode_file

    shell.check_out(out)
    if fit and form == "tinyvoice":
        raise click.UsageError("--fit is for focal's own packets: TinyVoice's have no frames")
    wanted = Fit.parse(fit) if fit else None
    app = shell.app(quality=quality)
    with shell.working(f"encoding {file}"), writing():
        encoded = shell.run(encode_file(app, file, out, form, raw, shell.explain, wanted))
    shell.wrote(encoded, out)
