"""What waits for a radio says why and until when, before it is sent and after; and may be asked."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from focal.core.clocks import moment
from focal.core.events import State
from focal.core.ledger import Ledger, Promise
from focal.home import Home
from tests.cli.conftest import Focal
from tests.deadline import ROOT, Deadline, environment

RADIO = "mem://busy?bandwidth=134&duty=0.1"
WHY = "358.0 s of the 360.0 s of air that an hour allows are used"
TEXT = "x" * 300

NEIGHBOURS = '''
"""busy://NAME: a radio on whose channel others speak."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from focal.core.link import TransportSpec
from focal.plugins import hookimpl
from focal.transports.memory import Conditions, MemoryTransport, Mesh


class Busy:
    def __init__(self, link):
        self._link = link
        self.send, self.receive = link.send, link.receive
        self.reports, self.aclose = link.reports, link.aclose

    @property
    def limits(self):
        return replace(self._link.limits, busy=0.31, asks=True)


@dataclass(frozen=True)
class BusyTransport:
    key = "busy"

    @classmethod
    def from_url(cls, url):
        return cls()

    @asynccontextmanager
    async def open(self, context):
        mesh = Mesh("busy", Conditions(bandwidth=1000.0, duty=0.1, replies=False))
        async with MemoryTransport(mesh).open(context) as link:
            yield Busy(link)


@hookimpl
def focal_transports():
    return [TransportSpec("busy", "for a test", BusyTransport.from_url, default="busy://x")]
