"""Qualities as a user has them: which one is taken and why, and what happens without its models."""

from __future__ import annotations

import socket
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import pytest

from focal.core.envelope import Envelope
from focal.core.message import Message
from focal.core.tinyvoice import packet_of
from focal.plugins.models import Models
from focal.plugins.models.catalogue import SIZES
from focal.plugins.models.store import Shelf
from focal.plugins.sources.files import read_audio
from focal.sinks.wav import wav_bytes
from focal.testing import free_ports, heard, tone
from tests.cli.conftest import Done, Focal
from tests.deadline import Deadline, running
from tests.deadline import focal as process
from tests.plugins.focalcodec.stock import stock

DECODING = tuple(name for name in SIZES if name.startswith("decoder"))
ENCODING = tuple(name for name in SIZES if name not in DECODING)
TOKENS = {"50hz": 100, "25hz": 50, "12.5hz": 25}
"""What two seconds are, in the order of TinyVoice's magic bytes."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A home with a folder of models of its own."""

    focal: Focal
    home: Path
    small: Path

    def __call__(self, *arguments: object) -> Done:
        return self.focal("--home", self.home, *arguments)

    @property
    def models(self) -> Models:
        return Models(self.home / "models")

    def bring(self, *names: str, shelf: Shelf = "published") -> None:
        stock(self.models, self.small, shelf, names or SIZES)


def machine(focal: Focal, home: Path, small: Path) -> Machine:
    home.mkdir()
    (home / "focal.toml").write_text(f"[models]\ndir = {str(home / 'models')!r}\n")
    return Machine(focal, home, small)


@pytest.fixture
def near(focal: Focal, tmp_path: Path, small: Path) -> Machine:
    """Return a machine without models."""
    return machine(focal, tmp_path / "near", small)


@pytest.fixture
def far(focal: Focal, tmp_path: Path, small: Path) -> Machine:
    """Return another one."""
    return machine(focal, tmp_path / "far", small)


@pytest.fixture
def melody(tmp_path: Path) -> Path:
    """Return a recording of a tone that the small models know, two seconds long."""
    path = tmp_path / "melody.wav"
    path.write_bytes(wav_bytes(tone(80, 0.2, 2.0)))
    return path


@pytest.fixture
def stick(tmp_path: Path) -> str:
    """Return a link that carries messages in a folder."""
    (tmp_path / "stick").mkdir()
    return f"file:{tmp_path / 'stick'}"


def is_the_melody(path: Path) -> bool:
    clip = read_audio(path)
    bins = {bin for bin, _ in heard(clip)[2:-2]}
    return bins == {80} and 2.0 <= clip.seconds < 2.02


# Which one


def test_without_models_it_is_codec2_and_the_way_to_less_is_said(
    near: Machine, melody: Path, stick: str
) -> None:
    done = near("send", melody, "--via", stick)
    chosen, encoding, *_ = done.err.splitlines()
    assert done.code == 0
    assert chosen.startswith("c2-3200: the highest rate here; 50hz would make it about 163 bytes ")
    assert "instead of 800, but 50hz needs" in chosen and "focal models pull 50hz" in chosen
    assert encoding == "encoding 2.0 s"


def test_with_models_it_is_focalcodec(near: Machine, melody: Path, stick: str) -> None:
    near.bring(*ENCODING)
    done = near("--json", "send", melody, "--via", stick)
    assert done.err.splitlines()[0] == "50hz: FocalCodec, the highest rate here"
    assert [event["event"] for event in done.objects] == ["queued", "on-air", "sent"]


def test_a_price_says_it_too_and_keeps_stdout_clean(near: Machine, melody: Path) -> None:
    near.bring(*ENCODING)
    done = near("--json", "send", melody, "--dry-run", "--via", "mem://x", "--quality", "25hz")
    (price,) = done.objects
    assert (price["codec"], price["payload_bytes"]) == ("25hz", 83)
    assert done.err == "25hz: asked for\n"


def test_a_series_says_it_once(near: Machine, tmp_path: Path) -> None:
    near.bring(*ENCODING)
    long = tmp_path / "long.wav"
    long.write_bytes(wav_bytes(tone(80, 0.2, 150.0)))
    done = near("--json", "send", long, "--via", "mem://x?mtu=80", "--quality", "50hz")
    assert len({event["id"] for event in done.objects}) > 1
    assert sum("50hz" in line for line in done.err.splitlines()) == 1


