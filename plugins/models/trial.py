"""Trying a model file before it comes in: that it ends, and that what it gives can be used.

The law of this module: a file may hold anything, so it runs in a thread of its own that nobody has
to wait for: Ctrl-C ends the trial, and so does a limit, whatever the model does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from .graph import COMPRESSOR, DECODER, Model
from .outside import Unfit
from .sessions import Halt, Sessions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMIT = 300.0
"""Seconds that a file may take to be loaded and tried. A slow disk takes one of them."""

_GRACE = 5.0
"""Seconds that a model gets to end when it was told to; most do at once."""

_BEAT = 0.5
"""Seconds after which Ctrl-C counts where a wait cannot be interrupted, which is on Windows."""

_TOKENS = 8192
_MANY = 64


def try_out(model: Model, sessions: Sessions, limit: float = LIMIT) -> None:
    """Run a model on silence and on something else, and see that it gives what can be used.

    Args:
        model: the file.
        sessions: that run it; the file is not kept loaded.
        limit: seconds that it may take.

    Raises:
        CodecMissing, CodecError: as ``Sessions.run``.
        Unfit: it takes longer, or gives what cannot be used.
    """
    halt, trial = Halt(), Future[None]()
    work = partial(_fulfil, trial, partial(_try, model, sessions, halt))
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        for _ in range(ceil(limit / _BEAT)):
            if wait([trial], _BEAT).done:
                return trial.result()
        raise Unfit(f"it did not come to an end within {limit:g} s")
    finally:
        halt()
        # Python must not end while the model is about to come back into it.
        if wait([trial], _GRACE).done:
            thread.join()


def _fulfil(future: Future[None], work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as error:  # of any kind: it is raised in the thread that waits
        future.set_exception(error)
    else:
        future.set_result(None)


def _try(model: Model, sessions: Sessions, halt: Halt) -> None:
    with sessions.hold():  # for this one only: seven at once take gigabytes
        for given in _inputs(model):
            _see_sense(sessions.run_until(halt, model, given))


def _inputs(model: Model) -> Iterator[NDArray[Any]]:
    """Yield silence, and what makes more of a model work: noise, or tokens from all over."""
    import numpy as np

    noise = np.random.default_rng(1)
    if model.graph is DECODER:
        yield np.zeros(model.given, np.int64)
        yield np.linspace(0, _TOKENS - 1, _MANY).astype(np.int64)[None]
    else:
        loud = 1.0 if model.graph is COMPRESSOR else 0.1
        yield np.zeros(model.given, np.float32)
        yield noise.normal(0, loud, model.given).astype(np.float32)


def _see_sense(results: Mapping[str, NDArray[Any]]) -> None:
    """See that numbers are numbers and tokens are tokens.

    Raises:
        Unfit: otherwise.
    """
    import numpy as np

    for name, result in results.items():
        if name == "tokens":
            _see_tokens(result)
        elif not np.isfinite(result).all():
            raise Unfit(f"it gives {name} that are no numbers (NaN or infinite)")


def _see_tokens(tokens: NDArray[np.int64]) -> None:
    if wrong := [int(token) for token in tokens.ravel() if not 0 <= token < _TOKENS]:
        raise Unfit(f"it gives the token {wrong[0]}, and there are 0 to {_TOKENS - 1}")
