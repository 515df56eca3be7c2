"""Models that give what they must not, files in wrong places, weights of somebody's own."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx.parser import parse_model

from focal.core.codec import CodecSpec
from focal.core.errors import CodecError, CodecMissing
from focal.core.rack import Rack
from focal.plugins.codecs.focalcodec import Quality, spec_of
from focal.plugins.models import Models
from focal.testing import heard, small_models, tone

from .stock import spec_named, stock

CLIP = tone(80, 0.3, 1.0)


def encoded(spec: CodecSpec) -> bytes:
    with spec.load() as codec:
        return codec.encode(CLIP)


def bins(spec: CodecSpec, payload: bytes) -> set[int]:
    with spec.load() as codec:
        return {bin for bin, _ in heard(codec.decode(payload))}


class Shelf:
    """The codecs of one store, as a rack asks for them."""

    def __init__(self, *specs: CodecSpec) -> None:
        self._specs = {spec.wire_id: spec for spec in specs}

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        return self._specs.get(wire_id)


# what is needed for what


def test_who_sends_needs_no_decoder_and_who_listens_nothing_else(
    small: Path, tmp_path: Path
) -> None:
    sender, listener = Models(tmp_path / "sender"), Models(tmp_path / "listener")
    stock(sender, small, names=["encoder.onnx", "compressor_25hz.onnx"])
    stock(listener, small, names=["decoder_25hz.onnx"])
    payload = encoded(spec_named("25hz", sender))
    assert bins(spec_named("25hz", listener), payload) == {80}
    with pytest.raises(CodecMissing, match=r"encoder\.onnx"):
        encoded(spec_named("25hz", listener))


def test_a_kept_message_plays_once_its_decoder_is_there(
    models: Models, stocked: Models, small: Path
) -> None:
    payload = encoded(spec_named("50hz", stocked))
    rack = Rack(Shelf(spec_named("50hz", models)))
    try:
        with pytest.raises(CodecMissing, match="focal models pull 50hz --decoder-only"):
            rack.decode(1, payload)
        stock(models, small, names=["decoder_50hz.onnx"])
        assert {bin for bin, _ in heard(rack.decode(1, payload))} == {80}
    finally:
        rack.close()


# swapped files

SWAPPED = [
    ("decoder_25hz.onnx", "decoder_50hz.onnx"),
    ("decoder_50hz.onnx", "decoder_12_5hz.onnx"),
    ("decoder_12_5hz.onnx", "compressor_12_5hz.onnx"),
    ("compressor_25hz.onnx", "compressor_50hz.onnx"),
    ("compressor_12_5hz.onnx", "compressor_25hz.onnx"),
    ("compressor_50hz.onnx", "encoder.onnx"),
    ("encoder.onnx", "decoder_50hz.onnx"),
]


@pytest.mark.parametrize(("place", "taken"), SWAPPED)
def test_a_file_in_the_place_of_another_is_refused(
    place: str, taken: str, models: Models, small: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(small, wrong)
    shutil.copy(small / taken, wrong / place)
    stock(models, wrong)
    rate = place.partition("_")[2].removesuffix(".onnx").replace("_", ".") or "50hz"
    spec = spec_named(rate, models)
    with pytest.raises(CodecMissing) as refused, spec.load() as codec:
        codec.decode(codec.encode(CLIP))
    assert str(models.store.path(place)) in str(refused.value)
    assert "\n" not in str(refused.value)


# models that give what they must not

COMPRESSOR = "compressor (float[1,frames,1024] features) => (int64[1,tokens] tokens)"
ENCODER = "encoder (float[1,samples] audio) => (float[1,frames,1024] features)"
DECODER = (
    "decoder (int64[1,tokens] tokens) => (float[1,frames,513] magnitude, float[1,frames,513] phase)"
)


def graph(path: Path, signature: str, nodes: str) -> Path:
    """Write a model; its nodes are in ONNX's own text syntax."""
    text = f'<ir_version: 8, opset_import: ["" : 17]>\n{signature} {{\n{nodes}}}'
    path.write_bytes(parse_model(text).SerializeToString())
    return path


def compressor(path: Path, nodes: str) -> Path:
    """Write one whose ``nodes`` make ``tokens`` of ``zeros``, int64, shape (1, frames)."""
    start = """
        peaks = ReduceMax <axes = [2], keepdims = 0> (features)
        whole = Cast <to = 7> (peaks)
        zeros = Sub (whole, whole)
    """
    return graph(path, COMPRESSOR, start + nodes)


