"""A rack keeps codecs warm, and notices what comes later."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from focal.core.audio import Clip
from focal.core.codec import Codec, CodecSpec
from focal.core.errors import CodecError, CodecMissing
from focal.core.rack import Rack

ID = 7


@dataclass
class Shop:
    """A codec that says its payload's length as silence, and what became of it."""

    why_not: str | None = None
    why_not_decode: str | None = None
    broken: str | None = None
    told: list[str] = field(default_factory=list[str])
    rate: int = 8000

    def encode(self, clip: Clip, /) -> bytes:
        return bytes(len(clip.samples))

    def decode(self, data: bytes, /) -> Clip:
        if self.broken:
            raise CodecMissing(self.broken)
        if not data:
            raise CodecError("a damaged payload")
        return Clip(np.zeros(len(data), np.float32), self.rate)

    @contextmanager
    def load(self) -> Generator[Codec]:
        self.told.append("loaded")
        yield self
        self.told.append("closed")

    def spec(self) -> CodecSpec:
        return CodecSpec(
            "shop",
            ID,
            8.0,
            self.load,
            len,
            why_not=lambda: self.why_not,
            why_not_decode=lambda: self.why_not_decode,
        )

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        return self.spec() if wire_id == ID else None


def refused(rack: Rack, payload: bytes = b"123", wire_id: int = ID) -> str:
    with pytest.raises(CodecMissing) as told:
        rack.decode(wire_id, payload)
    return str(told.value)


def test_a_codec_is_loaded_once_and_closed_at_the_end() -> None:
    shop = Shop()
    rack = Rack(shop)
    assert [len(rack.decode(ID, bytes(n)).samples) for n in (1, 2)] == [1, 2]
    rack.close()
    rack.close()
    assert shop.told == ["loaded", "closed"]


def test_who_cannot_encode_can_decode() -> None:
    rack = Rack(Shop(why_not="no encoder: get it"))
    assert rack.decode(ID, b"123").seconds == 3 / 8000


def test_what_is_missing_is_said_and_noticed_once_it_is_there() -> None:
    shop = Shop(why_not_decode="no decoder: get it")
    rack = Rack(shop)
    assert refused(rack) == "no decoder: get it"
    assert shop.told == []
    shop.why_not_decode = None
    assert len(rack.decode(ID, b"123").samples) == 3


def test_a_broken_model_is_said_and_noticed_once_it_is_whole() -> None:
    shop = Shop(broken="decoder.onnx is cut off: get it again")
    rack = Rack(shop)
    assert refused(rack) == refused(rack) == "decoder.onnx is cut off: get it again"
    shop.broken = None
    assert len(rack.decode(ID, b"123").samples) == 3


def test_a_damaged_payload_spoils_nothing() -> None:
    shop = Shop()
    rack = Rack(shop)
    with pytest.raises(CodecError, match="damaged"):
        rack.decode(ID, b"")
    assert len(rack.decode(ID, b"123").samples) == 3
    assert shop.told == ["loaded"]


def test_a_codec_that_nobody_knows_is_said() -> None:
    assert refused(Rack(Shop()), wire_id=99) == "nothing here decodes codec 99: a plugin is missing"


def test_what_went_away_since_it_was_loaded_is_said_as_if_it_never_was_there() -> None:
    shop = Shop()
    rack = Rack(shop)
    assert len(rack.decode(ID, b"123").samples) == 3
    shop.why_not_decode, shop.broken = "no decoder: get it", "it is gone: get everything"
    assert refused(rack) == "no decoder: get it"


def test_a_payload_that_asks_for_more_is_told_of_as_such() -> None:
    spec = replace(Shop(why_not_decode="no decoder").spec(), why_not_payload=bytes.hex)
    assert (spec.why_silent(), spec.why_silent(b"\x12")) == ("no decoder", "12")
    assert Shop(why_not_decode="no decoder").spec().why_silent(b"\x12") == "no decoder"
