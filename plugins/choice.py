"""Which quality ``auto`` is: the best that every link can carry in fair time.

FocalCodec where it can be loaded, else Codec2; then the highest rate whose airtime stays below a
fair share of each link's hour; where nothing does, the lowest. Any plugin may decide otherwise
(``focal_choose_codec``): this one is asked last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..core.codec import CodecSpec
from ..core.link import Limits
from . import hookimpl

FAIR_SHARE = 1 / 20  # of what an hour's budget allows, for one message
POLITE_DUTY = 0.1  # of an hour, even where the law allows more
HEADERS = 30  # bytes of message head, check and codec header, rounded up
FRAME_HEAD = 8  # bytes of a symbol frame before the symbol

_FOCALCODEC = range(1, 16)
_LOCAL = range(224, 256)  # codec ids that only some receivers can decode


@hookimpl(trylast=True)
def focal_choose_codec(
    available: list[CodecSpec], limits: Sequence[Limits], seconds: float
) -> str | None:
    """Return the best quality that every link takes and carries in fair time."""
    taken = [spec for spec in available if all(_takes(link, spec) for link in limits)]
    if not taken:
        return None
    first = min(map(_rank, taken))
    best_first = sorted(
        (spec for spec in taken if _rank(spec) == first), key=lambda spec: -spec.bits_per_second
    )
    for spec in best_first:
        if all(_airtime(spec, link, seconds) <= _fair(link) for link in limits):
            return spec.name
    return best_first[-1].name


def _takes(link: Limits, spec: CodecSpec) -> bool:
    return link.codecs is None or spec.wire_id in link.codecs


def _rank(spec: CodecSpec) -> int:
    if spec.wire_id in _FOCALCODEC:
        return 0
    return 2 if spec.wire_id in _LOCAL else 1


def _fair(link: Limits) -> float:
    """Return the seconds of airtime that one message may cost."""
    return 3600 * min(link.duty, POLITE_DUTY) * FAIR_SHARE


def _airtime(spec: CodecSpec, link: Limits, seconds: float) -> float:
    """Return the seconds that a clip of ``seconds`` holds the channel, repairs left out."""
    size = math.ceil(seconds * spec.bits_per_second / 8) + HEADERS
    room = max(1, link.mtu(None) - FRAME_HEAD)
    frames = math.ceil(size / room)
    each = link.airtime(math.ceil(size / frames) + FRAME_HEAD, None)
    return frames * (each or 0.0)
