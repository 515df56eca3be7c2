"""``focal lab serve``: simulated nodes over Meshtastic's TCP protocol, in real time or faster.

The law of this module: sockets and the clock. What a node says and does, ``mesh`` decides. A node
has one client: a newcomer takes the place of the one before.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..core.errors import FocalError, FrameError, SettingsError
from ..core.runtime import Runtime
from ..settings import nearest
from .happened import Happened
from .scenario import DEEDS, Node, Scenario
from .stream import Frames, frame

if TYPE_CHECKING:
    from .mesh import Mesh
    from .outbox import Outbox

logger = logging.getLogger("focal.lab")

SILENCE = 900.0
"""Seconds after which a client that says nothing is let go."""

CHUNK = 4096
"""Bytes that are read at once; also the longest line of a command."""

COMMANDERS = 4
"""Connections that may give commands at once."""

Tell: TypeAlias = Callable[[Happened], None]


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve.

    Args:
        ports: TCP ports, of the scenario's nodes in their order; 0 is any that is free.
        host: the address to listen at.
        speed: seconds of the scenario in a second.
        control: the TCP port at which commands are taken; None: at none.
    """

    ports: Sequence[int]
    host: str = "127.0.0.1"
    speed: float = 1.0
    control: int | None = None


async def serve(scenario: Scenario, serving: Serving, runtime: Runtime, tell: Tell) -> None:
    """Serve a scenario's nodes until cancelled.

    Raises:
        SettingsError: more ports than nodes, a port named twice, or a region that the library does
            not know.
        FocalError: a port is in use, or the meshtastic library is not installed.
    """
    if len(serving.ports) > len(scenario.nodes):
        count = f"{len(serving.ports)} ports for {len(scenario.nodes)} nodes"
        raise SettingsError(f"{count}: name at most one for each")
    _check_ports([*serving.ports, *([] if serving.control is None else [serving.control])])
    await Server(scenario, serving, runtime, tell).run()


def _check_ports(ports: Sequence[int]) -> None:
    for port in ports:
        if port and ports.count(port) > 1:
            raise SettingsError(
                f"port {port} is named twice: each node, and --control, has its own"
            )


class Server:
    """Nodes that are served, and the clock of their mesh."""

    def __init__(self, scenario: Scenario, serving: Serving, runtime: Runtime, tell: Tell) -> None:
        self.tell = tell
        self._scenario = scenario
        self._serving = serving
        self._runtime = runtime
        self._mesh = _mesh(scenario, lambda now: self._begun_unix + now / serving.speed)
        self._begun, self._begun_unix = runtime.now(), runtime.unix()
        self._changed = asyncio.Event()
        self._commanding = 0
        served = zip(scenario.nodes, serving.ports, strict=False)
        self._doors = {node.number: Door(node, serving.host, port, self) for node, port in served}

    @property
    def now(self) -> float:
        """Seconds of the scenario."""
        return (self._runtime.now() - self._begun) * self._serving.speed

    async def run(self) -> None:
        """Serve until cancelled. Raises FocalError: a port is in use."""
        async with asyncio.TaskGroup() as self._tasks, AsyncExitStack() as stack:
            for door in self._doors.values():
                stack.callback(door.close, "the lab ends")
                await door.open()
            if self._serving.control is not None:
                listening = await _listen(
                    self._commanded, self._serving.host, self._serving.control
                )
                stack.callback(listening.close)
            await self._keep_time()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until it or the lab ends."""
        self._tasks.create_task(work)

    # The clock

    async def _keep_time(self) -> None:
        while True:
            self.advance()
            self._changed.clear()
            at = self._mesh.next_event()
            left = None if at is None else max(0.0, at - self.now) / self._serving.speed
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()

    def advance(self) -> None:
        """Bring the mesh up to now, and let clients be told what is new."""
        for happened in self._mesh.run(self.now):
            self.tell(happened)
            door = self._doors.get(self._scenario.by_name[happened.node].number)
            if door is not None:
                self._follow(door, happened.event)
        for door in self._doors.values():
            door.stir()
        self._changed.set()

    def _follow(self, door: Door, event: str) -> None:
        """Do at the door what was done to its node."""
        match event:
            case "rebooting":
                door.close("the node restarts")
            case "up":
                self.spawn(door.open())
            case "silenced":
                door.awake.clear()
            case "woken":
                door.awake.set()
            case _:
                pass

    # What clients say

    def take(self, node: Node, body: bytes) -> bool:
        """Do what a client says to its node; False where it wants to leave. Raises FrameError."""
        self.advance()
        stays = self._mesh.take(node.number, body, self.now)
        self.advance()
        return stays

    def outbox(self, node: Node) -> Outbox:
        """Return what a node has to tell its client."""
        return self._mesh.outbox(node.number)

    # Commands

    def _commanded(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.spawn(self._obey(reader, writer))

    async def _obey(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Take a command a line, and answer each with a line."""
        self._commanding += 1
        try:
            while self._commanding <= COMMANDERS and (line := await reader.readline()):
                writer.write(f"{self.command(line.decode(errors='replace'))}\n".encode())
                await writer.drain()
        except (ValueError, OSError) as error:  # a line without an end, or it is gone
            logger.warning("a connection for commands is closed: %s", error)
        finally:
            self._commanding -= 1
            writer.close()

    def command(self, line: str) -> str:
        """Do what a line says, ``silence NAME``; return ``ok``, or what is wrong with it."""
        does, _, name = line.strip().partition(" ")
        if does not in DEEDS:
            return f"there is no command {does!r}{nearest(does, DEEDS)}"
        if name not in self._scenario.by_name:
            return f"there is no node {name!r}{nearest(name, self._scenario.by_name)}"
        self.advance()
        self._mesh.do(name, does, self.now)
        self.advance()
        return "ok"


