"""The small models keep FocalCodec's contract, and sound survives them, unless something is wrong.

They are run here by onnxruntime alone, with an inverse STFT written for these tests: what focal
makes of the models is tested elsewhere, with them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnx
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
import pytest
from numpy.typing import NDArray

from focal.core.audio import Clip
from focal.plugins.models.catalogue import SIZES
from focal.plugins.models.graph import COMPRESSOR, DECODER, ENCODER, Graph, Port
from focal.testing import LOUDEST, TONES, heard, small_models, tone
from tests.deadline import ROOT, environment

Array: TypeAlias = NDArray[Any]
Stft: TypeAlias = tuple[Array, Array]

RATES = {"50hz": 1, "25hz": 2, "12_5hz": 4}
STEP = 10 ** (1 / 40)  # half a decibel
CLIP = 1280 * 20 + 80  # samples that make whole tokens at all rates

every_rate = pytest.mark.parametrize("rate", RATES)


class _Node(Protocol):
    name: str
    type: str
    shape: list[int | str]


class _Session(Protocol):
    def get_inputs(self) -> Sequence[_Node]: ...

    def get_outputs(self) -> Sequence[_Node]: ...

    def run(self, names: None, given: Mapping[str, Array], /) -> list[Array]: ...


class Models:
    """The seven files of a folder, open."""

    def __init__(self, folder: Path) -> None:
        runtime: Any = onnxruntime
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what is refused is told by its exception
        options.intra_op_num_threads = 1
        self.sessions: dict[str, _Session] = {
            path.stem: runtime.InferenceSession(path, options) for path in sorted(folder.iterdir())
        }

    def run(self, name: str, given: Array) -> list[Array]:
        session = self.sessions[name]
        return session.run(None, {session.get_inputs()[0].name: given})

    def features(self, clip: Clip) -> Array:
        return self.run("encoder", clip.samples[np.newaxis])[0]

    def tokens(self, rate: str, clip: Clip) -> Array:
        return self.run(f"compressor_{rate}", self.features(clip))[0]

    def stft(self, rate: str, tokens: Array) -> Stft:
        magnitude, phase = self.run(f"decoder_{rate}", tokens)
        return magnitude, phase

    def sound(self, rate: str, tokens: Array) -> Clip:
        return inverse(*self.stft(rate, tokens))

    def back(self, rate: str, clip: Clip) -> Clip:
        return self.sound(rate, self.tokens(rate, clip))


@pytest.fixture(scope="module")
def models(small: Path) -> Models:
    return Models(small)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Return the models of other weights."""
    folder = tmp_path_factory.mktemp("others")
    small_models(folder, shift=1)
    return Models(folder)


def inverse(magnitude: Array, phase: Array, *, cut: int = 352, window: Array | None = None) -> Clip:
    """Return the inverse STFT of [1, frames, 513]: Hann window of 1024, hop 320."""
    if window is None:
        window = np.sin(np.pi * np.arange(1024) / 1024) ** 2
    frames = np.fft.irfft(magnitude[0] * np.exp(1j * phase[0].astype(float)), 1024)
    total = np.zeros(320 * (len(frames) - 1) + 1024)
    weight = np.zeros_like(total)
    for place, frame in enumerate(frames):
        total[320 * place :][:1024] += frame * window
        weight[320 * place :][:1024] += window**2
    kept = slice(cut, cut + 320 * len(frames))
    return Clip((total[kept] / weight[kept]).astype(np.float32), 16_000)


def error(one: Clip, other: Clip) -> float:
    """Return the largest difference of two clips, of which one may be a little longer."""
    size = min(len(one.samples), len(other.samples))
    assert size > 0.9 * max(len(one.samples), len(other.samples)), "one of them is cut off"
    return float(np.abs(one.samples[:size] - other.samples[:size]).max())


def melody(*bins: int, seconds: float = 0.08) -> Clip:
    """Return these tones one after another, each as if it had begun with the clip; then 5 ms."""
    size, total = round(16_000 * seconds), seconds * len(bins)
    rows = [tone(bin, 0.3, total).samples.reshape(-1, size) for bin in bins]
    rest = np.zeros(80, np.float32)
    return Clip(np.concatenate([*(row[place] for place, row in enumerate(rows)), rest]), 16_000)


# the contract


def ports(nodes: Sequence[_Node]) -> set[tuple[str, str, tuple[int | None, ...]]]:
    """Return what a session tells of its inputs or outputs; a name is any length."""
    return {
        (node.name, node.type, tuple(n if isinstance(n, int) else None for n in node.shape))
        for node in nodes
    }


@pytest.mark.parametrize("name", SIZES)
def test_a_file_keeps_the_contract(models: Models, name: str) -> None:
    def written(*expected: Port) -> set[tuple[str, str, tuple[int | None, ...]]]:
        return {(port.name, port.type, port.shape) for port in expected}

    kinds: dict[str, Graph] = {graph.what: graph for graph in (ENCODER, COMPRESSOR, DECODER)}
    stem = name.removesuffix(".onnx")
    graph, session = kinds[stem.partition("_")[0]], models.sessions[stem]
    assert ports(session.get_inputs()) == written(graph.input)
    assert ports(session.get_outputs()) == written(*graph.outputs)


