"""``focal airtime``: what it costs to send something by LoRa, and what was spent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ._group import FILE, Command
from ._shell import Shell

if TYPE_CHECKING:
    from ..results import Cost

_PRICED = ("region", "preset", "coding_rate", "direct", "signed")
_CHOSEN = ("quality", "to_all", "fit")
MEANINGLESS = {
    "--ledger": (*_PRICED, *_CHOSEN),
    "--frame-bytes": _CHOSEN,
    "--bytes": ("quality",),
}
"""What says nothing about what is asked, and is refused rather than ignored."""


@click.command("airtime", cls=Command)
@click.argument("file", required=False, type=FILE)
@click.option("--bytes", "size", type=click.IntRange(1), metavar="N", help="A payload of N bytes.")
@click.option(
    "--frame-bytes", type=click.IntRange(0), metavar="N",
    help="One packet of Meshtastic with N bytes of payload.",
)  # fmt: skip
@click.option("--ledger", is_flag=True, help="What this home's radios sent in the last hour.")
@click.option(
    "--region", metavar="R",
    help="For example EU_868 or US; default: that of a configured lora link.",
)  # fmt: skip
@click.option(
    "--preset", metavar="P",
    help="For example SHORT_FAST; default: that of the link, else the region's own.",
)  # fmt: skip
@click.option(
    "--coding-rate", type=click.IntRange(5, 8), metavar="5..8",
    help="4/5 to 4/8, where above the preset's own.",
)  # fmt: skip
@click.option("--direct", is_flag=True, help="Packets are encrypted for one node.")
@click.option("--signed", is_flag=True, help="Nodes sign: firmware 2.8.")
@click.option("--quality", metavar="Q", help="This quality only.")
@click.option(
    "--to-all/--to-peer", default=True, help="For everyone (the default), or for one node."
)
@click.option("--fit", metavar="FIT", help="Only what fits: 1frame, 2frames, 3s-air.")
@click.pass_obj
def command(
    shell: Shell,
    file: str | None,
    size: int | None,
    frame_bytes: int | None,
    ledger: bool,
    region: str | None,
    preset: str | None,
    coding_rate: int | None,
    direct: bool,
    signed: bool,
    quality: str | None,
    to_all: bool,
    fit: str | None,
) -> None:
    """Say what it costs to send the speech in FILE (- is stdin), or so many bytes, by LoRa."""
    given = {"--bytes": size, "--frame-bytes": frame_bytes, "--ledger": ledger or None}
    asked = [name for name, value in {"FILE": file, **given}.items() if value is not None]
    if len(asked) != 1:
        raise click.UsageError("say one of FILE, --bytes, --frame-bytes and --ledger")
    _refuse_meaningless(*asked)
    from ..airtime import Plan, Question, costs, of_bytes, packet, place, spent
    from ..fit import Fit
    from ..home import Home
    from ..seen import last_seen

    app = shell.app(quality=quality)
    if ledger:
        shell.show_all(spent(app), "nothing was sent by radio in the last hour")
        return
    seen = partial(last_seen, Home(app.folder).links)
    plan = Plan(place(app.settings, region, preset, coding_rate, seen), direct, signed)
    if plan.air.region.name == "UNSET":
        shell.note("region UNSET: a node without a region sends nothing; these are mere figures")
    if frame_bytes is not None:
        shell.show(packet(plan, frame_bytes))
        return
    question = Question(plan, to_all, Fit.parse(fit) if fit else None)
    if size is not None:
        shell.show(of_bytes(app, question, size))
    elif file is not None:
        _show(shell, shell.run(costs(app, question, file)))


def _refuse_meaningless(asked: str) -> None:
    """Raise click.UsageError where an option says nothing about what is asked."""
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        said = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if said and name in MEANINGLESS.get(asked, ()):
            words = option.opts if context.params[name] else option.secondary_opts
            raise click.UsageError(f"{words[0]} says nothing about {asked}: leave it out")


def _show(shell: Shell, rows: Sequence[Cost]) -> None:
    """Print what each quality costs: a table on a terminal, else a line or an object each."""
    if shell.json or len(rows) == 1:
        shell.show_all(rows)
    elif sys.stdout.isatty():
        from ._table import table_of_costs

        table_of_costs(rows)
    else:
        shell.show_all([_short(row) for row in rows])


def _short(row: Cost) -> Cost:
    """Leave away what the other rows say themselves, and what would be said in many rows."""
    saves = tuple(saving for saving in row.saves if saving.codec is None)
    return replace(row, saves=saves, missing=row.missing and "not here yet")
