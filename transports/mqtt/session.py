"""What a link knows of a connection to a broker, whichever library makes it.

The law of this module: values only. What a broker says crosses to the link as one of these, in the
order in which it was said, and `Ended` is the last.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Version: TypeAlias = Literal["5", "3.1.1"]

FAILED = 0x80
"""Reason codes from here up are refusals."""


class NotMqtt(Exception):
    """What came over a connection is not what the protocol has."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a broker listens.

    Args:
        host: its name or number, IPv6 without brackets.
        port: TCP.
        tls: whether it is spoken to by TLS.
    """

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Note:
    """Something to publish.

    Args:
        topic: where.
        payload: what.
        qos: 0, or 1 to hear that the broker has it.
        retain: the broker keeps it for who comes later.
        expiry: seconds after which nobody wants it, where the protocol can say so.
        content_type: what it is, likewise.
    """

    topic: str
    payload: bytes = field(repr=False)
    qos: Literal[0, 1] = 1
    retain: bool = False
    expiry: int | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """How a connection introduces itself.

    Args:
        place: the broker.
        version: the protocol.
        client: the client id, by which the broker knows the session again.
        user: the login's name, if it has one.
        password: of the login.
        tls: how the broker proves who it is, and perhaps we; None is no TLS.
        will: what the broker publishes when we are gone without a word.
        keep: seconds that the broker keeps the session while we are away.
        window: messages that may come before the first of them is acknowledged.
        size: the most bytes of a packet that comes.
    """

    place: Place
    version: Version
    client: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    will: Note | None = None
    keep: int = 0
    window: int = 65_535
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """What to subscribe to.

    Args:
        topics: a topic filter.
        qos: the most that is wanted.
        own: also what this connection publishes itself, where the protocol lets one choose.
    """

    topics: str
    qos: Literal[0, 1] = 1
    own: bool = False


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker took us.

    Args:
        resumed: it has our session from before.
        window: messages that it takes before it has acknowledged the first of them.
        size: the most bytes of a packet that it takes; None is any.
        qos: the highest that it knows.
        retains: whether it keeps retained messages.
    """

    resumed: bool = False
    window: int = 65_535
    size: int | None = None
    qos: int = 2
    retains: bool = True


@dataclass(frozen=True, slots=True)
class Granted:
    """The broker's answer to ``subscribe``: a reason code for each filter."""

    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker's answer to a note of QoS 1: its number, and a reason code with words of its own.

    The number is that which ``publish`` gave.
    """

    number: int
    code: int = 0
    said: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Something that somebody published.

    Args:
        topic: where; empty where it is no UTF-8.
        payload: what.
        number: what ``ack`` wants; 0 where there is nothing to acknowledge (QoS 0).
        retained: it was published before we came, and kept.
    """

    topic: str
    payload: bytes = field(repr=False)
    number: int = 0
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over, or never came about.

    Args:
        code: the broker's reason, where it gave one.
        said: what it said besides.
        error: what happened on our side.
        connected: whether it had taken us before.
    """

    code: int | None = None
    said: str = ""
    error: Exception | None = None
    connected: bool = False


Event: TypeAlias = Connected | Granted | Acknowledged | Arrived | Ended


class Session(Protocol):
    """A connection to a broker. Its events go to who made it, on the event loop."""

    @property
    def dropped(self) -> int:
        """What came by QoS 0 and was dropped, because the event loop did not keep up."""
        ...

    def start(self) -> None:
        """Connect; ``Connected`` or ``Ended`` will come."""
        ...

    def subscribe(self, filters: tuple[Filter, ...], /) -> None:
        """Ask for topics; ``Granted`` will come."""
        ...

    def publish(self, note: Note, /) -> int:
        """Publish something and return its number."""
        ...

    def ack(self, number: int, /) -> None:
        """Acknowledge what arrived: the broker need not bring it again."""
        ...

    def slow(self, on: bool, /) -> None:
        """Read more slowly, or as fast as it comes again: whoever reads from us is behind."""
        ...

    async def aclose(self) -> None:
        """Take leave and free everything. Again: nothing happens."""
        ...
