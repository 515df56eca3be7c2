"""Who gets what two plugins add: a scheme, a quality, a wire id, a name.

The law of this module: focal's own comes first, then the plugin that is named for it
(``transport.hum`` for ``hum:``), then the others; of two that are equal neither gets it. So it does
not matter who was asked first, and nobody can take what is focal's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Rank(IntEnum):
    """How good a claim is; the lowest wins."""

    OURS = 0
    NAMED = 1
    OTHER = 2


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """A thing that a plugin adds.

    Args:
        plugin: its name.
        rank: how good the claim is.
        marks: what no other may share, each with its word (``the scheme 'hum'``).
        thing: what is added.
    """

    plugin: str
    rank: Rank
    marks: tuple[str, ...]
    thing: T


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """Who got what: claims that hold, and those that do not, each with the reason."""

    held: list[Claim[T]] = field(default_factory=lambda: [])
    lost: list[tuple[Claim[T], str]] = field(default_factory=lambda: [])


def settle(claims: Iterable[Claim[T]]) -> Settled[T]:
    """Decide who gets what; in one rank, whoever shares a mark with another gets nothing."""
    settled: Settled[T] = Settled()
    owners: dict[str, Claim[T]] = {}
    given = list(claims)
    for rank in Rank:
        group = [claim for claim in given if claim.rank is rank]
        free = [claim for claim in group if not _taken(claim, owners)]
        shared = Counter(mark for claim in free for mark in set(claim.marks))
        for claim in group:
            mark = _taken(claim, owners)
            if mark is not None:
                settled.lost.append((claim, _by_better(mark, owners[mark])))
            elif mark := next((mark for mark in claim.marks if shared[mark] > 1), None):
                settled.lost.append((claim, _by_equals(mark, free)))
            else:
                settled.held.append(claim)
        owners |= {m: c for c in settled.held if c.rank is rank for m in c.marks}
    return settled


def _taken(claim: Claim[T], owners: dict[str, Claim[T]]) -> str | None:
    return next((mark for mark in claim.marks if mark in owners), None)


def _by_better(mark: str, owner: Claim[T]) -> str:
    if owner.rank is Rank.OURS:
        return f"{mark} is focal's own"
    return f"{mark} belongs to {owner.plugin}, which is named for it"


def _by_equals(mark: str, claims: Iterable[Claim[T]]) -> str:
    names = sorted(claim.plugin for claim in claims if mark in claim.marks)
    if len(set(names)) == 1:
        return f"plugin {names[0]} adds {mark} twice"
    return f"plugins {' and '.join(names)} both add {mark}: remove or disable one"
