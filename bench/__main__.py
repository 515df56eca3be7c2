"""``python -m bench [NAME...]``: run what is to be measured, print a table, keep the numbers.

A module of this folder has one function ``bench() -> dict[str, float]``. Its numbers are ratios
against a reference that the name says ("decode c2-1300 / real time"), so that they mean the same
on every machine. The results go to ``bench-results.json``.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

HERE = Path(__file__).parent
RESULTS = "bench-results.json"

Results = dict[str, float]


def modules(wanted: Sequence[str]) -> list[str]:
    """Return the names of the modules to run: those wanted, or all.

    Raises:
        SystemExit: one that is wanted does not exist.
    """
    there = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    unknown = sorted(set(wanted) - set(there))
    if unknown:
        sys.exit(f"bench: no module {', '.join(unknown)}; there are: {', '.join(there) or 'none'}")
    return list(wanted) or there


def measure(name: str) -> Results:
    """Run one module's ``bench``; its numbers are named ``module: what``."""
    bench = cast(Callable[[], Results], importlib.import_module(f"bench.{name}").bench)
    return {f"{name}: {what}": float(number) for what, number in bench().items()}


def table(results: Results) -> str:
    """Lay the numbers out, one a line."""
    width = max(map(len, results), default=0)
    return "\n".join(f"{what:<{width}}  {number:12.4g}" for what, number in results.items())


def main(wanted: Sequence[str]) -> None:
    """Run, print, write."""
    results: Results = {}
    for name in modules(wanted):
        results |= measure(name)
    print(table(results) or "bench: nothing to measure yet")
    Path(RESULTS).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