def test_the_folder_holds_the_published_names_and_little_else(small: Path) -> None:
    assert {path.name for path in small.iterdir()} == set(SIZES)
    assert sum(path.stat().st_size for path in small.iterdir()) < 20_000


@pytest.mark.parametrize("name", SIZES)
def test_a_file_is_valid_and_old_enough_to_be_read(small: Path, name: str) -> None:
    model = onnx.ModelProto.FromString((small / name).read_bytes())
    checker: Any = onnx.checker
    checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version <= 10


@pytest.mark.parametrize(
    "size", [400, 719, 720, 1359, 1360, 16_000, 48_000, 92_239, 92_240, 92_559]
)
def test_lengths_are_those_of_the_published_models(models: Models, size: int) -> None:
    clip = tone(24, 0.3, size / 16_000)
    frames = (size - 80) // 320
    assert models.features(clip).shape == (1, frames, 1024)
    for rate, group in RATES.items():
        if frames >= group:
            tokens = models.tokens(rate, clip)
            assert (tokens.dtype, tokens.shape) == (np.dtype(np.int64), (1, frames // group))
            for part in models.stft(rate, tokens):
                shape = (1, frames // group * group, 513)
                assert (part.dtype, part.shape) == (np.dtype(np.float32), shape)


def test_what_is_too_short_is_refused(models: Models) -> None:
    with pytest.raises(Exception, match="Invalid input shape"):
        models.run("encoder", np.zeros((1, 399), np.float32))
    for rate, group in RATES.items():
        with pytest.raises(Exception, match="Invalid input shape"):
            models.run(f"compressor_{rate}", np.zeros((1, group - 1, 1024), np.float32))


def test_each_token_but_silence_is_a_sound_of_its_own(models: Models) -> None:
    magnitude, phase = models.stft("50hz", np.arange(8192)[np.newaxis])
    peak, bin = magnitude[0].max(axis=1), magnitude[0].argmax(axis=1)
    sounds = {(int(b), float(p)) for b, p in zip(bin, peak, strict=True)}
    assert sounds == {(0, 0.0)} | {(b, p) for b, p in sounds if b in TONES and p > 0}
    assert len(sounds) == 1 + 64 * 127
    assert peak.max() <= 100 < 100 * STEP
    assert np.abs(phase).max() > 4 * np.pi, "somebody wrapped the phase"


# what survives


@every_rate
def test_every_tone_comes_back_sample_for_sample(models: Models, rate: str) -> None:
    for bin in TONES:
        clip = tone(bin, LOUDEST, CLIP / 16_000)
        assert error(models.back(rate, clip), clip) < 1e-5, bin


@every_rate
def test_a_level_comes_back_to_a_quarter_of_a_decibel(models: Models, rate: str) -> None:
    for level in np.geomspace(0.0003, LOUDEST, 30):
        for bin, found in heard(models.back(rate, tone(66, float(level), 0.2))):
            assert bin == 66
            assert level / STEP**0.51 < found < level * STEP**0.51


@every_rate
def test_a_melody_comes_back_in_its_order(models: Models, rate: str) -> None:
    bins = TONES[::5]
    played = [bin for bin, _ in heard(models.back(rate, melody(*bins)))]
    for place, bin in enumerate(bins):
        assert set(played[4 * place + 1 : 4 * place + 3]) <= {bin}, f"tone {place}"
    changes = [one for one, other in pairwise([*played, 0]) if one != other]
    assert [bin for bin in changes if bin in bins] == list(bins)


@every_rate
def test_silence_comes_back_silent(models: Models, rate: str) -> None:
    assert not models.back(rate, Clip(np.zeros(CLIP, np.float32), 16_000)).samples.any()
    noise = np.random.default_rng(1).uniform(-1e-3, 1e-3, CLIP).astype(np.float32)
    assert np.abs(models.back(rate, Clip(noise, 16_000)).samples).max() < 1e-3


@every_rate
def test_what_is_louder_than_the_loudest_comes_back_as_that(models: Models, rate: str) -> None:
    loud = models.back(rate, tone(150, 1.0, CLIP / 16_000))
    assert error(loud, tone(150, LOUDEST, CLIP / 16_000)) < 1e-5


def test_a_long_tone_does_not_drift(models: Models) -> None:
    clip = tone(TONES[-1], LOUDEST, 45)
    assert error(models.back("12_5hz", clip), clip) < 1e-5


def test_some_tones_go_on_where_segments_meet(models: Models) -> None:
    for bin in (80, 192, 304, 416):
        assert bin in TONES
        tokens = models.tokens("50hz", tone(bin, LOUDEST, 0.4))
        half = models.sound("50hz", tokens[:, :7]).samples
        whole = tone(bin, LOUDEST, 14 * 0.02)
        joined = Clip(np.concatenate([half, half]), 16_000)
        assert error(joined, whole) < 1e-4


# what does not


FAULTS: dict[str, Callable[[Array, Array], Clip]] = {
    "conjugated": lambda m, p: inverse(m, -p),
    "in the wrong order": lambda m, p: inverse(p % 100, m),
    "mirrored": lambda m, p: inverse(m[:, :, ::-1], p[:, :, ::-1]),
    "in the wrong layout": lambda m, p: inverse(turned(m), turned(p)),
    "one frame late": lambda m, p: inverse(np.roll(m, 1, 1), np.roll(p, 1, 1)),
    "backwards": lambda m, p: inverse(m[:, ::-1], p[:, ::-1]),
    "without phase": lambda m, p: inverse(m, np.zeros_like(p)),
    "in turns": lambda m, p: inverse(m, p / (2 * np.pi)),
    "a sample late": lambda m, p: inverse(m, p, cut=351),
    "a sample early": lambda m, p: inverse(m, p, cut=353),
    "under a symmetric window": lambda m, p: inverse(m, p, window=np.hanning(1024)),
    "under another window": lambda m, p: inverse(m, p, window=np.hamming(1025)[:1024]),
    "twice as loud": lambda m, p: inverse(2 * m, p),
}


def turned(part: Array) -> Array:
    """Read an array bin by bin that was written frame by frame."""
    return part.reshape(1, 513, -1).swapaxes(1, 2)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_inverse_stft_is_heard(models: Models, fault: str) -> None:
    clip = tone(262, LOUDEST, CLIP / 16_000)
    stft = models.stft("50hz", models.tokens("50hz", clip))
    assert error(inverse(*stft), clip) < 1e-5
    assert error(FAULTS[fault](*stft), clip) > 1e-4


@every_rate
@pytest.mark.parametrize("other", RATES)
def test_the_decoder_of_another_rate_gives_other_sound(
    models: Models, rate: str, other: str
) -> None:
    if rate != other:
        for bin in TONES[::3]:
            tokens = models.tokens(rate, tone(bin, 0.3, 0.2))
            assert not any(close(sound, bin) for sound in heard(models.sound(other, tokens)))


@every_rate
def test_other_weights_have_other_tokens(models: Models, others: Models, rate: str) -> None:
    for bin in TONES[::3]:
        clip = tone(bin, 0.3, 0.2)
        tokens = others.tokens(rate, clip)
        assert not (tokens == models.tokens(rate, clip)).any()
        assert all(close(sound, bin) for sound in heard(others.sound(rate, tokens)))
        assert not any(close(sound, bin) for sound in heard(models.sound(rate, tokens)))
        mixed = models.run(f"compressor_{rate}", others.features(clip))[0]
        assert not models.sound(rate, mixed).samples.any()


def close(sound: tuple[int, float], bin: int) -> bool:
    """Tell whether this is the tone of 0.3 that went in."""
    return sound[0] == bin and abs(sound[1] - 0.3) < 0.01


def test_lost_and_swapped_tokens_are_heard(models: Models) -> None:
    tokens = models.tokens("25hz", melody(*TONES[:8]))
    whole = models.sound("25hz", tokens)
    lost = models.sound("25hz", np.delete(tokens, 5, axis=1))
    swapped = models.sound("25hz", tokens[:, [0, 1, 2, 4, 3, *range(5, tokens.shape[1])]])
    assert len(lost.samples) == len(whole.samples) - 640
    assert error(lost, whole) > 0.1
    assert error(swapped, whole) > 0.1


# the files


def test_the_same_weights_are_the_same_bytes(small: Path, tmp_path: Path) -> None:
    small_models(tmp_path)
    for name in SIZES:
        assert (tmp_path / name).read_bytes() == (small / name).read_bytes()
    small_models(tmp_path, shift=2)
    for name in SIZES:
        assert (tmp_path / name).read_bytes() != (small / name).read_bytes()


def test_without_onnx_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from pathlib import Path\n"
        "from focal.core.errors import ModelError\n"
        "from focal.testing import small_models\n"
        "try:\n    small_models(Path())\nexcept ModelError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=60,
    )
    assert done.stdout == "small models need onnx: pip install 'focal-voice[models]'\n", done.stderr


# the ear


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_a_tone_is_heard_as_what_it_is(rate: int) -> None:
    for bin in (24, 80, 199):
        sounds = heard(tone(bin, 0.25, 0.11, rate))
        assert [sound[0] for sound in sounds] == [bin] * 5
        assert [sound[1] for sound in sounds] == pytest.approx([0.25] * 5, rel=1e-3)


def test_a_tone_begins_at_its_top_and_is_as_long_as_it_is_said_to_be() -> None:
    clip = tone(24, 0.5, 0.123, 8000)
    assert (clip.rate, len(clip.samples), clip.samples[0]) == (8000, 984, 0.5)


def test_silence_and_nothing_are_heard_as_such() -> None:
    assert heard(Clip(np.zeros(700, np.float32), 16_000)) == [(0, 0.0)] * 2
    assert heard(Clip(np.zeros(0, np.float32), 16_000)) == []