def decoder(path: Path, magnitude: str) -> Path:
    """Write one of clicks, with ``size`` made of ``value``: the tokens as floats, (1, T, 1)."""
    return graph(
        path,
        DECODER,
        f"""
        last = Constant <value_ints = [2]> ()
        wide = Constant <value_ints = [1, 1, 513]> ()
        apart = Unsqueeze (tokens, last)
        value = Cast <to = 1> (apart)
        {magnitude}
        magnitude = Tile (size, wide)
        first = Constant <value_float = 0.0> ()
        end = Constant <value_float = 513.0> ()
        step = Constant <value_float = 1.0> ()
        bins = Range (first, end, step)
        nothing = Sub (value, value)
        phase = Add (nothing, bins)
        """,
    )


@pytest.fixture
def own(small: Path) -> Quality:
    """Return a quality whose files are nobody's but its own."""
    names = ("encoder.onnx", "compressor_50hz.onnx", "decoder_50hz.onnx")
    encoder, compressor, decoder = (small / name for name in names)
    return Quality("own", 240, 1, encoder, compressor, decoder)


@pytest.mark.parametrize("beyond", [8192, -1])
def test_a_token_out_of_range_is_refused(
    beyond: int, own: Quality, models: Models, tmp_path: Path
) -> None:
    path = compressor(
        tmp_path / "beyond.onnx",
        f"beyond = Constant <value_int = {beyond}> ()\ntokens = Add (zeros, beyond)\n",
    )
    with pytest.raises(CodecError, match=r"beyond\.onnx gave a token that has no 13 bits"):
        encoded(spec_of(replace(own, compressor=path), models))


def test_a_token_too_few_is_refused(own: Quality, models: Models, tmp_path: Path) -> None:
    # It passes the trial with four frames and then drops the second of every pair but those.
    path = compressor(
        tmp_path / "few.onnx",
        """
        begin = Constant <value_ints = [0]> ()
        end = Constant <value_ints = [49]> ()
        axis = Constant <value_ints = [1]> ()
        tokens = Slice (zeros, begin, end, axis)
        """,
    )
    said = r"few\.onnx gave tokens of shape \(1, 49\) instead of \(1, 52\)"
    with pytest.raises(CodecError, match=said):
        encoded(spec_of(replace(own, compressor=path), models))


def test_features_that_are_no_numbers_are_refused(
    own: Quality, models: Models, tmp_path: Path
) -> None:
    path = graph(
        tmp_path / "strange.onnx",
        ENCODER,
        """
        middle = Constant <value_ints = [1]> ()
        last = Constant <value_ints = [2]> ()
        wide = Constant <value_ints = [1, 1, 1024]> ()
        apart = Unsqueeze (audio, middle)
        mean = AveragePool <kernel_shape = [400], strides = [320]> (apart)
        by_frame = Transpose <perm = [0, 2, 1]> (mean)
        below = Neg (by_frame)
        root = Sqrt (below)
        features = Tile (root, wide)
        """,
    )
    with pytest.raises(CodecError, match=r"strange\.onnx gave features that are not numbers"):
        encoded(spec_of(replace(own, encoder=path), models))


@pytest.mark.parametrize(
    ("size", "said"),
    [("size = Div (value, value)", "NaN"), ("size = Reciprocal (value)", "infinity")],
)
def test_a_spectrum_that_is_no_numbers_is_refused(
    size: str, said: str, own: Quality, models: Models, tmp_path: Path
) -> None:
    # A trial on zeros would find it: tokens of 1 are good, and the 0 comes later.
    start = "one = Constant <value_float = 1.0> ()\nvalue_1 = Sub (value, one)\n"
    path = decoder(tmp_path / "strange.onnx", start + size.replace("value", "value_1"))
    spec = spec_of(replace(own, decoder=path), models)
    payload = hashlib.sha256(path.read_bytes()).digest()[:4] + b"\x80\x00\x08"
    with (
        pytest.raises(CodecError, match=rf"strange\.onnx gave magnitude .*{said}"),
        spec.load() as codec,
    ):
        codec.decode(payload)


def test_a_spectrum_of_enormous_numbers_is_cut_at_full_scale(
    own: Quality, models: Models, tmp_path: Path
) -> None:
    huge = "huge = Constant <value_float = 3e38> ()\nsize = Max (value, huge)\n"
    path = decoder(tmp_path / "huge.onnx", huge)
    spec = spec_of(replace(own, decoder=path), models)
    payload = hashlib.sha256(path.read_bytes()).digest()[:4] + b"\x80\x00\x08"
    with warnings.catch_warnings(action="error"), spec.load() as codec:
        samples = codec.decode(payload).samples
    assert np.abs(samples).max() == 1


