"""A user or a supervisor ends a process: it closes everything in order, and loses nothing."""

from __future__ import annotations

import signal
import struct
from pathlib import Path

import pytest

from focal.core.message import Kind, Message, MessageId
from tests.deadline import Deadline, running
from tests.deadline import focal as process
from tests.live.pair import LONG, SHORT, TEXT, Pair, free_ports, spool, udp

SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Return two homes joined by UDP."""
    a, b = free_ports(2)
    return Pair(tmp_path, [udp(b, a)], [udp(a, b)], Deadline(60))


@SIGNALS
def test_a_sender_that_is_ended_has_its_message_in_the_outbox(
    pair: Pair, number: signal.Signals, code: int
) -> None:
    with pair.sending(LONG) as sender:
        sender.line('"sent"')
        sender.signal(number)
        assert sender.wait() == code, sender.story()
        assert "stays in the outbox" in sender.err[-1] and "Traceback" not in sender.story()
    with pair.listening() as listener:
        pair.settle(listener)
    pair.check()


@SIGNALS
def test_a_listener_that_is_ended_goes_on_where_it_was(
    pair: Pair, number: signal.Signals, code: int
) -> None:
    pair.queue(*[TEXT, LONG, SHORT] * 5)
    with pair.listening() as first, pair.sending(SHORT) as sender:
        first.line('"received"')
        first.signal(number)
        assert first.wait() == code, first.story()
        assert len(first.err) == 1, first.story()
        with pair.listening() as second:
            assert sender.wait() == 0, sender.story()
            pair.settle(second)
    pair.check()


def test_a_second_signal_ends_a_listener_at_once(pair: Pair) -> None:
    with pair.listening() as listener:
        listener.line("listening on", "err")
        listener.signal(signal.SIGTERM)
        listener.signal(signal.SIGTERM)
        assert listener.wait() == -signal.SIGTERM
        assert "Traceback" not in listener.story()


# At work on a long message

SLOW = """
import hashlib, sys
from contextlib import nullcontext
from focal.core.codec import CodecSpec
from focal.plugins import hookimpl

class Slow:
    rate = 1000

    def encode(self, clip):
        return self.encode_blocks([clip])

    def encode_blocks(self, blocks):
        for _ in blocks:
            hashlib.pbkdf2_hmac("sha256", b"hard", b"work", 20_000)
            print("at work", file=sys.stderr, flush=True)
        return b"done"

    def decode(self, data):
        from focal.core.runtime import check_cancelled

        for _ in range(500):
            check_cancelled()
            self.encode_blocks([data])
        raise AssertionError("nobody ended it")

@hookimpl
def focal_codecs():
    return [CodecSpec("slow", 230, 1.0, lambda: nullcontext(Slow()), lambda data: 1.0)]
"""
"""A codec that takes a while for each block; encoding, it looks at nothing itself."""

HOURS = 1000 * 65_536 // 2
"""Samples, and at 1 kHz 500 blocks."""


@pytest.fixture
def hours(tmp_path: Path) -> Path:
    """Return a recording of hours, and the codec for it in the home's plugins."""
    (tmp_path / "home" / "plugins").mkdir(parents=True)
    (tmp_path / "home" / "plugins" / "codec.slow.py").write_text(SLOW)
    path, size = tmp_path / "hours.wav", 2 * HOURS
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 1000, 2000, 2, 16)
    with path.open("wb") as file:
        file.write(struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form)
        file.write(struct.pack("<4sI", b"data", size))
        file.truncate(44 + size)
    return path


@SIGNALS
def test_encoding_ends_between_two_blocks_and_leaves_nothing(
    tmp_path: Path, hours: Path, number: signal.Signals, code: int
) -> None:
    home, packet = tmp_path / "home", tmp_path / "out.focal"
    command = ["--home", str(home), "encode", str(hours), "--quality", "slow", "-o", str(packet)]
    with running(process(*command), Deadline(60)) as encoder:
        encoder.line("at work", "err")
        encoder.signal(number)
        assert encoder.wait() == code, encoder.story()
        assert set(encoder.err) == {"at work\n"} and len(encoder.err) < 400
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["hours.wav"]


@SIGNALS
def test_who_encodes_to_send_has_sent_nothing(
    tmp_path: Path, hours: Path, number: signal.Signals, code: int
) -> None:
    home = tmp_path / "home"
    command = ["--home", str(home), "send", str(hours), "--quality", "slow", "--via", "mem://x"]
    with running(process(*command), Deadline(60)) as sender:
        sender.line("at work", "err")
        sender.signal(number)
        assert sender.wait() == code, sender.story()
        assert sender.err.count("at work\n") < 400 and "Traceback" not in sender.story()
    with spool(home) as ours:
        assert ours.outbox.legs(all=True) == []


@SIGNALS
@pytest.mark.parametrize("command", ["decode", "inbox play"])
def test_decoding_ends_between_two_pieces_and_leaves_nothing(
    tmp_path: Path, hours: Path, command: str, number: signal.Signals, code: int
) -> None:
    home, packet, back = tmp_path / "home", tmp_path / "in.focal", tmp_path / "back.wav"
    message = Message(MessageId(1, 2), Kind.VOICE, b"done", 230)
    packet.write_bytes(message.to_bytes())
    with spool(home) as ours:
        ours.inbox.deliver(message.to_bytes(), link="air", peer=None, at=1.8e9)
    arguments = {
        "decode": ["decode", str(packet), "-o", str(back)],
        "inbox play": ["inbox", "play", str(message.id), "--sink", f"wavfile:{back}"],
    }
    with running(process("--home", str(home), *arguments[command]), Deadline(60)) as decoder:
        decoder.line("at work", "err")
        decoder.signal(number)
        assert decoder.wait() == code, decoder.story()
        assert decoder.err.count("at work\n") < 400 and "Traceback" not in decoder.story()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "hours.wav", "in.focal"]
