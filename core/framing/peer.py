"""The peer protocol: burst, need, confirm, poll. Sans-I/O, for one datagram link.

The law of this module: it decides what goes out and when, from frames, commits and ``now``; it
neither sends nor waits nor commits. ``docs/wire.md`` (Peer protocol) is the specification.

A sender sends its burst and waits. A receiver that misses symbols asks once for as many as it
needs (need); one that has the message safely says so (confirm). A sender that hears nothing polls:
with a fresh symbol when that is more likely needed, with a bare frame when not. Every frame of
ours may be lost; only the confirm, which follows the receiver's commit, ends it.

A ``Conversation`` is driven like this: ``begin`` messages, ``hear`` frames, ``committed`` what
``hear`` returned as ``Arrived``; ``take(now)`` gives what is to be sent now, ``sent`` says that it
went; ``next_deadline()`` says when to ``take`` again.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from itertools import count

from ..link import Address
from ..message import check_of
from .assemble import Assembler, Via
from .effects import Arrived, Asked, Confirmed, Effect, GaveUp, Greeted, Met, Out
from .fec import MAX_SYMBOLS
from .frame import (
    SYMBOL_HEAD,
    Confirm,
    Frame,
    Hello,
    Need,
    Poll,
    Symbol,
    Verdict,
    Whole,
    pack,
)
from .pace import Loss, Pace, answer_to, parity_to_all, parity_to_peer
from .split import SYMBOL_SIZE, Splitter, chance

EVERYONE = 0
"""The destination in a poll that is for whoever has it."""

POLL_WITH_SYMBOL = 0.25
"""A symbol polls instead of a bare frame when it is more likely needed than this."""

MOVED_AFTER = 3
"""Silences after which the far end may have another address: then everyone is polled."""

MAX_REPAIRABLE = 32
"""Confirmed messages to everyone that are still repaired when somebody else asks."""

MAX_PEERS = 1024
"""Origins towards which loss is remembered."""

MAX_ASKS = 4
"""How often a listener asks by itself for what is for everyone; its sender may poll no more."""

MAX_CONTROLS = 64
"""Answers and questions that wait to be sent; what comes on top is not said."""

MAX_ASKED = 4096
"""Tags whose receiving is followed at once; the oldest is forgotten first."""


@dataclass(slots=True)
class _Flight:
    """A message of ours on its way."""

    splitter: Splitter
    destination: int | None
    to: Address | None
    next_index: int
    began: float
    total: int = 0
    silences: int = 0
    pending: int = 0
    deadline: float | None = None
    handed: float | None = None
    polled: bool = False
    told: bool = False
    confirmed: bool = False

    def fresh(self, number: int) -> list[int]:
        """Return the next ``number`` indices; after the last one it starts from 0 again."""
        indices = [(self.next_index + i) % MAX_SYMBOLS for i in range(number)]
        self.next_index = (self.next_index + number) % MAX_SYMBOLS
        self.total += number
        return indices


@dataclass(slots=True)
class _Listening:
    """A message of somebody's on its way to us."""

    peer: Address | None
    last: float
    ask_at: float | None = None
    confirm_at: float | None = None
    confirm_to: Address | None = None
    verdict: Verdict | None = None
    to_all: bool = False
    heard_confirm: bool = False
    asks: int = 0
    missed: int = 0