# weights of somebody's own


def test_a_local_payload_begins_with_its_decoder(stocked: Models, small: Path) -> None:
    spec = spec_named("25hz-local", stocked)
    payload = encoded(spec)
    digest = hashlib.sha256((small / "decoder_25hz.onnx").read_bytes()).digest()
    assert payload == digest[:4] + encoded(spec_named("25hz", stocked))
    assert bins(spec, payload) == {80}


@pytest.fixture
def others(tmp_path: Path) -> Models:
    """Return models whose local weights are other ones."""
    source = tmp_path / "others"
    source.mkdir()
    small_models(source, shift=1)
    models = Models(tmp_path / "store of others")
    stock(models, source, "local")
    return models


def test_other_weights_are_not_decoded(stocked: Models, others: Models) -> None:
    ours, theirs = (spec_named("50hz-local", models) for models in (stocked, others))
    one, other = encoded(ours), encoded(theirs)
    assert one[4:] != other[4:]
    assert bins(theirs, other) == {80}
    with pytest.raises(CodecMissing) as refused:
        bins(ours, other)
    said = str(refused.value)
    assert "made with other weights of 50hz-local" in said
    assert other[:4].hex() in said and one[:4].hex() in said and "\n" not in said
    with pytest.raises(CodecMissing, match="other weights"):
        bins(ours, other[:3])


def test_a_mark_is_asked_before_the_tokens_are_looked_at(stocked: Models) -> None:
    # Other weights may have tokens of other sizes: such a payload is not damaged.
    with pytest.raises(CodecMissing, match="other weights"):
        bins(spec_named("50hz-local", stocked), b"\1\2\3\4\x80")


def test_a_local_sender_says_early_that_its_decoder_is_missing(models: Models, small: Path) -> None:
    stock(models, small, "local", ["encoder.onnx", "compressor_50hz.onnx"])
    spec = spec_named("50hz-local", models)
    assert "needs decoder_50hz.onnx" in (spec.why_not() or "")
    with pytest.raises(CodecMissing, match=r"decoder_50hz\.onnx is not here"):
        encoded(spec)


# a quality from a plugin


def test_a_plugin_adds_a_quality_with_files_of_its_own(
    models: Models, small: Path, tmp_path: Path
) -> None:
    stock(models, small, names=["encoder.onnx"])
    folder = tmp_path / "plugin"
    folder.mkdir()
    for name in ("compressor_25hz.onnx", "decoder_25hz.onnx"):
        shutil.copy(small / name, folder)
    looked_at: list[Path] = []
    quality = Quality(
        name="sea",
        wire_id=240,
        frames=2,
        encoder=models.store.path("encoder.onnx"),
        compressor=folder / "compressor_25hz.onnx",
        decoder=folder / "decoder_25hz.onnx",
        check=looked_at.append,
    )
    spec = spec_of(quality, models)
    assert spec.why_not() is None and spec.why_silent() is None
    payload = encoded(spec)
    assert payload[:4] == hashlib.sha256((folder / "decoder_25hz.onnx").read_bytes()).digest()[:4]
    assert len(payload) == 4 + 1 + -(-26 * 13 // 8)
    assert bins(spec, payload) == {80}
    assert set(looked_at) == {quality.compressor, quality.decoder}


def test_what_a_plugins_check_refuses_is_not_opened(own: Quality, models: Models) -> None:
    def refuse(path: Path) -> None:
        raise CodecMissing(f"{path.name} is not mine")

    with pytest.raises(CodecMissing, match=r"encoder\.onnx is not mine"):
        encoded(spec_of(replace(own, wire_id=99, check=refuse), models))


def test_a_decoder_that_cannot_be_read_is_named(own: Quality, models: Models) -> None:
    gone = own.decoder.parent / "gone.onnx"
    with pytest.raises(CodecMissing, match=r"gone\.onnx cannot be read: No such file"):
        encoded(spec_of(replace(own, decoder=gone), models))


def test_all_qualities_share_one_encoder(stocked: Models, small: Path) -> None:
    encoder = stocked.store.path("encoder.onnx")
    compressor, decoder = small / "compressor_50hz.onnx", small / "decoder_50hz.onnx"
    sea = spec_of(Quality("sea", 99, 1, encoder, compressor, decoder), stocked)
    assert encoded(sea) == encoded(spec_named("50hz", stocked))
