"""Bytes from outside, for hypothesis: valid ones, damaged ones, forged ones.

The law of this module: what is made here is made from valid values, so that damage reaches the
deep ends of a parser and not its first check alone.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from hypothesis import strategies as st

from focal.core.envelope import MAX_HOPS, MAX_ROUTE, Envelope
from focal.core.errors import FrameError
from focal.core.framing import frame as frames
from focal.core.message import LIFETIMES, MAX_LIFETIME, Kind, Message, MessageId, Series
from focal.core.tokens import Segment

U32 = (1 << 32) - 1
numbers = st.integers(0, U32)
ids = st.builds(MessageId, numbers, numbers)
destinations = st.none() | numbers
names = st.text(min_size=1, max_size=128).filter(lambda name: len(name.encode()) <= 128)
series = st.integers(1, 255).flatmap(
    lambda count: st.builds(Series, st.integers(0, count - 1), st.just(count))
)
payloads = st.binary(max_size=600) | st.binary(max_size=200).map(lambda data: data + bytes(40))

open_messages = st.builds(
    Message,
    ids,
    st.sampled_from([Kind.VOICE, Kind.TEXT, Kind.DATA, Kind.RECEIPT]),
    payloads,
    codec=st.integers(0, 255),
    sent_at=numbers,
    lifetime=st.sampled_from(LIFETIMES),
    destination=destinations,
    sender=st.none() | names,
    series=st.none() | series,
    clock_trusted=st.booleans(),
)
sealed_messages = st.builds(
    Message,
    ids,
    st.just(Kind.SEALED),
    payloads,
    lifetime=st.just(MAX_LIFETIME),
    destination=destinations,
    clock_trusted=st.booleans(),
)
messages = open_messages | sealed_messages

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
unknown = st.dictionaries(
    st.text(max_size=6).filter(lambda key: key not in set("vmhr")), plain, max_size=4
)
envelopes = st.builds(
    Envelope,
    messages.map(Message.to_bytes),
    st.integers(0, MAX_HOPS),
    st.lists(numbers, max_size=MAX_ROUTE).map(tuple),
    unknown,
)

hops = st.integers(0, frames.MAX_HOPS)
controls: st.SearchStrategy[frames.Frame] = (
    st.builds(
        frames.Need, numbers, numbers, st.integers(0, frames.MAX_K), st.integers(0, 255), hops
    )
    | st.builds(
        frames.Confirm, numbers, numbers, st.sampled_from(frames.Verdict), st.integers(0, 255), hops
    )
    | st.builds(frames.Poll, numbers, numbers, numbers, hops)
    | st.builds(frames.Hello, numbers, numbers, st.booleans(), hops=hops)
    | st.builds(frames.Hello, numbers, numbers, st.just(True), numbers, hops)
)
symbols = st.builds(
    frames.Symbol,
    numbers,
    st.integers(1, frames.MAX_K),
    st.integers(0, 254),
    st.binary(min_size=1, max_size=220),
    hops,
)
wholes = st.builds(frames.Whole, messages.map(Message.to_bytes), hops)
any_frame: st.SearchStrategy[frames.Frame] = controls | symbols | wholes


def segments(bits: int) -> st.SearchStrategy[list[Segment]]:
    """Return rows of segments of tokens of ``bits`` bits."""
    tokens = st.lists(st.integers(0, (1 << bits) - 1), min_size=1, max_size=40).map(tuple)
    return st.lists(st.builds(Segment, tokens, st.integers(0, 15)), min_size=1, max_size=4)


@st.composite
def damaged(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """Return valid bytes after one to three accidents: flips, cuts, fillings, splices."""
    data = draw(valid)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "cut", "fill", "splice", "twice"])):
            case "flip" if at < len(data):
                data = (
                    data[:at] + bytes((data[at] ^ 1 << draw(st.integers(0, 7)),)) + data[at + 1 :]
                )
            case "cut":
                data = data[:at] + data[draw(st.integers(at, len(data))) :]
            case "fill":
                data = data[:at] + draw(st.binary(max_size=6)) + data[at:]
            case "splice":
                other = draw(valid)
                data = data[:at] + other[draw(st.integers(0, len(other))) :]
            case _:
                data = data[:at] + data
    return data


def checked(data: bytes) -> bytes:
    """Give bytes the right check of a message, so that a parser reads on."""
    body = data[:-4]
    return body + zlib.crc32(body).to_bytes(4, "big")


def anything(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return arbitrary bytes, valid ones and damaged ones."""
    return st.binary(max_size=80) | valid | damaged(valid)


def refuses_or_reads(parse: Callable[[bytes], object], data: bytes) -> object | None:
    """Return what a parser makes of bytes; None if it refuses them as it should."""
    try:
        return parse(data)
    except FrameError as error:
        assert "\n" not in str(error) and 0 < len(str(error)) < 200
        return None


def calls_of(work: Callable[[], object], name: str | None = None) -> int:
    """Count the calls, of Python and of C, that some work takes; FrameError ends it.

    Args:
        work: is called.
        name: count only functions of this name.
    """
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        if event == "call":
            calls += name in (None, frame.f_code.co_name)
        elif event == "c_call":
            calls += name in (None, getattr(arg, "__name__", ""))

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with suppress(FrameError):
            work()
    finally:
        sys.setprofile(before)
    return calls


_TABLE = [zlib.crc32(bytes((byte,))) ^ zlib.crc32(b"\0") for byte in range(256)]
_BY_TOP = {entry >> 24: byte for byte, entry in enumerate(_TABLE)}


def _back(register: int, data: bytes) -> int:
    """Run the CRC's register backwards over bytes."""
    for byte in reversed(data):
        index = _BY_TOP[register >> 24]
        register = ((register ^ _TABLE[index]) << 8 & U32) | index ^ byte
    return register


def with_check(message: bytes, at: int, check: int) -> bytes:
    """Return a message with another check: four of its bytes are changed, from ``at`` on."""
    start = zlib.crc32(message[:at]) ^ U32
    wanted = _back(check ^ U32, bytes(4) + message[at + 4 : -4])
    four = (wanted ^ start).to_bytes(4, "little")
    return message[:at] + four + message[at + 4 : -4] + check.to_bytes(4, "big")


def forged(message: bytes, at: int, new: bytes) -> bytes:
    """Return another message with the same check: ``new`` at ``at``, the next four bytes mended.

    Whoever hears a message can make such a one: a CRC is no signature.
    """
    end = at + len(new)
    return with_check(message[:at] + new + message[end:], end, int.from_bytes(message[-4:], "big"))
