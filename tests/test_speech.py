"""Between sound and payloads: which quality and why, and long recordings that are never whole."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from focal.core.audio import Clip
from focal.core.codec import Codec, CodecSpec
from focal.core.errors import CodecError, SettingsError, SourceError, TooLong
from focal.core.link import Limits
from focal.core.message import Kind, Message, MessageId, Speech
from focal.core.runtime import Cancelled
from focal.plugins import hookimpl
from focal.plugins.manager import Plugins
from focal.plugins.models import Models
from focal.plugins.sources.files import read_audio
from focal.speech import Recording, check_length, choose, encode, why_silent
from tests.cli.conftest import recording
from tests.giving_up import GivenUp
from tests.plugins.focalcodec.stock import spec_named, stock

RATE = 16_000


class Loudness:
    """A codec of one byte for each 20 ms: how loud it was."""

    rate = RATE

    def __init__(self, at_work: Callable[[], None] = lambda: None) -> None:
        self.clips = 0
        self.at_work = at_work

    def encode(self, clip: Clip, /) -> bytes:
        self.clips += 1
        self.at_work()
        return _loudness(clip.samples)

    def decode(self, data: bytes, /) -> Clip:
        return Clip(np.zeros(320 * len(data), np.float32), self.rate)


class Blockwise(Loudness):
    """The same, from sound in blocks."""

    def __init__(self, at_work: Callable[[], None] = lambda: None) -> None:
        super().__init__(at_work)
        self.blocks: list[int] = []

    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        payload, rest = b"", np.zeros(0, np.float32)
        for block in blocks:
            assert block.rate == self.rate
            self.blocks.append(len(block.samples))
            self.at_work()
            rest = np.concatenate([rest, block.samples])
            whole = len(rest) // 320 * 320
            payload, rest = payload + _loudness(rest[:whole]), rest[whole:]
        return payload + _loudness(rest)


def _loudness(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bytes:
    steps = range(0, len(samples), 320)
    return bytes(round(float(np.abs(samples[at : at + 320]).max()) * 255) for at in steps)


def spec_of(codec: Codec) -> CodecSpec:
    return CodecSpec("loud", 200, 400.0, lambda: nullcontext(codec), len)


def spoken(seconds: float, path: Path, rate: int = 44_100) -> Recording:
    """Return a recording whose loudness is never twice the same."""
    return Recording(recording(path, seconds=seconds, rate=rate), seconds)


# In blocks


@pytest.mark.parametrize("rate", [8000, RATE, 44_100])
@pytest.mark.parametrize("room", [100, 1000, 65_535])
def test_a_recording_in_blocks_is_the_recording_in_one(
    tmp_path: Path, plugins: Plugins, rate: int, room: int
) -> None:
    sound = spoken(15.1, tmp_path / "a.wav", rate)
    codec = Blockwise()
    in_blocks = encode(plugins, spec_of(codec), sound, room, 255)
    assert in_blocks == encode(plugins, spec_of(Loudness()), sound, room, 255)
    assert (codec.clips, len(codec.blocks) >= 3) == (0, True)
    assert sum(speech.seconds for speech in in_blocks) == pytest.approx(15.1, abs=1e-3)


def test_what_ends_with_a_part_makes_no_empty_one(tmp_path: Path, plugins: Plugins) -> None:
    sound = spoken(4.0, tmp_path / "a.wav", RATE)
    parts = encode(plugins, spec_of(Blockwise()), sound, 113, 255)
    assert [(part.seconds, len(part.payload)) for part in parts] == [(2.0, 100), (2.0, 100)]


def test_no_message_of_a_series_is_longer_than_five_minutes(
    tmp_path: Path, plugins: Plugins
) -> None:
    sound = Recording(_silence(tmp_path / "a.wav", 620.0), 620.0)
    for codec in (Loudness(), Blockwise()):
        series = encode(plugins, spec_of(codec), sound, 65_535, 255)
        assert [part.seconds for part in series] == [300.0, 300.0, 20.0]
        (whole,) = encode(plugins, spec_of(codec), sound, 65_535, 1)  # as a packet file has it
        assert whole.seconds == 620.0
    check_length(spec_of(Loudness()), 255 * 300.0, 65_535, 255)
    with pytest.raises(TooLong, match="at loud at most 76500 s can go"):
        check_length(spec_of(Loudness()), 255 * 300.0 + 1, 65_535, 255)


def test_a_clip_is_encoded_in_blocks_as_well(tmp_path: Path, plugins: Plugins) -> None:
    clip, codec = read_audio(spoken(15.1, tmp_path / "a.wav", RATE).path), Blockwise()
    in_blocks = encode(plugins, spec_of(codec), clip, 300, 255)
    assert in_blocks == encode(plugins, spec_of(Loudness()), clip, 300, 255)
    assert codec.clips == 0 and max(codec.blocks) <= 65_536


def test_what_a_plugin_leaves_nothing_of_is_refused(tmp_path: Path, plugins: Plugins) -> None:
    @hookimpl
    def focal_captured(clip: Clip) -> Clip:
        return clip.part(0, 0)

    plugins.register(SimpleNamespace(focal_captured=focal_captured), "hooks.cut")
    with pytest.raises(CodecError, match="there is nothing to encode: the clip is empty"):
        encode(plugins, spec_of(Loudness()), spoken(1.0, tmp_path / "a.wav"), 1000, 255)


@pytest.mark.parametrize("kind", [Loudness, Blockwise])
def test_encoding_ends_where_nobody_waits_for_it(
    tmp_path: Path, plugins: Plugins, kind: type[Loudness]
) -> None:
    moment = GivenUp()
    codec, sound = kind(moment.here), Recording(_silence(tmp_path / "a.wav", 900.0), 900.0)
    end = moment.end_of(partial(encode, plugins, spec_of(codec), sound, 65_535, 255))
    assert isinstance(end, Cancelled)
    assert codec.clips <= 1 and len(getattr(codec, "blocks", [])) <= 1


def test_a_header_that_says_less_is_found_out(tmp_path: Path, plugins: Plugins) -> None:
    sound = Recording(spoken(9.0, tmp_path / "a.wav").path, 3.0)
    with pytest.raises(TooLong, match="more than 4 s of audio; at loud at most 4 s can go"):
        encode(plugins, spec_of(Blockwise()), sound, 113, 2)


def test_what_is_too_long_is_told_unread(tmp_path: Path, plugins: Plugins) -> None:
    absent = Recording(tmp_path / "absent.wav", 3 * 3600.0)
    with pytest.raises(TooLong, match="10800 s of audio"):
        encode(plugins, spec_of(Blockwise()), absent, 65_535, 1)


def test_a_recording_that_is_gone_is_told(tmp_path: Path, plugins: Plugins) -> None:
    with pytest.raises(SourceError, match="no such file"):
        encode(plugins, spec_of(Blockwise()), Recording(tmp_path / "absent.wav", 3.0), 1000, 1)


def test_a_plugin_that_wants_clips_is_shown_a_whole_one(tmp_path: Path, plugins: Plugins) -> None:
    seen: list[float] = []

    @hookimpl
    def focal_captured(clip: Clip) -> Clip:
        seen.append(clip.seconds)
        return clip.part(0, clip.rate)

    plugins.register(SimpleNamespace(focal_captured=focal_captured), "hooks.cut")
    codec = Blockwise()
    (speech,) = encode(plugins, spec_of(codec), spoken(9.0, tmp_path / "a.wav"), 1000, 1)
    assert (seen, speech.seconds) == ([9.0], 1.0)
    assert (codec.clips, codec.blocks) == (0, [RATE])


@pytest.mark.parametrize("name", ["50hz", "25hz", "12.5hz", "50hz-local"])
def test_every_part_fits_its_room_though_quiet_places_make_segments_short(
    tmp_path: Path, small: Path, name: str
) -> None:
    models = Models(tmp_path / "models")
    stock(models, small, "local" if name.endswith("local") else "published")
    spec = spec_named(name, models)
    clip = noise_that_is_quiet_every(15.0, 290.0)
    for room in (120, 5000, 65_535):
        parts = encode(Plugins(models=lambda: models), spec, clip, room, 255)
        assert max(len(part.payload) for part in parts) <= room
        assert sum(part.seconds for part in parts) == pytest.approx(290.0)


def noise_that_is_quiet_every(seconds: float, length: float) -> Clip:
    sound = np.random.default_rng(1).uniform(-0.3, 0.3, round(length * RATE)).astype(np.float32)
    at = np.arange(len(sound)) / RATE % seconds
    return Clip(np.where(at < 0.3, np.float32(0), sound), RATE)


def test_memory_does_not_grow_with_the_length(tmp_path: Path, plugins: Plugins) -> None:
    def peak(seconds: float) -> int:
        sound = Recording(_silence(tmp_path / f"{seconds}.wav", seconds), seconds)
        tracemalloc.start()
        try:
            encode(plugins, spec_of(Blockwise()), sound, 25_000, 255)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1.0)  # what is imported on first use
    one, five = peak(60.0), peak(300.0)
    assert five < one + 100_000, f"{one} bytes for a minute, {five} for five"


def test_a_codec_that_wants_clips_is_given_a_part_at_a_time(
    tmp_path: Path, plugins: Plugins
) -> None:
    sound = Recording(_silence(tmp_path / "a.wav", 1200.0), 1200.0)
    tracemalloc.start()
    try:
        encode(plugins, spec_of(Loudness()), sound, 65_535, 255)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    part = 300 * RATE * 4
    assert peak < 2 * part + 10_000_000 < 1200 * RATE * 4


def _silence(path: Path, seconds: float) -> Path:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(2 * round(48_000 * seconds)))
    return path


# Which one, and why


def quality(
    name: str, wire_id: int, why_not: str | None = None, instead: str | None = None
) -> CodecSpec:
    return CodecSpec(
        name,
        wire_id,
        650.0,
        lambda: nullcontext(Loudness()),
        len,
        why_not=lambda: why_not,
        instead=instead,
    )


def having(*specs: CodecSpec, **hooks: Callable[..., object]) -> Plugins:
    """Return focal's own rule and a plugin with these codecs and hooks, and no other codec."""
    plugins = Plugins([])
    functions = {name: hookimpl(function) for name, function in hooks.items()}
    codecs = hookimpl(lambda: list(specs))
    plugins.register(SimpleNamespace(focal_codecs=codecs, **functions), "codec.mine")
    return plugins


