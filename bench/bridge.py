"""How a bridge between two rooms of a broker compares with bare paho that keeps nothing.

Both run as processes of their own on the same Mosquitto, in turn, three times each, and pass on the
same messages with QoS 1; the bridge commits each to disk before it acknowledges it. Latency is that
of single messages on an idle broker, and is held against commits of the same disk: SQLite, WAL,
each of one small row and synchronous.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import IO, Any, cast

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from focal.core.envelope import Envelope
from focal.core.message import Kind, Message, MessageId
from tests.broker import broker

ROUNDS = 3
MESSAGES = 4_000
SINGLE = 100
SIZE = 300
ORIGIN = 0x51A7E
PATIENCE = 120.0
IDLE = 0.01  # seconds, so that what is written down after a message is done before the next


def envelopes(first: int, count: int) -> list[bytes]:
    """Return messages to everyone from a stranger, as they stand on the broker."""
    now, payload = int(time.time()), bytes(SIZE)
    return [
        Envelope(
            Message(MessageId(ORIGIN, first + n), Kind.DATA, payload, sent_at=now).to_bytes()
        ).to_bytes()
        for n in range(count)
    ]


class Ends:
    """Publishes into one room and counts what comes into the other."""

    def __init__(self, port: int, near: str, far: str) -> None:
        self._to = f"focal/{near}/{ORIGIN:08x}"
        self.arrived = 0
        self.wanted = 0
        self.done = threading.Event()
        self._ready = threading.Semaphore(0)
        self._near, self._far = self._client(port), self._client(port)
        self._far.on_subscribe = self._is_ready
        self._far.on_message = self._came
        self._far.subscribe(f"focal/{far}/+", qos=1)
        assert self._ready.acquire(timeout=PATIENCE)

    def _client(self, port: int) -> Any:
        client: Any = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.max_inflight_messages_set(100)
        client.on_connect = self._is_ready
        client.connect("127.0.0.1", port)
        client.loop_start()
        assert self._ready.acquire(timeout=PATIENCE)
        return client

    def _is_ready(self, *_: object) -> None:
        self._ready.release()

    def _came(self, *_: object) -> None:
        self.arrived += 1
        if self.arrived == self.wanted:
            self.done.set()

    def passed(self, messages: list[bytes]) -> float:
        """Return the seconds until all of these have come through."""
        self.arrived, self.wanted = 0, len(messages)
        self.done.clear()
        began = time.perf_counter()
        for message in messages:
            self._near.publish(self._to, message, qos=1)
        assert self.done.wait(PATIENCE), f"{self.arrived} of {self.wanted} came"
        return time.perf_counter() - began

    def single(self, message: bytes) -> float:
        """Return the seconds that a message takes when nothing else is going on."""
        time.sleep(IDLE)
        return self.passed([message])

    def close(self) -> None:
        """Hang up."""
        for client in (self._near, self._far):
            client.disconnect()
            client.loop_stop()


@contextmanager
def process(command: list[str], ready: str, environment: dict[str, str]) -> Generator[int]:
    """Run a program until it is ready, for the time of the context; give its process id."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as running:
        try:
            out = cast(IO[str], running.stdout)
            assert any(ready in line for line in out), f"{command[-3:]} never was ready"
            threading.Thread(target=_drain, args=(out,), daemon=True).start()
            yield running.pid
        finally:
            running.kill()


def _drain(lines: Iterator[str]) -> None:
    for _ in lines:
        pass


def cpu_and_memory(pid: int) -> tuple[float, float]:
    """Return the CPU seconds that a process took, and the most MB that it held."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return ticks / os.sysconf("SC_CLK_TCK"), int(peak) / 1024


def commit_seconds(folder: Path) -> float:
    """Return the median time of a synchronous commit of one small row on this disk."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE row (data BLOB)")
        times: list[float] = []
        for _ in range(SINGLE):
            began = time.perf_counter()
            bare.execute("INSERT INTO row VALUES (?)", (bytes(SIZE),))
            times.append(time.perf_counter() - began)
    return median(times)


