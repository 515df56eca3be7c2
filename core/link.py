"""The link seam: what every transport, built in or from outside, gives to the core.

Two kinds of link. A *datagram* link (LoRa, UDP, ``mem:``, QR) carries frames of at most
``limits.mtu(to)`` bytes and may lose, repeat and reorder them; core frames, codes, repairs and
confirms, and the transport never parses what it carries. A *message* link (MQTT, WebSocket,
``file:``) carries whole messages in an envelope and confirms custody itself.

Values cross this seam, never dicts; nothing here opens, waits or decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable
from urllib.parse import SplitResult

from .runtime import Runtime

Address: TypeAlias = str
"""Where a packet came from or goes to, as the link spells it (``!1a2b3c4d``, ``host:port``)."""


def nothing() -> None:
    """Do nothing: the ``ack`` of a link that has nothing to confirm."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a link can carry now; read before each message, because radios change.

    Subclass it and override ``mtu`` and ``airtime`` where they depend on the destination,
    ``spelled`` where an address has several spellings, and ``number`` where others hear what is for
    one address.

    Args:
        kind: whether it carries frames or whole messages in envelopes.
        size: the most bytes of one packet.
        duty: share of the time we may send, above 0 and at most 1.
        replies: False where nothing can come back; then a fixed redundancy is sent.
        keeps: True where what it carries is kept and does not expire (``file:``, ``qr:``).
        codecs: the codec ids that the far side takes now (a locked room); None is any.
        slot: contention slot in seconds; 0 where the medium is not shared.
        radio: the airtime ledger's key, node number and sub-band; None where there is no ledger.
        used: share of the last hour that the radio itself counts as sent (airUtilTx), 0 to 1.
        busy: channel utilisation in the last minute, ours included, 0 to 1.
        told: when the radio last said ``used`` and ``busy``, on the runtime's clock; None: not
            known.
        reserve: share of the duty that is left for others who use this radio, 0 to 1.
        relays: how often others are expected to send again what we send; it counts as use of the
            channel.
        agreed: the user wants to send on a channel that others use above a quarter of the time.
        asks: the user is to be asked whether they do.
        waiting: packets that the radio took and has not sent yet, as it last told; None: it does
            not tell.
        shared: True where a packet to nobody in particular reaches everyone in hearing, replies
            included (a radio channel); False where it reaches one configured far end.
        own: the ``number`` of the link's own address; None where there are none.
    """

    kind: Literal["datagram", "message"]
    size: int
    duty: float = 1.0
    replies: bool = True
    keeps: bool = False
    codecs: frozenset[int] | None = None
    slot: float = 0.0
    radio: str | None = None
    used: float | None = None
    busy: float | None = None
    shared: bool = False
    reserve: float = 0.0
    relays: float = 0.0
    agreed: bool = False
    waiting: int | None = None
    own: int | None = None
    told: float | None = None
    asks: bool = False

    @property
    def dear(self) -> bool:
        """Whether packets cost airtime that others miss."""
        return self.airtime(self.size, None) is not None

    def mtu(self, to: Address | None, /) -> int:
        """Return the most bytes of one packet to ``to``; None is everyone."""
        return self.size

    def spelled(self, to: Address, /) -> Address:
        """Return an address as packets from there have it, whatever a user calls it."""
        return to

    def number(self, to: Address, /) -> int | None:
        """Return the 32 bits by which a question says that it asks ``to``, and nobody else.

        None where it need not say so, because what is for one address reaches nobody else.
        """
        return None

    def airtime(self, n: int, to: Address | None, /) -> float | None:
        """Return the seconds that a packet of ``n`` bytes holds the channel; None: no such cost."""
        return None


@dataclass(frozen=True, slots=True)
class Packet:
    """What a link received.

    Args:
        data: a frame on datagram links, an envelope on message links.
        peer: who sent it, as this link spells it.
        snr_db: signal to noise ratio in dB, from links that measure it.
        at: when the link says that it was sent, Unix seconds.
        replayed: it comes from history: kept, not played by itself.
        ack: called once what was received is safe in the spool.
        skip: called instead where nothing of it is kept, because it is no message or not for this
            node: it need not come again.
    """

    data: bytes
    peer: Address | None = None
    snr_db: float | None = None
    at: float | None = None
    replayed: bool = False
    ack: Callable[[], None] = nothing
    skip: Callable[[], None] = nothing


@dataclass(frozen=True, slots=True)
class Accepted:
    """The far end of a message link has what ``send`` gave it (a broker's PUBACK, a rename)."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Somebody was overheard relaying it; only from links that report such a thing."""

    ticket: int
    by: Address | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """It did not go out, and why; ``retry_after`` in seconds, None if trying again is no use."""

    ticket: int
    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Members:
    """Who is there now, display names as the link knows them."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forgot:
    """The far end may have lost what it had accepted: it does not know us from before."""


@dataclass(frozen=True, slots=True)
class Up:
    """The link carries again."""


@dataclass(frozen=True, slots=True)
class Down:
    """The link carries nothing for the moment but is not lost; it mends itself."""

    reason: str


Report: TypeAlias = Accepted | Heard | Refused | Members | Forgot | Up | Down


class Link(Protocol):
    """An open way to exchange packets; a datagram link may lose, repeat and reorder them."""

    @property
    def limits(self) -> Limits:
        """What it carries now."""
        ...

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        """Hand a packet over and return its ticket, the number that reports about it carry.

        Waits while the link is busy (back-pressure). Cancelling sends it wholly or not at all.

        Raises:
            PacketTooBig: more than ``limits.mtu(to)`` bytes; nothing was sent.
            LinkLost: the link broke.
            LinkClosed: after ``aclose``.
        """
        ...

    async def receive(self) -> Packet:
        """Return the next packet. A cancelled call loses none.

        Raises:
            LinkLost: the link broke, also while waiting.
            LinkClosed: after ``aclose``, also while waiting.
        """
        ...

    def reports(self) -> AsyncIterator[Report]:
        """Yield what the link learns; ends when the link is closed or lost. Called once."""
        ...

    async def aclose(self) -> None:
        """Close it and free everything, even on failure. Again: nothing happens."""
        ...


@dataclass(frozen=True, slots=True)
class LinkContext:
    """What a transport is told about the node that opens it.

    Args:
        origin: the node's origin, 32 bits.
        name: its display name, if it has one.
        folder: a private folder in the home for this transport; made on first use by it.
        runtime: time and blocking work.
    """

    origin: int
    name: str | None
    folder: Path
    runtime: Runtime


class Transport(Protocol):
    """Settings of a link, no connection: cheap to make, reusable, nothing open."""

    @property
    def key(self) -> str:
        """The canonical name of what it holds: device, broker and room, not the URL's spelling."""
        ...

    def open(self, context: LinkContext, /) -> AbstractAsyncContextManager[Link]:
        """Open the link for the time of the context.

        Raises:
            TransportUnavailable: on entering: no such device, port in use, host unknown.
        """
        ...


@runtime_checkable
class Spelling(Protocol):
    """A transport that knows some addresses to be none by their spelling alone.

    It need not: what it cannot tell, the open link refuses.
    """

    def misspelled(self, to: Address, /) -> str | None:
        """Say in one line that nothing can be called so and how it is written; None: may be."""
        ...


@dataclass(frozen=True, slots=True)
class TransportSpec:
    """What is known of a transport before a URL names it.

    Args:
        scheme: ``mqtt`` in ``mqtt://broker/room``.
        summary: one line for lists.
        from_url: gives the settings; its ValueError says how such a URL is written.
        default: the URL that the bare scheme stands for, or None where there is no good one.
        settings: a dataclass whose fields are the options in such a URL's query, but for ``host``,
            ``port`` and ``path``, which have their own place in it. Its docstring explains them
            under ``Args:``; ``focal plugins show`` prints them.
        limits: those of an ordinary link of this kind, for lists; None where only an open link
            knows.
    """

    scheme: str
    summary: str
    from_url: Callable[[SplitResult], Transport]
    default: str | None = None
    settings: type | None = None
    limits: Limits | None = None
