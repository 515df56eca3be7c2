"""What a quality is, and what is said where its files are missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from focal.core.codec import BlockCodec
from focal.plugins.codecs.focalcodec import Quality, focal_codecs, spec_of
from focal.plugins.models import Models
from tests.deadline import ROOT, environment

from .stock import spec_named, stock

NONE = Path("none.onnx")


def test_names_ids_and_rates_are_those_of_the_wire(models: Models) -> None:
    specs = focal_codecs(models)
    assert [(one.name, one.wire_id, one.bits_per_second, one.instead) for one in specs] == [
        ("50hz", 1, 650, "50hz-local"),
        ("25hz", 2, 325, "25hz-local"),
        ("12.5hz", 3, 162.5, "12.5hz-local"),
        ("50hz-local", 224, 650, None),
        ("25hz-local", 225, 325, None),
        ("12.5hz-local", 226, 162.5, None),
    ]
    assert {one.step for one in specs} == {0.08}
    assert not models.folder.exists()


def test_long_sound_may_come_in_blocks(stocked: Models) -> None:
    with spec_named("50hz", stocked).load() as codec:
        assert isinstance(codec, BlockCodec)


@pytest.mark.parametrize("frames", range(1, 17))
def test_a_block_is_whole_tokens_and_its_filling_can_be_told(frames: int) -> None:
    quality = Quality("a", 240, frames, NONE, NONE, NONE)
    assert quality.block % (320 * frames) == 0
    assert quality.block >= 1280
    assert (quality.block - 1) // 320 <= 15
    assert 320_000 // quality.block * quality.block // (320 * frames) <= 1000


@pytest.mark.parametrize(
    ("wire_id", "frames", "bits", "said"),
    [
        (0, 1, 13, "a wire id is 1 to 255, not 0"),
        (256, 1, 13, "a wire id"),
        (1, 0, 13, "a number of frames in a token is 1 to 16, not 0"),
        (1, 17, 13, "a number of frames"),
        (1, 1, 0, "a number of bits in a token"),
        (1, 1, 17, "a number of bits in a token is 1 to 16, not 17"),
    ],
)
def test_what_the_wire_cannot_carry_is_refused(
    wire_id: int, frames: int, bits: int, said: str
) -> None:
    with pytest.raises(ValueError, match=f"quality a: {said}"):
        Quality("a", wire_id, frames, NONE, NONE, NONE, bits)


@pytest.mark.parametrize(
    ("name", "encode", "decode"),
    [
        (
            "50hz",
            "50hz needs encoder.onnx and compressor_50hz.onnx, which are not here: "
            "focal models pull 50hz (838 MB), or focal models import DIR",
            "50hz needs decoder_50hz.onnx, which is not here: "
            "focal models pull 50hz --decoder-only (141 MB), or focal models import DIR",
        ),
        (
            "12.5hz",
            "12.5hz needs encoder.onnx and compressor_12_5hz.onnx, which are not here: "
            "focal models pull 12.5hz (851 MB), or focal models import DIR",
            "12.5hz needs decoder_12_5hz.onnx, which is not here: "
            "focal models pull 12.5hz --decoder-only (147 MB), or focal models import DIR",
        ),
        (
            "25hz-local",
            "25hz-local needs encoder.onnx, compressor_25hz.onnx and decoder_25hz.onnx, "
            "which are not here: focal models import DIR --any-weights",
            "25hz-local needs decoder_25hz.onnx, which is not here: "
            "focal models import DIR --any-weights",
        ),
    ],
)
def test_missing_files_are_named_with_what_brings_them(
    name: str, encode: str, decode: str, models: Models
) -> None:
    spec = spec_named(name, models)
    assert spec.why_not() == encode
    assert spec.why_silent() == decode


def test_what_is_here_is_not_pulled_again(models: Models, small: Path) -> None:
    stock(models, small, names=["encoder.onnx", "decoder_25hz.onnx"])
    spec = spec_named("25hz", models)
    assert spec.why_silent() is None
    assert spec.why_not() == (
        "25hz needs compressor_25hz.onnx, which is not here: "
        "focal models pull 25hz (78 MB), or focal models import DIR"
    )


def test_the_disk_is_asked_each_time(models: Models, small: Path) -> None:
    spec = spec_named("25hz", models)
    assert spec.why_not() and spec.why_silent()
    stock(models, small, names=["decoder_25hz.onnx"])
    assert spec.why_not() and spec.why_silent() is None
    stock(models, small, names=["encoder.onnx", "compressor_25hz.onnx"])
    assert spec.why_not() is None
    models.store.remove(["decoder_25hz.onnx"])
    assert spec.why_not() is None and spec.why_silent()


def test_the_published_files_are_not_the_local_ones(models: Models, small: Path) -> None:
    stock(models, small, "local")
    assert spec_named("50hz-local", models).why_not() is None
    assert spec_named("50hz", models).why_not()


def test_a_plugin_says_how_to_get_its_own_files(models: Models, small: Path) -> None:
    here = models.folder.parent
    own, other = here / "own.onnx", here / "other.onnx"
    remedy = "pip install --force-reinstall focal-sea"
    encoder = models.store.path("encoder.onnx")
    quality = Quality("sea", 240, 4, encoder, own, other, remedy=remedy)
    spec = spec_of(quality, models)
    assert spec.why_not() == (
        f"sea needs encoder.onnx, {own} and {other}, which are not here: "
        f"focal models pull 50hz (838 MB), or focal models import DIR, and {remedy}"
    )
    assert spec.why_silent() == f"sea needs {other}, which is not here: {remedy}"
    own.write_bytes(b"")
    other.write_bytes(b"")
    stock(models, small, names=["encoder.onnx"])
    assert spec.why_not() is None


def test_a_plugin_that_knows_no_remedy_names_the_file(models: Models) -> None:
    quality = Quality("sea", 240, 4, NONE, NONE, NONE)
    assert spec_of(quality, models).why_silent() == "sea needs none.onnx, which is not here"


def test_a_local_payload_says_which_decoder_it_wants(models: Models, small: Path) -> None:
    spec, payload = spec_named("25hz-local", models), bytes.fromhex("1a2b3c4d") + b"tokens"
    assert spec.why_silent(payload) == (
        "25hz-local needs decoder_25hz.onnx, which is not here: "
        "focal models import DIR --any-weights; "
        "this message wants the decoder whose SHA-256 begins with 1a2b3c4d"
    )
    published = spec_named("25hz", models)
    assert published.why_silent(payload) == published.why_silent()
    stock(models, small, "local")
    assert spec.why_silent(payload) is None


def test_a_folder_that_is_none_is_a_missing_file(models: Models) -> None:
    models.folder.write_text("not a folder")
    assert "which is not here" in (spec_named("50hz", models).why_silent() or "")


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from pathlib import Path\n"
        "from focal.plugins.models import Models\n"
        "from focal.plugins.codecs.focalcodec import focal_codecs\n"
        "for spec in focal_codecs(Models(Path('models'))):\n"
        "    print(spec.why_not()); print(spec.why_silent())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {
        "FocalCodec needs onnxruntime, which is not installed here: "
        "pip install 'focal-voice[focalcodec]'"
    }


def test_a_spec_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from focal.plugins.models import Models\n"
        "from focal.plugins.codecs.focalcodec import focal_codecs\n"
        "for spec in focal_codecs(Models(Path('models'))):\n"
        "    spec.why_not(), spec.why_silent(), spec.step\n"
        "    spec.seconds(bytes(4 * (spec.wire_id > 200)) + b'\\x80\\0\\0')\n"
        "print(*{'numpy', 'onnx', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
