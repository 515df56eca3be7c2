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
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from .core.errors import SettingsError
from .meter import METRICS
from .meter import Meter as Meter
from .pages import Page, serving_pages

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family


@asynccontextmanager
async def serving(meter: Meter, host: str, port: int) -> AsyncGenerator[int]:
    """Serve ``/metrics``, ``/health`` and ``/ready`` by HTTP for the time of the context.

    Args:
        meter: what is served; it is read in a thread, and when the context has ended no more.
        host: the name or address to listen on.
        port: 0 is any that is free.

    Yields:
        The port.

    Raises:
        SettingsError: nothing can listen there, or the extra ``serve`` is not installed.
    """
    exposition, content_type = _exposition(meter)
    executor = ThreadPoolExecutor(1, thread_name_prefix="focal-metrics")
    in_thread = partial(asyncio.get_running_loop().run_in_executor, executor)

    async def answer(path: str) -> Page | None:
        match path:
            case "/metrics":
                return Page(await in_thread(exposition), content_type=content_type)
            case "/health":
                health = await in_thread(meter.health)
                return _json(health, good=health["status"] != "down")
            case "/ready":
                unopened = meter.unopened
                return _json({"ready": not unopened, "unopened": unopened}, good=not unopened)
            case _:
                return None

    try:
        async with serving_pages(answer, host, port) as bound:
            yield bound
    finally:
        await asyncio.to_thread(executor.shutdown)  # the spool may be closed after it


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