'''


@pytest.fixture
def full(home: Path) -> None:
    """Let the radio of ``RADIO`` have used its hour up."""
    with closing(Ledger.open(Home.open(home).ledger_path, moment)) as ledger:
        promise = ledger.promise("mem mem-1", 358.0, 360.0)
        assert isinstance(promise, Promise)
        assert ledger.spend(promise, 358.0) is not None
        ledger.release(promise)


@pytest.mark.usefixtures("full")
def test_what_never_went_out_is_told_as_such(focal: Focal, home: Path) -> None:
    send = ("--home", home, "send", "--text", TEXT, "--via", RADIO, "--timeout", "1")
    done = focal(*send, "--json")
    assert done.code == 1
    queued, waits, unknown = done.objects
    assert (queued["event"], waits["event"], waits["reason"]) == ("queued", "queued", WHY)
    assert waits["until"] - time.time() == pytest.approx(3600 + 358, abs=20)
    assert "ask" not in waits
    assert (unknown["event"], unknown["reason"]) == (
        "unknown",
        f"it never went out in 1 s ({WHY}); it stays in the outbox",
    )
    id = unknown["id"]
    assert done.err.splitlines()[-1] == (
        f"focal: message {id} did not go out within 1 s: {WHY}; it stays in the outbox and goes "
        f"out when it can (focal outbox drop {id} takes it out)"
    )
    second = focal(*send)
    behind = re.escape(f"it waits for its turn: {WHY}")
    clock = r"\d\d:\d\d:\d\d"
    told = rf"{clock} \w+ queued on {re.escape(RADIO)}: {behind} \(until {clock}\)"
    (said,) = [line for line in second.out.splitlines() if WHY in line and "queued" in line]
    assert re.fullmatch(told, said)


@pytest.mark.usefixtures("full")
def test_everything_that_waits_says_why_and_until_when_in_the_outbox(
    focal: Focal, home: Path
) -> None:
    send = ("--home", home, "send", "--text", TEXT, "--via", RADIO)
    focal(*send, "--wait", "queued")
    (alone,) = focal("--home", home, "outbox", "list", "--json").objects
    assert alone["reason"] == f"it goes out when a process of this home has {RADIO} open"
    assert alone["until"] is None
    focal(*send, "--timeout", "1")
    focal(*send, "--wait", "queued")
    first, *others = focal("--home", home, "outbox", "list", "--json").objects
    assert first["reason"] == WHY
    assert [one["reason"] for one in others] == [f"it waits for its turn: {WHY}"] * 2
    assert all(abs(one["until"] - first["until"]) < 1 for one in others)
    lines = focal("--home", home, "outbox", "list").out.splitlines()
    assert all(re.search(r"\(until \d\d:\d\d:\d\d\)\)$", line) for line in lines)


def test_what_a_process_has_told_holds_while_it_has_the_link(focal: Focal, home: Path) -> None:
    def listed() -> tuple[str, float | None]:
        (one,) = focal("--home", home, "outbox", "list", "--json").objects
        return one["reason"], one["until"]

    focal("--home", home, "send", "--text", TEXT, "--via", RADIO, "--wait", "queued")
    nobody = f"it goes out when a process of this home has {RADIO} open"
    assert listed() == (nobody, None)
    folder = Home.open(home)
    with closing(folder.spool()) as spool:
        (leg,) = spool.outbox.legs()
        with folder.lock(leg.link):
            assert listed() == ("it waits for its turn", None)
            why, at = "another one is on its way", time.time() - 10
            spool.outbox.progress(leg.id, leg.link, State.QUEUED, at=at, reason=why, until=at)
            assert listed() == (why, None)
    assert listed() == (nobody, None)


def test_a_dry_run_to_an_address_that_nobody_answered_at_says_so(focal: Focal, home: Path) -> None:
    send = ("--home", home, "send", "--text", TEXT, "--via", RADIO)
    asks = "it waits until it is known who is at mem-99"

    def price(*to: str) -> tuple[str | None, float]:
        (one,) = focal(*send, *to, "--dry-run", "--json").objects
        return one.get("reason"), one["earliest"] - time.time()

    why, wait = price("--to", "mem-99")
    assert why == asks
    assert abs(wait) < 5
    for _ in range(3):
        focal(*send, "--to", "mem-99", "--wait", "queued")
    why, wait = price("--to", "mem-99")
    assert why == f"{asks}, as 3 before it do; then it waits for its turn"
    assert wait > 3 * len(TEXT) / 134 - 5
    assert price("--to", "mem-98")[0] == "it waits until it is known who is at mem-98"
    why, wait = price()
    assert why is None
    assert abs(wait) < 5


@pytest.mark.usefixtures("full")
def test_a_dry_run_says_what_the_scheduler_would(focal: Focal, home: Path) -> None:
    dry = ("--home", home, "send", "--text", TEXT, "--via", RADIO, "--dry-run")
    (price,) = focal(*dry, "--json").objects
    assert price["reason"] == WHY
    assert price["earliest"] - time.time() == pytest.approx(3600 + 358 - 3, abs=20)
    assert f": {WHY}" in focal(*dry).out
    focal("--home", home, "send", "--text", TEXT, "--via", RADIO, "--wait", "queued")
    (behind,) = focal(*dry, "--json").objects
    assert behind["reason"] == f"it waits for its turn: {WHY}"
    assert behind["earliest"] > price["earliest"]


def test_a_dry_run_on_a_channel_that_others_use_waits_for_them(
    focal: Focal, home: Path, tmp_path: Path
) -> None:
    plugins = neighbours(tmp_path)
    dry = ("--home", home, "--plugins-dir", plugins, "send", "--text", "hi", "--via", "busy:")
    (price,) = focal(*dry, "--dry-run", "--json").objects
    assert price["reason"] == "others use the channel 31% of the time: waiting until that is 25%"
    assert price["earliest"] - time.time() == pytest.approx(60, abs=10)


def neighbours(folder: Path) -> Path:
    (folder / "transport.busy.py").write_text(NEIGHBOURS)
    return folder


def test_without_a_terminal_it_waits_and_says_so(focal: Focal, home: Path, tmp_path: Path) -> None:
    plugins = neighbours(tmp_path)
    send = ("--home", home, "--plugins-dir", plugins, "send", "--text", "hi", "--via", "busy:")
    done = focal(*send, "--timeout", "1", "--json")
    assert done.code == 1
    assert done.objects[1]["ask"] is True
    assert "others use the channel 31%" in done.objects[1]["reason"]


class Terminal:
    """What a command shows on a terminal, as it comes."""

    def __init__(self, file: int, deadline: Deadline) -> None:
        self.seen = ""
        self._file = file
        self._deadline = deadline
        os.set_blocking(file, False)

    def until(self, text: str) -> None:
        """Wait until this was shown."""
        self._deadline.until(f"{text!r} after {self.seen!r}", lambda: text in self._read())

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def _read(self) -> str:
        try:
            self.seen += os.read(self._file, 65536).decode(errors="replace")
        except BlockingIOError:
            pass
        except OSError:  # the command has ended, and all is read
            pass
        return self.seen


@contextmanager
def on_terminal(*arguments: object) -> Generator[tuple[Terminal, Callable[[], int]]]:
    """Run focal on a terminal; give what it shows, and what waits for its exit code."""
    deadline = Deadline(90)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "focal", *map(str, arguments)],
        stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment(),
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(master, deadline), lambda: process.wait(deadline.left)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("", False)])
def test_on_a_terminal_the_user_is_asked(
    home: Path, tmp_path: Path, answer: str, goes: bool
) -> None:
    plugins = neighbours(tmp_path)
    send = ("--home", home, "--plugins-dir", plugins, "send", "--text", "hi", "--via", "busy:")
    with on_terminal(*send, "--timeout", "20" if goes else "3") as (terminal, ended):
        terminal.until("send it now all the same? [y/N] ")
        assert "others use the channel 31% of the time" in terminal.seen
        terminal.type(f"{answer}\n")
        terminal.until(" sent on busy:" if goes else "did not go out within 3 s")
        assert ended() == (0 if goes else 1)
    assert terminal.seen.count("[y/N]") == 1
