"""The ledger: whatever happens to clocks and processes, no hour holds more than the limit."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from focal.core.clocks import Moment, moment
from focal.core.errors import SpoolError
from focal.core.hour import HOUR, Sent
from focal.core.ledger import HELD, Later, Ledger, Promise
from tests.core.test_hour import most_in_an_hour

LIMIT = 90.0


@dataclass
class World:
    """True time, and the clocks that people have."""

    now: float = 1_000_000.0
    booted: float = 999_000.0
    boots: int = 1
    wrong: float = 0.0
    trusted: bool = True
    sent: list[Sent] = field(default_factory=list[Sent])

    def clocks(self) -> Moment:
        since = self.now - self.booted
        return Moment(f"boot {self.boots}", since, self.now + self.wrong, self.trusted)


class LedgerMachine(RuleBasedStateMachine):
    """Bursts, pauses, crashes, reboots and people who set the clock."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World()
        self.ledger = self._open()

    def _open(self) -> Ledger:
        path = Path(self._folder.name, "ledger.db")
        return Ledger.open(path, self.world.clocks, durability="process")

    def teardown(self) -> None:
        self.ledger.close()
        self._folder.cleanup()

    def _ask(self, seconds: float) -> Promise | None:
        promise = self.ledger.promise("radio", seconds, LIMIT)
        if isinstance(promise, Later):
            assert (promise.at is None) == (seconds > LIMIT)
            assert promise.at is None or promise.at > self.ledger.now()
            return None
        return promise

    def _frame(self, promise: Promise, seconds: float, late: float) -> None:
        """A frame is out within what was told, or it is told that it was not."""
        told = late if self.world.boots % 2 else 0.0
        entry = self.ledger.spend(promise, seconds, seconds + told)
        assert entry is not None
        self.world.now += seconds + late
        self.world.sent.append(Sent(self.world.now, seconds))
        if told < late:
            self.ledger.moved(entry)

    @rule(seconds=st.floats(0.05, 30), late=st.floats(0, 3), frames=st.integers(1, 4))
    def burst(self, seconds: float, late: float, frames: int) -> None:
        promise = self._ask(seconds)
        if promise is not None:
            for _ in range(frames):
                self._frame(promise, seconds / frames, late)
            self.ledger.release(promise)

    @rule(seconds=st.floats(0.05, 30))
    def crash_in_a_burst(self, seconds: float) -> None:
        """The frame was written down and may or may not have gone out; nothing is given back."""
        promise = self._ask(seconds)
        if promise is not None:
            assert self.ledger.spend(promise, seconds / 2) is not None
            self.world.now += seconds / 2
            self.world.sent.append(Sent(self.world.now, seconds / 2))
        self.ledger.close()
        self.ledger = self._open()

    @rule(seconds=st.floats(0.05, 30), other=st.floats(0.05, 30))
    def two_at_once(self, seconds: float, other: float) -> None:
        """Two processes of one home, whose bursts are on their way at once."""
        second = self._open()
        mine, theirs = self._ask(seconds), second.promise("radio", other, LIMIT)
        if mine is not None:
            self._frame(mine, seconds, 0.0)
        if isinstance(theirs, Promise):
            self._frame(theirs, other, 0.0)
            second.release(theirs)
        if mine is not None:
            self.ledger.release(mine)
        second.close()

    @rule(seconds=st.floats(0, 4000))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(down=st.floats(0, 4000))
    def reboot(self, down: float) -> None:
        self.ledger.close()
        self.world.now += down
        self.world.booted, self.world.boots = self.world.now, self.world.boots + 1
        self.ledger = self._open()

    @rule(wrong=st.floats(-1e8, 1e8))
    def set_the_clock(self, wrong: float) -> None:
        self.world.wrong, self.world.trusted = wrong, False

    @rule(wrong=st.floats(-20, 20))
    def a_time_server_sets_the_clock(self, wrong: float) -> None:
        self.world.wrong, self.world.trusted = wrong, True

    @invariant()
    def no_hour_holds_more_than_the_limit(self) -> None:
        assert most_in_an_hour(self.world.sent) <= LIMIT + 1e-5


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def spend(ledger: Ledger, seconds: float, radio: str = "radio") -> None:
    promise = ledger.promise(radio, seconds, LIMIT)
    assert isinstance(promise, Promise)
    assert ledger.spend(promise, seconds) is not None
    ledger.release(promise)