def test_weights_of_ones_own_stand_in_for_missing_ones(
    near: Machine, far: Machine, melody: Path, stick: str, tmp_path: Path
) -> None:
    near.bring(shelf="local")
    done = near("send", melody, "--via", stick, "--quality", "25hz")
    assert done.err.splitlines()[0] == (
        "25hz-local: in place of 25hz, which cannot encode here; only who has the same decoder "
        "hears it"
    )
    far.bring(*DECODING, shelf="local")
    (got,) = listened(far, stick, "--save", tmp_path / "in").objects
    assert got["codec"] == "25hz-local" and is_the_melody(Path(got["file"]))


def test_auto_takes_codec2_before_weights_of_ones_own(
    near: Machine, melody: Path, tmp_path: Path
) -> None:
    near.bring(shelf="local")
    assert near("encode", melody, "-o", tmp_path / "x").err.startswith("c2-3200: ")


# A message whose decoder is missing


def listened(at: Machine, stick: str, *options: object) -> Done:
    listen = ("--json", "listen", "--via", stick, "--count", 1, "--timeout", 20)
    return at(*listen, *options)


@pytest.fixture
def posted(near: Machine, melody: Path, stick: str) -> str:
    """Return the id of a message at 25hz on the stick."""
    near.bring(*ENCODING)
    done = near("--json", "send", melody, "--via", stick, "--quality", "25hz")
    id: str = done.objects[0]["id"]
    return id


NEEDS = "25hz needs decoder_25hz.onnx, which is not here: focal models pull 25hz --decoder-only"


@pytest.mark.parametrize("save", [True, False], ids=["saving", "bare"])
def test_a_message_without_its_decoder_is_kept_and_plays_later(
    far: Machine, posted: str, stick: str, tmp_path: Path, save: bool
) -> None:
    (got,) = listened(far, stick, *(["--save", tmp_path / "in"] if save else [])).objects
    assert (got["id"], got["codec"], got["seconds"], got["file"]) == (posted, "25hz", 2.0, None)
    assert got["problem"].startswith(NEEDS)
    (held,) = far("--json", "inbox", "list").objects
    assert (held["id"], held["codec"], held["seconds"]) == (posted, "25hz", 2.0)
    assert held["problem"] == got["problem"]
    assert f"({held['problem']})" in far("inbox", "show", posted).out
    play = ("inbox", "play", posted, "--sink", f"wavfile:{tmp_path / 'again.wav'}")
    silent = far(*play)
    assert (silent.code, silent.line) == (1, held["problem"])
    far.bring("decoder_25hz.onnx")
    assert far(*play).code == 0
    assert is_the_melody(tmp_path / "again.wav")
    assert far("--json", "inbox", "list").objects[0]["problem"] is None


def test_who_reads_what_another_process_received_is_told_too(
    near: Machine, far: Machine, melody: Path
) -> None:
    near.bring(*ENCODING)
    one, other = free_ports(2, socket.SOCK_DGRAM)
    ours = f"udp://127.0.0.1:{other}?listen={one}&bind=127.0.0.1"
    theirs = f"udp://127.0.0.1:{one}?listen={other}&bind=127.0.0.1"
    listen = process("--home", str(far.home), "listen", "--via", theirs)
    deadline = Deadline()
    with running(listen, deadline) as first:
        first.line("listening on", "err")
        with running(listen, deadline) as second:
            second.line("listening on", "err")
            near("send", melody, "--via", ours, "--wait", "delivered", "--quality", "25hz")
            assert NEEDS in first.line("2.0 s of 25hz")
            assert NEEDS in second.line("2.0 s of 25hz")


def test_people_read_it_in_one_line(far: Machine, posted: str, stick: str) -> None:
    done = far("listen", "--via", stick, "--count", 1, "--timeout", 20)
    (line,) = done.out.splitlines()
    assert "2.0 s of 25hz (25hz needs decoder_25hz.onnx" in line


