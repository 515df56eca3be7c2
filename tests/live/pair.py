"""Two homes on one machine, their processes, and what must hold whatever was done to those.

The law of this module: everything is a real process and a real file. What was accepted is known
from what the processes said and what their spools hold, never from what a test intended.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import wave
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from focal import testing
from focal.app import App
from focal.core.events import State
from focal.core.inbox import Entry, TurnState
from focal.core.leg import Leg
from focal.core.message import Kind, Message, MessageId
from focal.core.spool import Spool
from focal.home import Home
from focal.sending import Order, send
from focal.speech import sound_of
from tests.deadline import Deadline, Process, running
from tests.deadline import focal as process

RATE = 8000


@dataclass(frozen=True, slots=True)
class Said:
    """Something to say: a text, or so many seconds of voice in a quality."""

    text: str | None = None
    quality: str = "auto"
    seconds: float = 0.0


TEXT = Said("a few words")
LONG_TEXT = Said("a word or two " * 60)
SHORT = Said(quality="c2-700c", seconds=0.8)
LONG = Said(quality="c2-3200", seconds=3.1)
EVERYTHING = (TEXT, SHORT, LONG, LONG_TEXT)
"""Messages of one frame and of several, voice and text."""


def free_ports(count: int) -> list[int]:
    """Return UDP ports that are free now, all different."""
    return testing.free_ports(count, socket.SOCK_DGRAM)


def udp(to: int, listen: int) -> str:
    """Return a UDP link on this machine."""
    return f"udp://127.0.0.1:{to}?listen={listen}&bind=127.0.0.1"


@dataclass
class Pair:
    """A home ``a`` that sends and a home ``b`` that listens and saves into ``in``.

    Args:
        folder: where both homes are made.
        near: the links of a.
        far: the links of b.
        deadline: until when all of it must have happened.
    """

    folder: Path
    near: list[str]
    far: list[str]
    deadline: Deadline
    everyone: list[Process] = field(default_factory=list[Process])
    kills: int = 0

    @property
    def saved(self) -> Path:
        """Where b writes what arrives."""
        return self.folder / "in"

    @property
    def log(self) -> Path:
        """Where b writes a line for each message."""
        return self.folder / "log.jsonl"

    @property
    def sinks(self) -> list[str]:
        """The keys of what b writes to."""
        return [f"wav:{self.saved.resolve()}", f"jsonl:{self.log.resolve()}"]

    @property
    def a(self) -> Path:
        """The home that sends."""
        return self.folder / "a"

    @property
    def b(self) -> Path:
        """The home that listens."""
        return self.folder / "b"

    @contextmanager
    def sending(
        self, what: Said, fail: str | None = None, wait: str = "delivered"
    ) -> Generator[Process]:
        """Run ``focal send`` of a."""
        what_to_say = ["--text", what.text] if what.text else [str(self.recording(what))]
        options = ["--quality", what.quality, "--wait", wait, *via(self.near)]
        command = ["--home", str(self.a), "--json", "send", *what_to_say, *options]
        with self.running(process(*command), fail) as sender:
            yield sender

    @contextmanager
    def listening(self, fail: str | None = None) -> Generator[Process]:
        """Run ``focal listen`` of b, which saves and logs."""
        sinks = ["--save", str(self.saved), "--sink", f"jsonl:{self.log}"]
        command = ["--home", str(self.b), "--json", "listen", *sinks, *via(self.far)]
        with self.running(process(*command), fail) as listener:
            yield listener

    @contextmanager
    def owning(self, fail: str | None = None) -> Generator[Process]:
        """Run ``focal listen`` of a, which sends whatever waits in its outbox."""
        command = ["--home", str(self.a), "--json", "listen", *via(self.near)]
        with self.running(process(*command), fail) as owner:
            yield owner

    @contextmanager
    def running(self, command: Sequence[str], fail: str | None = None) -> Generator[Process]:
        """Run a program whose words count; ``fail`` is a fail point, ``NAME:N``."""
        env = {"FOCAL_FAIL_AT": fail} if fail else {}
        with running(command, self.deadline, env=env, cwd=self.folder) as started:
            self.everyone.append(started)
            yield started

    def dies(self, victim: Process) -> None:
        """Wait for a process to be killed at its fail point."""
        code = victim.wait()
        assert code == -signal.SIGKILL, f"it ended with {code}; {victim.story()}"
        self.kills += 1

    def ends(self, gentle: Process, code: int = 130) -> None:
        """End a listener as a user does, and see that it ends in order."""
        gentle.line("listening on", "err")
        gentle.signal(signal.SIGINT)
        assert gentle.wait() == code, gentle.story()

    def queue(self, *said: Said) -> None:
        """Put messages into the outbox of a, as ``focal send --wait queued`` does."""
        for what in said:
            order = Order(text=what.text) if what.text else Order(str(self.recording(what)))
            via, quality = tuple(self.near), what.quality
            app = App.start(self.a, {}, via=via, quality=quality, wait="queued")
            asyncio.run(send(app, order, lambda _: None, lambda _: None, lambda _: None))

    def recording(self, what: Said) -> Path:
        """Return a sound file of so many seconds."""
        path = self.folder / f"{what.seconds}.wav"
        if not path.exists():
            _write_sound(path, what.seconds)
        return path

    # What the spools hold

    def outgoing(self) -> list[Leg]:
        """Return every leg in a's outbox, history too, without receipts."""
        with spool(self.a) as ours:
            return [leg for leg in ours.outbox.legs(all=True) if leg.kind is not Kind.RECEIPT]

    def held(self) -> list[Entry]:
        """Return every message in b's inbox."""
        with spool(self.b) as theirs:
            return theirs.inbox.entries()

    def at_rest(self) -> bool:
        """Tell whether nothing is left to be sent, confirmed or written, on either side."""
        with spool(self.a) as ours, spool(self.b) as theirs:
            if ours.outbox.legs() or theirs.outbox.legs() or theirs.inbox.turns(self.sinks):
                return False
            ids = {leg.id for leg in ours.outbox.legs(all=True)}
            return all(_was(ours, id, State.DELIVERED) for id in ids)

    def settle(self, listener: Process) -> None:
        """Let everything arrive that was accepted, then end both sides in order."""
        with self.owning() as owner:
            self.deadline.until("everything has arrived", self.at_rest)
            self.ends(owner)
        self.ends(listener)

    # What must hold

    def check(self) -> None:
        """See that whatever was accepted is there exactly once; everybody has ended before."""
        legs, entries = self.outgoing(), self.held()
        accepted = {leg.id: leg.message for leg in legs}
        assert {entry.id: entry.message for entry in entries} == accepted
        assert len(entries) == len(accepted) and {entry.twins for entry in entries} <= {1}
        ids = {str(id) for id in accepted}
        assert self.told("queued") | self.told("delivered") | self.told("received") <= ids
        assert all(leg.done for leg in legs)
        self._check_events()
        self._check_files(entries)
        for each in self.everyone:
            assert "Traceback" not in "".join(each.err), each.story()

    def told(self, event: str) -> set[str]:
        """Return the ids of which some process told an event."""
        lines = [line for each in self.everyone for line in each.out if line.endswith("\n")]
        objects: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return {one["id"] for one in objects if one["event"] == event}

    def _check_events(self) -> None:
        """Each message was confirmed by b, and never ended otherwise."""
        with spool(self.a) as ours, spool(self.b) as theirs:
            assert not theirs.outbox.legs()
            for leg in ours.outbox.legs(all=True):
                events = ours.outbox.events(leg.id)
                confirmed = [event for event in events if event.state is State.DELIVERED]
                assert confirmed and {event.by for event in confirmed} == {theirs.origin}
                assert not [event for event in events if event.state.final]
            for each in (ours, theirs):
                assert each.database.rows("PRAGMA integrity_check") == [("ok",)]

    def _check_files(self, entries: list[Entry]) -> None:
        """Each voice message is one whole WAV, each text one file, both a line, and that is all."""
        endings = Counter(path.name.rpartition("_")[2] for path in self.saved.iterdir())
        wanted = Counter(f"{entry.id}.{_ending(entry)}" for entry in entries)
        assert endings == wanted
        logged = [json.loads(line)["id"] for line in self.log.read_text().splitlines()]
        assert sorted(logged) == sorted(str(entry.id) for entry in entries)
        for entry in entries:
            files = {outcome.sink: outcome.file for outcome in entry.outcomes}
            assert {outcome.state for outcome in entry.outcomes} == {TurnState.DONE}
            assert sorted(files) == sorted(self.sinks)
            _check_file(Path(files[self.sinks[0]] or ""), Message.from_bytes(entry.message))


