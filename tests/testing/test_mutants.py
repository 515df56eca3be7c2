"""The kit is tested with broken links: each check must catch what it is there for."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import ClassVar, TypeAlias

import pytest

from focal.core.errors import LinkClosed, LinkLost, PacketTooBig, TransportUnavailable
from focal.core.link import Accepted, Address, Limits, Link, LinkContext, Packet, Report, Transport
from focal.testing import FAR, TransportContract
from focal.transports.folder import FolderTransport
from focal.transports.memory import Conditions, MemoryTransport, Mesh


class Sound:
    """A link around a sound one, with no fault; the mutants below have one each."""

    kind: ClassVar[str] = "datagram"

    def __init__(self, link: Link, context: LinkContext) -> None:
        self.link = link
        self.origin = context.origin

    @property
    def limits(self) -> Limits:
        return self.link.limits

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return await self.link.send(data, to=to)

    async def receive(self) -> Packet:
        return await self.link.receive()

    def reports(self) -> AsyncIterator[Report]:
        return self.link.reports()

    async def aclose(self) -> None:
        await self.link.aclose()


@dataclasses.dataclass
class Around:
    """A transport around a sound one; the mutants far below have a fault each."""

    inner: Transport
    link: type[Sound] = Sound

    @property
    def key(self) -> str:
        return self.inner.key

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        async with self.inner.open(context) as link:
            yield self.link(link, context)


Mutant: TypeAlias = type[Sound] | type[Around]


class Broken(TransportContract):
    """The contract, of a pair of mutants."""

    virtual = True
    flood = 9000

    def __init__(self, mutant: Mutant) -> None:
        self.transport = mutant if issubclass(mutant, Around) else Around
        self.link = mutant if issubclass(mutant, Sound) else Sound
        self.kind = "datagram" if self.link.kind == "datagram" else "message"

    def pair(self) -> tuple[Transport, Transport]:
        if self.link.kind == "folder":
            stick = FolderTransport(self.scratch / "stick", make=True)
            return self.transport(stick, self.link), self.transport(stick, self.link)
        self.mesh = Mesh(conditions=Conditions(kind=self.kind))
        near, far = (MemoryTransport(self.mesh, node=node) for node in ("near", "far"))
        return self.transport(near, self.link), self.transport(far, self.link)

    def dead(self) -> Transport:
        return self.transport(FolderTransport(self.scratch / "no" / "folder"))

    async def kill(self, link: Link) -> None:
        self.mesh.cut("far")


# limits


class Percent(Sound):
    @property
    def limits(self) -> Limits:
        return dataclasses.replace(self.link.limits, duty=50)


class NoRoom(Sound):
    @property
    def limits(self) -> Limits:
        return dataclasses.replace(self.link.limits, size=0)


class SaysNothingComesBack(Sound):
    @property
    def limits(self) -> Limits:
        return dataclasses.replace(self.link.limits, replies=False)


class FreeLunch(Limits):
    def airtime(self, n: int, to: Address | None, /) -> float | None:
        return float(1000 - n)


class CheaperWhenLonger(Sound):
    @property
    def limits(self) -> Limits:
        return FreeLunch("datagram", self.link.limits.size)


# what is left behind


class LeavesTask(Sound):
    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        self.task = asyncio.ensure_future(asyncio.sleep(9e9))


class RaisesInCallback(Sound):
    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        asyncio.get_running_loop().call_soon(int, "no number")


class LeavesSocket(Sound):
    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


# what passes


class Stream(Sound):
    """Whatever waits is one packet."""

    async def receive(self) -> Packet:
        packet = await self.link.receive()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                while True:
                    more = await self.link.receive()
                    packet = dataclasses.replace(packet, data=packet.data + more.data)
        return packet


class OneWay(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return 1 if self.origin == FAR else await self.link.send(data, to=to)


class Echo(Sound):
    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        self.own: deque[Packet] = deque()

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        self.own.append(Packet(data))
        return await self.link.send(data, to=to)

    async def receive(self) -> Packet:
        return self.own.popleft() if self.own else await self.link.receive()


class StripsNul(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return await self.link.send(data.rstrip(b"\0"), to=to)


class StripsSpace(Sound):
    async def receive(self) -> Packet:
        packet = await self.link.receive()
        return dataclasses.replace(packet, data=packet.data.lstrip(b" "))


class LosesTheLargest(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return 1 if len(data) == self.limits.size else await self.link.send(data, to=to)


class SmallerToPeers(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        if to is not None and len(data) > self.limits.size - 12:
            raise PacketTooBig(len(data), self.limits.size - 12)
        return await self.link.send(data, to=to)


class SpellsPeersBadly(Sound):
    async def receive(self) -> Packet:
        packet = await self.link.receive()
        return dataclasses.replace(packet, peer=f"<{packet.peer}>")


class Truncates(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return await self.link.send(data[: self.limits.size], to=to)


class SendsAndRefuses(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        if len(data) > self.limits.size:
            await self.link.send(data[: self.limits.size])
        return await self.link.send(data, to=to)


class TruncatesToPeers(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return await self.link.send(data if to is None else data[: self.limits.size], to=to)


class ChokesOnDestinations(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        if to and " " in to:
            raise ValueError(f"{to} is no address")
        return await self.link.send(data, to=to)


class OneTicketForAll(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        await self.link.send(data, to=to)
        return 1


class OneSenderAtATime(Sound):
    busy = False

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        if self.busy:
            return 0
        self.busy = True
        try:
            await asyncio.sleep(0.01)
            return await self.link.send(data, to=to)
        finally:
            self.busy = False


# what is cancelled


class Shields(Sound):
    async def receive(self) -> Packet:
        return await asyncio.shield(self.link.receive())


class SendsAPart(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        try:
            await asyncio.sleep(0)
            return await self.link.send(data, to=to)
        except asyncio.CancelledError:
            await self.link.send(data[:10], to=to)
            raise


class StaysShutAfterCancel(Sound):
    """A lock that a cancelled sender takes with it."""

    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        self.lock = asyncio.Lock()

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        await self.lock.acquire()
        ticket = await self.link.send(data, to=to)
        self.lock.release()
        return ticket


# what ends


class ClosesSilently(Sound):
    async def aclose(self) -> None:
        pass


class ClosesOnce(Sound):
    closed = False

    async def aclose(self) -> None:
        assert not self.closed
        self.closed = True
        await self.link.aclose()


class ReportsForEver(Sound):
    async def reports(self) -> AsyncIterator[Report]:
        async for report in self.link.reports():
            yield report
        await asyncio.sleep(9e9)


class WaitsForRoom(Sound):
    """A queue of eight before the link, which nobody serves any more once it is closed."""

    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        self.room = asyncio.Semaphore(8)
        self.served: list[asyncio.TimerHandle] = []

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        await self.room.acquire()
        loop = asyncio.get_running_loop()
        self.served.append(loop.call_later(0.001, self.room.release))
        return await self.link.send(data, to=to)

    async def aclose(self) -> None:
        for timer in self.served:
            timer.cancel()
        await self.link.aclose()


class SendsIntoTheVoid(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        try:
            return await self.link.send(data, to=to)
        except LinkClosed:
            return 0


class SaysClosedWhenLost(Sound):
    async def receive(self) -> Packet:
        try:
            return await self.link.receive()
        except LinkLost as error:
            raise LinkClosed("closed") from error


class HangsWhenLost(Sound):
    async def receive(self) -> Packet:
        try:
            return await self.link.receive()
        except LinkLost:
            await asyncio.sleep(9e9)
            raise


class BreaksAsItMay(Sound):
    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        ticket = await self.link.send(data, to=to)
        if ticket > 1:
            raise BrokenPipeError("errno 32")
        return ticket


# what is confirmed


class InventsTickets(Sound):
    kind = "message"

    async def reports(self) -> AsyncIterator[Report]:
        async for _ in self.link.reports():
            yield Accepted(4711)


class AcceptsNothing(Sound):
    kind = "message"

    async def reports(self) -> AsyncIterator[Report]:
        async for report in self.link.reports():
            if not isinstance(report, Accepted):
                yield report


class AcceptsTwice(Sound):
    kind = "message"

    async def reports(self) -> AsyncIterator[Report]:
        async for report in self.link.reports():
            yield report
            yield report


class AcksOnce(Sound):
    async def receive(self) -> Packet:
        once = iter([None])
        return dataclasses.replace(await self.link.receive(), ack=lambda: next(once))


class AcksWhileOpen(Sound):
    closed = False

    def ack(self) -> None:
        if self.closed:
            raise LinkClosed("too late")

    async def receive(self) -> Packet:
        return dataclasses.replace(await self.link.receive(), ack=self.ack)

    async def aclose(self) -> None:
        self.closed = True
        await self.link.aclose()


class ForgetsAcks(Sound):
    kind = "folder"

    async def receive(self) -> Packet:
        return dataclasses.replace(await self.link.receive(), ack=lambda: None)


class AcksByItself(Sound):
    kind = "folder"

    async def receive(self) -> Packet:
        packet = await self.link.receive()
        packet.ack()
        return packet


# what lasts


class Blocks(Sound):
    async def receive(self) -> Packet:
        time.sleep(0.06)  # noqa: ASYNC251 - this is the fault
        return await self.link.receive()


class Hoards(Sound):
    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        self.hoard: list[Packet] = []

    async def receive(self) -> Packet:
        self.hoard.append(await self.link.receive())
        return self.hoard[-1]


class ReadsAhead(Sound):
    """A queue without a limit behind a bounded one."""

    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        self.queue: asyncio.Queue[Packet] = asyncio.Queue()
        self.task = asyncio.ensure_future(self.pump())

    async def pump(self) -> None:
        with suppress(LinkClosed):
            while True:
                self.queue.put_nowait(await self.link.receive())

    async def receive(self) -> Packet:
        return await self.queue.get()


class WritesLater(Sound):
    """A queue without a limit before the link."""

    def __init__(self, link: Link, context: LinkContext) -> None:
        super().__init__(link, context)
        self.tickets = 0
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.task = asyncio.ensure_future(self.pump())

    async def pump(self) -> None:
        with suppress(LinkClosed):
            while True:
                await asyncio.sleep(0.01)
                await self.link.send(await self.queue.get())

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        self.queue.put_nowait(data)
        self.tickets += 1
        return self.tickets

    async def aclose(self) -> None:
        self.task.cancel()
        await self.link.aclose()


# transports


class EmptyKey(Around):
    @property
    def key(self) -> str:
        return ""


class KeyOfTheMoment(Around):
    opened = 0

    @property
    def key(self) -> str:
        return f"mem:{self.opened}"

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        self.opened += 1
        async with super().open(context) as link:
            yield link


class WrapsErrors(Around):
    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        async with super().open(context) as link, asyncio.TaskGroup():
            yield link


class Swallows(Around):
    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        with suppress(Exception):
            async with super().open(context) as link:
                yield link


class Careless:
    """A context that closes only when all went well."""

    def __init__(self, inner: AbstractAsyncContextManager[Link]) -> None:
        self.inner = inner

    async def __aenter__(self) -> Link:
        return await self.inner.__aenter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            await self.inner.__aexit__(None, None, None)


class StaysOpenOnError(Around):
    def open(self, context: LinkContext, /) -> AbstractAsyncContextManager[Link]:  # type: ignore[override]
        return Careless(super().open(context))


class KeepsWhatACancelledOpeningTook(Around):
    taken = False

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        if self.taken:
            raise TransportUnavailable("somebody has it")
        self.taken = True
        await asyncio.sleep(0)  # looks something up
        try:
            async with super().open(context) as link:
                yield link
        finally:
            self.taken = False


class OpensOnce(Around):
    used = False

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        if self.used:
            raise TransportUnavailable("used up")
        self.used = True
        async with super().open(context) as link:
            yield link


class RaisesWhatItGets(Around):
    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        try:
            async with super().open(context) as link:
                yield link
        except TransportUnavailable as error:
            raise OSError("errno 2") from error


class TellsAStory(Around):
    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        try:
            async with super().open(context) as link:
                yield link
        except TransportUnavailable as error:
            raise TransportUnavailable(f"it all began\nwhen {error}") from error


MUTANTS: dict[str, list[Mutant]] = {
    "test_limits_make_sense": [
        Percent,
        NoRoom,
        SaysNothingComesBack,
        LeavesTask,
        RaisesInCallback,
        LeavesSocket,
    ],
    "test_airtime_grows_with_the_packet": [CheaperWhenLonger],
    "test_the_key_is_one_line_and_stays": [EmptyKey, KeyOfTheMoment],
    "test_packets_keep_their_edges": [Stream],
    "test_packets_pass_both_ways": [OneWay],
    "test_nobody_hears_himself": [Echo],
    "test_any_byte_passes_at_either_edge": [StripsNul, StripsSpace],
    "test_the_largest_packet_passes_to_everyone": [LosesTheLargest],
    "test_the_largest_packet_passes_to_a_peer": [SmallerToPeers],
    "test_a_peer_works_as_destination": [SpellsPeersBadly],
    "test_too_big_is_refused_and_nothing_is_sent": [Truncates, SendsAndRefuses],
    "test_too_big_for_a_peer_is_refused_and_nothing_is_sent": [TruncatesToPeers],
    "test_a_destination_that_nobody_has_ends_nothing": [ChokesOnDestinations],
    "test_senders_may_be_many": [OneTicketForAll, OneSenderAtATime],
    "test_cancelled_receive_loses_nothing": [Shields],
    "test_cancelled_send_is_whole_or_nothing": [SendsAPart, StaysShutAfterCancel],
    "test_a_cancelled_opening_leaves_nothing": [KeepsWhatACancelledOpeningTook],
    "test_closing_wakes_receive": [ClosesSilently],
    "test_closing_ends_every_send": [WaitsForRoom],
    "test_closing_ends_reports": [ReportsForEver, ClosesSilently],
    "test_use_after_close_is_told": [SendsIntoTheVoid, ClosesOnce, ClosesSilently],
    "test_an_error_inside_closes_and_passes": [WrapsErrors, Swallows, StaysOpenOnError],
    "test_a_transport_opens_again": [OpensOnce],
    "test_a_link_that_breaks_says_so": [SaysClosedWhenLost, HangsWhenLost, ReportsForEver],
    "test_the_other_end_stays_or_says_so": [BreaksAsItMay],
    "test_a_dead_address_is_told": [RaisesWhatItGets, TellsAStory],
    "test_reports_carry_tickets": [InventsTickets],
    "test_a_message_link_accepts_each_message_once": [AcceptsNothing, AcceptsTwice],
    "test_ack_may_be_called_twice": [AcksOnce],
    "test_ack_may_come_after_the_end": [AcksWhileOpen],
    "test_what_is_kept_comes_again_until_it_is_acked": [ForgetsAcks, AcksByItself],
    "test_the_loop_stays_free": [Blocks],
    "test_many_packets_leave_nothing_behind": [Hoards],
    "test_a_reader_who_does_not_read_is_bounded": [ReadsAhead, WritesLater],
}
"""For each check, the faults that it is there for."""

KINDS = {
    "test_a_message_link_accepts_each_message_once": "message",
    "test_what_is_kept_comes_again_until_it_is_acked": "folder",
}


def checks() -> set[str]:
    return {name for name in dir(TransportContract) if name.startswith("test_")}


@pytest.mark.parametrize(
    ("check", "mutant"),
    [(check, mutant) for check, mutants in MUTANTS.items() for mutant in mutants],
)
def test_a_check_catches_its_mutants(check: str, mutant: Mutant) -> None:
    broken = Broken(mutant)
    broken.stall = 0.05
    with pytest.raises(Exception):  # noqa: B017 - assertion, timeout, deadlock, the fault's own
        getattr(broken, check)()


@pytest.mark.parametrize("check", sorted(checks()))
def test_a_check_passes_what_is_sound(check: str) -> None:
    class Right(Sound):
        kind = KINDS.get(check, "datagram")

    getattr(Broken(Right), check)()


def test_every_check_has_a_mutant() -> None:
    assert set(MUTANTS) == checks()