class Door:
    """Where the client of a node comes in: a TCP port.

    Args:
        node: whose.
        host: the address to listen at.
        port: 0 is any that is free.
        server: where it belongs.
    """

    def __init__(self, node: Node, host: str, port: int, server: Server) -> None:
        self.awake = asyncio.Event()
        self.awake.set()
        self._node = node
        self._host = host
        self._port = port
        self._server = server
        self._listening: asyncio.Server | None = None
        self._client: Client | None = None

    async def open(self) -> None:
        """Listen. Raises FocalError: the port is in use."""
        self._listening = await _listen(self._came, self._host, self._port)
        self._port = self._listening.sockets[0].getsockname()[1]
        self.awake.set()
        number = f"!{self._node.number:08x}"
        self._tell("serving", number=number, host=self._host, tcp=self._port)

    def close(self, reason: str) -> None:
        """Listen no more, and hang up."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self._hang_up(reason)

    def stir(self) -> None:
        """Have the client told what waits for it."""
        if self._client is not None:
            self._client.news.set()

    def _came(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._listening is None:  # the node went down meanwhile
            writer.transport.abort()
        else:
            self._server.spawn(self._welcome(Client(reader, writer)))

    async def _welcome(self, client: Client) -> None:
        """Talk to a client until one of the two hangs up."""
        self._hang_up("another client came")
        self._client, client.task = client, asyncio.current_task()
        self._tell("connected")
        try:
            client.reason = await self._talk(client)
        finally:
            client.part()
            self._tell("left", reason=client.reason)
            if self._client is client:
                self._forget()

    def _hang_up(self, reason: str) -> None:
        if self._client is not None and self._client.task is not None:
            self._client.reason = reason
            self._client.task.cancel()
            self._forget()

    def _forget(self) -> None:
        self._client = None
        self._server.outbox(self._node).end()

    def _tell(self, event: str, **what: Any) -> None:
        self._server.tell(Happened(event, self._server.now, self._node.name, **what))

    async def _talk(self, client: Client) -> str:
        """Listen to a client and tell it what there is; return why that ended."""
        async with asyncio.TaskGroup() as both:
            telling = both.create_task(self._keep_telling(client))
            reason = await self._listen_to(client)
            telling.cancel()
        return reason

    async def _listen_to(self, client: Client) -> str:
        try:
            while bodies := await client.read():
                for body in bodies:
                    await self.awake.wait()
                    if not self._server.take(self._node, body):
                        return "it said goodbye"
                    await self._tell_all(client)  # before the next one: only two answers wait
        except FrameError as error:
            logger.warning("%s: a client is let go: it sent %s", self._node.name, error)
            return f"it sent {error}"
        except TimeoutError:
            return f"it said nothing for {SILENCE:.0f} s"
        except OSError as error:
            return f"it is gone: {error.strerror or error}"
        return "it hung up"

    async def _keep_telling(self, client: Client) -> None:
        with suppress(OSError):  # who listens to it finds that it is gone
            while True:
                await client.news.wait()
                client.news.clear()
                await self._tell_all(client)

    async def _tell_all(self, client: Client) -> None:
        await self.awake.wait()
        outbox = self._server.outbox(self._node)
        while self._client is client and (message := outbox.next()) is not None:
            await client.write(frame(message))
            await self.awake.wait()


class Client:
    """A client's connection; ``reason`` is why it ended."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.news = asyncio.Event()
        self.task: asyncio.Task[Any] | None = None
        self.reason = "the lab ends"
        self._reader = reader
        self._writer = writer
        self._frames = Frames()

    async def read(self) -> list[bytes]:
        """Return messages; none: it hung up.

        Raises:
            FrameError: something else came.
            TimeoutError: nothing did.
            OSError: it is gone.
        """
        async with asyncio.timeout(SILENCE):
            while data := await self._reader.read(CHUNK):
                if found := self._frames.feed(data):
                    return found
        return []

    async def write(self, data: bytes) -> None:
        """Write, and wait while it does not read. Raises OSError."""
        self._writer.write(data)
        await self._writer.drain()

    def part(self) -> None:
        """Hang up; what it does not read is not waited for."""
        if self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()
        else:
            self._writer.close()


Came: TypeAlias = Callable[[StreamReader, StreamWriter], None]


async def _listen(came: Came, host: str, port: int) -> asyncio.Server:
    try:
        return await asyncio.start_server(came, host, port, limit=CHUNK)
    except OSError as error:
        raise FocalError(
            f"cannot listen at {host}:{port}: {error.strerror}: choose another port"
        ) from error


def _mesh(scenario: Scenario, unix: Callable[[float], float]) -> Mesh:
    try:
        from .mesh import Mesh
    except ImportError as error:
        raise FocalError(
            "focal lab serve needs the meshtastic library: pip install 'focal-voice[lora]'"
        ) from error
    return Mesh(scenario, unix)
