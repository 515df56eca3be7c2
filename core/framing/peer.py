"""The peer protocol: burst, need, confirm, poll. Sans-I/O, for one datagram link.

The law of this module: it decides what goes out and when, from frames, commits and ``now``; it
neither sends nor waits nor commits. ``sending`` has what becomes of our own messages, ``hearing``
what we say about others'; here they are one conversation.

A ``Conversation`` is driven like this: ``begin`` messages, ``hear`` frames, ``committed`` what
``hear`` returned as ``Arrived``; ``take(now)`` gives what is to be sent now, ``sent`` says that it
was handed to the link; ``next_deadline()`` says when to ``take`` again.
"""

from __future__ import annotations

from ..link import Address
from .agenda import MAX_CONTROLS, Agenda, What
from .assemble import Assembler
from .effects import Effect, Greeted, Met, Out
from .frame import Confirm, Frame, Hello, Need, Poll, Symbol, Verdict, Whole
from .hearing import Hearing
from .pace import Loss, Pace
from .sending import Sending
from .split import Splitter

__all__ = ["MAX_CONTROLS", "Conversation"]


class Conversation:
    """The peer protocol on one link.

    Args:
        link: the link's name, as the assembler knows it.
        origin: ours.
        pace: the link's timing.
        assembler: the node's.
        replies: False where nothing can come back.
        own: the number of our address on the link, if it has such numbers.
        carries: this node is a bridge, which takes on what is for others.
    """

    def __init__(
        self, link: str, origin: int, pace: Pace, assembler: Assembler, *, replies: bool = True,
        own: int | None = None, carries: bool = False,
    ) -> None:  # fmt: skip
        self.link = link
        self.origin = origin
        self.pace = pace
        self.assembler = assembler
        self.replies = replies
        self.own = own
        self._agenda = Agenda()
        self._sending = Sending(origin, pace, self._agenda, replies=replies)
        self._hearing = Hearing(
            link, origin, pace, self._agenda, assembler, replies=replies, carries=carries
        )

    @property
    def flights(self) -> int:
        """How many messages of ours are on their way and not confirmed."""
        return len(self._sending)

    @property
    def owes(self) -> bool:
        """Whether something is still to be said: a frame that waits, or a confirm."""
        return self._agenda.owes

    def flying(self, tag: int) -> bool:
        """Whether the message with this tag is on its way and not confirmed."""
        return self._sending.flying(tag)

    def silences(self, tag: int, now: float) -> int:
        """Return how often in a row nobody answered for a message, one that ends now included."""
        return self._sending.silences(tag, now)

    def falls_silent(self, now: float) -> bool:
        """Whether ``take`` will count a silence: what else waits may go before it asks again."""
        return self._sending.falls_silent(now)

    def next_index(self, tag: int) -> int | None:
        """Return the index that follows what was begun of a message; None if it is not flying."""
        return self._sending.next_index(tag)

    def loss(self, destination: int | None) -> Loss:
        """Return what is known of the loss towards an origin; None is everyone."""
        return self._sending.losses.of(destination)

    def plan(self, k: int, destination: int | None) -> int:
        """Return how many symbols of parity go up front with a message cut in ``k``."""
        return self._sending.plan(k, destination)

    # Sending

    def begin(
        self,
        splitter: Splitter,
        now: float,
        *,
        destination: int | None,
        to: Address | None = None,
        first: int = 0,
        extra: int | None = None,
    ) -> int:
        """Send a message; return the index that follows its burst.

        Args:
            splitter: makes its frames.
            now: seconds.
            destination: the origin it is for; None is everyone.
            to: that origin's address on this link, if it is known and wanted.
            first: the first index that was not sent before a restart; 0 is a new message.
            extra: symbols of parity; None plans them.
        """
        return self._sending.begin(splitter, destination, to, first, extra)

    def resume(
        self, splitter: Splitter, now: float, *, destination: int | None, to: Address | None,
        first: int,
    ) -> None:  # fmt: skip
        """Take up a message whose burst went out before a restart: begin with a poll."""
        self._sending.resume(splitter, destination, to, first)

    def abandon(self, tag: int) -> None:
        """Stop sending a message: it expired, or another link brought it there."""
        self._sending.abandon(tag)

    def hello(self, nonce: int, to: Address | None = None, asked: int | None = None) -> None:
        """Ask who is there; ``asked`` is the number of the address that alone is to answer."""
        self._agenda.say(Hello(nonce, self.origin, True, asked), to, nonce)

    def take(self, now: float) -> Out | None:
        """Return the next frame to be sent now, if there is one; ``sent`` must follow."""
        self._ring(now)
        while (out := self._agenda.take()) is not None:
            if not out.flight or out.tag in self._sending:
                return out
        return None

    def sent(self, out: Out, now: float) -> bool:
        """A frame was handed to the link. Returns whether it was the last one of a burst of ours.

        A radio sends it some time later; the timers reckon with that.
        """
        self.pace.handed(len(out.data), now)
        return out.flight and self._sending.sent(out.tag, now)

    # Hearing

    def effects(self) -> list[Effect]:
        """Return, once, what timers have brought about."""
        return self._agenda.effects()

    def hear(self, frame: Frame, peer: Address | None, now: float) -> list[Effect]:
        """Take a frame that the link received."""
        effects: list[Effect] = []
        match frame:
            case Whole() | Symbol():
                if frame.tag not in self._sending:  # else it is our own, relayed back to us
                    self._hearing.hear_data(frame, peer, now, effects)
            case _ if frame.speaker != self.origin:
                self._met(frame, peer, effects)
                self._hear_control(frame, peer, now, effects)
            case _:
                pass
        return effects

    def _met(
        self, frame: Need | Confirm | Poll | Hello, peer: Address | None, effects: list[Effect]
    ) -> None:
        if peer is not None and not frame.hops:
            effects.append(Met(frame.speaker, peer))
            self._sending.moved(frame.speaker, peer)

    def _hear_control(
        self,
        frame: Need | Confirm | Poll | Hello,
        peer: Address | None,
        now: float,
        effects: list[Effect],
    ) -> None:
        match frame:
            case Need():
                self._hearing.hear_need(frame, now)
                self._sending.hear_need(frame, now)
            case Confirm():
                self._hearing.hear_confirm(frame)
                self._sending.hear_confirm(frame, now, effects)
            case Poll():
                self._hearing.hear_poll(frame, peer, now, effects)
            case Hello():
                self._hear_hello(frame, peer, now)
                if not frame.question:
                    effects.append(Greeted(frame.nonce, frame.speaker))

    def _hear_hello(self, hello: Hello, peer: Address | None, now: float) -> None:
        if hello.question and hello.asked in (None, self.own):
            self._agenda.say(Hello(hello.nonce, self.origin, False), peer, hello.nonce)
        self._sending.hear_hello(hello, now)

    def committed(
        self, tag: int, verdict: Verdict, now: float, *, to_all: bool, peer: Address | None
    ) -> None:
        """The message with this tag is safe here: confirm it.

        Args:
            tag: its check.
            verdict: what we have done with it.
            now: seconds.
            to_all: it is for everyone, so one confirm of anybody's is enough.
            peer: whom to tell.
        """
        self._hearing.committed(tag, verdict, now, to_all=to_all, peer=peer)

    def answers_in(self, tag: int, now: float) -> float:
        """Return the seconds that a receipt waits of a message to everyone that a bridge brought.

        Others may say the same meanwhile; 0 where that costs nothing.
        """
        return self._hearing.answers_in(tag, now) if self.pace.dear else 0.0

    def lacking(self, poll: Poll, peer: Address | None, now: float) -> None:
        """We have nothing of what somebody polls for: ask for all of it."""
        self._hearing.lacking(poll, peer, now)

    # Time

    def next_deadline(self) -> float | None:
        """Return when ``take`` has something to give; minus infinity means now."""
        return self._agenda.next_deadline()

    def _ring(self, now: float) -> None:
        while (alarm := self._agenda.due(now)) is not None:
            match alarm:
                case What.SILENCE, tag:
                    self._sending.silence(tag, now)
                case What.ASK, tag:
                    self._hearing.asks(tag, now)
                case What.CONFIRM, tag:
                    self._hearing.confirms(tag)
                case What.LEND, tag:
                    self._hearing.lends(tag, now)
