"""The seam between a LoRa link and its radio: a Meshtastic node by cable, TCP or BLE, or simulated.

The law of this module: values and one protocol. What is focal's (limits, addresses, tickets, what
goes to whom and how) is in ``link``; what is the library's or the simulator's stays behind `Radio`.
Numbers of nodes and packets are 32 bits, shares are 0 to 1, times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeAlias

from .plan import Air

EVERYONE = 0xFFFFFFFF
"""The number that is everybody's on a channel."""

FULL = 32
"""What a node answers when its queue has no place: the packet is gone, and nothing else tells."""


class Trouble(IntEnum):
    """What a node says of a packet that did not go out or did not arrive: ``Routing.Error``."""

    NONE = 0
    NO_ROUTE = 1
    GOT_NAK = 2
    TIMEOUT = 3
    NO_INTERFACE = 4
    MAX_RETRANSMIT = 5
    NO_CHANNEL = 6
    TOO_LARGE = 7
    NO_RESPONSE = 8
    DUTY_CYCLE_LIMIT = 9
    BAD_REQUEST = 32
    NOT_AUTHORIZED = 33
    PKI_FAILED = 34
    PKI_UNKNOWN_PUBKEY = 35
    RATE_LIMIT_EXCEEDED = 38
    PKI_SEND_FAIL_PUBLIC_KEY = 39


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that the node has.

    Args:
        index: 0 to 7; 0 is the primary one.
        name: as it is set; empty means the preset's own.
        key: bytes of its key: 0 none, 1 a published one, 16 or 32 a secret.
    """

    index: int
    name: str = ""
    key: int = 1


@dataclass(frozen=True, slots=True)
class Known:
    """What the node knows of another one.

    Args:
        number: its number.
        name: its long name.
        short: its short name.
        key: whether the node has its public key, and so can encrypt for it alone.
    """

    number: int
    name: str = ""
    short: str = ""
    key: bool = False


@dataclass(frozen=True, slots=True)
class Info:
    """What a node says of itself now.

    Args:
        number: its number.
        air: its region and modem, and so what packets cost.
        channels: those that are on.
        key: whether it has a key pair; then whatever goes to one node is encrypted for it alone.
        firmware: ``2.7.15.567b8ea``; empty: it did not say.
        name: its long name.
        short: its short name.
        hop_limit: how many relays it asks for where nothing else is said.
        transmits: False where its transmitter is switched off.
        used: share of the last hour that it has sent (airUtilTx); None: it has not said yet.
        busy: share of the time that its channel is used; None: it has not said yet.
        told: when it said so, on the runtime's clock; None: at some time before it was opened.
        battery: 0 to 100; above: on external power; None: it has not said.
    """

    number: int
    air: Air
    channels: tuple[Channel, ...] = (Channel(0),)
    key: bool = False
    firmware: str = ""
    name: str = ""
    short: str = ""
    hop_limit: int = 3
    transmits: bool = True
    used: float | None = None
    busy: float | None = None
    told: float | None = None
    battery: int | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A packet for the node to send; it is never to be acknowledged (``want_ack``).

    Args:
        payload: at most 231 bytes, to one node 219.
        to: a node's number; `EVERYONE` for all on the channel.
        channel: index of the channel.
        hops: how many relays may pass it on, 0 to 7.
        id: the packet's, another one for each, and not 0.
    """

    payload: bytes = field(repr=False)
    id: int
    to: int = EVERYONE
    channel: int = 0
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """A packet has come in, of any channel and port.

    Args:
        payload: its bytes.
        sender: the number of the node that it is from.
        to: whom it is for, a node or `EVERYONE`.
        channel: index of the channel; 0 where ``pki``.
        port: the application's number.
        pki: it was encrypted for us alone, so its sender knows our key, and we know its.
        snr_db: signal to noise ratio in dB.
    """

    payload: bytes = field(repr=False)
    sender: int
    to: int = EVERYONE
    channel: int = 0
    port: int = 256
    pki: bool = False
    snr_db: float | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """The node answers a packet that it was given, or says that its queue has places again.

    Args:
        packet: the packet's id; 0: it is about none in particular.
        code: 0: it waits to be sent; `FULL` with ``free`` 0: it was dropped; 33: the node has no
            radio; 34: its transmitter is off; else a `Trouble`.
        free: places in the queue.
    """

    packet: int
    code: int
    free: int


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of a packet of ours.

    Args:
        packet: its id.
        trouble: a `Trouble`, or a number that is none yet; 0: somebody has it.
        by: the node that says so; our own number: our node refused it, or overheard a relay.
    """

    packet: int
    trouble: int
    by: int


@dataclass(frozen=True, slots=True)
class Acquainted:
    """Another node has answered our node information: each now has the other's key."""

    sender: int


@dataclass(frozen=True, slots=True)
class Notice:
    """The node has a word for people (``Duty cycle limit exceeded...``)."""

    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The node is gone: unplugged, restarted, taken. Nothing comes after this."""

    reason: str


Event: TypeAlias = Received | Queued | Routed | Acquainted | Notice | Lost
Hear: TypeAlias = Callable[[Event], None]


class Radio(Protocol):
    """A node that is open and has told its configuration."""

    @property
    def info(self) -> Info:
        """What it says of itself now."""
        ...

    @property
    def nodes(self) -> Mapping[int, Known]:
        """What it knows of others, by their numbers; its own is not among them."""
        ...

    def attach(self, hear: Hear, /) -> None:
        """Give all events to ``hear``, what came before included.

        It is called on the event loop, for one event after the other. Called once.
        """
        ...

    async def send(self, packet: Outgoing, /) -> None:
        """Hand a packet to the node; `Queued` says whether it took it, possibly before this ends.

        Called for one packet at a time. Cancelling hands it over wholly or not at all.

        Raises:
            LinkLost: the node is gone.
            LinkClosed: after ``aclose``.
        """
        ...

    async def introduce(self) -> None:
        """Have the node tell who it is, its key included, and ask others for the same.

        Raises:
            LinkLost: the node is gone.
            LinkClosed: after ``aclose``.
        """
        ...

    async def aclose(self) -> None:
        """Let go of it. Again: nothing happens."""
        ...