def test_another_process_sees_what_was_spent(world: World, path: Path) -> None:
    one, other = Ledger.open(path, world.clocks), Ledger.open(path, world.clocks)
    spend(one, 60.0)
    assert other.hour("radio").used(other.now()) == 60.0
    assert other.radios() == ["radio"]
    later = other.promise("radio", 31.0, LIMIT)
    assert isinstance(later, Later)
    assert later.at == pytest.approx(other.now() + 60.0 + HOUR - 31.0)


def test_each_radio_has_an_hour_of_its_own(world: World, path: Path) -> None:
    ledger = Ledger.open(path, world.clocks)
    spend(ledger, 60.0, "one")
    spend(ledger, 60.0, "other")
    world.now += HOUR + 61
    assert ledger.radios() == []


def test_a_promise_is_kept_for_the_burst_that_has_it(world: World, path: Path) -> None:
    ledger = Ledger.open(path, world.clocks)
    promise = ledger.promise("radio", 60.0, LIMIT)
    assert isinstance(promise, Promise)
    assert isinstance(ledger.promise("radio", 31.0, LIMIT), Later)
    assert ledger.spend(promise, 61.0) is None
    ledger.release(promise)
    ledger.release(promise)
    assert isinstance(ledger.promise("radio", 31.0, LIMIT), Promise)


def test_a_promise_that_nobody_spends_of_is_void(world: World, path: Path) -> None:
    ledger = Ledger.open(path, world.clocks)
    promise = ledger.promise("radio", 60.0, LIMIT)
    assert isinstance(promise, Promise)
    world.now += HELD + 1
    assert ledger.spend(promise, 1.0) is None
    assert isinstance(ledger.promise("radio", 60.0, LIMIT), Promise)


def test_after_a_reboot_without_a_clock_there_is_silence(world: World, path: Path) -> None:
    ledger = Ledger.open(path, world.clocks)
    spend(ledger, 90.0)
    world.now += HOUR - 10
    world.booted, world.boots, world.trusted = world.now, 2, False
    later = ledger.promise("radio", 1.0, LIMIT)
    assert isinstance(later, Later)
    assert later.at == pytest.approx(HOUR - 1.0)


def test_after_a_reboot_with_a_clock_the_hour_goes_on(world: World, path: Path) -> None:
    ledger = Ledger.open(path, world.clocks)
    spend(ledger, 90.0)
    world.now += HOUR
    world.booted, world.boots = world.now, 2
    world.now += 200
    assert isinstance(ledger.promise("radio", 1.0, LIMIT), Promise)


def test_what_is_no_ledger_is_told(tmp_path: Path, world: World) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(SpoolError, match="is not a database"):
        Ledger.open(tmp_path / "ledger.db", world.clocks)


def test_the_clocks_of_this_machine_go_on() -> None:
    one, other = moment(), moment()
    assert one.boot == other.boot
    assert 0 < one.awake <= other.awake


def test_what_is_read_only_changes_nothing_and_tells_the_limit(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "ledger.db"
    with closing(Ledger.open(path, world.clocks)) as ledger:
        promise = ledger.promise("hill", 5.0, LIMIT)
        assert isinstance(promise, Promise)
        ledger.spend(promise, 2.0)
        before = path.read_bytes()
        with closing(Ledger.look(path, world.clocks)) as looker:
            assert (looker.radios(), looker.allowed("hill")) == (["hill"], LIMIT)
            assert looker.allowed("dale") is None
            hour = looker.hour("hill")
            assert (hour.promised, hour.used(looker.now())) == (3.0, 2.0)
            assert [one.seconds for one in hour.leaving(looker.now())] == [2.0]
            with pytest.raises(SpoolError):
                looker.promise("hill", 1.0, LIMIT)
        assert path.read_bytes() == before


def test_what_is_no_ledger_or_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpoolError):
        Ledger.look(tmp_path / "none.db", World().clocks)
    (tmp_path / "other.db").write_text("x" * 5000)
    with pytest.raises(SpoolError):
        Ledger.look(tmp_path / "other.db", World().clocks)


def test_limits_of_radios_that_are_silent_are_forgotten(tmp_path: Path) -> None:
    world = World()
    with closing(Ledger.open(tmp_path / "ledger.db", world.clocks)) as ledger:
        assert isinstance(ledger.promise("hill", LIMIT + 1, LIMIT), Later)
        assert ledger.allowed("hill") == LIMIT
        ledger.promise("dale", 1.0, LIMIT)
        assert ledger.allowed("hill") is None
