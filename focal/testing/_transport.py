"""What holds for every link, as checks that a transport's tests inherit.

The law of this module: a check asks for what core relies on and for nothing else, and
``tests/testing/test_mutants.py`` has a broken link for each that it must catch.
"""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal, TypeAlias

from ..core.errors import LinkClosed, LinkLost, PacketTooBig, TransportUnavailable
from ..core.link import Accepted, Address, Heard, Link, LinkContext, Packet, Refused, Transport
from ..core.runtime import Runtime, real_runtime, virtual_runtime
from ._checks import cancelled, one_line, refuses, run_check, skip, step, traced, watch_loop
from ._links import (
    FAR,
    NEAR,
    World,
    context,
    envelope_of,
    gathered,
    heard_out,
    pass_on,
    received,
    send_all,
    verdict,
)

WorldCheck: TypeAlias = Callable[[World], Awaitable[None]]
LinkCheck: TypeAlias = Callable[[Link, Link], Awaitable[None]]


class TransportContract(ABC):
    """Subclass it, say what a pair is, and every method ``test_...`` is a check of your transport.

    ::

        class TestUdp(TransportContract):
            def pair(self) -> tuple[Transport, Transport]:
                near = UdpTransport("127.0.0.1", 47002, listen=47001)
                far = UdpTransport("127.0.0.1", 47001, listen=47002)
                return near, far
    """

    kind: Literal["datagram", "message"] = "datagram"
    """What the links say in their limits."""
    replies = True
    """False where nothing can come back over the links, and their limits say so."""
    virtual = False
    """True where everything waits through the runtime: then the checks run in virtual time."""
    patience = 20.0
    """Seconds that one check may take."""
    stall = 0.5
    """Seconds for which the event loop may be held up."""
    many = 1000
    """Packets that a link must carry without growing."""
    growth = 100_000
    """Bytes by which it may grow all the same."""
    flood = 10_000
    """Packets sent to a reader who does not read."""
    held = 8192
    """The most packets that may be waiting for such a reader in the end."""

    scratch: Path
    """A folder that is there for the time of one check."""

    @abstractmethod
    def pair(self) -> tuple[Transport, Transport]:
        """Return two transports, not open, that hear each other and lose nothing.

        The first, near, sends; the second, far, receives, and answers if replies can come back.
        """

    def around(self) -> AbstractAsyncContextManager[object]:
        """Return what has to run while a check does: a broker, a relay; called before ``pair``."""
        return nullcontext()

    def packet(self, n: int, seed: int, author: int = NEAR) -> bytes:
        """Return a packet of about ``n`` bytes, another one for each ``seed``.

        Frames have exactly ``n``; so have envelopes, from some 40 bytes up.
        """
        if self.kind == "message":
            return envelope_of(n, seed, author)
        return Random(f"{seed} {n} {author}").randbytes(n)

    def dead(self) -> Transport:
        """Return a transport whose opening must fail: no such host, port in use."""
        skip("this contract has no dead() transport")

    async def kill(self, link: Link) -> None:
        """Break an open link as the world would: unplug it, stop its broker."""
        skip("this contract has no kill(link)")

    # what is said before anything is sent

    def test_limits_make_sense(self) -> None:
        async def check(near: Link, far: Link) -> None:
            for limits in (near.limits, far.limits):
                assert limits.kind == self.kind, (
                    f"kind {limits.kind}, the contract says {self.kind}"
                )
                assert limits.replies == self.replies, (
                    f"replies {limits.replies}, the contract says {self.replies}"
                )
                assert 16 <= limits.mtu(None) <= limits.size, "an MTU is from 16 to size"
                assert 0 < limits.duty <= 1, "duty is a share, not a percentage"
                assert limits.slot >= 0, "slot is in seconds"
                shares = [share for share in (limits.used, limits.busy) if share is not None]
                assert all(0 <= share <= 1 for share in shares), "used and busy are shares"
                assert all(0 <= codec <= 255 for codec in limits.codecs or ()), "codec ids"

        self._run_links(check)

    def test_airtime_grows_with_the_packet(self) -> None:
        async def check(near: Link, far: Link) -> None:
            limits = near.limits
            costs = [limits.airtime(n, None) for n in range(1, min(limits.mtu(None), 512) + 1)]
            known = [cost for cost in costs if cost is not None]
            assert len(known) in (0, len(costs)), "airtime is known for all sizes, or for none"
            assert known == sorted(known), "a longer packet costs less"
            assert all(cost > 0 for cost in known), "a packet costs nothing"

        self._run_links(check)

    def test_the_key_is_one_line_and_stays(self) -> None:
        async def check(world: World) -> None:
            for transport, where in ((world.near, world.here), (world.far, world.there)):
                key = transport.key
                assert key and key.isprintable() and key == key.strip(), f"a key of {key!r}"
                async with transport.open(where):
                    assert transport.key == key, f"the key was {key!r}, and is {transport.key!r}"

        self._run_world(check)

    # what passes

    def test_packets_keep_their_edges(self) -> None:
        async def check(near: Link, far: Link) -> None:
            sizes = (40, 1, near.limits.mtu(None) // 2, 2, 100)
            sent = [self.packet(n, seed) for seed, n in enumerate(sizes, 1)]
            for data in sent:
                await near.send(data)
            assert sorted(await received(far, len(sent))) == sorted(sent), "other packets came"

        self._run_links(check)

    def test_packets_pass_both_ways(self) -> None:
        async def check(near: Link, far: Link) -> None:
            self._need_replies(near)
            await pass_on(near, far, self.packet(100, 1))
            await pass_on(far, near, self.packet(100, 2, FAR))
            await pass_on(near, far, self.packet(100, 3))

        self._run_links(check)

    def test_nobody_hears_himself(self) -> None:
        async def check(near: Link, far: Link) -> None:
            self._need_replies(near)
            await pass_on(near, far, self.packet(60, 1))
            await pass_on(far, near, self.packet(60, 2, FAR))  # the first that near receives

        self._run_links(check)

    def test_any_byte_passes_at_either_edge(self) -> None:
        async def check(near: Link, far: Link) -> None:
            for data in self._edges():
                await pass_on(near, far, data)

        self._run_links(check)

    def test_the_largest_packet_passes_to_everyone(self) -> None:
        async def check(near: Link, far: Link) -> None:
            await pass_on(near, far, self.packet(near.limits.mtu(None), 1))

        self._run_links(check)

    def test_the_largest_packet_passes_to_a_peer(self) -> None:
        async def check(near: Link, far: Link) -> None:
            peer = await self._learn_peer(near, far)
            await pass_on(far, near, self.packet(far.limits.mtu(peer), 2, FAR), to=peer)

        self._run_links(check)

    def test_a_peer_works_as_destination(self) -> None:
        async def check(near: Link, far: Link) -> None:
            peer = await self._learn_peer(near, far)
            await pass_on(far, near, self.packet(80, 2, FAR), to=peer)

        self._run_links(check)

    def test_too_big_is_refused_and_nothing_is_sent(self) -> None:
        async def check(near: Link, far: Link) -> None:
            await self._too_big(near, self.packet(near.limits.mtu(None) + 1, 1), None)
            await pass_on(near, far, self.packet(50, 2))  # the first that far receives

        self._run_links(check)

    def test_too_big_for_a_peer_is_refused_and_nothing_is_sent(self) -> None:
        async def check(near: Link, far: Link) -> None:
            peer = await self._learn_peer(near, far)
            await self._too_big(far, self.packet(far.limits.mtu(peer) + 1, 2, FAR), peer)
            await pass_on(far, near, self.packet(50, 3, FAR), to=peer)

        self._run_links(check)

    def test_a_destination_that_nobody_has_ends_nothing(self) -> None:
        async def check(near: Link, far: Link) -> None:
            ticket = await near.send(self.packet(50, 1), to="nobody, nowhere")
            last = self.packet(50, 2)
            assert await near.send(last) != ticket, "two packets have one ticket"
            while (await far.receive()).data != last:
                pass  # a link with one far end may well have brought the first one too

        self._run_links(check)

    def test_senders_may_be_many(self) -> None:
        async def check(near: Link, far: Link) -> None:
            sent = [self.packet(64, seed) for seed in range(1, 41)]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send_all(near, sent[n::5])) for n in range(5)]
                assert sorted(await received(far, len(sent))) == sorted(sent), "other packets came"
            tickets = [ticket for task in tasks for ticket in task.result()]
            assert len(set(tickets)) == len(sent), "two packets have one ticket"

        self._run_links(check)

    # what is cancelled

    def test_cancelled_receive_loses_nothing(self) -> None:
        async def check(near: Link, far: Link) -> None:
            for steps in range(12):
                data = self.packet(50, steps + 1)
                waiting = asyncio.ensure_future(far.receive())
                await asyncio.sleep(0)
                await near.send(data)
                await step(steps)
                waiting.cancel()
                (packet,) = await asyncio.gather(waiting, return_exceptions=True)
                if isinstance(packet, asyncio.CancelledError):
                    packet = await far.receive()
                assert isinstance(packet, Packet), f"receive raised {packet!r}"
                assert packet.data == data, "another packet came"

        self._run_links(check)

    def test_cancelled_send_is_whole_or_nothing(self) -> None:
        async def check(near: Link, far: Link) -> None:
            sent = [self.packet(90, seed) for seed in range(1, 13)]
            for steps, data in enumerate(sent):
                sending = asyncio.ensure_future(near.send(data))
                await step(steps)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            last = self.packet(90, 99)
            await near.send(last)
            while (packet := await far.receive()).data != last:
                assert packet.data in sent, "a part of a packet was sent"

        self._run_links(check)

    def test_a_cancelled_opening_leaves_nothing(self) -> None:
        async def use(transport: Transport, where: LinkContext) -> None:
            async with transport.open(where) as link:
                await link.receive()

        async def check(world: World) -> None:
            for steps in range(12):
                result = await cancelled(use(world.far, world.there), steps)
                assert isinstance(result, asyncio.CancelledError), f"it ended with {result!r}"
            async with world.far.open(world.there) as far, world.near.open(world.here) as near:
                await pass_on(near, far, self.packet(50, 1), ack=True)

        self._run_world(check)

    # what ends

    def test_closing_wakes_receive(self) -> None:
        async def check(near: Link, far: Link) -> None:
            waiting = asyncio.ensure_future(far.receive())
            await step(3)
            await far.aclose()
            await refuses(waiting, LinkClosed)

        self._run_links(check)

    def test_closing_ends_every_send(self) -> None:
        async def check(near: Link, far: Link) -> None:
            sent = [self.packet(200, seed) for seed in range(1, 41)]
            sending = [asyncio.ensure_future(near.send(data)) for data in sent]
            await step(3)
            await near.aclose()
            for ended in await asyncio.gather(*sending, return_exceptions=True):
                assert isinstance(ended, int | LinkClosed), f"a send ended with {ended!r}"

        self._run_links(check)

    def test_closing_ends_reports(self) -> None:
        async def check(near: Link, far: Link) -> None:
            waiting = asyncio.ensure_future(gathered(near))
            await near.send(self.packet(50, 1))
            await near.aclose()
            await waiting

        self._run_links(check)

    def test_use_after_close_is_told(self) -> None:
        async def check(near: Link, far: Link) -> None:
            await near.aclose()
            await near.aclose()
            await refuses(near.send(self.packet(50, 1)), LinkClosed)
            await refuses(near.receive(), LinkClosed)
            await refuses(near.receive(), LinkClosed)

        self._run_links(check)

    def test_an_error_inside_closes_and_passes(self) -> None:
        class Boom(Exception):
            pass

        async def check(world: World) -> None:
            links: list[Link] = []
            try:
                async with world.near.open(world.here) as link:
                    links.append(link)
                    raise Boom
            except Boom:  # suppress() would also take it out of a group
                await refuses(links[0].send(self.packet(50, 1)), LinkClosed)
            else:
                raise AssertionError("the error did not come out of open()")

        self._run_world(check)

    def test_a_transport_opens_again(self) -> None:
        async def check(world: World) -> None:
            for seed in (1, 2, 3):
                async with world.far.open(world.there) as far, world.near.open(world.here) as near:
                    await pass_on(near, far, self.packet(50, seed), ack=True)

        self._run_world(check)

    def test_a_link_that_breaks_says_so(self) -> None:
        async def check(near: Link, far: Link) -> None:
            waiting = asyncio.ensure_future(far.receive())
            reports = asyncio.ensure_future(gathered(far))
            await step(3)
            try:
                await self.kill(far)
                await refuses(waiting, LinkLost)
                await reports
                await refuses(far.send(self.packet(50, 1, FAR)), LinkLost)
                await refuses(far.receive(), LinkLost)
            finally:
                waiting.cancel()
                reports.cancel()
                await asyncio.gather(waiting, reports, return_exceptions=True)

        self._run_links(check)

    def test_the_other_end_stays_or_says_so(self) -> None:
        async def check(near: Link, far: Link) -> None:
            await pass_on(near, far, self.packet(50, 1), ack=True)
            await self.kill(far)
            for seed in range(2, 6):
                try:
                    await near.send(self.packet(50, seed))
                except LinkLost as error:
                    one_line(error)
                await self._runtime.sleep(0.01)

        self._run_links(check)

    def test_a_dead_address_is_told(self) -> None:
        async def check(world: World) -> None:
            try:
                async with self.dead().open(world.here):
                    raise AssertionError("it opened")
            except TransportUnavailable as error:
                one_line(error)

        self._run_world(check)

    # what is confirmed

    def test_reports_carry_tickets(self) -> None:
        async def check(near: Link, far: Link) -> None:
            watching = asyncio.ensure_future(gathered(near))
            tickets = [await near.send(self.packet(50, seed)) for seed in range(1, 6)]
            await received(far, len(tickets))
            await near.aclose()
            told = [r for r in await watching if isinstance(r, Accepted | Heard | Refused)]
            assert {report.ticket for report in told} <= set(tickets), "a ticket nobody has"

        self._run_links(check)

    def test_a_message_link_accepts_each_message_once(self) -> None:
        async def check(near: Link, far: Link) -> None:
            self._need_messages()
            reports = near.reports()
            tickets = [await near.send(self.packet(50, seed)) for seed in range(1, 6)]
            told = [await verdict(reports) for _ in tickets]
            accepted = [report.ticket for report in told if isinstance(report, Accepted)]
            assert sorted(accepted) == sorted(tickets), f"sent {tickets}, told {told}"

        self._run_links(check)

    def test_ack_may_be_called_twice(self) -> None:
        async def check(near: Link, far: Link) -> None:
            for seed in (1, 2):
                packet = await pass_on(near, far, self.packet(50, seed), ack=True)
                packet.ack()

        self._run_links(check)

    def test_ack_may_come_after_the_end(self) -> None:
        async def check(near: Link, far: Link) -> None:
            packet = await pass_on(near, far, self.packet(50, 1))
            await far.aclose()
            packet.ack()

        self._run_links(check)

    def test_what_is_kept_comes_again_until_it_is_acked(self) -> None:
        async def check(world: World) -> None:
            first, second, third = (self.packet(50, seed) for seed in (1, 2, 3))
            async with world.near.open(world.here) as near:
                if not near.limits.keeps:
                    skip("this link does not keep what it carries")
                await send_all(near, [first, second])
            async with world.far.open(world.there) as far:
                packets = {p.data: p for p in (await far.receive(), await far.receive())}
                packets[first].ack()
            for _ in range(2):
                async with world.far.open(world.there) as far:
                    again = await far.receive()
                    assert again.data == second, "what was acked came again"
            async with world.far.open(world.there) as far:
                (await far.receive()).ack()
            async with world.near.open(world.here) as near, world.far.open(world.there) as far:
                await pass_on(near, far, third)

        self._run_world(check)

    # what lasts

    def test_the_loop_stays_free(self) -> None:
        async def check(near: Link, far: Link) -> None:
            watching = asyncio.ensure_future(watch_loop(self._runtime.sleep, 40))
            for seed in range(1, 6):
                await pass_on(near, far, self.packet(50, seed))
            waiting = asyncio.ensure_future(far.receive())
            longest = await watching
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert longest < self.stall, f"the event loop stood still for {longest:.2f} s"

        self._run_links(check)

    def test_many_packets_leave_nothing_behind(self) -> None:
        async def check(near: Link, far: Link) -> None:
            size = min(near.limits.mtu(None), 4000)
            reading = asyncio.gather(heard_out(near), heard_out(far))
            await self._carry(near, far, size, range(1, 101))
            seen: list[int] = []
            for start in range(101, 101 + 3 * self.many, self.many):
                # What leaks does so every time; what others in this process do passes.
                with traced() as grown:
                    await self._carry(near, far, size, range(start, start + self.many))
                    seen.append(grown())
                if seen[-1] < self.growth:
                    break
            assert min(seen) < self.growth, f"{seen} bytes more, each after {self.many} packets"
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

        self._run_links(check)

    def test_a_reader_who_does_not_read_is_bounded(self) -> None:
        async def check(near: Link, far: Link) -> None:
            if self.kind == "message":
                skip("a message link may not drop what waits for its reader")
            for seed in range(self.flood):
                await near.send(self.packet(20, seed))
            await self._runtime.sleep(0.2)
            last, waiting = self.packet(30, 1), 0
            await near.send(last)
            while (await far.receive()).data != last:
                waiting += 1
            assert waiting <= self.held, f"{waiting} packets were waiting"

        self._run_links(check)

    # how checks are run

    _runtime: Runtime

    def _run_links(self, check: LinkCheck) -> None:
        """Run a check of two open links; close them after it."""

        async def opened(world: World) -> None:
            async with world.far.open(world.there) as far, world.near.open(world.here) as near:
                await check(near, far)

        self._run_world(opened)

    def _run_world(self, check: WorldCheck) -> None:
        """Run a check of two transports, and look after it."""
        with tempfile.TemporaryDirectory(prefix="focal-") as scratch, ThreadPoolExecutor(2) as pool:
            self.scratch = Path(scratch)
            self._runtime = virtual_runtime() if self.virtual else real_runtime(pool)
            run_check(partial(self._main, check), self.patience, virtual=self.virtual)

    async def _main(self, check: WorldCheck) -> None:
        async with self.around():
            near, far = self.pair()
            here = context(self._runtime, origin=NEAR, folder=self.scratch / "near")
            there = context(self._runtime, origin=FAR, folder=self.scratch / "far")
            await check(World(near, far, here, there))

    def _need_replies(self, link: Link) -> None:
        if not link.limits.replies:
            skip("nothing can come back over this link")

    def _need_messages(self) -> None:
        if self.kind != "message":
            skip("only message links confirm custody")

    async def _too_big(self, link: Link, data: bytes, to: Address | None) -> None:
        limit = link.limits.mtu(to)
        try:
            await link.send(data, to=to)
        except PacketTooBig as error:
            assert (error.size, error.limit) == (len(data), limit), f"it says {error}"
            return
        raise AssertionError(f"{len(data)} bytes were taken; the limit is {limit}")

    async def _learn_peer(self, near: Link, far: Link) -> Address:
        self._need_replies(near)
        packet = await pass_on(near, far, self.packet(60, 1))
        if packet.peer is None:
            skip("this link does not say who sent a packet")
        return packet.peer

    def _edges(self) -> Iterator[bytes]:
        if self.kind == "message":  # an envelope's own edges are msgpack's
            yield from (self.packet(100, seed) for seed in range(1, 33))
        else:
            inside = self.packet(30, 0)
            for byte in range(256):
                yield bytes((byte,)) + inside
                yield inside + bytes((byte,))

    async def _carry(self, near: Link, far: Link, size: int, seeds: range) -> None:
        for seed in seeds:
            await pass_on(near, far, self.packet(size, seed), ack=True)
