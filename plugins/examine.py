"""A plugin tried in this process: imported, held to the rules, asked what it adds.

The law of this module: whatever the plugin does, short of ending or holding up the process, becomes
its report. Who wants to be safe from that too asks for it in a child (trial.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from time import monotonic, perf_counter
from typing import Any

from ..core.errors import PluginError
from ..core.link import Limits
from .asking import Asker
from .builtins import Known
from .manager import offers
from .models import Models
from .registry import Registry
from .report import Added, Option, Report, options_of
from .roster import Roster
from .shelf import SHELVES, Shelf


def examine(one: Known, models: Models) -> Report:
    """Import a plugin here and now, and report on it; ``models``: what codecs are asked with."""
    registry = Registry(Roster({one.name: one}), limit=None)
    fresh, started = one.module not in sys.modules, perf_counter()
    try:
        registry.load(one.name)
    except PluginError as error:
        return Report(one.name, "bad", _without(one, error), file=_file(one))
    took = round(1000 * (perf_counter() - started), 1) if fresh else None
    hooks = tuple(registry.hooks_of(one.name))
    adds: tuple[Added, ...] = ()
    try:
        adds = tuple(_adds(registry, models))
        reason = _odd(one, adds)
    except PluginError as error:
        reason = _without(one, error)
    return Report(one.name, "bad" if reason else "good", reason, hooks, adds, took, _file(one))


def _adds(registry: Registry, models: Models) -> Iterator[Added]:
    asker = Asker(registry, monotonic)
    for shelf in SHELVES:
        for impl in registry.impls(shelf.hook):
            for spec in offers(asker, shelf, impl, {"models": models}):
                yield _added(shelf, spec)


def _added(shelf: Shelf[Any], spec: Any) -> Added:
    options: tuple[Option, ...] = options_of(getattr(spec, "settings", None))
    summary: str = spec.get_short_help_str() if shelf.kind == "command" else spec.summary
    return Added(shelf.kind, shelf.name(spec), summary, shelf.marks(spec), _facts(spec), options)


def _facts(spec: Any) -> dict[str, str]:
    """Return what else a specification tells, by name."""
    told = {"default": getattr(spec, "default", None), "wire id": getattr(spec, "wire_id", None)}
    if limits := getattr(spec, "limits", None):
        told |= _limits(limits)
    if rate := getattr(spec, "bits_per_second", None):
        told |= {"bits a second": f"{rate:g}", "not here": spec.why_not()}
    return {name: str(fact) for name, fact in told.items() if fact is not None}


def _limits(limits: Limits) -> dict[str, str | None]:
    return {
        "kind": limits.kind,
        "carries": f"{limits.size} bytes at once",
        "duty": f"{limits.duty:.0%} of the time" if limits.duty < 1 else None,
        "replies": None if limits.replies else "none",
        "keeps": "for ever" if limits.keeps else None,
    }


def _odd(one: Known, adds: tuple[Added, ...]) -> str | None:
    """Say what is wrong with what a plugin adds, going by its name."""
    if one.kind == "hooks":
        return None
    own = [added.name for added in adds if added.kind == one.kind]
    if not own:
        return f"it is called {one.name} and adds no {one.kind}"
    lost = [name for name in own if one.name != f"command.{name}"]
    if one.kind == "command" and lost:
        return f"it adds the command {lost[0]!r}: only a plugin called command.{lost[0]} may"
    return None


def _without(one: Known, error: PluginError) -> str:
    """Return an error's line without the plugin's name, which stands before it in a list."""
    line = str(error).removeprefix(f"plugin {one.name}").lstrip(": ")
    return " ".join(line.split())


def _file(one: Known) -> str | None:
    if one.file is not None:
        return str(one.file)
    return getattr(sys.modules.get(one.module), "__file__", None)
