"""Which quality ``auto`` is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest

from focal.core.codec import Codec, CodecSpec
from focal.core.link import Address, Limits
from focal.plugins.choice import focal_choose_codec


def unloaded() -> AbstractContextManager[Codec]:
    raise AssertionError("a codec was loaded to choose one")


def quality(name: str, wire_id: int, rate: float) -> CodecSpec:
    return CodecSpec(name, wire_id, rate, unloaded, len)


FOCALCODEC = [quality("50hz", 1, 650), quality("25hz", 2, 325), quality("12.5hz", 3, 163)]
CODEC2 = [quality("c2-3200", 16, 3200), quality("c2-1300", 20, 1300), quality("c2-700c", 22, 700)]

UDP = Limits("datagram", 1200)
BROKER = Limits("message", 65_535)


@dataclass(frozen=True, slots=True)
class Radio(Limits):
    """A slow radio: so many bytes a second, and a preamble of half a second."""

    bytes_per_second: float = 130.0

    def airtime(self, n: int, to: Address | None, /) -> float:
        return 0.5 + n / self.bytes_per_second


LORA = Radio("datagram", 231, duty=0.1)
STRICT = Radio("datagram", 231, duty=0.01)


@pytest.mark.parametrize(
    ("limits", "seconds", "best"),
    [
        ((), 6.0, "50hz"),
        ((UDP,), 600.0, "50hz"),
        ((BROKER, UDP), 6.0, "50hz"),
        ((LORA,), 6.0, "50hz"),
        ((LORA,), 30.0, "25hz"),
        ((LORA,), 120.0, "12.5hz"),
        ((STRICT,), 4.0, "12.5hz"),
        ((UDP, STRICT), 4.0, "12.5hz"),
    ],
)
def test_the_rate_follows_the_narrowest_link(
    limits: tuple[Limits, ...], seconds: float, best: str
) -> None:
    assert focal_choose_codec([*CODEC2, *FOCALCODEC], limits, seconds) == best


def test_without_models_it_is_codec2() -> None:
    assert focal_choose_codec(CODEC2, (UDP,), 6.0) == "c2-3200"
    assert focal_choose_codec(CODEC2, (LORA,), 6.0) == "c2-1300"
    assert focal_choose_codec(CODEC2, (STRICT,), 6.0) == "c2-700c"


def test_a_locked_room_gets_what_it_takes() -> None:
    room = Limits("message", 65_535, codecs=frozenset({2, 20}))
    assert focal_choose_codec([*FOCALCODEC, *CODEC2], (room,), 6.0) == "25hz"
    assert focal_choose_codec(CODEC2, (room,), 6.0) == "c2-1300"


def test_where_nothing_is_taken_it_has_no_answer() -> None:
    room = Limits("message", 65_535, codecs=frozenset({9}))
    assert focal_choose_codec(CODEC2, (room,), 6.0) is None


def test_what_only_some_can_decode_comes_last() -> None:
    local = quality("mine", 224, 9000)
    assert focal_choose_codec([local, *CODEC2], (UDP,), 6.0) == "c2-3200"
    assert focal_choose_codec([local], (UDP,), 6.0) == "mine"
