"""How much memory ``focal listen`` holds, beside a bare listener.

The reference imports what any such program needs (asyncio, sqlite3, click) and waits on a UDP
socket. The figures are Linux's resident set (VmRSS) and its peak (VmHWM), in MB of 1000 kB.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from focal.core.draft import Draft
from focal.core.message import Speech
from focal.core.node import Node
from focal.core.runtime import real_runtime
from focal.core.spool import Spool
from focal.plugins.manager import Plugins
from focal.transports.udp import UdpTransport

from ._ports import free_ports
from ._speech import speech

ROOT = Path(__file__).parent.parent
MESSAGES = 100
QUALITY = "c2-1300"
BARE = """
import asyncio, click, sqlite3, sys
async def main():
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    print("listening on udp", file=sys.stderr, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def bench() -> dict[str, float]:
    """Return what a listener holds when it is idle, and after 100 spoken messages."""
    if not Path("/proc/self/status").exists():
        return {}
    ours, theirs = free_ports()
    with TemporaryDirectory() as name:
        folder = Path(name)
        link = f"udp://127.0.0.1:{theirs}?listen={ours}"
        listen = ["-m", "focal", "--home", str(folder / "home"), "--json", "listen", "--via", link]
        with listening("-c", BARE) as process:
            bare, _ = held(process)
        with listening(*listen) as process:
            idle, peak = held(process)
            asyncio.run(say(folder, UdpTransport("127.0.0.1", ours, theirs), spoken(), MESSAGES))
            heard = [line for _, line in zip(range(MESSAGES), lines_of(process), strict=False)]
            after, after_peak = held(process)
    assert len(heard) == MESSAGES
    return {
        "idle focal listen / bare listener": idle / bare,
        "bare listener, MB": bare,
        "idle focal listen, MB": idle,
        "idle focal listen, peak MB": peak,
        f"focal listen after {MESSAGES} spoken messages, MB": after,
        f"focal listen after {MESSAGES} spoken messages, peak MB": after_peak,
    }


@contextmanager
def listening(
    *arguments: str, extra: Mapping[str, str] = MappingProxyType({})
) -> Generator[subprocess.Popen[str]]:
    """Run a program until the end of the context, from when it says that it listens.

    Args:
        arguments: of Python.
        extra: for the program's environment.
    """
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **extra},
    ) as process:
        assert process.stderr is not None
        try:
            line = ""
            while "listening on" not in line:
                said, line = line, process.stderr.readline()
                if not line:
                    raise RuntimeError(f"the listener ended before it listened: {said.strip()}")
            yield process
        finally:
            process.kill()


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield what a program prints."""
    assert process.stdout is not None
    return iter(process.stdout)


def held(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Return the resident memory of a process and its peak, in MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith(" kB")}
    return int(kilobytes["VmRSS"]) / 1000, int(kilobytes["VmHWM"]) / 1000


def spoken() -> Speech:
    """Return five seconds of speech as a payload."""
    spec = Plugins().codec(QUALITY)
    with spec.load() as codec:
        return Speech(spec.wire_id, codec.encode(speech(5.0, codec.rate)), 5.0)


async def say(folder: Path, transport: UdpTransport, said: Speech, count: int) -> None:
    """Send spoken messages to whoever listens there, and wait until all are confirmed."""
    with ExitStack() as stack:
        runtime = real_runtime(stack.enter_context(ThreadPoolExecutor(2)))
        spool = stack.enter_context(Spool.open(folder / "said.db", unix=runtime.unix))
        links = {"udp": transport}
        async with Node(
            links=links, spool=spool, codecs=Plugins(), runtime=runtime, folder=folder
        ) as node:
            for _ in range(count):
                await node.send(Draft.voice([said]))
            await node.settle(60)