@contextmanager
def spool(home: Path) -> Generator[Spool]:
    """Open the spool of a home, to look into it."""
    with Home.open(home).spool("process") as opened:
        yield opened


def via(links: Sequence[str]) -> list[str]:
    """Return the options that name these links."""
    return [word for link in links for word in ("--via", link)]


def _was(ours: Spool, id: MessageId, state: State) -> bool:
    return any(event.state is state for event in ours.outbox.events(id))


def _ending(entry: Entry) -> str:
    return "wav" if entry.kind is Kind.VOICE else "txt"


def _check_file(path: Path, message: Message) -> None:
    if message.kind is Kind.TEXT:
        assert path.read_bytes() == message.payload
        return
    _, seconds = sound_of(App.start(path.parent, {}).plugins, message)
    with wave.open(str(path), "rb") as file:
        frames = file.getnframes()
        assert len(file.readframes(frames)) == 2 * frames
        assert abs(frames / file.getframerate() - seconds) < 0.001


def _write_sound(path: Path, seconds: float) -> None:
    """Write a voice-like hum with noise: no two frames of it are the same."""
    chance = np.random.default_rng(round(1000 * seconds))
    t = np.arange(round(seconds * RATE)) / RATE
    wave_ = 0.3 * np.sin(2 * np.pi * (120 + 20 * t) * t) + chance.normal(0, 0.05, len(t))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((wave_ * 20_000).astype("<i2").tobytes())
