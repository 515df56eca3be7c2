"""Which kind of model each file of the catalogue is.

The law of this module: values only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .catalogue import ENCODER, QUALITIES, Published
from .graph import COMPRESSOR, DECODER, Model
from .graph import ENCODER as ENCODER_GRAPH

_FRAMES = 4
"""Encoder frames of the zeros that a model is tried on; every rate makes whole tokens of them."""

_SAMPLES = 320 * _FRAMES + 80
"""Samples that give so many frames."""


def quality_of(name: str) -> Published:
    """Return a quality that a file belongs to: the first one for the encoder."""
    return next(quality for quality in QUALITIES if name in quality.files)


def model_of(name: str, path: Path, check: Callable[[], None] = lambda: None) -> Model:
    """Return what a file of the catalogue has to be.

    Args:
        name: in the catalogue.
        path: where it is.
        check: see ``Model``.
    """
    quality = quality_of(name)
    if name == ENCODER:
        return Model(path, ENCODER_GRAPH, (1, _SAMPLES), _FRAMES, check)
    if name == quality.decoder:
        return Model(path, DECODER, (1, _FRAMES), _FRAMES * quality.frames, check)
    return Model(path, COMPRESSOR, (1, _FRAMES * quality.frames, 1024), _FRAMES, check)
