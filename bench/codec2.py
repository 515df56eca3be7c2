"""How much focal costs over bare Codec2.

The reference feeds pycodec2 as its documentation does, frame by frame, but with slices of one
array, which is faster than the ``struct`` of that example. ``codec`` is focal's codec alone;
``pipeline`` is clip to clip: encode, message, frames of 231 bytes, reassembly, decode.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
import pycodec2  # pyright: ignore[reportMissingTypeStubs]

from focal.core.audio import Clip
from focal.core.codec import Codec, CodecSpec
from focal.core.framing import frame as frames
from focal.core.framing.assemble import Assembler, Via
from focal.core.framing.split import frames_for
from focal.core.message import Kind, Message, MessageId
from focal.plugins.codecs.codec2 import MODES, RATE, focal_codecs

from ._speech import speech
from ._turns import PROCESSOR, medians

SECONDS = 60
TURNS = 5
MTU = 231
VIA = Via("bench", None)


def bench() -> dict[str, float]:
    """Return focal's throughput over that of bare pycodec2, for each mode."""
    clip, specs = speech(SECONDS, RATE), {spec.name: spec for spec in focal_codecs()}
    found: dict[str, float] = {}
    for mode in MODES:
        found |= _measure(specs[mode.name], mode.number, clip)
    return found


def _measure(spec: CodecSpec, number: int, clip: Clip) -> dict[str, float]:
    sound = (clip.samples * 32768).astype(np.int16)
    with spec.load() as codec:
        took = medians(
            TURNS,
            PROCESSOR,
            bare=partial(bare, number, sound),
            codec=lambda: codec.decode(codec.encode(clip)),
            pipeline=partial(pipeline, spec.wire_id, codec, clip),
        )
    return {
        f"{spec.name} codec / pycodec2": took["bare"] / took["codec"],
        f"{spec.name} pipeline / pycodec2": took["bare"] / took["pipeline"],
        f"{spec.name} pipeline / real time": SECONDS / took["pipeline"],
    }


def bare(number: int, sound: Any) -> Any:
    """Encode and decode as somebody would who has pycodec2 and nothing else."""
    coder: Any = cast(Any, pycodec2).Codec2(number)
    size: int = coder.samples_per_frame()
    heard = [coder.decode(coder.encode(sound[at : at + size])) for at in range(0, len(sound), size)]
    return np.concatenate(heard)


def pipeline(wire_id: int, codec: Codec, clip: Clip) -> Clip:
    """Take a clip through everything but a link."""
    message = Message(MessageId(1, 1), Kind.VOICE, codec.encode(clip), wire_id, 1_800_000_000)
    assembler, complete = Assembler(), None
    for packed in frames_for(message.to_bytes(), MTU):
        frame = frames.unpack(packed)
        assert isinstance(frame, frames.Whole | frames.Symbol)
        complete = assembler.feed(frame, VIA, 0.0)
    assert complete is not None
    return codec.decode(Message.from_bytes(complete.message).payload)
