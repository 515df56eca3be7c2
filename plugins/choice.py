"""Which quality ``auto`` is: the best that every link can carry in fair time.

FocalCodec where it can be loaded, else Codec2; then the highest rate whose airtime stays below a
fair share of each link's hour; where nothing does, the lowest. Any plugin may decide otherwise
(``focal_choose_codec``): this one is asked last.

The law of this module: what is said of a choice is told from the rule that made it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..core.codec import CodecSpec
from ..core.link import Limits
from . import hookimpl

FAIR_SHARE = 1 / 20  # of what an hour's budget allows, for one message
POLITE_DUTY = 0.1  # of an hour, even where the law allows more
HEADERS = 30  # bytes of message head, check and codec header, rounded up
FRAME_HEAD = 8  # bytes of a symbol frame before the symbol

_FOCALCODEC = range(1, 16)
_LOCAL = range(224, 256)  # codec ids that only some receivers can decode


@dataclass(frozen=True, slots=True)
class Choice:
    """The quality that a message is encoded with.

    Args:
        spec: the quality.
        reason: why it is this one; it follows the name in one line.
    """

    spec: CodecSpec
    reason: str

    def __str__(self) -> str:
        return f"{self.spec.name}: {self.reason}{heard_by(self.spec)}"


def heard_by(spec: CodecSpec) -> str:
    """Return what there is to add for a quality that not everybody can decode, or nothing."""
    return "; only who has the same decoder hears it" if spec.wire_id in _LOCAL else ""


@hookimpl(trylast=True)
def focal_choose_codec(
    available: list[CodecSpec], limits: Sequence[Limits], seconds: float
) -> str | None:
    """Return the best quality that every link takes and carries in fair time."""
    spec = _ruled(available, limits, seconds)
    return spec.name if spec else None


def explained(
    spec: CodecSpec,
    available: Sequence[CodecSpec],
    lacking: Iterable[CodecSpec],
    links: Mapping[str, Limits],
    seconds: float,
) -> Choice:
    """Return the choice of this rule with its reason.

    Args:
        spec: what ``focal_choose_codec`` chose.
        available: what it was chosen from.
        lacking: the qualities that could not be used then.
        links: the limits that it was chosen for, by the links' names.
        seconds: how long the clip is.
    """
    wanted = [one for one in lacking if _rank(one) is _Rank.FOCALCODEC]
    clauses = [
        _rate_of(spec, available, links, seconds),
        *_no_better_kind(spec, available, links),
        *_gain(spec, available, wanted, links, seconds),
    ]
    return Choice(spec, "; ".join(clauses))


def best_first(codecs: Iterable[CodecSpec]) -> list[CodecSpec]:
    """Return codecs, FocalCodec first, those with local ids last, of each kind the highest rate."""
    return sorted(codecs, key=lambda spec: (_rank(spec), -spec.bits_per_second))


# The rule -----------------------------------------------------------------------------------------


def _ruled(
    available: Sequence[CodecSpec], limits: Iterable[Limits], seconds: float
) -> CodecSpec | None:
    links = list(limits)
    taken = [spec for spec in available if all(_takes(link, spec) for link in links)]
    if not taken:
        return None
    first = min(map(_rank, taken))
    kind = best_first(spec for spec in taken if _rank(spec) == first)
    fair = (spec for spec in kind if all(_is_fair(link, spec, seconds) for link in links))
    return next(fair, kind[-1])


def _takes(link: Limits, spec: CodecSpec) -> bool:
    return link.codecs is None or spec.wire_id in link.codecs


class _Rank(IntEnum):
    """The kinds of codec, the best first."""

    FOCALCODEC = 0
    OTHER = 1
    LOCAL = 2


def _rank(spec: CodecSpec) -> _Rank:
    if spec.wire_id in _FOCALCODEC:
        return _Rank.FOCALCODEC
    return _Rank.LOCAL if spec.wire_id in _LOCAL else _Rank.OTHER


def _is_fair(link: Limits, spec: CodecSpec, seconds: float) -> bool:
    return _airtime(spec, link, seconds) <= _fair(link)


def _fair(link: Limits) -> float:
    """Return the seconds of airtime that one message may cost."""
    return 3600 * min(link.duty, POLITE_DUTY) * FAIR_SHARE


def _airtime(spec: CodecSpec, link: Limits, seconds: float) -> float:
    """Return the seconds that a clip of ``seconds`` holds the channel, repairs left out."""
    size = _size(spec, seconds) + HEADERS
    room = max(1, link.mtu(None) - FRAME_HEAD)
    frames = math.ceil(size / room)
    each = link.airtime(math.ceil(size / frames) + FRAME_HEAD, None)
    return frames * (each or 0.0)


def _size(spec: CodecSpec, seconds: float) -> int:
    return math.ceil(seconds * spec.bits_per_second / 8)


# What is said of it -------------------------------------------------------------------------------


def _rate_of(
    spec: CodecSpec, available: Iterable[CodecSpec], links: Mapping[str, Limits], seconds: float
) -> str:
    """Say why it is no higher rate of its kind."""
    kind = "FocalCodec, " if _rank(spec) is _Rank.FOCALCODEC else ""
    rates = sorted(
        (one for one in available if _rank(one) == _rank(spec)), key=lambda one: one.bits_per_second
    )
    lower = [one for one in rates if one.bits_per_second < spec.bits_per_second]
    higher = [one for one in rates if one.bits_per_second > spec.bits_per_second]
    if slow := _too_slow(spec, links, seconds):
        lowest = f"{kind}the lowest rate {_that(_taking(lower, links))}"
        return f"{lowest}, and still more than {_verb(slow, 'carries')} in fair time"
    limits = [*_taking(higher, links), *_carrying(higher, links, seconds)]
    return f"{kind}the highest rate {_that(limits)}"


def _that(limits: Iterable[str]) -> str:
    said = " and ".join(limits)
    return f"that {said}" if said else "here"


def _taking(others: Sequence[CodecSpec], links: Mapping[str, Limits]) -> Iterator[str]:
    """Name the links that do not take all of the others."""
    if refusing := _refusing(others, links):
        yield _verb(refusing, "takes")


def _carrying(
    higher: Iterable[CodecSpec], links: Mapping[str, Limits], seconds: float
) -> Iterator[str]:
    """Name the links for which the next rate that all of them take is too high."""
    taken = (one for one in higher if all(_takes(link, one) for link in links.values()))
    if following := next(taken, None):
        yield f"{_verb(_too_slow(following, links, seconds), 'carries')} in fair time"


def _no_better_kind(
    spec: CodecSpec, available: Iterable[CodecSpec], links: Mapping[str, Limits]
) -> Iterator[str]:
    """Say why it is of no better kind, where one can be used here."""
    better = [one for one in available if _rank(one) < _rank(spec)]
    if refusing := _refusing(better, links):
        focalcodec = min(map(_rank, better)) is _Rank.FOCALCODEC
        takes = "takes" if len(refusing) == 1 else "takes together"
        yield f"{_verb(refusing, takes)} no {'FocalCodec' if focalcodec else 'other'}"


def _gain(
    spec: CodecSpec,
    available: Sequence[CodecSpec],
    wanted: Sequence[CodecSpec],
    links: Mapping[str, Limits],
    seconds: float,
) -> Iterator[str]:
    """Say what FocalCodec would make of it where that is smaller, and what it takes."""
    best = _ruled([*available, *wanted], links.values(), seconds)
    if best is None or best not in wanted:
        return
    size, now, why_not = _size(best, seconds), _size(spec, seconds), best.why_not()
    if size < now and why_not is not None:
        yield f"{best.name} would make it about {size} bytes instead of {now}, but {why_not}"


def _refusing(specs: Sequence[CodecSpec], links: Mapping[str, Limits]) -> list[str]:
    return [name for name, link in links.items() if not all(_takes(link, one) for one in specs)]


def _too_slow(spec: CodecSpec, links: Mapping[str, Limits], seconds: float) -> list[str]:
    return [name for name, link in links.items() if not _is_fair(link, spec, seconds)]


def _verb(links: Sequence[str], verb: str) -> str:
    """Return ``a carries`` or ``a, b and c carry``."""
    *first, last = links
    if not first:
        return f"{last} {verb}"
    plural = {"carries": "carry", "takes": "take", "takes together": "together take"}[verb]
    return f"{', '.join(first)} and {last} {plural}"
