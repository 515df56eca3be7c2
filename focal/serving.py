"""A node at work for one command: which links are ours, and what serves them.

The law of this module: each open link has one owner among the processes of a home. What another
process owns is not opened here; its messages go through the spool that both share.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .core.node import Node
from .core.runtime import Runtime, real_runtime
from .failpoint import mark_from

if TYPE_CHECKING:
    from .app import App
    from .core.link import Transport
    from .core.ports import Sink
    from .core.spool import Spool

THREADS = 4
"""Codecs and the spool's two connections; each of them is used by one call at a time."""


@contextmanager
def real_time() -> Generator[Runtime]:
    """Give a runtime whose worker threads end with the context."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="focal") as executor:
        yield real_runtime(executor, mark_from(os.environ))


def make_node(
    app: App, links: Mapping[str, Transport], spool: Spool, runtime: Runtime, *sinks: Sink
) -> Node:
    """Return a node of this home, not yet at work."""
    return Node(
        links=links,
        spool=spool,
        codecs=app.plugins,
        runtime=runtime,
        folder=app.home.links,
        sinks=sinks,
        name=app.settings.defaults.name,
        hooks=app.plugins,
    )
