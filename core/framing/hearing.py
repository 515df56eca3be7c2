"""The hearing half of a conversation: asking for what is missing, confirming, helping neighbours.

The law of this module: what a receiver says about a message, and when. One that misses symbols
asks once for as many as it needs, after the burst; one that has the message safely says so. What
is for everyone is answered after a random wait, and not at all if somebody else said it first.
Sans-I/O; ``docs/wire.md`` (Peer protocol) is the specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..link import Address
from ..message import destination_of
from .agenda import Agenda, What
from .assemble import Assembler, Complete, Held, Via
from .effects import Arrived, Asked, Effect
from .frame import SYMBOL_HEAD, WHOLE_HEAD, Confirm, Need, Poll, Symbol, Verdict, Whole
from .pace import Loss, Pace, answer_to, parity_for
from .sending import EVERYONE, Peers
from .split import SYMBOL_SIZE, Cut, Splitter

MAX_ASKS = 4
"""How often a listener asks by itself for what is for everyone; its sender may poll no more."""

MAX_ASKED = 4096
"""Tags whose receiving is followed at once; the oldest is forgotten first."""

LENT = range(192, 255)
"""Indices of symbols with which neighbours repair, so that those of its sender tell what of it
was lost. Each takes any of them, so that two who repair at once seldom send the same."""

MAX_LENT = 12
"""Symbols of one message that a neighbour repairs with at most."""

MAX_ASKERS = 16
"""Nodes that are known to have asked for a message before."""

LEAST_CROWD, MAX_CROWD = 0.25, 64.0
"""Between these is how many are taken to draw lots who confirms what was for everyone."""


@dataclass(slots=True)
class _Peer:
    """Somebody who sends.

    Args:
        loss: of its frames, on the way to us.
        meant_us: whether it was for us alone what it said last.
        crowd: how many, beside us, may confirm what it says to everyone; less than one if it was
            us who did so before.
    """

    loss: Loss
    meant_us: bool = False
    crowd: float = 1.0

    def lot_was(self, factor: float) -> None:
        """Others confirmed before us, or we before them, or nobody did."""
        self.crowd = min(MAX_CROWD, max(LEAST_CROWD, self.crowd * factor))


@dataclass(slots=True)
class _Burst:
    """What may still come of a burst.

    Args:
        end: the index behind its last frame; 0 if nothing is known of it.
        due: how many frames of it may still come.
        due_by: until when.
    """

    end: int = 0
    due: int = 0
    due_by: float = 0.0

    def heard(self, index: int, now: float) -> bool:
        """Take a frame of the message; return whether it was expected as part of a burst."""
        expected = self.due > 0 and now <= self.due_by
        self.due = self.due - 1 if expected else 0
        if index not in LENT:
            self.end = max(self.end, index + 1)
            self.due = min(self.due, self.end - 1 - index)
        return expected

    def expect(self, frames: int, until: float) -> None:
        """So many frames come now, of higher indices than before."""
        self.due, self.due_by = frames, until
        if self.end:
            self.end += frames


@dataclass(slots=True)
class _Listening:
    """A message of somebody's on its way to us. ``mask`` has a bit for each index heard.

    ``foreign``: it is for one node, and that is not us.
    """

    peer: Address | None
    last: float
    cut: Cut | None = None
    size: int = SYMBOL_SIZE + SYMBOL_HEAD
    mask: int = 0
    burst: _Burst = field(default_factory=_Burst)
    confirm_to: Address | None = None
    verdict: Verdict | None = None
    to_all: bool = False
    foreign: bool = False
    hops: int = 0
    heard_confirm: bool = False
    asks: int = 0
    missed: int = 0
    asked: dict[int, int] = field(default_factory=lambda: {})
    lend: int = 0
    lent: int = 0

    @property
    def index(self) -> int:
        """The index that follows the highest one heard."""
        return self.mask.bit_length()


class Hearing:
    """Messages of others on one link.

    Args:
        link: its name, as the assembler knows it.
        origin: ours.
        pace: the link's timing.
        agenda: the conversation's.
        assembler: the node's.
        replies: False where nothing can come back.
        carries: what is for others is wanted too, to be passed on: a bridge listens to it as to
            what is for everyone, so that the one it is for speaks first.
    """

    def __init__(
        self, link: str, origin: int, pace: Pace, agenda: Agenda, assembler: Assembler, *,
        replies: bool, carries: bool = False,
    ) -> None:  # fmt: skip
        self._link = link
        self._origin = origin
        self._pace = pace
        self._agenda = agenda
        self._assembler = assembler
        self._replies = replies
        self._carries = carries
        self._listening: dict[int, _Listening] = {}
        self._peers: Peers[Address | None, _Peer] = Peers(lambda: _Peer(Loss(pace.assumed_loss)))

    # Data

    def hear_data(
        self, frame: Whole | Symbol, peer: Address | None, now: float, effects: list[Effect]
    ) -> None:
        """Take a frame of a message of somebody else's."""
        via = Via(self._link, peer)
        complete = self._assembler.feed(frame, via, now)
        held = None if complete else self._assembler.held(frame.tag, via)
        state = self._follow(frame.tag, peer, now)
        state.hops = max(state.hops, frame.hops)
        self._learn_destination(frame, state, held)
        expected = self._count(frame, state, now)
        self._repaired(frame.tag, state)
        if complete is not None:
            self._whole(complete, frame.tag, state, now, effects, expected=expected)
        elif held is not None and self._replies:
            self._wait_for_more(frame.tag, state, held, now)

    def _follow(self, tag: int, peer: Address | None, now: float) -> _Listening:
        state = self._listening.pop(tag, None)
        if state is None:
            state = _Listening(peer, now)
            if len(self._listening) >= MAX_ASKED:
                self._forget(next(iter(self._listening)))
        elif self._agenda.at(What.ASK, tag) is not None and peer == state.peer:
            self._pace.gap.measured(now - state.last)
        self._listening[tag] = state
        state.peer, state.last = peer, now
        return state

    def _forget(self, tag: int) -> None:
        del self._listening[tag]
        for what in (What.ASK, What.CONFIRM, What.LEND):
            self._agenda.cancel(what, tag)

    def _peer(self, state: _Listening) -> _Peer:
        return self._peers.of(state.peer)

    def _learn_destination(
        self, frame: Whole | Symbol, state: _Listening, held: Held | None
    ) -> None:
        """Tell, or guess, whether it is for us alone: who spoke to us last does it again."""
        peer = self._peer(state)
        known, destination = (
            destination_of(frame.message)
            if isinstance(frame, Whole)
            else (held is not None and held.known, held.destination if held else None)
        )
        if known:
            peer.meant_us = destination == self._origin
            state.foreign = destination not in (None, self._origin)
        if state.verdict is None:
            state.to_all = not peer.meant_us

    def _count(self, frame: Whole | Symbol, state: _Listening, now: float) -> bool:
        """Reckon how much of a burst is left; return whether this frame was expected."""
        if isinstance(frame, Whole):
            index, state.cut = state.index, Cut(1, len(frame.message))
            state.size = len(frame.message) + WHOLE_HEAD
        else:
            index, state.cut = frame.index, Cut(frame.k, len(frame.data))
            state.size = len(frame.data) + SYMBOL_HEAD
        if not state.burst.end:
            state.burst.due_by = now
            state.burst.due, state.burst.end = self._length(index, state.cut.k, state)
        expected = state.burst.heard(index, now)
        if index not in LENT:
            state.mask |= 1 << index
        state.burst.due_by = now + self._pace.burst_end(state.burst.due, state.size)
        return expected

    def _length(self, index: int, k: int, state: _Listening) -> tuple[int, int]:
        """Guess how many frames a burst has whose first one this is, and where it ends.

        As many as we would send ourselves.
        """
        if index < k:
            loss, assumed = self._peer(state).loss.share, self._pace.assumed_loss
            length = k + parity_for(k, loss, assumed, to_all=state.to_all)
            return length, length
        # Parity: of an answer to one who had nothing and asked for all of it, or a poll.
        return (k, index + k) if state.asks else (1, index + 1)

    def _wait_for_more(self, tag: int, state: _Listening, held: Held, now: float) -> None:
        """Set the time after which we ask for what is missing of a burst."""
        if held.known and not self._wants(held.destination):
            self._agenda.cancel(What.ASK, tag)
            return
        wait = self._pace.burst_end(state.burst.due, state.size)
        state.asks = 0
        self._agenda.set(What.ASK, tag, now + wait + self._spread_ask(state))

    def _wants(self, destination: int | None) -> bool:
        return self._carries or destination in (None, EVERYONE, self._origin)

    def _spread_ask(self, state: _Listening) -> float:
        return self._pace.spread_ask() if state.to_all else 0.0

    def _whole(
        self, complete: Complete, tag: int, state: _Listening, now: float, effects: list[Effect],
        *, expected: bool,
    ) -> None:  # fmt: skip
        self._agenda.cancel(What.ASK, tag)
        if not complete.again:
            heard = state.mask.bit_count()
            state.missed = state.index - heard
            self._peer(state).loss.told(state.missed, state.missed + heard)
        if not complete.again or state.verdict is None:
            effects.append(Arrived(complete))
        elif not state.to_all and not expected:  # it polls; to everyone that is said by a poll
            self._confirm_soon(tag, state, state.peer, now, polled=True)

    # Asking

    def hear_need(self, need: Need, now: float) -> None:
        """Somebody else lacks something of what we hear, or have."""
        state = self._listening.get(need.tag)
        if state is None or not state.to_all:
            return
        held = self._assembler.held(need.tag)
        if self._agenda.at(What.ASK, need.tag) is not None and held is not None:
            if need.count == 0 or need.count >= held.k - held.count:
                self._expect_answer(state, need.count or held.k, now)
                wait = self._pace.burst_end(state.burst.due, state.size) + self._spread_ask(state)
                self._agenda.set(What.ASK, need.tag, now + wait)
        elif state.verdict is not None:
            self._offer(need, state, now)

    def _expect_answer(self, state: _Listening, count: int, now: float) -> None:
        """Expect what answers a request for ``count`` symbols."""
        frames = answer_to(count, self._peer(state).loss.share)
        wait = self._pace.silence(0) + self._pace.burst_end(frames, state.size)
        state.burst.expect(frames, now + wait)

    def asks(self, tag: int, now: float) -> None:
        """It is time to ask; of what is for everyone, again after a while."""
        state = self._listening[tag]
        held = self._assembler.held(tag, Via(self._link, state.peer))
        k, number = (held.k, max(1, held.k - held.count)) if held else (0, 0)
        state.asks += 1
        self._expect_answer(state, number, now)
        to = None if state.to_all and self._pace.shared else state.peer
        self._agenda.say(Need(tag, self._origin, k, number), to, tag)
        if state.to_all and state.asks < MAX_ASKS:
            wait = self._pace.silence(state.asks) + self._spread_ask(state)
            self._agenda.set(What.ASK, tag, now + wait)

    def hear_poll(
        self, poll: Poll, peer: Address | None, now: float, effects: list[Effect]
    ) -> None:
        """Somebody asks whether we have its message."""
        if not self._wants(poll.destination):
            return
        state = self._listening.get(poll.tag)
        if state is not None and state.verdict is not None:
            self._peer(state).lot_was(1 / 2 if state.heard_confirm else 1 / 8)
            state.heard_confirm = False  # its sender did not hear it
            self._confirm_soon(poll.tag, state, peer, now, polled=True)
        elif self._assembler.held(poll.tag) is not None:
            self.lacking(poll, peer, now)
        else:
            effects.append(Asked(poll, peer))

    def lacking(self, poll: Poll, peer: Address | None, now: float) -> None:
        """We lack some or all of what somebody polls for: ask for it."""
        state = self._follow(poll.tag, peer, now)
        state.to_all = poll.destination != self._origin
        state.foreign = poll.destination not in (EVERYONE, self._origin)
        self._agenda.set(What.ASK, poll.tag, now + self._spread_ask(state))

    # Confirming

    def hear_confirm(self, confirm: Confirm) -> None:
        """Somebody has it; of what is for everyone, or for somebody else, that is enough."""
        state = self._listening.get(confirm.tag)
        if state is None:
            return
        state.heard_confirm = True
        if state.foreign:  # its sender is content, and gives no more
            self._agenda.cancel(What.ASK, confirm.tag)
        if state.to_all:
            self._peer(state).lot_was(2)
        if state.to_all or state.verdict is Verdict.CUSTODY:
            self._agenda.cancel(What.CONFIRM, confirm.tag)

    def committed(
        self, tag: int, verdict: Verdict, now: float, *, to_all: bool, peer: Address | None
    ) -> None:
        """The message with this tag is safe here; see ``Conversation.committed``."""
        if not self._replies:
            return
        state = self._listening.get(tag) or self._follow(tag, peer, now)
        state.verdict, state.to_all = verdict, to_all
        if not (to_all and state.heard_confirm):
            self._confirm_soon(tag, state, peer, now)

    def answers_in(self, tag: int, now: float) -> float:
        """Return how long a receipt waits; see ``Conversation.answers_in``."""
        state = self._listening.get(tag)
        left = state.burst.due_by - now if state is not None and state.burst.due else 0.0
        return max(0.0, left) + self._pace.spread_receipt()

    def _confirm_soon(
        self, tag: int, state: _Listening, peer: Address | None, now: float, *, polled: bool = False
    ) -> None:
        if not state.to_all:
            state.confirm_to, spread = peer, self._spread_custody(state, polled=polled)
        else:
            state.confirm_to = None if self._pace.shared else peer
            spread = self._spread_confirm(state)
            if state.burst.due and spread is not None:
                spread += max(0.0, state.burst.due_by - now)
        if spread is not None:  # else somebody else will; if not, we are polled
            self._agenda.set(What.CONFIRM, tag, now + spread)

    def _spread_custody(self, state: _Listening, *, polled: bool) -> float | None:
        """Return how long to wait before confirming what is for one node: not, if it is us.

        Whoever takes it on for others waits until that one has kept silent.
        """
        if state.verdict is not Verdict.CUSTODY or not self._pace.shared:
            return 0.0
        return self._pace.spread_polled() if polled and not state.heard_confirm else None

    def _spread_confirm(self, state: _Listening) -> float | None:
        if state.verdict is Verdict.CUSTODY:
            return self._pace.spread_custody()
        return self._pace.spread_confirm(self._peer(state).crowd)

    def confirms(self, tag: int) -> None:
        """It is time to confirm."""
        state = self._listening[tag]
        verdict = state.verdict or Verdict.DELIVERED
        if state.to_all and verdict is Verdict.DELIVERED:
            self._peer(state).lot_was(1 / 2)
        confirm = Confirm(tag, self._origin, verdict, min(state.missed, 255))
        self._agenda.say(confirm, state.confirm_to, tag)

    # Helping neighbours

    def _offer(self, need: Need, state: _Listening, now: float) -> None:
        """Repair what somebody lacks of what we have, if its sender and others do not.

        Its sender answers the first request alone.
        """
        if not self._pace.shared or state.cut is None or need.k not in (0, state.cut.k):
            return
        count = need.count or state.cut.k
        if self._asked_in_vain(need.speaker, count, state) and self._assembler.whole(need.tag):
            state.lend = max(0, min(count, MAX_LENT - state.lent))
            self._lend_later(need.tag, state, now)

    def _asked_in_vain(self, speaker: int, count: int, state: _Listening) -> bool:
        """Tell whether somebody asked before, for no more than now."""
        before = state.asked.pop(speaker, 0)
        if len(state.asked) >= MAX_ASKERS:
            del state.asked[next(iter(state.asked))]
        state.asked[speaker] = count
        return 0 < before <= count

    def _lend_later(self, tag: int, state: _Listening, now: float) -> None:
        if state.lend:
            wait = self._pace.spread_lend(state.lend, state.size)
            self._agenda.set(What.LEND, tag, now + wait)

    def _repaired(self, tag: int, state: _Listening) -> None:
        """A symbol was heard: what we are about to send is needed less."""
        if state.lend:
            state.lend -= 1
            if not state.lend:
                self._agenda.cancel(What.LEND, tag)

    def lends(self, tag: int, now: float) -> None:
        """It is time to repair: one symbol, and the rest later, if nobody else does."""
        state = self._listening[tag]
        message = self._assembler.whole(tag)
        if message is None or state.cut is None:
            return  # it is not remembered any more
        state.lend -= 1
        state.lent += 1
        lent = self._pace.random.choice(LENT)
        (data,) = Splitter(message, state.cut, state.hops).frames([lent])
        self._agenda.lend(data, tag)
        self._lend_later(tag, state, now)