def said(plugins: Plugins, name: str) -> str:
    return str(choose(plugins, name, 6.0, {"udp": Limits("datagram", 1200)}))


def test_what_is_asked_for_is_taken() -> None:
    assert said(having(quality("a", 200)), "a") == "a: asked for"
    own = having(quality("a", 250))
    assert said(own, "a") == "a: asked for; only who has the same decoder hears it"
    with pytest.raises(SettingsError, match="did you mean 'loud'"):
        said(having(quality("loud", 200)), "lout")


def test_what_cannot_be_used_is_refused_with_the_reason() -> None:
    with pytest.raises(CodecError, match=r"^get the models$"):
        said(having(quality("a", 200, "get the models")), "a")


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (250, "b: in place of a, which cannot encode here; only who has the same decoder hears it"),
        (201, "b: in place of a, which cannot encode here"),
    ],
)
def test_what_cannot_encode_gives_way_to_what_its_plugin_names(other: int, line: str) -> None:
    missing = quality("a", 200, "get the models", instead="b")
    assert said(having(missing, quality("b", other)), "a") == line


@pytest.mark.parametrize(
    "others", [[], [quality("b", 250, "import others")], [quality("c", 250)]], ids=len
)
def test_where_that_cannot_encode_either_the_first_reason_is_told(
    others: Sequence[CodecSpec],
) -> None:
    missing = quality("a", 200, "get the models", instead="b")
    with pytest.raises(CodecError, match=r"^get the models$"):
        said(having(missing, *others), "a")