def test_a_broken_decoder_loses_nothing(
    far: Machine, posted: str, stick: str, tmp_path: Path
) -> None:
    far.bring(*DECODING)
    broken = far.models.store.path("decoder_25hz.onnx")
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-100])
    (got,) = listened(far, stick, "--save", tmp_path / "in").objects
    assert "decoder_25hz.onnx has changed since it came in" in got["problem"]
    play = ("inbox", "play", posted, "--sink", f"wavfile:{tmp_path / 'again.wav'}")
    assert "decoder_25hz.onnx" in far(*play).line
    broken.write_bytes(whole)
    assert far(*play).code == 0
    assert is_the_melody(tmp_path / "again.wav")


def test_a_local_message_says_which_decoder_it_wants(
    near: Machine, far: Machine, melody: Path, stick: str
) -> None:
    near.bring(shelf="local")
    near("send", melody, "--via", stick, "--quality", "25hz-local")
    mark = near.models.store.sha256("decoder_25hz.onnx", "local")[:4].hex()
    (got,) = listened(far, stick).objects
    (held,) = far("--json", "inbox", "list").objects
    wants = f"; this message wants the decoder whose SHA-256 begins with {mark}"
    assert got["problem"].endswith(wants) and held["problem"] == got["problem"]
    assert far("inbox", "play", held["id"], "--sink", "wavfile:x.wav").line.endswith(wants)


def test_the_last_play_counts(far: Machine, posted: str, stick: str, tmp_path: Path) -> None:
    def turns() -> list[str]:
        (held,) = far("--json", "inbox", "list").objects
        return list(held["turns"])

    listened(far, stick, "--save", tmp_path / "in")
    assert turns() == [f"wav:{tmp_path / 'in'} failed"]
    play = ("inbox", "play", posted, "--sink", f"wav:{tmp_path / 'in'}")
    assert far(*play).code == 1
    assert turns() == [f"wav:{tmp_path / 'in'} failed"]
    far.bring("decoder_25hz.onnx")
    assert far(*play).code == 0
    assert turns() == [f"wav:{tmp_path / 'in'} done"]
    assert far("inbox", "play", posted, "--sink", f"wav:{tmp_path / 'elsewhere'}").code == 0
    assert turns() == [f"wav:{tmp_path / 'in'} done"]


def test_packet_files_say_it_too(near: Machine, far: Machine, melody: Path, tmp_path: Path) -> None:
    near.bring(*ENCODING)
    packet, back = tmp_path / "a.focal", tmp_path / "back.wav"
    assert near("encode", melody, "-o", packet, "--quality", "25hz").code == 0
    (info,) = far("--json", "info", packet).objects
    assert (info["codec"], info["seconds"]) == ("25hz", 2.0)
    done = far("decode", packet, "-o", back)
    assert (done.code, done.line.startswith(f"{packet}: {NEEDS}")) == (1, True)
    assert not back.exists()
    far.bring(*DECODING)
    assert far("decode", packet, "-o", back).code == 0
    assert is_the_melody(back)


def test_a_damaged_payload_is_one_line(
    far: Machine, near: Machine, melody: Path, tmp_path: Path
) -> None:
    near.bring(*ENCODING)
    far.bring(*DECODING)
    packet, back = tmp_path / "a.focal", tmp_path / "back.wav"
    near("encode", melody, "-o", packet, "--quality", "25hz")
    message = Message.from_bytes(Envelope.from_bytes(packet.read_bytes()).message)
    damaged = Message(message.id, message.kind, b"\x40" + message.payload[1:], message.codec)
    packet.write_bytes(damaged.to_bytes())
    done = far("decode", packet, "-o", back)
    assert (done.code, "a damaged 25hz payload" in done.line) == (1, True)


# TinyVoice


@pytest.mark.parametrize("quality", TOKENS)
def test_tinyvoice_packets_go_both_ways(
    near: Machine, far: Machine, melody: Path, tmp_path: Path, quality: str
) -> None:
    near.bring(*ENCODING)
    far.bring(*DECODING)
    packet, back = tmp_path / "a.tiny", tmp_path / "back.wav"
    options = ("--format", "tinyvoice", "--quality", quality)
    assert near("encode", melody, "-o", packet, *options).code == 0
    magic, tokens = packet.read_bytes()[0], packet.read_bytes()[1:]
    assert (magic, len(tokens)) == (
        [*TOKENS].index(quality) + 1,
        2 * TOKENS[quality],
    )
    (decoded,) = far("--json", "decode", packet, "-o", back).objects
    assert (decoded["codec"], decoded["guessed"]) == (quality, False)
    assert is_the_melody(back)
    packet.write_bytes(tokens)
    (decoded,) = far("--json", "decode", packet, "-o", back, "--quality", quality).objects
    assert (decoded["codec"], decoded["guessed"]) == (quality, False)
    assert is_the_melody(back)
    (guess,) = far("--json", "decode", packet, "-o", back).objects
    assert (guess["codec"], guess["guessed"]) == ("12.5hz", True)


