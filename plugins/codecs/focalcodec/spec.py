"""A quality as focal's other parts know it: a ``CodecSpec``.

The law of this module: making one opens nothing, and imports neither numpy nor onnxruntime.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

from ....core.codec import Codec, CodecSpec
from ...models import Models
from .files import Files
from .payload import seconds
from .quality import RATE, Quality


def spec_of(quality: Quality, models: Models) -> CodecSpec:
    """Return the codec of a quality, for ``focal_codecs`` to return.

    It encodes and decodes in FocalCodec's pipeline with the quality's models, which are opened when
    they are first used: encoder and compressor by who sends, the decoder by who listens. Where a
    file is missing it says so, and how to get it.

    Args:
        quality: name, rate and files.
        models: as ``focal_codecs`` is given them.
    """
    files = Files(quality, models)
    return CodecSpec(
        name=quality.name,
        wire_id=quality.wire_id,
        bits_per_second=quality.bits_per_second,
        load=partial(_load, quality, files, models),
        seconds=partial(seconds, quality),
        step=quality.block / RATE,
        why_not=files.why_not,
        summary=quality.told,
        why_not_decode=files.why_not_decode,
        why_not_payload=files.why_not_payload,
        instead=quality.instead,
    )


@contextmanager
def _load(quality: Quality, files: Files, models: Models) -> Generator[Codec]:
    from .pipeline import FocalCodec

    with models.sessions.hold():
        yield FocalCodec(quality, files, models.sessions)
