"""Homes, rooms on a broker and bridges between them, each a process of its own.

The law of this module: what was said is known from the spool of who said it, what was heard from
the spool of who heard it and from the lines that their processes told.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from focal.app import App
from focal.core.events import State
from focal.core.message import Kind, Message, MessageId
from focal.core.outbox import LegSpec
from tests.broker import HOST, Broker
from tests.deadline import Deadline, Process, running
from tests.deadline import focal as process
from tests.live.pair import spool, via


def room(broker: Broker, name: str) -> str:
    """Return the link to a room on a broker."""
    return f"mqtt://{HOST}:{broker.port}/{name}"


@dataclass
class Hill:
    """Homes in a folder, and the processes that were run for them.

    Args:
        folder: where the homes are.
        deadline: until when all of a test must have happened.
    """

    folder: Path
    deadline: Deadline
    everyone: list[Process] = field(default_factory=list[Process])

    def home(self, name: str) -> Path:
        """Return a home's folder."""
        return self.folder / name

    @contextmanager
    def bridging(self, *arguments: str, home: str = "bridge") -> Generator[Process]:
        """Run ``focal bridge``; it bridges when this returns, though its links may be down."""
        with self.running("--home", str(self.home(home)), "--json", "bridge", *arguments) as bridge:
            bridge.line("bridging ", "err")
            yield bridge

    @contextmanager
    def listening(self, home: str, *links: str) -> Generator[Process]:
        """Run ``focal listen``, which sends what waits in the outbox of its home, too."""
        command = ["--home", str(self.home(home)), "--json", "listen", *via(links)]
        with self.running(*command) as listener:
            listener.line("listening on", "err")
            yield listener

    @contextmanager
    def running(self, *arguments: str) -> Generator[Process]:
        """Run ``focal`` with arguments."""
        with running(process(*arguments), self.deadline, cwd=self.folder) as started:
            self.everyone.append(started)
            yield started

    def says(self, home: str, text: str, link: str, *options: str) -> dict[str, Any]:
        """Have a home say a text and wait until it is delivered; return what was told then."""
        command = ["--home", str(self.home(home)), "--json", "send", "--text", text]
        wait = ["--via", link, "--wait", "delivered", *options]
        with self.running(*command, *wait) as sender:
            assert sender.wait() == 0, sender.story()
        last: dict[str, Any] = json.loads(sender.out[-1])
        assert last["event"] == "delivered", sender.story()
        return last

    def says_of(self, home: str, *command: str) -> list[str]:
        """Return the lines that a command prints of a home, JSON objects."""
        with self.running("--home", str(self.home(home)), "--json", *command) as asked:
            assert asked.wait() == 0, asked.story()
            return asked.out

    def origin(self, home: str) -> int:
        """Return who a home is."""
        with spool(self.home(home)) as theirs:
            return theirs.origin

    def queue(self, home: str, link: str, count: int, to: str | None = None) -> list[MessageId]:
        """Put so many texts into a home's outbox, all by one commit; return their ids.

        Args:
            home: who says it.
            link: the link that is to carry it.
            count: how many.
            to: the home that it is for; None is everyone.
        """
        key = App.start(self.home(home), {}, via=(link,)).links()[link].key
        destination, now = None if to is None else self.origin(to), time.time()
        with spool(self.home(home)) as ours, ours.database.transaction():
            ids = [MessageId(ours.origin, ours.next_sequence()) for _ in range(count)]
            for id in ids:
                message = Message(
                    id, Kind.TEXT, str(id).encode(), sent_at=int(now), destination=destination
                )
                ours.outbox.put(
                    message.to_bytes(),
                    [LegSpec(key, link)],
                    kind=Kind.TEXT,
                    expires_at=message.expires_at(now),
                )
        return ids

    def held(self, home: str) -> Counter[MessageId]:
        """Return how often each message is in a home's inbox."""
        with spool(self.home(home)) as theirs:
            return Counter(entry.id for entry in theirs.inbox.entries())

    def idle(self, home: str) -> bool:
        """Tell whether nothing waits in a home's outbox."""
        with spool(self.home(home)) as theirs:
            return not theirs.outbox.legs()

    def waiting(self, home: str) -> int:
        """Return how many legs wait in a home's outbox."""
        with spool(self.home(home)) as theirs:
            return sum(not leg.done for leg in theirs.outbox.legs())

    def confirmed(self, home: str, ids: Sequence[MessageId], by: str) -> bool:
        """Tell whether a home knows that each of these was delivered to another."""
        who = self.origin(by)
        with spool(self.home(home)) as ours:
            return all(
                any(
                    event.state is State.DELIVERED and event.by == who
                    for event in ours.outbox.events(id)
                )
                for id in ids
            )

    def ends(self, gentle: Process, number: int = signal.SIGTERM, code: int = 0) -> None:
        """End a process in order."""
        gentle.signal(number)
        assert gentle.wait() == code, gentle.story()

    def check_said(self) -> None:
        """See that nobody said what only a bug says."""
        for each in self.everyone:
            assert "Traceback" not in "".join(each.err), each.story()


def told(process: Process, event: str) -> list[dict[str, Any]]:
    """Return the events of a kind that a process has told until now."""
    mark = f'"event": "{event}"'
    return [json.loads(line) for line in process.out[:] if mark in line and line.endswith("\n")]


def heard(process: Process) -> Counter[str]:
    """Return how often a listener told of each message."""
    return Counter(one["id"] for one in told(process, "received"))
