"""encode, decode and info: sound to packet and back, on files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from focal.core.envelope import Envelope
from focal.core.message import Kind, Message, MessageId, Series
from focal.core.tokens import Segment, pack_segments
from tests.cli.conftest import Focal, recording
from tests.deadline import environment


def seconds(path: Path) -> float:
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()


@pytest.mark.parametrize(
    ("quality", "size"), [("c2-3200", 400), ("c2-1300", 163), ("c2-700c", 88), ("auto", 400)]
)
def test_speech_becomes_a_packet_and_speech_again(
    focal: Focal, home: Path, hello: Path, tmp_path: Path, quality: str, size: int
) -> None:
    packet, back = tmp_path / "hello.focal", tmp_path / "back.wav"
    done = focal("--home", home, "--json", "encode", hello, "-o", packet, "--quality", quality)
    (encoded,) = done.objects
    assert (done.code, len(done.err.splitlines())) == (0, 1)
    assert done.err.startswith(f"{encoded['codec']}: ")
    assert encoded["event"] == "encoded"
    assert (encoded["seconds"], encoded["payload_bytes"]) == (1.0, size)
    assert encoded["message_bytes"] == size + 21
    (decoded,) = focal("--json", "--home", home, "decode", packet, "-o", back).objects
    assert (decoded["event"], decoded["id"]) == ("decoded", encoded["id"])
    assert decoded["codec"] == encoded["codec"]
    assert seconds(back) == pytest.approx(1.0, abs=0.04)


def test_a_clip_of_5_62_s_is_494_bytes_at_700c(focal: Focal, home: Path, tmp_path: Path) -> None:
    hello = recording(tmp_path / "hello.wav", seconds=5.62)
    packet = tmp_path / "hello.focal"
    encode = ("--json", "--home", home, "encode", hello, "-o", packet, "--quality", "c2-700c")
    assert focal(*encode).objects[0]["payload_bytes"] == 494


def test_seconds_are_told_to_the_millisecond(focal: Focal, home: Path, tmp_path: Path) -> None:
    hello = recording(tmp_path / "hello.wav", seconds=1.00025)
    done = focal("--json", "--home", home, "encode", hello, "-o", tmp_path / "x")
    assert done.objects[0]["seconds"] == 1.0


def test_every_packet_has_an_id_of_its_own(
    focal: Focal, home: Path, hello: Path, tmp_path: Path
) -> None:
    packet = tmp_path / "hello.focal"
    encode = ("--json", "--home", home, "encode", hello, "-o", packet)
    first, second = focal(*encode).objects[0]["id"], focal(*encode).objects[0]["id"]
    assert first[:8] == second[:8] and first < second


def test_info_tells_everything_in_the_message(focal: Focal, home: Path, tmp_path: Path) -> None:
    message = Message(
        MessageId(0x1A2B3C4D, 7), Kind.TEXT, b"on my way", 0, 1_800_000_000, 3600, 0x5E6F7081,
        "Ada", Series(1, 5), clock_trusted=False,
    )  # fmt: skip
    packet = tmp_path / "text.focal"
    packet.write_bytes(Envelope(message.to_bytes(), hops=2).to_bytes())
    (info,) = focal("--json", "--home", home, "info", packet).objects
    size = len(message.to_bytes())
    assert info == {
        "event": "info",
        "id": "1a2b3c4d00000007",
        "form": "envelope",
        "kind": "text",
        "codec": None,
        "codec_id": 0,
        "guessed": False,
        "seconds": None,
        "payload_bytes": 9,
        "message_bytes": size,
        "frames": 1,
        "sent_at": 1_800_000_000,
        "clock_trusted": False,
        "lifetime": 3600,
        "origin": "~1a2b3c4d",
        "destination": "~5e6f7081",
        "sender": "Ada",
        "series": "2/5",
        "hops": 2,
        "text": "on my way",
    }
    table = focal("--home", home, "info", packet).out
    assert "on my way" in table and "codec  " not in table


def test_info_needs_no_home_and_makes_none(focal: Focal, home: Path, tmp_path: Path) -> None:
    packet = tmp_path / "text.focal"
    packet.write_bytes(Message(MessageId(1, 2), Kind.TEXT, b"hi").to_bytes())
    assert focal("--home", home, "info", packet).code == 0
    assert not home.exists()


def test_a_tinyvoice_packet_is_read_without_its_codec(focal: Focal, tmp_path: Path) -> None:
    packet = tmp_path / "tiny.bin"
    packet.write_bytes(bytes([3]) + (700).to_bytes(2, "little") * 50)
    (info,) = focal("--json", "info", packet).objects
    assert (info["form"], info["codec"], info["seconds"]) == ("tinyvoice", "12.5hz", 4.0)
    assert not info["guessed"]
    done = focal("decode", packet, "-o", tmp_path / "back.wav")
    assert (done.code, "12.5hz needs decoder_12_5hz.onnx" in done.line) == (1, True)


def test_a_headerless_tinyvoice_packet_is_a_guess_that_can_be_overridden(
    focal: Focal, tmp_path: Path
) -> None:
    packet = tmp_path / "tiny.bin"
    packet.write_bytes((700).to_bytes(2, "little") * 50)
    (guess,) = focal("--json", "info", packet).objects
    assert (guess["form"], guess["codec"]) == ("tinyvoice-headerless", "12.5hz")
    assert guess["guessed"]
    (told,) = focal("--json", "info", packet, "--quality", "50hz").objects
    assert (told["codec"], told["seconds"], told["guessed"]) == ("50hz", 1.0, False)
    assert "did you mean '50hz'?" in focal("info", packet, "--quality", "50h").line


def test_a_message_of_tokens_shows_its_length(focal: Focal, tmp_path: Path) -> None:
    payload = pack_segments([Segment((700,) * 100)], 13)
    packet = tmp_path / "bare.bin"
    packet.write_bytes(Message(MessageId(1, 2), Kind.VOICE, payload, 1).to_bytes())
    (info,) = focal("--json", "info", packet).objects
    assert (info["form"], info["codec"], info["seconds"]) == ("message", "50hz", 2.0)


def test_what_no_decoder_knows_is_still_shown(focal: Focal, tmp_path: Path) -> None:
    packet = tmp_path / "strange.bin"
    packet.write_bytes(Message(MessageId(1, 2), Kind.VOICE, b"12345", 250).to_bytes())
    (info,) = focal("--json", "info", packet).objects
    assert (info["codec"], info["codec_id"], info["seconds"]) == (None, 250, None)
    done = focal("decode", packet, "-o", tmp_path / "back.wav")
    assert (done.code, "nothing here decodes codec 250" in done.line) == (1, True)


def test_a_text_has_no_sound(focal: Focal, tmp_path: Path) -> None:
    packet = tmp_path / "text.bin"
    packet.write_bytes(Message(MessageId(1, 2), Kind.TEXT, b"hi").to_bytes())
    done = focal("decode", packet, "-o", tmp_path / "back.wav")
    assert (done.code, "a message of kind text has no sound" in done.line) == (1, True)


@pytest.mark.parametrize("raw", [False, True])
def test_speech_comes_from_standard_input(
    home: Path, hello: Path, tmp_path: Path, raw: bool
) -> None:
    data = hello.read_bytes()[44 if raw else 0 :]
    packet = tmp_path / "hello.focal"
    encode = ["encode", "-", "-o", str(packet), "--home", str(home), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "focal", *encode, *(["--raw", "8000"] if raw else [])],
        input=data, capture_output=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.startswith(b"c2-3200: ")) == (0, True)
    assert b'"seconds": 1.0' in done.stdout


def test_a_device_is_written_to_and_not_replaced(focal: Focal, home: Path, hello: Path) -> None:
    assert focal("--home", home, "encode", hello, "-o", "/dev/null").code == 0
    assert Path("/dev/null").is_char_device()


def piped(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "focal", *arguments]
    return subprocess.run(
        command, input=given, capture_output=True, env=environment(), timeout=60
    )  # fmt: skip


def test_packets_and_wavs_go_through_pipes(home: Path, hello: Path) -> None:
    encoded = piped("--home", str(home), "encode", str(hello), "-o", "-")
    assert (encoded.returncode, len(encoded.stderr.splitlines())) == (0, 2)
    told = piped("info", "-", "--json", given=encoded.stdout)
    assert b'"form": "envelope"' in told.stdout
    decoded = piped("decode", "-", "-o", "-", given=encoded.stdout)
    assert (decoded.returncode, decoded.stdout[:4]) == (0, b"RIFF")
    assert not Path("-").exists()
    nothing = piped("info", "-", given=b"")
    assert (nothing.returncode, b"standard input is no packet" in nothing.stderr) == (1, True)


def test_a_packet_that_nobody_reads_ends_quietly(home: Path, hello: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    encode = ["--home", str(home), "encode", str(hello), "-o", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "focal", *encode],
        stdout=write, stderr=subprocess.PIPE, env=environment(), timeout=60,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_data_and_objects_do_not_share_standard_output(focal: Focal, command: str) -> None:
    done = focal("--json", command, "x", "-o", "-")
    assert (done.code, "--json and - both want standard output" in done.line) == (2, True)


@pytest.mark.parametrize("command", ["info", "decode"])
def test_quality_is_only_for_what_does_not_say_it(
    focal: Focal, home: Path, hello: Path, tmp_path: Path, command: str
) -> None:
    packet = tmp_path / "hello.focal"
    focal("--home", home, "encode", hello, "-o", packet)
    options = ["-o", tmp_path / "x.wav"] if command == "decode" else []
    done = focal(command, packet, "--quality", "c2-3200", *options)
    assert (done.code, "TinyVoice packets without header" in done.line) == (2, True)
