"""Which of the plugins that are there may be used, told from names alone.

The law of this module: names in, names out; every plugin is either usable or left out with the
reason, and which one it is does not depend on the order in which they were found.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .builtins import BUILTINS, KINDS, Known
from .installed import entry_points, normal, single_files

DISABLED = "FOCAL_PLUGINS_DISABLED"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A plugin that is not used.

    Args:
        known: which.
        reason: one line.
        wanted: True where the user asked for it to be left out.
    """

    known: Known
    reason: str
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Roster:
    """Who is there: plugins by name, and those left out."""

    usable: Mapping[str, Known]
    left_out: tuple[LeftOut, ...] = ()

    def names(self, kind: str) -> list[str]:
        """Return the names of the usable plugins of a kind, in order."""
        return sorted(name for name, one in self.usable.items() if one.kind == kind)

    def why_not(self, name: str) -> str | None:
        """Say why no plugin called so is used; None if one is, or there never was one."""
        if name in self.usable:
            return None
        return next((one.reason for one in self.left_out if one.known.name == name), None)


def found(folder: Path | None, environment: Mapping[str, str]) -> Roster:
    """Return what is installed, what stands in ``folder``, and what comes with focal.

    Args:
        folder: of the single-file plugins; it need not exist.
        environment: ``FOCAL_PLUGINS_DISABLED`` in it names plugins and distributions to leave out.
    """
    there = [*BUILTINS, *entry_points(sys.path), *(single_files(folder) if folder else ())]
    return roster(there, environment.get(DISABLED, "").split(","))


def roster(known: Iterable[Known], disabled: Iterable[str] = ()) -> Roster:
    """Tell which plugins may be used; ``disabled``: names of plugins or distributions."""
    off = {word.strip() for word in disabled} - {""}
    usable: dict[str, Known] = {}
    left_out: list[LeftOut] = []
    for name, namesakes in _by_name(known).items():
        rest = [one for one in namesakes if not _named(one, off)]
        left_out += [
            LeftOut(one, f"disabled by {DISABLED}", True) for one in namesakes if one not in rest
        ]
        chosen, refused = _chosen(rest)
        left_out += refused
        if chosen is not None:
            usable[name] = chosen
    return Roster(usable, tuple(left_out))


def _by_name(known: Iterable[Known]) -> dict[str, list[Known]]:
    namesakes: defaultdict[str, list[Known]] = defaultdict(list)
    for one in known:
        namesakes[one.name].append(one)
    return namesakes


def _named(one: Known, off: set[str]) -> bool:
    """Tell whether a plugin is disabled, by its own name or its distribution's."""
    distributions = map(normal, off)
    return one.name in off or (one.distribution or "") in distributions


def _chosen(namesakes: list[Known]) -> tuple[Known | None, list[LeftOut]]:
    """Choose among plugins of one name: focal's own, else the only one, else none of them."""
    sound = [one for one in namesakes if _misnamed(one) is None]
    refused = [LeftOut(one, _misnamed(one) or "") for one in namesakes if one not in sound]
    ours = [one for one in sound if one.ours]
    if len(sound) == 1 or ours:
        chosen = ours[0] if ours else sound[0]
        said = f"{chosen.name} is focal's own: rename this one"
        return chosen, refused + [LeftOut(one, said) for one in sound if one is not chosen]
    said = f"{len(sound)} plugins are called {sound[0].name!r}, in " if sound else ""
    said += " and ".join(sorted(one.whence for one in sound))
    return None, refused + [LeftOut(one, f"{said}: remove all but one") for one in sound]


def _misnamed(one: Known) -> str | None:
    kind, _, rest = one.name.partition(".")
    if kind not in KINDS or not rest:
        return f"a plugin is named kind.name, and the kinds are {', '.join(KINDS)}"
    if one.file is None and not all(part.isidentifier() for part in one.module.split(".")):
        return f"its entry point is {one.module!r}; it has to be a module, acme.hum"
    return None