def test_a_plugin_that_chose_is_named() -> None:
    plugins = having(quality("a", 200), focal_choose_codec=lambda: "a")
    assert said(plugins, "auto") == "a: chosen by the plugin codec.mine"


def test_focals_own_choice_is_explained(plugins: Plugins) -> None:
    assert said(plugins, "auto").startswith(
        "c2-3200: the highest rate here; 50hz would make it about 488 bytes instead of 2400, but "
    )


# What cannot be heard


def test_why_a_message_is_silent(plugins: Plugins) -> None:
    def voice(codec: int) -> str | None:
        return why_silent(plugins, Message(MessageId(1, 2), Kind.VOICE, b"123", codec))

    assert voice(20) is None
    assert "focal models pull 25hz --decoder-only" in (voice(2) or "")
    assert "a plugin is missing" in (voice(99) or "")
    assert why_silent(plugins, Message(MessageId(1, 2), Kind.TEXT, b"hi")) is None


def test_a_speech_of_one_part_is_one_message(tmp_path: Path, plugins: Plugins) -> None:
    clip = read_audio(recording(tmp_path / "a.wav", seconds=1, rate=RATE))
    (speech,) = encode(plugins, spec_of(Blockwise()), clip, 1000, 1)
    assert speech == Speech(200, speech.payload, 1.0)
