"""How a bridge does, by HTTP: ``/metrics`` for Prometheus, ``/health`` and ``/ready`` for others.

The law of this module: whoever asks is answered from a thread, so that the bridge does not wait.

::

    events = node.events()          # before its links open, so that none is missed
    async with node, serving(meter, "127.0.0.1", 9464):
        async for event in events:
            meter.event(event)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from .core.errors import SettingsError
from .meter import METRICS
from .meter import Meter as Meter
from .pages import Page, serving_pages

FRESH = 1.0
"""Seconds for which a page is kept: what is read costs the same, however often it is asked for."""

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family


@asynccontextmanager
async def serving(
    meter: Meter, host: str, port: int, *, fresh: float = FRESH
) -> AsyncGenerator[int]:
    """Serve ``/metrics``, ``/health`` and ``/ready`` by HTTP for the time of the context.

    Args:
        meter: what is served; it is read in a thread, and when the context has ended no more.
        host: the name or address to listen on.
        port: 0 is any that is free.
        fresh: seconds for which a page is not read anew.

    Yields:
        The port.

    Raises:
        SettingsError: nothing can listen there, or the extra ``serve`` is not installed.
    """
    exposition, content_type = _exposition(meter)
    executor = ThreadPoolExecutor(1, thread_name_prefix="focal-metrics")
    in_thread = partial(asyncio.get_running_loop().run_in_executor, executor)

    def health() -> Page:
        found = meter.health()
        return _json(found, good=found["status"] != "down")

    def metrics() -> Page:
        return Page(exposition(), content_type=content_type)

    kept = {
        "/health": _Kept(partial(in_thread, health), fresh),
        "/metrics": _Kept(partial(in_thread, metrics), fresh),
    }

    async def answer(path: str) -> Page | None:
        if path == "/ready":
            unopened = meter.unopened
            return _json({"ready": not unopened, "unopened": unopened}, good=not unopened)
        return await kept[path].get() if path in kept else None

    try:
        async with serving_pages(answer, host, port) as bound:
            yield bound
    finally:
        await asyncio.to_thread(executor.shutdown)  # the spool may be closed after it


class _Kept:
    """A page that is made anew only after a while, however many ask for it meanwhile."""

    def __init__(self, make: Callable[[], Awaitable[Page]], fresh: float) -> None:
        self._make = make
        self._fresh = fresh
        self._lock = asyncio.Lock()
        self._page: Page | None = None
        self._until = 0.0

    async def get(self) -> Page:
        """Return it."""
        now = asyncio.get_running_loop().time
        async with self._lock:
            if self._page is None or now() >= self._until:
                self._page = await self._make()
                self._until = now() + self._fresh
            return self._page


def _json(value: dict[str, object], *, good: bool) -> Page:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(json.dumps(value).encode() + b"\n", status, "application/json")


def _exposition(meter: Meter) -> tuple[Callable[[], bytes], str]:
    """Return what makes the page for Prometheus, and its content type.

    Raises:
        SettingsError: the extra ``serve`` is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
    except ImportError as error:
        raise SettingsError(
            f"metrics need prometheus-client ({error}): pip install 'focal-voice[serve]'"
        ) from error

    class Read:
        """What a registry asks when a page is made."""

        def collect(self) -> Iterator[Family]:
            values = meter.read()
            for metric in METRICS:
                kind = CounterMetricFamily if metric.counts else GaugeMetricFamily
                family = kind(metric.name, metric.says, labels=metric.labels)
                for labels, value in values.get(metric, {}).items():
                    family.add_metric([_printable(label) for label in labels], value)
                yield family

    registry = CollectorRegistry()
    registry.register(Read())
    ProcessCollector(registry=registry)
    return partial(generate_latest, registry), "text/plain; version=0.0.4; charset=utf-8"


def _printable(label: str) -> str:
    """Return a name as UTF-8 can have it: one from a command line may have bytes that cannot."""
    return label.encode("utf-8", "backslashreplace").decode()
