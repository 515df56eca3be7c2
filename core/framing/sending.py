"""The sending half of a conversation: bursts, polls, answers to those who need more. Sans-I/O.

The law of this module: a message of ours goes on until it is confirmed, abandoned or given up.
A sender sends its burst and waits. When it hears nothing it polls: with a fresh symbol when that
is more likely needed, with a bare frame when not. Only a confirm, which follows the receiver's
commit, ends it. ``docs/wire.md`` (Peer protocol) is the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..link import Address
from ..message import check_of
from .agenda import Agenda, What
from .effects import Confirmed, Effect, GaveUp, Out
from .fec import MAX_SYMBOLS
from .frame import SYMBOL_HEAD, Confirm, Hello, Need, Poll, Verdict, pack
from .pace import Loss, Pace, answer_to, parity_for
from .split import Splitter, chance

K = TypeVar("K")
T = TypeVar("T")

EVERYONE = 0
"""The destination in a poll that is for whoever has it."""

POLL_WITH_SYMBOL = 0.2
"""A symbol polls instead of a bare frame when it is more likely needed than this."""

LEAST_LOSS = 0.05
"""The loss that is reckoned with at least when somebody is silent: it has a reason."""

MOVED_AFTER = 3
"""Silences after which the far end may have another address: then everyone is polled."""

MAX_REPAIRABLE = 32
"""Confirmed messages to everyone that are still repaired when somebody else asks."""

MAX_PEERS = 1024
"""Peers about which loss is remembered."""

MAX_ANSWERS = 36
"""Requests for more of a message that are answered without its receiver getting on."""


class Peers(Generic[K, T]):
    """What is remembered of each peer; of ever more of them, the oldest is forgotten.

    Args:
        new: what is known of one that was not met before.
    """

    def __init__(self, new: Callable[[], T]) -> None:
        self._new = new
        self._known: dict[K, T] = {}

    def of(self, peer: K) -> T:
        """Return what is known of a peer."""
        if peer not in self._known:
            if len(self._known) >= MAX_PEERS:
                del self._known[next(iter(self._known))]
            self._known[peer] = self._new()
        return self._known[peer]


@dataclass(slots=True)
class _Flight:
    """A message of ours on its way.

    ``lacked`` is how many symbols the receiver lacked when it spoke last (all, if it never did),
    ``since`` how many were sent since then; ``firsts`` of them were symbol 0, which says whom the
    message is for. Who has spoken knows that, and who was meant before guesses it. ``asked`` is the
    loss that its last request spoke of: symbols lost, and of how many.
    """

    splitter: Splitter
    destination: int | None
    to: Address | None
    next_index: int
    total: int = 0
    silences: int = 0
    pending: int = 0
    handed: float | None = None
    out_at: float = 0.0
    polled: bool = False
    asked: tuple[int, int] | None = None
    measured: bool = True
    confirmed: bool = False
    answers: int = 0
    least: int = MAX_SYMBOLS + 1
    lacked: int = 0
    since: int = 0
    firsts: int = 0

    @property
    def k(self) -> int:
        return self.splitter.cut.k

    @property
    def tag(self) -> int:
        return check_of(self.splitter.message)

    def fresh(self, number: int) -> list[int]:
        """Return the next ``number`` indices; after the last one it starts from 0 again."""
        indices = [(self.next_index + i) % MAX_SYMBOLS for i in range(number)]
        self.next_index = (self.next_index + number) % MAX_SYMBOLS
        self.total += number
        self.since += number
        return indices


class Sending:
    """Messages of ours on one link.

    Args:
        origin: ours.
        pace: the link's timing.
        agenda: the conversation's.
        replies: False where nothing can come back.
    """

    def __init__(self, origin: int, pace: Pace, agenda: Agenda, *, replies: bool) -> None:
        self.losses: Peers[int | None, Loss] = Peers(lambda: Loss(pace.assumed_loss))
        self._meant: int | None = None
        self._origin = origin
        self._pace = pace
        self._agenda = agenda
        self._replies = replies
        self._flights: dict[int, _Flight] = {}

    def __len__(self) -> int:
        return sum(not flight.confirmed for flight in self._flights.values())

    def __contains__(self, tag: int) -> bool:
        return tag in self._flights

    def flying(self, tag: int) -> bool:
        """Whether the message with this tag is on its way and not confirmed."""
        return tag in self._flights and not self._flights[tag].confirmed

    def silences(self, tag: int, now: float) -> int:
        """Return how often in a row nobody answered for a message, one that ends now included."""
        flight = self._flights.get(tag)
        return 0 if flight is None else flight.silences + self._over(tag, now)

    def falls_silent(self, now: float) -> bool:
        """Whether the wait for an answer is over for some message, and nothing was done yet."""
        return any(self._over(tag, now) for tag in self._flights)

    def _over(self, tag: int, now: float) -> bool:
        at = self._agenda.at(What.SILENCE, tag)
        return at is not None and at <= now

    def next_index(self, tag: int) -> int | None:
        """Return the index that follows what was begun of a message; None if it is not flying."""
        flight = self._flights.get(tag)
        return flight.next_index if flight else None

    def plan(self, k: int, destination: int | None) -> int:
        """Return how many symbols of parity go up front with a message cut in ``k``."""
        loss = self.losses.of(destination).share
        return parity_for(k, loss, self._pace.assumed_loss, to_all=destination is None)

    def begin(
        self, splitter: Splitter, destination: int | None, to: Address | None, first: int,
        extra: int | None,
    ) -> int:  # fmt: skip
        """Send a message; see ``Conversation.begin``."""
        flight = _Flight(splitter, destination, to, first)
        self._flights[flight.tag] = flight
        parity = self.plan(flight.k, destination) if extra is None else extra
        flight.lacked = flight.k
        flight.firsts = 0 if destination == self._meant else 1
        self._meant = destination
        self._burst(flight, flight.fresh(flight.k + parity))
        return flight.next_index

    def resume(
        self, splitter: Splitter, destination: int | None, to: Address | None, first: int
    ) -> None:
        """Take up a message again; see ``Conversation.resume``."""
        flight = _Flight(
            splitter, destination, to, first, total=first, polled=True, measured=False,
            lacked=splitter.cut.k, since=first, firsts=1,
        )  # fmt: skip
        self._flights[flight.tag] = flight
        self._poll(flight)

    def abandon(self, tag: int) -> None:
        """Stop sending a message: it expired, or another link brought it there."""
        self._flights.pop(tag, None)
        self._agenda.cancel(What.SILENCE, tag)

    def moved(self, origin: int, peer: Address) -> None:
        """What is on its way to this origin goes to where it was heard last."""
        for flight in self._flights.values():
            if flight.destination == origin:
                flight.to = peer

    def _burst(self, flight: _Flight, indices: Sequence[int]) -> None:
        frames = flight.splitter.frames(indices)
        flight.pending += len(frames)
        self._agenda.cancel(What.SILENCE, flight.tag)
        for data in frames:
            self._agenda.send(Out(data, flight.to, flight.tag, control=False, flight=True))

    def _poll(self, flight: _Flight) -> None:
        destination = EVERYONE if flight.destination is None else flight.destination
        poll = pack(Poll(flight.tag, self._origin, destination))
        flight.pending += 1
        self._agenda.cancel(What.SILENCE, flight.tag)
        self._agenda.send(Out(poll, flight.to, flight.tag, control=True, flight=True))

    def sent(self, tag: int, now: float) -> bool:
        """A frame of ours was handed over. Returns whether it was the last one of a burst."""
        flight = self._flights.get(tag)
        if flight is None:
            return False
        flight.pending -= 1
        if flight.pending:
            return False
        flight.handed, flight.out_at = now, max(now, self._pace.clear)
        if not self._replies:
            del self._flights[tag]
        elif not flight.confirmed:
            self._agenda.set(What.SILENCE, tag, flight.out_at + self._patience(flight))
        return True

    def _patience(self, flight: _Flight) -> float:
        spread = self._pace.longest_spread() if flight.destination is None else 0.0
        size = flight.splitter.cut.size + SYMBOL_HEAD
        return (
            self._pace.silence(flight.silences) + spread + self._pace.apart(flight.silences, size)
        )

    # What comes back

    def hear_need(self, need: Need, now: float) -> None:
        """Somebody lacks something of a message of ours."""
        flight = self._flights.get(need.tag)
        if flight is None or flight.pending or self._going_out(flight, now):
            return  # it was said before all of this burst was out; who still lacks it asks again
        if flight.destination not in (None, need.speaker) and not flight.silences:
            return  # somebody who could not tell whom it is for; after a silence, perhaps a bridge
        whole = need.count == 0 or need.k != flight.k
        wanted = flight.k if whole else min(need.count, flight.k)
        if not self._gets_on(flight, wanted):
            return
        flight.silences = 0
        if not whole and flight.destination is not None:  # of many, who asks is not the average
            sent = min(flight.total, MAX_SYMBOLS)
            flight.asked = max(0, sent - flight.k + wanted), sent
        flight.lacked, flight.since, flight.firsts = wanted, 0, 0
        self._burst(flight, flight.fresh(answer_to(wanted, self._loss(flight))))

    def _going_out(self, flight: _Flight, now: float) -> bool:
        size = flight.splitter.cut.size + SYMBOL_HEAD
        return self._pace.going_out(flight.out_at, size, now)

    def _gets_on(self, flight: _Flight, wanted: int) -> bool:
        """Count what is asked for again and again; False: that was often enough."""
        if wanted < flight.least:
            flight.least, flight.answers = wanted, 0
        flight.answers += 1
        return flight.answers <= MAX_ANSWERS

    def hear_confirm(self, confirm: Confirm, now: float, effects: list[Effect]) -> None:
        """Somebody has a message, perhaps one of ours."""
        flight = self._flights.get(confirm.tag)
        if flight is None or flight.confirmed:
            return
        if flight.destination not in (None, confirm.speaker) and (
            confirm.verdict is not Verdict.CUSTODY
        ):
            return
        if flight.handed is not None and not flight.polled and not flight.pending:
            self._pace.trip.measured(now - flight.handed)
        self._learn(flight, confirm.missed)
        self._land(flight)
        effects.append(Confirmed(confirm.tag, confirm.speaker, confirm.verdict))

    def _learn(self, flight: _Flight, missed: int) -> None:
        """Learn what the receiver has learned, so that both plan alike."""
        loss = self.losses.of(flight.destination)
        if flight.k > 1 and flight.measured:
            missed = min(missed, max(0, flight.total - flight.k))
            loss.told(missed, flight.k + missed)
        elif flight.k == 1 and flight.destination is not None:
            # Of a whole frame nobody can tell; about half of all silences were its own.
            loss.told(flight.silences / 2, 1 + flight.silences)

    def _land(self, flight: _Flight) -> None:
        """One has it. What is for everyone stays here, for others who may still ask."""
        self.abandon(flight.tag)
        if flight.destination is not None:
            return
        flight.confirmed = True
        self._flights[flight.tag] = flight
        landed = [tag for tag, flight in self._flights.items() if flight.confirmed]
        for old in landed[:-MAX_REPAIRABLE]:
            del self._flights[old]

    def hear_hello(self, hello: Hello, now: float) -> None:
        """Somebody is there (again): do not wait any longer.

        Who asks nobody in particular has just come, and may be anybody that we wait for.
        """
        came = hello.question and hello.asked is None
        for tag, flight in self._flights.items():
            if not came and flight.destination != hello.speaker:
                continue
            if self._agenda.at(What.SILENCE, tag) is not None and flight.silences:
                flight.silences -= 1  # this was none
                self._agenda.set(What.SILENCE, tag, now)

    # Silence

    def silence(self, tag: int, now: float) -> None:
        """Nobody has answered for a message in time, or we could not hear it."""
        flight = self._flights[tag]
        if (until := self._speaks_until(flight, now)) > now:
            self._agenda.set(What.SILENCE, tag, until)
            return
        flight.silences += 1
        flight.polled = True
        if flight.silences >= MOVED_AFTER:
            flight.to = None
        if self._pace.give_up is not None and flight.silences >= self._pace.give_up:
            self._give_up(flight)
        else:
            self._ask_after(flight)

    def _speaks_until(self, flight: _Flight, now: float) -> float:
        """Return when other messages of ours are out, as far as they go out now.

        A radio does not hear while it sends, so it need not ask then.
        """
        if self._pace.airtime is None:
            return now
        others = [each for each in self._flights.values() if each is not flight]
        until = max([now, *(each.out_at for each in others)])
        left, size = sum(each.pending for each in others), flight.splitter.cut.size + SYMBOL_HEAD
        return until + self._pace.burst_end(left, size) if left else until

    def _give_up(self, flight: _Flight) -> None:
        if flight.asked is not None:  # no confirm will tell
            self.losses.of(flight.destination).told(*flight.asked)
        self.abandon(flight.tag)
        self._agenda.tell(GaveUp(flight.tag))

    def _ask_after(self, flight: _Flight) -> None:
        """Poll with what the receiver most likely lacks, if it more likely lacks it than not."""
        chances = lacking(flight.lacked, flight.since, flight.firsts, self._loss(flight))
        if flight.destination is None or sum(chances) <= POLL_WITH_SYMBOL:
            self._poll(flight)
        elif chances[0] > chances[1]:
            flight.since += 1
            flight.firsts += 1
            self._burst(flight, [0])
        else:
            self._burst(flight, flight.fresh(1))

    def _loss(self, flight: _Flight) -> float:
        return self.losses.of(flight.destination).share


def lacking(lacked: int, sent: int, firsts: int, loss: float) -> tuple[float, float]:
    """Return how likely a silent receiver lacks symbols.

    Args:
        lacked: how many it lacked before.
        sent: symbols since then.
        firsts: how many of these were symbol 0. Who lacks it cannot tell whom the message is for,
            and does not ask.
        loss: share of frames that are lost.

    Returns:
        The chance that it lacks some, symbol 0 among them; and that it lacks only others.
    """
    loss = max(LEAST_LOSS, loss)
    unknown = loss**firsts if firsts else 0.0
    others = sent - firsts
    nothing = loss**others  # it did not hear that we sent anything, so it says nothing
    without_first = unknown * (1 - chance(lacked, others, loss))
    enough = chance(max(0, lacked - (1 if firsts else 0)), others, loss)
    with_first = (1 - unknown) * (1 - enough) * loss
    if not firsts:
        with_first += nothing * (1 - loss) if lacked else 0.0
    has = (unknown * chance(lacked, others, loss) + (1 - unknown) * enough) * loss
    silent = without_first + with_first + has
    return without_first / silent, with_first / silent