def bench() -> dict[str, float]:
    """Return throughput, added latency, and what a thousand messages cost."""
    bare: list[Figures] = []
    ours: list[Figures] = []
    beside: list[Figures] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        with broker(folder, "max_queued_messages 0", "max_inflight_messages 100") as running:
            for turn in range(ROUNDS):
                bare.append(_bare(running.port, f"bare{turn}"))
                ours.append(_ours(running.port, f"ours{turn}", folder / f"home{turn}"))
                beside.append(_beside_slow(running.port, f"slow{turn}", folder / f"slow{turn}"))
        commit = commit_seconds(folder)
    return {
        "messages a second / bare paho": _ratio(ours, bare, lambda one: one.rate),
        "added latency / commits of this disk": median(
            (mine.latency - other.latency) / commit for mine, other in zip(ours, bare, strict=True)
        ),
        "CPU of a message / bare paho": _ratio(ours, bare, lambda one: one.cpu),
        "peak memory / bare paho": _ratio(ours, bare, lambda one: one.memory),
        "latency beside a slow leg / alone": _ratio(beside, ours, lambda one: one.latency),
        "messages a second (absolute)": median(one.rate for one in ours),
        "CPU seconds per 1,000 messages (absolute)": median(one.cpu for one in ours) * 1000,
        "peak MB (absolute)": median(one.memory for one in ours),
        "latency in ms (absolute)": median(one.latency for one in ours) * 1000,
        "latency beside a slow leg in ms (absolute)": median(one.latency for one in beside) * 1000,
        "latency of bare paho in ms (absolute)": median(one.latency for one in bare) * 1000,
        "a commit in ms (absolute)": commit * 1000,
    }


class Figures:
    """What was measured of one of the two; ``cpu`` in seconds a message, ``memory`` in MB."""

    def __init__(self, rate: float, latency: float, cpu: float, memory: float) -> None:
        self.rate, self.latency, self.cpu, self.memory = rate, latency, cpu, memory


def _ratio(
    ours: Sequence[Figures], bare: Sequence[Figures], what: Callable[[Figures], float]
) -> float:
    """Return the median of the rounds: what else the machine does weighs on both of a round."""
    return median(what(mine) / what(other) for mine, other in zip(ours, bare, strict=True))


def _bare(port: int, room: str) -> Figures:
    near, far = f"{room}-near", f"{room}-far"
    command = [sys.executable, "-m", "bench._bridge_bare", str(port), near, far]
    return _measure(command, "ready", port, near, far)


def _ours(port: int, room: str, home: Path) -> Figures:
    near, far = f"{room}-near", f"{room}-far"
    links = [f"mqtt://127.0.0.1:{port}/{room}" for room in (near, far)]
    command = [sys.executable, "-m", "focal", "--home", str(home), "bridge", *links]
    return _measure(command, "bridging", port, near, far)


def _beside_slow(port: int, room: str, home: Path) -> Figures:
    """Measure a leg whose messages go to another room, too, one in ten seconds; the rest give way.

    That leg is full after the first messages, as a flooded one is.
    """
    near, far = f"{room}-near", f"{room}-far"
    urls = {"near": near, "far": far, "slow": f"{room}-slow"}
    links = [f"{name}.url = 'mqtt://127.0.0.1:{port}/{room}'" for name, room in urls.items()]
    slow = "to = 'slow'\nrate = '6/min'\nqueue = 20\nfull = 'oldest'"
    legs = [f"[[bridge]]\nfrom = 'near'\n{leg}" for leg in ("to = 'far'", slow)]
    config = home.with_suffix(".toml")
    config.write_text("\n".join(["[links]", *links, *legs]))
    command = ["--home", str(home), "bridge", "--config", str(config)]
    command = [sys.executable, "-m", "focal", *command]
    return _measure(command, "bridging", port, near, far)


def _measure(command: list[str], ready: str, port: int, near: str, far: str) -> Figures:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with process(command, ready, environment) as pid:
        ends = Ends(port, near, far)
        ends.passed(envelopes(1, 200))  # warm
        before, _ = cpu_and_memory(pid)
        took = ends.passed(envelopes(1_000, MESSAGES))
        after, memory = cpu_and_memory(pid)
        singles = [ends.single(one) for one in envelopes(100_000, SINGLE)]
        ends.close()
    return Figures(MESSAGES / took, median(singles), (after - before) / MESSAGES, memory)
