"""A session without a broker: the test says what the broker would, and sees what it would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from focal.core.link import LinkContext
from focal.testing import NEAR, context
from focal.transports.mqtt.link import MqttLink
from focal.transports.mqtt.past import Past
from focal.transports.mqtt.session import (
    Account,
    Acknowledged,
    Connected,
    Ended,
    Event,
    Filter,
    Granted,
    Note,
    Place,
)
from focal.transports.mqtt.topics import Room

PLACE = Place("broker.example", 1883)
ROOM = Room("lobby")
CONNECTED = Connected()


@dataclass
class ScriptedSession:
    """What a link does to a broker is written down; the broker answers as it is told to.

    Args:
        hear: the link's.
        broker: what it says of itself; None: it says nothing at all.
        codes: its answers to the subscriptions.
        greeting: its answer to what we say of ourselves.
    """

    hear: Callable[[Event], None]
    broker: Connected | Ended | None = CONNECTED
    codes: tuple[int, ...] = (1, 1, 0)
    greeting: int = 0
    dropped: int = 0
    filters: tuple[Filter, ...] = ()
    notes: list[Note] = field(default_factory=list[Note])
    acked: list[int] = field(default_factory=list[int])
    slowed: list[bool] = field(default_factory=list[bool])
    closed: bool = False

    def start(self) -> None:
        if self.broker is not None:
            self.hear(self.broker)

    def subscribe(self, filters: tuple[Filter, ...], /) -> None:
        self.filters = filters
        self.hear(Granted(self.codes))

    def publish(self, note: Note, /) -> int:
        self.notes.append(note)
        number = len(self.notes)
        if note.retain and note.qos:  # the link learns the number first
            told = Acknowledged(number, self.greeting)
            asyncio.get_running_loop().call_soon(self.hear, told)
        return number

    def ack(self, number: int, /) -> None:
        self.acked.append(number)

    def slow(self, on: bool, /) -> None:
        self.slowed.append(on)

    async def aclose(self) -> None:
        self.closed = True

    @property
    def messages(self) -> list[Note]:
        """What was published but for presence."""
        return [note for note in self.notes if not note.retain]

    def answer(self, number: int, code: int = 0, said: str = "") -> None:
        """Acknowledge the note of a number, counted from 1."""
        self.hear(Acknowledged(number, code, said))


async def opened(
    where: LinkContext | None = None,
    *,
    broker: Connected | Ended | None = CONNECTED,
    codes: tuple[int, ...] = (1, 1, 0),
    greeting: int = 0,
    presence: bool = True,
    past: Past | None = None,
    keep: int = 0,
    make: type[ScriptedSession] = ScriptedSession,
) -> tuple[MqttLink, ScriptedSession]:
    """Return an open link and its session; note 1 is what it said of itself, if it did."""
    account = Account(PLACE, "5", "focal0a0a0a0a00000000", keep=keep)
    link = MqttLink(ROOM, account, where or context(origin=NEAR), past, presence=presence)
    session = make(link.hear, broker, codes, greeting)
    await link.begin(session)
    return link, session
