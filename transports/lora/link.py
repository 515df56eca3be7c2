"""The link over a radio: what of ``lora:`` is focal's, whatever the radio is.

The law of this module: it never parses what it carries, and nothing it sends asks to be
acknowledged. What the node says of itself is read anew for each packet.

Meshtastic encrypts whatever is for one node with that node's key, and has nothing else for it. So
bursts go to everyone on the channel. What is as small as a control frame goes to its one node where
it is known that both have each other's key: after a packet that it encrypted for us, or its answer
to our node information. That is cheaper than on the channel where the firmware signs, and nobody
else can read it. Such knowledge wears off, because nobody tells when it is out of date.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from random import Random, SystemRandom
from typing import Any, Literal, TypeAlias, cast

from ...core.errors import LinkClosed, LinkLost, PacketTooBig, TransportUnavailable
from ...core.link import Address, Heard, Limits, Packet, Refused, Report
from ...core.mailbox import Mailbox
from ...core.runtime import Runtime
from ...core.url import Options
from .plan import PRIVATE_APP, Air, max_payload
from .radio import (
    EVERYONE,
    FULL,
    Acquainted,
    Channel,
    Event,
    Info,
    Lost,
    Notice,
    Outgoing,
    Queued,
    Radio,
    Received,
    Routed,
    Trouble,
)

SMALL = 14
"""Bytes of the longest control frame: what is no longer may go to one node alone."""

HELD = 1024
"""Packets that wait for a reader; then the oldest go."""

REMEMBERED = 64
"""Packets of which the node may still say what became of them."""

TRUST = 3
"""How many packets in a row go to a node alone without any sign that it can read them."""

TRUSTED = 256
"""Nodes of which such a sign is remembered."""

ANSWER = 10.0
"""Seconds in which a node says whether it took a packet."""

LEARNING = 30.0
"""Seconds that an exchange of node information is given."""

REST = 600.0
"""Seconds after which a used-up duty cycle is worth another look, where the node does not say."""

SIGNS_FROM = (2, 8)
"""The firmware from which on what is for everyone is signed."""

Direct: TypeAlias = Literal["control", "all", "none"]
Busy: TypeAlias = Literal["wait", "ask", "send"]

_MINUTES = re.compile(r"(\d+) min")


@dataclass(frozen=True, slots=True)
class LoraOptions:
    """What may stand in the query of a LoRa link.

    Args:
        channel: number or name of the channel; without it the primary one, 0.
        hops: how many relays in a row may pass a packet on, 0 to 7; every one of them sends it
            again. 0 reaches those who hear the node itself.
        direct: what goes to one node alone, encrypted for it: control frames (``control``, where
            both have each other's key), everything that is for one node (``all``), or nothing
            (``none``).
        busy: what happens while others use the channel more than a quarter of the time: new
            messages wait (``wait``), or the user is asked (``ask``), or they go all the same
            (``send``) up to 40 %, where they always wait.
        reserve: share of the duty cycle that is left for others who use this node, 0 to 0.9.
    """

    channel: str | None = None
    hops: int = 0
    direct: Direct = "control"
    busy: Busy = "wait"
    reserve: float = 0.0

    @classmethod
    def read(cls, options: Options) -> LoraOptions:
        """Return what a URL's query says. Raises ValueError."""
        ways = ("control", "all", "none")
        return cls(
            options.text("channel", None),
            options.integer("hops", 0, least=0, most=7),
            cast("Direct", options.text("direct", "control", choices=ways)),
            cast("Busy", options.text("busy", "wait", choices=("wait", "ask", "send"))),
            options.number("reserve", 0.0, least=0, most=0.9),
        )


@dataclass(frozen=True, slots=True)
class LoraLimits(Limits):
    """Limits that follow from region, preset and keys.

    Args:
        air: what packets cost.
        signed: whether the firmware signs what is for everyone, wherever that fits.
        direct: what goes to one node alone.
        proven: the nodes that are known to read what is encrypted for them.
        spelling: gives the ``!1a2b3c4d`` of a node that is called so, else what it is given.
    """

    air: Air = field(kw_only=True)
    signed: bool = False
    direct: Direct = "none"
    proven: frozenset[Address] = frozenset()
    spelling: Callable[[Address], Address] = field(default=str, compare=False)

    def alone(self, n: int, to: Address | None) -> bool:
        """Tell whether a packet of ``n`` bytes goes to that node alone."""
        if to is None or self.direct == "none":
            return False
        return self.direct == "all" or (n <= SMALL and to in self.proven)

    def spelled(self, to: Address, /) -> Address:
        return self.spelling(to)

    def number(self, to: Address, /) -> int | None:
        return number_of(self.spelling(to))

    def mtu(self, to: Address | None, /) -> int:
        return max_payload(direct=self.alone(self.size, to))

    def airtime(self, n: int, to: Address | None, /) -> float | None:
        return self.air.airtime(n, direct=self.alone(n, to), signed=self.signed)


@dataclass(slots=True)
class _Fate:
    """What is remembered of a packet that was handed over."""

    ticket: int
    packet: Outgoing


class LoraLink:
    """An open link over a radio.

    Args:
        radio: open; the link closes it.
        options: which channel, and how.
        runtime: the node's.
        chance: where packet ids are drawn from.

    Raises:
        TransportUnavailable: the node has no region, or no such channel.
    """

    def __init__(
        self, radio: Radio, options: LoraOptions, runtime: Runtime, chance: Random | None = None
    ) -> None:
        self.radio = radio
        self.channel = usable_channel(radio.info, options.channel)
        self.ignored = 0  # packets of other applications and channels
        self._options = options
        self._runtime = runtime
        self._chance = chance or SystemRandom()
        self._inbox: Mailbox[Packet] = Mailbox(HELD)
        self._reports: Mailbox[Report] = Mailbox()
        self._tickets = 0
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._free: int | None = None  # places in the node's queue, as it last said
        self._most = 0  # places that it has
        self._waiting: int | None = None  # packets in it
        self._answers: OrderedDict[int, Queued] = OrderedDict()
        self._answered: bool | None = None  # whether it says what it took; None: not known yet
        self._fates: OrderedDict[int, _Fate] = OrderedDict()
        self._trust: OrderedDict[int, int] = OrderedDict()
        self._pause: tuple[float, float] = (0.0, 0.0)  # until when the node said to wait, and when
        self._introduced = -LEARNING
        self._tasks: set[asyncio.Task[None]] = set()
        radio.attach(self._hear)

    @property
    def limits(self) -> LoraLimits:
        info = self.radio.info
        limits = limits_of(info, self._options.direct, frozenset(map(address_of, self._trust)))
        return replace(
            limits,
            spelling=self._spelled,
            relays=float(self._options.hops),  # at the least: one for each
            waiting=self._waiting,
            agreed=self._options.busy == "send",
            asks=self._options.busy == "ask",
            reserve=self._options.reserve,
        )

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        self._inbox.check()
        most = self.limits.mtu(to)
        if len(data) > most:
            raise PacketTooBig(len(data), most)
        self._tickets += 1
        ticket = self._tickets
        await self._runtime.sleep(0)  # so that who floods does not starve who reads
        try:
            number = EVERYONE if to is None else self._number(to)
        except ValueError as error:
            self._reports.put(Refused(ticket, str(error)))
        else:
            async with self._turn:
                await self._hand_over(ticket, self._packet(data, number))
        return ticket

    async def receive(self) -> Packet:
        return await self._inbox.get()

    def reports(self) -> AsyncIterator[Report]:
        return aiter(self._reports)

    async def aclose(self) -> None:
        self._end(LinkClosed("this LoRa link is closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.radio.aclose()

    # out

    def _number(self, to: Address) -> int:
        """Return the number of a node that is called so. Raises ValueError."""
        number = number_of(to)
        if number is None:
            number = self._named(to)
        if number == self.radio.info.number:
            raise ValueError(f"{to} is this node itself")
        return number

    def _spelled(self, to: Address) -> Address:
        try:
            return address_of(self._number(to))
        except ValueError:  # nobody is called so; sending there says it
            return to

    def _named(self, name: str) -> int:
        there = [node for node in self.radio.nodes.values() if name in (node.name, node.short)]
        if len(there) == 1:
            return there[0].number
        if there:
            which = ", ".join(sorted(address_of(node.number) for node in there))
            raise ValueError(f"several nodes are called {name!r}: say which of {which}")
        raise ValueError(f"this node knows none called {name!r}: write it as !1a2b3c4d")

    def _packet(self, data: bytes, number: int) -> Outgoing:
        alone = self.limits.alone(len(data), None if number == EVERYONE else address_of(number))
        if alone:
            self._wear(number)
        return self._outgoing(data, number if alone else EVERYONE)

    def _outgoing(self, data: bytes, number: int) -> Outgoing:
        id = self._chance.randrange(1, 1 << 32)
        return Outgoing(data, id, number, self.channel.index, self._options.hops)

    async def _hand_over(self, ticket: int, packet: Outgoing) -> None:
        """Give a packet to the node until it takes or refuses it."""
        while True:
            await self._place()
            self._inbox.check()  # it may have been lost or closed meanwhile
            _keep(self._fates, packet.id, _Fate(ticket, packet), REMEMBERED)
            await self.radio.send(packet)
            answer = await self._answer(packet.id)
            if answer is None or answer.code == 0:
                return
            if answer.code != FULL or answer.free:
                self._refused(packet.id, answer.code, _QUEUE.get(answer.code))
                return
            # It is gone, and the node ignores an id that it has seen: the same again has another.
            del self._fates[packet.id]
            packet = self._outgoing(packet.payload, packet.to)

    async def _place(self) -> None:
        """Wait until the node's queue has a place, as far as it says."""
        if self._free == 0:
            seconds = 2 * self.radio.info.air.airtime(max_payload())
            await self._until(lambda: self._free != 0, max(1.0, seconds))
            self._free = None

    async def _answer(self, id: int) -> Queued | None:
        """Wait until the node says whether it took a packet; None: it is one that never says."""
        if self._answered is False:
            return self._answers.pop(id, None)
        if not await self._until(lambda: id in self._answers, ANSWER):
            if self._answered is None:
                self._answered = False  # an old firmware
                return None
            self._end(LinkLost(f"the node took a packet and has said nothing for {ANSWER:.0f} s"))
            self._inbox.check()
        self._answered = True
        return self._answers.pop(id)

    async def _until(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Wait for news after which it is so; False: that took too long."""
        try:
            async with asyncio.timeout(seconds):
                while not ready():
                    self._inbox.check()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    # what the radio tells

    def _hear(self, event: Event) -> None:
        match event:
            case Received():
                self._received(event)
            case Queued():
                self._free = event.free
                taken = int(bool(event.packet) and not event.code)
                self._most = max(self._most, event.free + taken)
                self._waiting = self._most - event.free
                if event.packet:
                    _keep(self._answers, event.packet, event, REMEMBERED)
                self._news.set()
            case Routed(id, 0, by):
                if (fate := self._fates.get(id)) is not None:
                    own = by == self.radio.info.number
                    self._reports.put(Heard(fate.ticket, None if own else address_of(by)))
            case Routed(id, trouble, _):
                self._refused(id, trouble)
            case Acquainted(sender):
                self._trusted(sender)
            case Notice(text):
                if (found := _MINUTES.search(text)) is not None:
                    self._pause = (60.0 * int(found[1]), self._runtime.now())
            case Lost(reason):
                self._end(LinkLost(reason))

    def _received(self, packet: Received) -> None:
        own = self.radio.info.number
        ours = packet.pki or packet.channel == self.channel.index
        if packet.port != PRIVATE_APP or not ours or packet.to not in (own, EVERYONE):
            self.ignored += 1
            return
        if packet.sender == own:
            return
        if packet.pki:
            self._trusted(packet.sender)
        peer = address_of(packet.sender)
        self._inbox.put(Packet(packet.payload, peer, packet.snr_db))

    def _refused(self, id: int, code: int, reason: str | None = None) -> None:
        """A packet did not go out: try another way, or say why."""
        fate = self._fates.pop(id, None)
        if fate is None:  # nothing of ours, or it was told already
            return
        if reason is not None:
            self._reports.put(Refused(fate.ticket, reason))
            return
        if code in _NO_KEY and fate.packet.to != EVERYONE:
            self._trust.pop(fate.packet.to, None)
            self._spawn(self._introduce())
            if self._options.direct == "control":
                self._spawn(self._on_channel(fate))
                return
        self._reports.put(Refused(fate.ticket, *self._why(code)))

    def _why(self, code: int) -> tuple[str, float | None]:
        if code == Trouble.DUTY_CYCLE_LIMIT:
            seconds, said_at = self._pause
            left = said_at + seconds - self._runtime.now()
            rest = left if left > 0 else REST
            return "the node has used up its duty cycle: it sends nothing more for now", rest
        return _REASONS.get(code) or (f"the node refused it: {_name(code)}", None)

    async def _on_channel(self, fate: _Fate) -> None:
        """Send to everyone what could not be encrypted for one."""
        async with self._turn:
            await self._hand_over(fate.ticket, self._outgoing(fate.packet.payload, EVERYONE))

    async def _introduce(self) -> None:
        now = self._runtime.now()
        if now >= self._introduced + LEARNING:
            self._introduced = now
            await self.radio.introduce()

    def _trusted(self, number: int) -> None:
        if self.radio.info.key:
            _keep(self._trust, number, TRUST, TRUSTED)

    def _wear(self, number: int) -> None:
        if (left := self._trust.get(number)) is not None:
            if left > 1:
                self._trust[number] = left - 1
            else:
                del self._trust[number]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._unless_lost(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _unless_lost(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (LinkLost, LinkClosed):  # whoever reads the link is told
            pass

    def _end(self, error: LinkLost | LinkClosed) -> None:
        self._inbox.fail(error)
        self._reports.fail(error)
        self._news.set()  # who waits to send finds the end


def limits_of(
    info: Info, direct: Direct = "none", proven: frozenset[Address] = frozenset()
) -> LoraLimits:
    """Return what a node carries now."""
    region = info.air.region
    return LoraLimits(
        "datagram",
        max_payload(),
        duty=region.duty,
        slot=info.air.slot,
        radio=f"meshtastic {address_of(info.number)} {region.low:g}-{region.high:g}",
        used=info.used,
        busy=info.busy,
        told=info.told,
        shared=True,
        own=info.number,
        air=info.air,
        signed=signs(info.firmware),
        direct=direct if info.key else "none",
        proven=proven,
    )


def usable_channel(info: Info, wanted: str | None) -> Channel:
    """Return the channel to use, named by number or name.

    Raises:
        TransportUnavailable: the node has no region, or no such channel.
    """
    who = address_of(info.number)
    if info.air.region.name == "UNSET":
        raise TransportUnavailable(
            f"node {who} has no region set, so it neither sends nor hears: set the region of the "
            "country that you are in, in the app or with meshtastic --set lora.region EU_868"
        )
    for channel in info.channels:
        if wanted in (str(channel.index), channel.name or None) or (
            wanted is None and channel.index == 0
        ):
            return channel
    there = ", ".join(f"{each.index} {each.name}".strip() for each in info.channels)
    raise TransportUnavailable(f"node {who} has no channel {wanted or 0}: it has {there or 'none'}")


def address_of(number: int) -> Address:
    """Write a node's number as Meshtastic does: ``!1a2b3c4d``."""
    return f"!{number:08x}"


def number_of(text: str) -> int | None:
    """Read what ``address_of`` writes; None: it is something else."""
    return int(text[1:], 16) if re.fullmatch(r"![0-9a-fA-F]{8}", text) else None


def signs(firmware: str) -> bool:
    """Tell whether a firmware signs what is for everyone; one that is not known, may."""
    found = re.match(r"(\d+)\.(\d+)", firmware)
    return found is None or (int(found[1]), int(found[2])) >= SIGNS_FROM


def _keep(table: OrderedDict[int, Any], key: int, value: Any, limit: int) -> None:
    """Remember something as the newest of at most ``limit``."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > limit:
        table.popitem(last=False)


def _name(code: int) -> str:
    try:
        return Trouble(code).name
    except ValueError:  # a newer firmware's
        return f"error {code}"


_NO_KEY = (Trouble.PKI_FAILED, Trouble.PKI_UNKNOWN_PUBKEY, Trouble.PKI_SEND_FAIL_PUBLIC_KEY)

_QUEUE = {
    33: "the node has no working radio: restart it",
    34: "the node's transmitter is switched off (lora.tx_enabled)",
}
"""What a node answers when it is given a packet; of what it reports later, the numbers mean others.
"""

_REASONS: dict[int, tuple[str, float | None]] = {
    Trouble.NO_INTERFACE: ("the node has no working radio: restart it", None),
    Trouble.NO_CHANNEL: ("the node has no such channel any more: open the link again", None),
    Trouble.TOO_LARGE: ("the node says that it is too large to send", None),
    Trouble.RATE_LIMIT_EXCEEDED: ("the node wants fewer packets in so short a time", 5.0),
    Trouble.PKI_FAILED: ("the node could not encrypt it for that node", LEARNING),
    Trouble.PKI_UNKNOWN_PUBKEY: (
        "that node does not know our key yet: node information is being exchanged",
        LEARNING,
    ),
    Trouble.PKI_SEND_FAIL_PUBLIC_KEY: (
        "our node does not know that node's key yet: node information is being exchanged",
        LEARNING,
    ),
}
