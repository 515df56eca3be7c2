"""Write the wire's test vectors: ``python tests/vectors/make.py`` from the repository's root.

They are frozen: once released, a vector changes only with the version of the wire. Run it to add
new ones and look at the difference.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from focal.core import tinyvoice  # noqa: E402
from focal.core.envelope import Envelope  # noqa: E402
from focal.core.framing import frame as frames  # noqa: E402
from focal.core.framing.fec import parity  # noqa: E402
from focal.core.framing.split import cut_for, frames_for  # noqa: E402
from focal.core.message import (  # noqa: E402
    LIFETIMES,
    Event,
    Kind,
    Message,
    MessageId,
    Receipt,
    Series,
)
from focal.core.receipts import receipt_for  # noqa: E402
from focal.core.tokens import Segment, pack_segments  # noqa: E402

Vector = dict[str, Any]
ID = MessageId(0x1A2B3C4D, 1_800_000_001)


def main() -> None:
    for name, vectors in (
        ("messages", messages()),
        ("lifetimes", [{"code": code, "seconds": s} for code, s in enumerate(LIFETIMES)]),
        ("frames", control_frames()),
        ("symbols", symbols()),
        ("cuts", cuts()),
        ("split", split()),
        ("tokens", tokens()),
        ("envelopes", envelopes()),
        ("receipts", receipts()),
        ("tinyvoice", tinyvoice_packets()),
        ("refused", refused()),
    ):
        text = json.dumps(vectors, indent=1, ensure_ascii=True)
        (Path(__file__).parent / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _message(what: str, message: Message) -> Vector:
    return {
        "what": what,
        "bytes": message.to_bytes().hex(),
        "origin": message.id.origin,
        "sequence": message.id.sequence,
        "kind": message.kind.name.lower(),
        "codec": message.codec,
        "time": message.sent_at,
        "lifetime": message.lifetime,
        "destination": message.destination,
        "sender": message.sender,
        "series": [message.series.index, message.series.count] if message.series else None,
        "clock_trusted": message.clock_trusted,
        "payload": message.payload.hex(),
    }


def messages() -> list[Vector]:
    now = 1_800_000_010
    text = "Hügel, 12:30 ☂".encode()
    everything = Message(
        ID, Kind.VOICE, b"\xaa" * 7, 22, now, 3600, 0xDEADBEEF, "Ana", Series(1, 3), False
    )
    return [
        _message("voice for everyone", Message(ID, Kind.VOICE, bytes(range(40)), 20, now)),
        _message("text", Message(ID, Kind.TEXT, text, sent_at=now)),
        _message("data, no bytes", Message(ID, Kind.DATA, b"", sent_at=now, lifetime=60)),
        _message("everything optional", everything),
        _message("longest lifetime", Message(ID, Kind.DATA, b"x", lifetime=7 * 86_400)),
        _message("ends in zeros", Message(ID, Kind.DATA, bytes(9), sent_at=now)),
        _message(
            "sealed",
            Message(ID, Kind.SEALED, b"\x5e" * 32, lifetime=7 * 86_400, destination=7),
        ),
        _message("receipt", Message(ID, Kind.RECEIPT, b"\x02\x00\x00\x00\x05", destination=9)),
    ]


def control_frames() -> list[Vector]:
    tag, speaker = 0xCAFEF00D, 0x1A2B3C4D
    made: list[tuple[str, frames.Frame]] = [
        ("need one of three", frames.Need(tag, speaker, 3, 1)),
        ("need all", frames.Need(tag, speaker, 0, 0)),
        ("confirm delivered", frames.Confirm(tag, speaker, frames.Verdict.DELIVERED, 0)),
        ("confirm custody, hops", frames.Confirm(tag, speaker, frames.Verdict.CUSTODY, 4, 2)),
        ("poll one", frames.Poll(tag, speaker, 0xDEADBEEF)),
        ("poll everyone", frames.Poll(tag, speaker, 0)),
        ("hello", frames.Hello(tag, speaker, True)),
        ("hello answered", frames.Hello(tag, speaker, False)),
        ("hello, one is asked", frames.Hello(tag, speaker, True, 0xDEADBEEF)),
        ("hello, 0 is asked, hops", frames.Hello(tag, speaker, True, 0, 7)),
        ("symbol", frames.Symbol(tag, 3, 4, bytes(range(20)), 7)),
    ]
    vectors: list[Vector] = []
    for what, frame in made:
        fields = {slot: getattr(frame, slot) for slot in frame.__dataclass_fields__}
        for key, value in fields.items():
            if isinstance(value, bytes):
                fields[key] = value.hex()
        data = frames.pack(frame)
        vectors.append(
            {"what": what, "type": type(frame).__name__.lower(), "bytes": data.hex(), **fields}
        )
    padded = frames.pad(frames.pack(made[0][1]), 20)
    vectors.append({**vectors[0], "what": "need, padded to 20", "bytes": padded.hex()})
    return vectors


def symbols() -> list[Vector]:
    vectors: list[Vector] = []
    for k, size, seed in ((1, 5, 1), (2, 4, 2), (3, 8, 3), (10, 6, 4), (127, 2, 5)):
        source = random.Random(seed)
        data = [source.randbytes(size) for _ in range(k)]
        wanted = sorted({k, k + 1, k + 5, 254})
        coded = parity(data, wanted)
        vectors.append(
            {
                "k": k,
                "data": [symbol.hex() for symbol in data],
                "parity": {str(i): s.hex() for i, s in zip(wanted, coded, strict=True)},
            }
        )
    return vectors


def cuts() -> list[Vector]:
    lengths = (22, 139, 204, 205, 408, 409, 490, 598, 25_907, 25_908)
    vectors: list[Vector] = []
    for mtu in (231, 64, 1200):
        for length in lengths:
            if length <= 127 * min(204, mtu - 8):
                cut = cut_for(length, mtu)
                vectors.append({"length": length, "mtu": mtu, "k": cut.k, "size": cut.size})
    return vectors


def split() -> list[Vector]:
    vectors: list[Vector] = []
    for what, size, mtu in (
        ("one whole frame", 60, 231),
        ("three symbols and two of parity", 469, 231),
        ("zeros at the end", 0, 231),
        ("a small MTU", 60, 40),
    ):
        payload = random.Random(size).randbytes(size) if size else bytes(300)
        message = Message(ID, Kind.DATA, payload, sent_at=1_800_000_010).to_bytes()
        packed = frames_for(message, mtu, extra=2)
        vectors.append(
            {
                "what": what,
                "mtu": mtu,
                "message": message.hex(),
                "frames": [data.hex() for data in packed],
            }
        )
    return vectors


def tokens() -> list[Vector]:
    made = [
        ("one token", 13, [Segment((4096,))]),
        ("trimmed", 13, [Segment((0, 8191, 1, 2, 3), 3)]),
        ("eight tokens fill their bytes", 13, [Segment(tuple(range(8)))]),
        ("two segments", 13, [Segment((5, 6, 7), 1), Segment((8, 9), 2)]),
        ("sixteen bits", 16, [Segment((0xFFFF, 0x0102))]),
        ("eleven bits", 11, [Segment((2047, 0, 1024))]),
    ]
    return [
        {
            "what": what,
            "bits": bits,
            "payload": pack_segments(segments, bits).hex(),
            "segments": [{"tokens": list(s.tokens), "trim": s.trim} for s in segments],
        }
        for what, bits, segments in made
    ]


def envelopes() -> list[Vector]:
    message = Message(ID, Kind.TEXT, b"hi", sent_at=1_800_000_010).to_bytes()
    made = [
        ("plain", Envelope(message)),
        ("two bridges", Envelope(message, 2, (0x01020304, 0xFFFFFFFF))),
        ("an unknown key is kept", Envelope(message, extra={"x": [1, "two"]})),
    ]
    return [
        {
            "what": what,
            "bytes": envelope.to_bytes().hex(),
            "message": message.hex(),
            "hops": envelope.hops,
            "route": list(envelope.route),
            "extra": dict(envelope.extra),
        }
        for what, envelope in made
    ]


def receipts() -> list[Vector]:
    message = Message(ID, Kind.TEXT, b"hi", sent_at=1_800_000_010)
    return [
        {
            "of": str(ID),
            "event": event.name.lower(),
            "by": by,
            "at": 1_800_000_020,
            "bytes": receipt_for(message, event, by, 1_800_000_020).to_bytes().hex(),
            "payload": Receipt(ID, event).payload().hex(),
        }
        for by in (1, 0xDEADBEEF)
        for event in Event
    ]


def tinyvoice_packets() -> list[Vector]:
    source = random.Random(7)
    vectors: list[Vector] = []
    for what, codec, count, room, name, occurrence in (
        ("a file, 50hz", 1, 288, "", "", 0),
        ("in a room", 2, 144, "valhalla", "Ana", 0),
        ("said again", 2, 144, "valhalla", "Ana", 1),
        ("two segments, 12.5hz", 3, 1500, "日本", "ö☂", 0),
    ):
        tokens = [source.randrange(8192) for _ in range(count)]
        packet = bytes((codec,)) + struct.pack(f"<{count}H", *tokens)
        message = tinyvoice.read_packet(packet, room=room, name=name, occurrence=occurrence)
        vectors.append(
            {
                "what": what,
                "packet": packet.hex(),
                "room": room,
                "name": name,
                "occurrence": occurrence,
                "message": message.to_bytes().hex(),
            }
        )
    bare = struct.pack("<4H", 1, 2, 3, 4)
    vectors.append(
        {
            "what": "headerless in a room: 50hz",
            "packet": bare.hex(),
            "codec": 1,
            "room": "r",
            "name": "n",
            "occurrence": 0,
            "message": tinyvoice.read_packet(bare, room="r", name="n", codec=1).to_bytes().hex(),
        }
    )
    return vectors


def refused() -> list[Vector]:
    good = Message(ID, Kind.TEXT, b"hi", sent_at=1_800_000_010).to_bytes()

    def again(body: bytes) -> str:
        return (body + zlib.crc32(body).to_bytes(4, "big")).hex()

    body = good[:-4]
    need = frames.pack(frames.Need(1, 2, 3, 1))
    hello = frames.pack(frames.Hello(1, 2, True))
    return [
        {"as": "message", "why": "no bytes", "bytes": ""},
        {"as": "message", "why": "check", "bytes": (good[:-1] + bytes((good[-1] ^ 1,))).hex()},
        {"as": "message", "why": "cut short", "bytes": good[:-1].hex()},
        {"as": "message", "why": "version 2", "bytes": again(b"\xf2" + body[1:])},
        {"as": "message", "why": "reserved flag", "bytes": again(body[:1] + b"\x08" + body[2:])},
        {"as": "message", "why": "kind 4", "bytes": again(body[:10] + b"\x04" + body[11:])},
        {"as": "message", "why": "lifetime 171", "bytes": again(body[:16] + b"\xab" + body[17:])},
        {"as": "message", "why": "name of 0", "bytes": again(body[:10] + b"\x21" + body[11:17])},
        {"as": "frame", "why": "version 2", "bytes": (b"\xa2" + need[1:]).hex()},
        {"as": "frame", "why": "reserved bit", "bytes": bytes((need[0], need[1] | 8)).hex()},
        {"as": "frame", "why": "type 7", "bytes": (b"\xa1\xe0" + need[2:]).hex()},
        {"as": "frame", "why": "need cut short", "bytes": need[:-1].hex()},
        {"as": "frame", "why": "hello of 12 bytes", "bytes": (hello + b"\0").hex()},
        {"as": "frame", "why": "hello of 15 bytes", "bytes": (hello + bytes(4)).hex()},
        {"as": "frame", "why": "hello that says 2", "bytes": (hello[:-1] + b"\2").hex()},
        {"as": "frame", "why": "symbol of k 0", "bytes": "a120000000010000ff"},
        {"as": "frame", "why": "symbol of k 128", "bytes": "a120000000018000ff"},
        {"as": "frame", "why": "symbol 255", "bytes": "a1200000000102ffff"},
        {"as": "frame", "why": "empty symbol", "bytes": "a120000000010200"},
        {"as": "frame", "why": "filling longer than frame", "bytes": "a150010203ff"},
        {"as": "frame", "why": "whole without message", "bytes": "a10001020304"},
        {"as": "envelope", "why": "no map", "bytes": "01"},
        {"as": "envelope", "why": "version 2", "bytes": "81a17602"},
        {"as": "envelope", "why": "no message", "bytes": "84a17601a16dc40100a16800a17290"},
        {"as": "envelope", "why": "hops 8", "bytes": Envelope(good, 8).to_bytes().hex()},
        {"as": "tokens", "bits": 13, "why": "no last segment", "bytes": "0000010008"},
        {"as": "tokens", "bits": 13, "why": "filling not zero", "bytes": "800009"},
        {"as": "tokens", "bits": 13, "why": "no tokens", "bytes": "80"},
    ]


if __name__ == "__main__":
    main()
