"""FocalCodec: a neural codec; 650, 325 or 162.5 bits make a second of speech.

The law of this package: a quality is three files and a rate, run in one pipeline. focal's own
qualities are given to ``focal_codecs`` as any plugin gives its own::

    from pathlib import Path

    from focal.core.codec import CodecSpec
    from focal.plugins import hookimpl
    from focal.plugins.codecs.focalcodec import Quality, spec_of
    from focal.plugins.models import Models

    FOCAL_CONTRACT = 2  # the first one in which codecs are given the models
    HERE = Path(__file__).parent

    @hookimpl
    def focal_codecs(models: Models) -> list[CodecSpec]:
        quality = Quality(
            name="12.5hz-sea",
            wire_id=240,
            frames=4,
            encoder=models.store.path("encoder.onnx"),
            compressor=HERE / "compressor.onnx",
            decoder=HERE / "decoder.onnx",
        )
        return [spec_of(quality, models)]
"""

from __future__ import annotations

from ....core.codec import CodecSpec
from ... import hookimpl
from ...models import Models
from ...models.catalogue import QUALITIES, Published
from ...models.store import Shelf
from .quality import Quality
from .spec import spec_of

__all__ = ["Quality", "focal_codecs", "spec_of"]


@hookimpl
def focal_codecs(models: Models) -> list[CodecSpec]:
    """Give the three published qualities, and the same three with any other weights."""
    published = [_of(one, models, "published") for one in QUALITIES]
    local = [_of(one, models, "local") for one in QUALITIES]
    return [spec_of(quality, models) for quality in published + local]


def _of(one: Published, models: Models, shelf: Shelf) -> Quality:
    """Return a quality whose files are on a shelf of the store."""
    encoder, compressor, decoder = (models.store.path(name, shelf) for name in one.files)
    own = f"{one.name}-local"
    if shelf == "published":
        return Quality(one.name, one.wire_id, one.frames, encoder, compressor, decoder, instead=own)
    summary = f"FocalCodec, 13 bits every {20 * one.frames} ms, weights of your own"
    return Quality(own, one.local_id, one.frames, encoder, compressor, decoder, summary=summary)
