"""Tables on a terminal; rich is imported by who asks for one, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..results import Cost
from ._air import saving, when

COLUMNS = ("quality", "payload", "frames", "airtime", "of an hour", "an hour", "earliest", "fewer")


def table_of_costs(rows: Sequence[Cost]) -> None:
    """Print what each quality costs; those that cannot be used here are dim."""
    first = rows[0]
    title = f"{first.seconds or 0:.1f} s by {first.preset} in {first.region}"
    table = Table(*COLUMNS, title=title, title_justify="left", box=None)
    for row in rows:
        table.add_row(*map(escape, _cells(row)), style="dim" if row.missing else None)
    Console().print(table)
    lacking = next((row.missing for row in rows if row.missing), None)
    if lacking:
        Console().print(f"dim: {lacking}", style="dim", markup=False, highlight=False)


def _cells(row: Cost) -> list[str]:
    start = [row.codec or "", f"{row.payload_bytes} B"]
    if row.air is None:
        return [*start, "too long for one message"]
    return [
        *start,
        str(row.frames),
        f"{row.air.airtime:.2f} s",
        f"{100 * row.air.airtime_share:.2g} %",
        str(row.air.per_hour),
        when(row.air.earliest),
        "; ".join(saving(one) for one in row.saves if one.seconds is not None),
    ]