def test_what_is_told_of_a_tinyvoice_packet_is_what_the_file_has(
    near: Machine, tmp_path: Path
) -> None:
    near.bring(*ENCODING)
    sound, packet = tmp_path / "a.wav", tmp_path / "a.tiny"
    sound.write_bytes(wav_bytes(tone(80, 0.2, 5.75)))
    encode = ("encode", sound, "-o", packet, "--quality", "50hz", "--format", "tinyvoice")
    (encoded,) = near("--json", *encode).objects
    (info,) = near("--json", "info", packet).objects
    assert (encoded["file_bytes"], packet.stat().st_size) == (577, 577)
    alike = ("id", "form", "codec", "seconds", "payload_bytes", "message_bytes")
    assert {name: encoded[name] for name in alike} == {name: info[name] for name in alike}
    assert near(*encode).out == (
        f"{packet}: 5.76 s in 577 bytes, TinyVoice's packet of 50hz; id {info['id']}\n"
    )


def test_nothing_of_a_tinyvoice_packet_is_trimmed(
    near: Machine, far: Machine, tmp_path: Path
) -> None:
    near.bring(*ENCODING)
    far.bring(*DECODING)
    sound, packet, back = (tmp_path / name for name in ("a.wav", "a.tiny", "back.wav"))
    sound.write_bytes(wav_bytes(tone(80, 0.2, 2.01)))
    near("encode", sound, "-o", packet, "--quality", "12.5hz", "--format", "tinyvoice")
    (decoded,) = far("--json", "decode", packet, "-o", back).objects
    assert decoded["seconds"] == 2.08
    near("encode", sound, "-o", packet, "--quality", "12.5hz")
    (decoded,) = far("--json", "decode", packet, "-o", back).objects
    assert decoded["seconds"] == 2.02


def test_auto_takes_a_quality_that_tinyvoice_knows(
    near: Machine, melody: Path, tmp_path: Path
) -> None:
    packet = tmp_path / "a.tiny"
    encode = ("encode", melody, "-o", packet, "--format", "tinyvoice")
    none = near(*encode)
    assert none.code == 1 and not packet.exists()
    assert "use --format focal" in none.line and "focal models pull" in none.line
    near.bring("encoder.onnx", "compressor_12_5hz.onnx")
    done = near(*encode)
    assert (done.code, done.err) == (0, "12.5hz: FocalCodec, the highest rate here\n")
    assert packet.read_bytes()[0] == 3


def test_what_tinyvoice_has_no_form_for_is_refused(
    near: Machine, melody: Path, tmp_path: Path
) -> None:
    packet = tmp_path / "a.tiny"
    near.bring(shelf="local")
    encode = ("encode", melody, "-o", packet, "--format", "tinyvoice", "--quality")
    local = near(*encode, "25hz")
    assert local.line.startswith("TinyVoice has no form for 25hz-local: use --format focal, or ")
    near.bring(*ENCODING)
    codec2 = near(*encode, "c2-1300")
    assert codec2.line == (
        "TinyVoice has no form for c2-1300: choose --quality 50hz or 25hz or 12.5hz"
    )
    assert not packet.exists()


def test_a_packet_is_what_tinyvoice_would_make(near: Machine, melody: Path, tmp_path: Path) -> None:
    near.bring(*ENCODING)
    ours, tiny = tmp_path / "a.focal", tmp_path / "a.tiny"
    near("encode", melody, "-o", ours, "--quality", "50hz")
    near("encode", melody, "-o", tiny, "--quality", "50hz", "--format", "tinyvoice")
    message = Message.from_bytes(Envelope.from_bytes(ours.read_bytes()).message)
    assert packet_of(message) == tiny.read_bytes()


