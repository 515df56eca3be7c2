"""The spool against a model of dicts: whatever is done to it, in whatever order.

Each rule is done to both and what they answer is compared; the invariants compare all that they
hold, with what the bounds count. Some rules are done in batches, some after opening it anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from focal.core.errors import SpoolError
from focal.core.events import State
from focal.core.inbox import InboxBounds
from focal.core.leg import LegSpec
from focal.core.message import Kind
from focal.core.outbox import OutboxBounds
from focal.core.spool import Spool
from tests.core.spooling import EPOCH, Clock, message

LINKS = ("lora:x", "mqtt:x", "file:x")
SINKS = ("wav:", "speaker:")
OUT, IN = 4, 5  # messages in outbox and inbox
CONFIRMED = {State.DELIVERED: 1, State.PLAYED: 2}

numbers = st.integers(0, 6)
texts = st.sampled_from(["a", "bb"])
links = st.sampled_from(LINKS)
legs = st.sets(links, min_size=1)
states = st.sampled_from(list(State))
sinks = st.sampled_from(SINKS)


@dataclass
class Sent:
    """A leg, as the model knows it."""

    state: State = State.QUEUED
    sent: bool = False
    done: bool = False


@dataclass
class Out:
    """A message in the outbox."""

    text: str
    expires_at: float
    legs: dict[str, Sent]

    @property
    def done(self) -> bool:
        return all(leg.done for leg in self.legs.values())


@dataclass
class Came:
    """A message in the inbox; ``turns`` says how far each sink is."""

    twin: int
    size: int
    turns: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def spent(self) -> bool:
        return not {"pending", "playing", "cut off"} & set(self.turns.values())


class SpoolMachine(RuleBasedStateMachine):
    """The spool and its model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.clock = Clock()
        self.spool = self.opened()
        self.out: dict[int, Out] = {}
        self.inbox: dict[tuple[int, str], Came] = {}
        self.seen: dict[tuple[int, str], int] = {}

    def opened(self) -> Spool:
        return Spool.open(
            self.folder / "spool.db",
            durability="process",
            unix=self.clock,
            outbox=OutboxBounds(messages=OUT, history=100),
            inbox=InboxBounds(messages=IN),
        )

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)

    def tried(self, op: Callable[[], object], *, may: bool) -> None:
        """Do something that is refused, by the model, unless it ``may``."""
        (result,) = self.spool.apply([op])
        assert isinstance(result, SpoolError) is not may, result

    @rule()
    def open_again(self) -> None:
        self.spool.close()
        self.spool = self.opened()

    # The outbox

    @rule(n=numbers, text=texts, to=legs, expires=st.integers(10, 50))
    def put(self, n: int, text: str, to: set[str], expires: int) -> None:
        old = self.out.get(n)
        full = sum(not out.done for out in self.out.values()) >= OUT
        if old is None:
            may = not full
        else:
            comes_back = old.done and bool(to - set(old.legs))
            may = old.text == text and not (comes_back and full)
        one, expires_at = message(n, text), self.clock.now + expires
        specs = [LegSpec(link, link) for link in sorted(to)]
        self.tried(
            lambda: self.spool.outbox.put(
                one.to_bytes(), specs, kind=Kind.TEXT, expires_at=expires_at
            ),
            may=may,
        )
        if may:
            out = self.out.setdefault(n, Out(text, expires_at, {}))
            for link in to:
                out.legs.setdefault(link, Sent())

    @rule(n=numbers, link=links)
    def burst(self, n: int, link: str) -> None:
        leg = self.out[n].legs.get(link) if n in self.out else None
        may = leg is not None and not leg.done
        self.tried(
            lambda: self.spool.outbox.burst(message(n).id, link, attempts=1, next_index=5), may=may
        )
        if leg and may:
            leg.sent = True

    @rule(n=numbers, link=st.none() | links, state=states, done=st.booleans())
    def progress(self, n: int, link: str | None, state: State, done: bool) -> None:
        known = self.out[n].legs if n in self.out else {}
        meant = [leg for key, leg in known.items() if link in (None, key)]
        told = self.spool.outbox.progress(message(n).id, link, state, at=self.clock.now, done=done)
        assert (told is not None) == bool(meant)
        for leg in meant:
            if CONFIRMED.get(leg.state, 0) <= CONFIRMED.get(state, 0):
                leg.state = state
            leg.done |= done

    @rule(seconds=st.integers(0, 20))
    def expire(self, seconds: int) -> None:
        self.clock.now += seconds
        ended: set[tuple[int, str, State]] = set()
        for n, out in self.out.items():
            for link, leg in out.legs.items():
                if not leg.done and out.expires_at <= self.clock.now:
                    leg.done = True
                    if leg.state not in CONFIRMED:
                        leg.state = State.UNKNOWN if leg.sent else State.EXPIRED
                    ended.add((n, link, leg.state))
        found = self.spool.outbox.expire(self.clock.now)
        assert {(leg.id.sequence, leg.link, leg.state) for leg in found} == ended

    @rule(n=numbers)
    def retry(self, n: int) -> None:
        out = self.out.get(n)
        dead = [leg for leg in out.legs.values() if leg.done and leg.state.final] if out else []
        full = sum(not other.done for other in self.out.values()) >= OUT
        may = bool(out and dead and out.expires_at > self.clock.now and not (out.done and full))
        self.tried(lambda: self.spool.outbox.retry(message(n).id), may=may)
        for leg in dead if may else []:
            leg.state, leg.done = State.QUEUED, False

    @rule(n=numbers)
    def drop(self, n: int) -> None:
        self.tried(lambda: self.spool.outbox.drop(message(n).id), may=n in self.out)
        self.out.pop(n, None)

    @invariant()
    def the_outbox_is_as_the_model_says(self) -> None:
        found = {(leg.id.sequence, leg.link): leg for leg in self.spool.outbox.legs(all=True)}
        expected = {
            (n, link): (leg.state, leg.sent, leg.done, message(n, out.text).to_bytes())
            for n, out in self.out.items()
            for link, leg in out.legs.items()
        }
        assert expected == {
            key: (leg.state, leg.sent, leg.done, leg.message) for key, leg in found.items()
        }
        for link in LINKS:
            waiting = {leg.id.sequence for leg in self.spool.outbox.waiting(link)}
            assert waiting == {
                n for n, out in self.out.items() if link in out.legs and not out.legs[link].done
            }

    # The inbox

    @rule(n=numbers, text=st.sampled_from("abcdefg"), to=st.sets(sinks), keeps=st.booleans())
    def deliver(self, n: int, text: str, to: set[str], keeps: bool) -> None:
        one = message(n, text).to_bytes()
        known = (n, text) in self.seen
        twin = 1 + max((at for (m, _), at in self.seen.items() if m == n), default=-1)
        fits = len(self.inbox) < IN or any(came.spent for came in self.inbox.values())
        results = self.spool.apply(
            [
                lambda: self.spool.inbox.deliver(
                    one, link="x", peer=None, at=EPOCH, sinks=sorted(to), keeps=keeps
                )
            ]
        )
        if not known and twin <= 4 and not fits:
            assert isinstance(results[0], SpoolError)
            return
        assert not isinstance(results[0], Exception)
        if known or twin > 4:
            return
        if len(self.inbox) >= IN:
            del self.inbox[next(key for key, came in self.inbox.items() if came.spent)]
        self.seen[n, text] = twin
        self.inbox[n, text] = Came(twin, len(one), dict.fromkeys(to, "pending"))

    @precondition(lambda self: self.inbox)
    @rule(data=st.data(), sink=sinks)
    def begin_turn(self, data: st.DataObject, sink: str) -> None:
        (n, text), came = data.draw(st.sampled_from(list(self.inbox.items())))
        began = self.spool.inbox.begin_turn(message(n, text).id, came.twin, sink)
        assert began == (came.turns.get(sink) == "pending")
        if began:
            came.turns[sink] = "playing"

    @precondition(lambda self: self.inbox)
    @rule(data=st.data(), sink=sinks, well=st.booleans())
    def end_turn(self, data: st.DataObject, sink: str, well: bool) -> None:
        (n, text), came = data.draw(st.sampled_from(list(self.inbox.items())))
        problem = None if well else "no"
        self.spool.inbox.end_turn(message(n, text).id, came.twin, sink, problem=problem)
        if sink in came.turns:
            came.turns[sink] = "done" if well else "failed"

    @rule(sink=sinks)
    def cut_off(self, sink: str) -> None:
        found = {(turn.id.sequence, turn.twin) for turn in self.spool.inbox.cut_off([sink])}
        expected: set[tuple[int, int]] = set()
        for (n, _), came in self.inbox.items():
            if came.turns.get(sink) == "playing":
                came.turns[sink] = "cut off"
                expected.add((n, came.twin))
        assert found == expected

    @rule(n=numbers)
    def drop_from_inbox(self, n: int) -> None:
        there = [key for key in self.inbox if key[0] == n]
        self.tried(lambda: self.spool.inbox.drop(message(n).id), may=bool(there))
        for key in there:
            del self.inbox[key]

    @invariant()
    def the_inbox_is_as_the_model_says(self) -> None:
        found = [
            (entry.id.sequence, entry.twin, {one.sink: str(one.state) for one in entry.outcomes})
            for entry in self.spool.inbox.entries()
        ]
        assert found == [(n, came.twin, came.turns) for (n, _), came in self.inbox.items()]
        for sink in SINKS:
            turns = [(turn.id.sequence, turn.twin) for turn in self.spool.inbox.turns([sink])]
            assert turns == [
                (n, came.twin)
                for (n, _), came in self.inbox.items()
                if came.turns.get(sink) == "pending"
            ]

    @invariant()
    def the_totals_are_what_the_rows_say(self) -> None:
        count = "SELECT count(*), coalesce(sum(length(message)), 0) FROM"
        for box, rows in (
            ("outbox", "outbox WHERE done_at IS NULL"),
            ("history", "outbox WHERE done_at IS NOT NULL"),
            ("inbox", "inbox WHERE message IS NOT NULL"),
            ("dropped", "inbox WHERE message IS NULL"),
        ):
            database = self.spool.database
            total = database.rows("SELECT messages, bytes FROM total WHERE what = ?", box)
            assert total == database.rows(f"{count} {rows}"), box
        assert self.spool.database.rows("SELECT count(*) FROM leg") == [
            (sum(len(out.legs) for out in self.out.values()),)
        ]


SpoolMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, derandomize=True
)
TestSpoolAgainstItsModel = SpoolMachine.TestCase
