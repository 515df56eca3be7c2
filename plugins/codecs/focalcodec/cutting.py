"""Long sound in pieces that the encoder takes, cut where it is quiet.

The law of this module: where it is cut follows from the samples alone, however they come in; and
what is held does not grow with them.

The encoder's work and memory grow with the square of the length, so a piece has at most 20 s. All
pieces but the last are whole blocks, so that nothing is filled in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ....core.audio import Samples

RATE = 16_000
LIMIT = 20 * RATE
"""Samples of a piece, at most."""
SEARCH = 5 * RATE
"""How far before the last possible cut a quieter one is looked for."""
LEAST = RATE
"""Samples that the last piece has at least, where there are two."""


def pieces(sound: Iterable[Samples], block: int) -> Iterator[Samples]:
    """Yield the pieces of a sound.

    Args:
        sound: at 16 kHz, in stretches of any lengths.
        block: samples that all pieces but the last are multiples of, at most 5,120.

    Yields:
        Views of one buffer: each is good until the next one is asked for.
    """
    room = np.empty(_limit(block) + LEAST, np.float32)
    held = 0
    for stretch in sound:
        while len(stretch):
            taken = stretch[: len(room) - held]
            room[held : held + len(taken)] = taken
            held += len(taken)
            stretch = stretch[len(taken) :]
            if held == len(room):
                end = cut(room, block)
                yield room[:end]
                held = _drop(room, end)
    if held > _limit(block):
        end = cut(room[:held], block)
        yield room[:end]
        held = _drop(room[:held], end)
    if held:
        yield room[:held]


def cut(head: Samples, block: int) -> int:
    """Return how many samples the first piece has: whole blocks, up to the quietest place.

    Args:
        head: more than fits in a piece; 21 s of it, or all that is left.
        block: samples of a block.
    """
    last = min(_limit(block), (len(head) - LEAST) // block * block)
    first = last - SEARCH // block * block
    near = head[first - 2 * block : last + 2 * block]
    energy = np.square(near, dtype=np.float64).reshape(-1, block).sum(axis=1)
    around = energy[:-3] + 2 * energy[1:-2] + 2 * energy[2:-1] + energy[3:]
    back = int(np.argmin(around[::-1]))  # of equally quiet places the latest
    return last - back * block


def _limit(block: int) -> int:
    return LIMIT // block * block


def _drop(room: Samples, end: int) -> int:
    """Drop what comes before ``end``, move the rest to the front and return how much it is."""
    rest = len(room) - end
    room[:rest] = room[end:]
    return rest
