"""How fast messages become frames and messages again, against zfec and a bare CRC.

Each message has 577 bytes of payload (TinyVoice's packet of 5.76 s), is cut in three, gets one
symbol of parity and loses one of data. The reference does the least that any such code must:
zfec's C code makes one parity and rebuilds one lost symbol, and zlib checks the message twice.
Both sides take turns, so that a busy machine hits both.
"""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

from focal.core.framing.assemble import Assembler, Via
from focal.core.framing.frame import Symbol, Whole, unpack
from focal.core.framing.split import cut_for, frames_for, symbols_of
from focal.core.message import Kind, Message, MessageId

PAYLOAD = 577
MESSAGES = 500
ROUNDS = 5
MTU = 231

zfec: Any = import_module("zfec")  # it has no types


def messages() -> list[bytes]:
    """Return the messages of one round."""
    chance = random.Random(577)
    return [
        Message(MessageId(1, n), Kind.VOICE, chance.randbytes(PAYLOAD), codec=1).to_bytes()
        for n in range(MESSAGES)
    ]


def framed(items: list[bytes]) -> None:
    """Split each, lose its second frame, assemble what is left."""
    assembler, via = Assembler(), Via("bench", "peer")
    for item in items:
        packed = frames_for(item, MTU, extra=1)
        found = None
        for data in packed[:1] + packed[2:]:
            frame = unpack(data)
            assert isinstance(frame, Whole | Symbol)
            found = assembler.feed(frame, via, 0.0) or found
        assert found is not None and found.message == item


def bare(items: list[bytes]) -> None:
    """Code and check the same bytes with zfec and zlib, and nothing else."""
    cut = cut_for(len(items[0]), MTU)
    encoder, decoder = zfec.Encoder(cut.k, cut.k + 1), zfec.Decoder(cut.k, cut.k + 1)
    for item in items:
        check = zlib.crc32(item)
        data = symbols_of(item, cut)
        (parity,) = encoder.encode(data, [cut.k])
        rebuilt = decoder.decode([data[0], parity, *data[2:]], [0, cut.k, *range(2, cut.k)])
        assert zlib.crc32(b"".join(rebuilt)[: len(item)]) == check


def rate(work: Callable[[list[bytes]], None], items: list[bytes]) -> float:
    """Return messages per second of processor time."""
    began = time.process_time()
    work(items)
    return len(items) / (time.process_time() - began)


def bench() -> dict[str, float]:
    """Return messages per second on one core, and their share of the reference's."""
    items = messages()
    rounds = [(rate(framed, items), rate(bare, items)) for _ in range(ROUNDS)]
    ours, reference = max(ours for ours, _ in rounds), max(bare for _, bare in rounds)
    return {"messages / s": ours, "framing_vs_zfec": ours / reference}