# The demo


def test_the_demo_names_what_is_missing_before_it_starts(near: Machine, tmp_path: Path) -> None:
    near.bring(*ENCODING)
    out = tmp_path / "demo.wav"
    asked = near("demo", "--out", out, "--quality", "25hz")
    assert (asked.code, asked.line.startswith(NEEDS)) == (1, True) and not out.exists()
    auto = near("--json", "demo", "--out", out)
    assert (auto.code, auto.objects[0]["codec"]) == (0, "c2-1300")


def test_the_demo_names_what_is_broken(near: Machine, tmp_path: Path) -> None:
    near.bring()
    near.models.store.path("decoder_25hz.onnx").write_bytes(b"nothing")
    done = near("demo", "--out", tmp_path / "demo.wav", "--quality", "25hz")
    assert done.line.startswith("the message arrived, but cannot be heard: ")
    assert "decoder_25hz.onnx has changed since it came in" in done.line


# The doctor


def test_the_doctor_tells_of_focalcodec(near: Machine) -> None:
    def found() -> dict[str, dict[str, str]]:
        return {one["name"]: one for one in near("--json", "doctor").objects}

    nothing = found()
    assert nothing["focalcodec"]["state"] == "absent"
    assert "focal models pull 50hz" in nothing["focalcodec"]["advice"]
    assert not [name for name in nothing if name.startswith("quality ")]
    near.bring(*DECODING)
    receives = found()
    assert receives["focalcodec"]["state"] == "good"
    assert "50hz (receives only), 25hz (receives only)" in receives["focalcodec"]["detail"]
    assert "50hz (receives only)" in receives["qualities"]["detail"]
    near.bring(*ENCODING)
    assert "; 50hz, 25hz, 12.5hz; 7 model files" in found()["focalcodec"]["detail"]
    near.models.store.path("decoder_25hz.onnx").write_bytes(b"nothing")
    broken = found()
    assert broken["quality 25hz"]["state"] == "bad"
    assert "; 50hz, 12.5hz; 7 model files" in broken["focalcodec"]["detail"]


def test_the_doctor_says_of_a_damaged_record_only_that(near: Machine) -> None:
    near.bring()
    record = near.models.folder / "published" / "record.json"
    record.write_text('{"version": 1, "fil')
    found = {one["name"]: one for one in near("--json", "doctor").objects}
    for name in ("50hz", "25hz", "12.5hz"):
        one = found[f"quality {name}"]
        assert one["detail"].startswith(f"{record} is damaged (")
        assert one["detail"].endswith("): remove it, and bring the models in again")
        assert (one["state"], one["advice"]) == ("bad", "do as it says")
    assert (found["focalcodec"]["state"], found["focalcodec"]["advice"]) == (
        "bad",
        "do as is said of 50hz",
    )


# Long messages


def test_decoding_a_long_packet_holds_its_sound_once(near: Machine, tmp_path: Path) -> None:
    near.bring()
    sound, packet, back = (tmp_path / name for name in ("a.wav", "a.focal", "back.wav"))
    sound.write_bytes(wav_bytes(tone(80, 0.2, 1200.0)))
    assert near("encode", sound, "-o", packet, "--quality", "12.5hz").code == 0
    tracemalloc.start()
    try:
        assert near("decode", packet, "-o", back).code == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert back.stat().st_size == 44 + 2 * 1200 * 16_000
    assert peak < 15_000_000  # 77 MB of sound are in memory of their own; a copy would count


def test_a_long_recording_goes_as_messages_of_five_minutes(
    near: Machine, far: Machine, tmp_path: Path, stick: str
) -> None:
    near.bring(*ENCODING)
    far.bring(*DECODING)
    sound, saved = tmp_path / "a.wav", tmp_path / "in"
    sound.write_bytes(wav_bytes(tone(80, 0.2, 620.0)))
    done = near("--json", "send", sound, "--via", stick, "--quality", "12.5hz")
    assert len({event["id"] for event in done.objects}) == 3
    listen = ("--json", "listen", "--via", stick, "--count", 3, "--timeout", 60)
    got = [event["seconds"] for event in far(*listen, "--save", saved).objects]
    assert got == [300.0, 300.0, 20.0]
