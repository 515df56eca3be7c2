"""How a message came: what is known of its way, beside its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .link import Address


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a message came.

    Args:
        link: the link's name.
        key: its canonical key.
        peer: who it came from, as the link spells it.
        hops: bridges it has passed.
        replayed: from history.
        keeps: the link keeps what it carries.
        confirmed: the link's own confirm reaches the author, so that no receipt is needed.
        route: the origins of those bridges, as far as they are known.
        extra: keys of its envelope that we do not know.
        slows: what is not accepted now stays where it is, and comes again.
        answer_in: seconds that a receipt waits, in which somebody else may say the same.
        whole: all of it was heard on this link; else some of it, and it is known from elsewhere.
    """

    link: str
    key: str
    peer: Address | None
    hops: int = 0
    replayed: bool = False
    keeps: bool = False
    confirmed: bool = False
    route: tuple[int, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict[str, object])
    slows: bool = False
    answer_in: float = 0.0
    whole: bool = True