class Conversation:
    """The peer protocol on one link.

    Args:
        link: the link's name, as the assembler knows it.
        origin: ours.
        pace: the link's timing.
        assembler: the node's.
        replies: False where nothing can come back.
    """

    def __init__(
        self, link: str, origin: int, pace: Pace, assembler: Assembler, *, replies: bool = True
    ) -> None:
        self.link = link
        self.origin = origin
        self.pace = pace
        self.assembler = assembler
        self.replies = replies
        self._flights: dict[int, _Flight] = {}
        self._listening: dict[int, _Listening] = {}
        self._loss: dict[int | None, Loss] = {}
        self._outs: list[tuple[int, int, Out]] = []
        self._order = count()
        self._controls = 0
        self._effects: list[Effect] = []
        self._timers: list[tuple[float, int]] = []

    # Sending

    @property
    def flights(self) -> int:
        """How many messages of ours are on their way and not confirmed."""
        return sum(not flight.confirmed for flight in self._flights.values())

    @property
    def owes(self) -> bool:
        """Whether something is still to be said: a frame that waits, or a confirm."""
        return bool(self._outs) or any(s.confirm_at is not None for s in self._listening.values())

    def flying(self, tag: int) -> bool:
        """Whether the message with this tag is on its way and not confirmed."""
        return tag in self._flights and not self._flights[tag].confirmed

    def next_index(self, tag: int) -> int | None:
        """Return the index that follows what was begun of a message; None if it is not flying."""
        flight = self._flights.get(tag)
        return flight.next_index if flight else None

    def loss(self, destination: int | None) -> Loss:
        """Return what is known of the loss towards an origin; None is everyone."""
        if destination not in self._loss:
            if len(self._loss) >= MAX_PEERS:
                del self._loss[next(iter(self._loss))]
            self._loss[destination] = Loss(self.pace.assumed_loss)
        return self._loss[destination]

    def plan(self, k: int, destination: int | None) -> int:
        """Return how many symbols of parity go up front with a message cut in ``k``."""
        share = self.loss(destination).share
        if destination is not None:
            return parity_to_peer(k, share)
        return parity_to_all(max(share, self.pace.assumed_loss))  # the first to confirm was lucky

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
        flight = _Flight(splitter, destination, to, first, now)
        self._flights[check_of(splitter.message)] = flight
        parity = self.plan(splitter.cut.k, destination) if extra is None else extra
        self._burst(flight, splitter.cut.k + parity)
        return flight.next_index

    def resume(
        self, splitter: Splitter, now: float, *, destination: int | None, to: Address | None,
        first: int,
    ) -> None:  # fmt: skip
        """Take up a message whose burst went out before a restart: begin with a poll."""
        flight = _Flight(splitter, destination, to, first, now, total=first, polled=True, told=True)
        self._flights[check_of(splitter.message)] = flight
        self._poll(flight)

    def abandon(self, tag: int) -> None:
        """Stop sending a message: it expired, or another link brought it there."""
        self._flights.pop(tag, None)

    def hello(self, nonce: int, to: Address | None = None) -> None:
        """Ask who is there."""
        self._control(Hello(nonce, self.origin, True), to, nonce)

    def _burst(self, flight: _Flight, number: int) -> None:
        indices = flight.fresh(number)
        frames = flight.splitter.frames(indices)
        flight.deadline = None
        flight.pending += len(frames)
        tag = check_of(flight.splitter.message)
        for data in frames:
            self._push(Out(data, flight.to, tag, control=False, flight=True))

    def _poll(self, flight: _Flight) -> None:
        tag = check_of(flight.splitter.message)
        destination = EVERYONE if flight.destination is None else flight.destination
        flight.deadline = None
        flight.pending += 1
        poll = pack(Poll(tag, self.origin, destination))
        self._push(Out(poll, flight.to, tag, control=True, flight=True))

    def _push(self, out: Out) -> None:
        heapq.heappush(self._outs, (0 if out.control else 1, next(self._order), out))

    def _control(self, frame: Frame, to: Address | None, tag: int) -> None:
        if self._controls >= MAX_CONTROLS:
            return  # somebody floods us; who needs an answer asks again
        self._controls += 1
        self._push(Out(pack(frame), to, tag, control=True, flight=False))

    def take(self, now: float) -> Out | None:
        """Return the next frame to be sent now, if there is one; ``sent`` must follow."""
        self._run_timers(now)
        while self._outs:
            _, _, out = heapq.heappop(self._outs)
            self._controls -= not out.flight
            if not out.flight or out.tag in self._flights:
                return out
        return None

    def sent(self, out: Out, now: float) -> bool:
        """A frame went out. Returns whether it was the last one of a burst of ours."""
        flight = self._flights.get(out.tag) if out.flight else None
        if flight is None:
            return False
        flight.pending -= 1
        if flight.pending:
            return False
        flight.handed = now
        if not self.replies:
            del self._flights[out.tag]
        elif not flight.confirmed:
            flight.deadline = now + self.pace.silence(flight.silences)
            self._arm(flight.deadline, out.tag)
        return True

    # Hearing

    def effects(self) -> list[Effect]:
        """Return, once, what timers have brought about."""
        effects, self._effects = self._effects, []
        return effects

    def hear(self, frame: Frame, peer: Address | None, now: float) -> list[Effect]:
        """Take a frame that the link received."""
        effects: list[Effect] = []
        if not isinstance(frame, Whole | Symbol):
            if frame.speaker == self.origin:
                return []
            if peer is not None and not frame.hops:
                effects.append(Met(frame.speaker, peer))
                self._moved(frame.speaker, peer)
        match frame:
            case Whole() | Symbol():
                self._hear_data(frame, peer, now, effects)
            case Need():
                self._hear_need(frame, now)
            case Confirm():
                self._hear_confirm(frame, now, effects)
            case Poll():
                self._hear_poll(frame, peer, now, effects)
            case Hello():
                self._hear_hello(frame, peer, now)
                if not frame.question:
                    effects.append(Greeted(frame.nonce, frame.speaker))
        return effects

    def _moved(self, origin: int, peer: Address) -> None:
        """What is on its way to this origin goes to where it was heard last."""
        for flight in self._flights.values():
            if flight.destination == origin:
                flight.to = peer

    def _hear_data(
        self, frame: Whole | Symbol, peer: Address | None, now: float, effects: list[Effect]
    ) -> None:
        via = Via(self.link, peer)
        tag = frame.tag
        if tag in self._flights:
            return  # our own, relayed back to us
        missed = self._missed(frame, via)
        complete = self.assembler.feed(frame, via, now)
        state = self._follow(tag, peer, now)
        if complete is None:
            self._wait_for_more(frame, via, state, now)
            return
        state.ask_at = None
        if complete.again and state.verdict is not None:
            self._confirm_soon(tag, state, peer, now)
            return
        if not complete.again:
            state.missed = missed
        effects.append(Arrived(complete))

    def _missed(self, frame: Whole | Symbol, via: Via) -> int:
        """Return how many symbols below the highest one heard are missing, with this one heard."""
        if isinstance(frame, Whole):
            return 0
        held = self.assembler.held(frame.tag, via)
        count, highest = (held.count, held.highest) if held else (0, 0)
        return max(0, max(highest, frame.index) - count)

    def _follow(self, tag: int, peer: Address | None, now: float) -> _Listening:
        state = self._listening.pop(tag, None)
        if state is None:
            state = _Listening(peer, now)
            if len(self._listening) >= MAX_ASKED:
                del self._listening[next(iter(self._listening))]
        elif state.ask_at is not None and peer == state.peer:
            self.pace.gap.measured(now - state.last)
        self._listening[tag] = state
        state.peer, state.last = peer, now
        return state

    def _wait_for_more(
        self, frame: Whole | Symbol, via: Via, state: _Listening, now: float
    ) -> None:
        """Arm the timer after which we ask for what is missing of a burst."""
        held = self.assembler.held(frame.tag, via)
        if held is None or not isinstance(frame, Symbol) or not self.replies:
            return
        if held.known and held.destination not in (None, self.origin):
            state.ask_at = None
            return
        left = max(0, held.k - 1 - frame.index)
        wait = self.pace.burst_end(left, len(frame.data) + SYMBOL_HEAD)
        state.to_all = not (held.known and held.destination == self.origin)
        state.asks = 0
        if state.to_all:
            wait += self.pace.spread_ask()
        self._ask_later(frame.tag, state, now + wait)

    def _ask_later(self, tag: int, state: _Listening, at: float) -> None:
        state.ask_at = at
        self._arm(at, tag)

    def _hear_need(self, need: Need, now: float) -> None:
        state = self._listening.get(need.tag)
        held = self.assembler.held(need.tag)
        if state and state.ask_at is not None and held and state.to_all:
            if need.count == 0 or need.count >= held.k - held.count:
                wait = self.pace.burst_end(need.count, SYMBOL_SIZE) + self.pace.spread_ask()
                self._ask_later(need.tag, state, now + wait)
        flight = self._flights.get(need.tag)
        if flight is None or flight.pending:
            return
        flight.silences = 0
        cut = flight.splitter.cut
        if need.count == 0 or need.k != cut.k:
            wanted = cut.k
        else:
            wanted = min(need.count, cut.k)
            sent = min(flight.total, MAX_SYMBOLS)
            self._tell_loss(flight, max(0, sent - cut.k + wanted), sent)
        self._burst(flight, answer_to(wanted, self.loss(flight.destination).share))

    def _tell_loss(self, flight: _Flight, lost: int, of: int) -> None:
        if not flight.told:  # what a request told is not told again by the confirm
            self.loss(flight.destination).told(lost, of)
            flight.told = True

    def _hear_confirm(self, confirm: Confirm, now: float, effects: list[Effect]) -> None:
        state = self._listening.get(confirm.tag)
        if state:
            state.heard_confirm = True
            if state.to_all:
                state.confirm_at = None
        flight = self._flights.get(confirm.tag)
        if flight is None or flight.confirmed:
            return
        if flight.destination not in (None, confirm.speaker) and (
            confirm.verdict is not Verdict.CUSTODY
        ):
            return
        if flight.handed is not None and not flight.polled and not flight.pending:
            self.pace.trip.measured(now - flight.handed)
        self._tell_loss(flight, confirm.missed, flight.splitter.cut.k + confirm.missed)
        self._land(confirm.tag, flight)
        effects.append(Confirmed(confirm.tag, confirm.speaker, confirm.verdict))

    def _land(self, tag: int, flight: _Flight) -> None:
        """One has it. What is for everyone stays here, for others who may still ask."""
        del self._flights[tag]
        if flight.destination is not None:
            return
        flight.confirmed, flight.deadline = True, None
        self._flights[tag] = flight
        landed = [tag for tag, flight in self._flights.items() if flight.confirmed]
        for old in landed[:-MAX_REPAIRABLE]:
            del self._flights[old]

    def _hear_poll(
        self, poll: Poll, peer: Address | None, now: float, effects: list[Effect]
    ) -> None:
        if poll.destination not in (EVERYONE, self.origin):
            return
        state = self._listening.get(poll.tag)
        held = self.assembler.held(poll.tag)
        if state is not None and state.verdict is not None:
            self._confirm_soon(poll.tag, state, peer, now)
        elif held is not None:
            self._ask(poll.tag, self._follow(poll.tag, peer, now))
        else:
            effects.append(Asked(poll, peer))

    def _hear_hello(self, hello: Hello, peer: Address | None, now: float) -> None:
        if hello.question:
            self._control(Hello(hello.nonce, self.origin, False), peer, hello.nonce)
        for tag, flight in self._flights.items():
            if flight.deadline is not None and flight.silences:
                flight.silences -= 1  # this was none
                flight.deadline = now  # somebody is there (again): do not wait any longer
                self._arm(now, tag)

    # Answering

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
        if not self.replies:
            return
        state = self._listening.get(tag) or self._follow(tag, peer, now)
        state.verdict, state.to_all = verdict, to_all
        if not (to_all and state.heard_confirm):
            self._confirm_soon(tag, state, peer, now)

    def lacking(self, poll: Poll, peer: Address | None, now: float) -> None:
        """We have nothing of what somebody polls for: ask for all of it."""
        state = self._follow(poll.tag, peer, now)
        state.to_all = poll.destination == EVERYONE
        self._ask_later(poll.tag, state, now + (self.pace.spread_ask() if state.to_all else 0.0))

    def _confirm_soon(self, tag: int, state: _Listening, peer: Address | None, now: float) -> None:
        spread = self.pace.spread_confirm() if state.to_all else 0.0
        state.confirm_at = now + spread
        self._arm(state.confirm_at, tag)
        state.confirm_to = None if state.to_all and self.pace.shared else peer

    def _ask(self, tag: int, state: _Listening) -> None:
        held = self.assembler.held(tag, Via(self.link, state.peer))
        k, number = (held.k, max(1, held.k - held.count)) if held else (0, 0)
        to = None if state.to_all and self.pace.shared else state.peer
        state.ask_at = None
        state.asks += 1
        self._control(Need(tag, self.origin, k, number), to, tag)

    # Time

    def next_deadline(self) -> float | None:
        """Return when ``take`` has something to give; minus infinity means now."""
        if self._outs or self._effects:
            return -math.inf
        while self._timers and not self._live(*self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _arm(self, at: float, tag: int) -> None:
        heapq.heappush(self._timers, (at, tag))

    def _live(self, at: float, tag: int) -> bool:
        """Whether a timer is still set; one that was moved stays in the heap until its time."""
        flight, state = self._flights.get(tag), self._listening.get(tag)
        return bool(
            (flight and flight.deadline == at) or (state and at in (state.ask_at, state.confirm_at))
        )

    def _run_timers(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            at, tag = heapq.heappop(self._timers)
            state, flight = self._listening.get(tag), self._flights.get(tag)
            if state and state.confirm_at == at:
                self._confirm(tag, state)
            if state and state.ask_at == at:
                self._ask(tag, state)
                if state.to_all and state.asks < MAX_ASKS:
                    wait = self.pace.silence(state.asks) + self.pace.spread_ask()
                    self._ask_later(tag, state, now + wait)
            if flight and flight.deadline == at:
                self._silence(tag, flight)

    def _confirm(self, tag: int, state: _Listening) -> None:
        state.confirm_at = None
        verdict = state.verdict or Verdict.DELIVERED
        confirm = Confirm(tag, self.origin, verdict, min(state.missed, 255))
        self._control(confirm, state.confirm_to, tag)

    def _silence(self, tag: int, flight: _Flight) -> None:
        flight.silences += 1
        flight.polled = True
        if flight.silences >= MOVED_AFTER:
            flight.to = None
        if self.pace.give_up is not None and flight.silences >= self.pace.give_up:
            del self._flights[tag]
            self._effects.append(GaveUp(tag))
        elif self._symbol_needed(flight) > POLL_WITH_SYMBOL:
            self._burst(flight, 1)
        else:
            self._poll(flight)

    def _symbol_needed(self, flight: _Flight) -> float:
        """Return how likely the receiver lacks something, given that it is silent."""
        k, n = flight.splitter.cut.k, flight.total
        if n < k:
            return 1.0
        loss = max(0.05, self.loss(flight.destination).share)
        nothing = loss**n
        lacks = (1 - chance(k, n, loss) - nothing) * loss + nothing
        has = chance(k, n, loss) * loss
        return lacks / (lacks + has)
