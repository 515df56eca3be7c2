"""The quality ``6.25hz`` for focal: 13 bits for 160 ms, 5.76 s of speech in 64 bytes.

Its tokens come from the encoder of focal's own qualities, through a compressor and to a decoder of
its own. The encoder is that of focal's model store, one file and one session for all; the other two
lie in a folder beside it, ``focal-quality-6hz``.
"""

from __future__ import annotations

from focal.core.codec import CodecSpec
from focal.plugins import hookimpl
from focal.plugins.codecs.focalcodec import Quality, spec_of
from focal.plugins.models import Models

FOCAL_CONTRACT = 2  # the first one in which codecs are given the models


@hookimpl
def focal_codecs(models: Models) -> list[CodecSpec]:
    """Add the quality, whether its files are here or not."""
    folder = models.folder / "focal-quality-6hz"
    quality = Quality(
        name="6.25hz",
        wire_id=230,
        frames=8,
        encoder=models.store.path("encoder.onnx"),
        compressor=folder / "compressor.onnx",
        decoder=folder / "decoder.onnx",
        remedy="train them and put them there, see the README of focal-quality-6hz",
    )
    return [spec_of(quality, models)]
