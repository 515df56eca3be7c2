"""What holds for every sink, as checks that a sink's tests inherit.

The law of this module: a sink is judged by what its place holds afterwards and by nothing that it
says of itself.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from ..core.errors import SinkError
from ..core.message import Kind, Message, MessageId
from ..core.ports import Delivery, Sink
from ._checks import cancelled, one_line, run_check, skip, step, watch_loop
from ._codec import humming

AT = 1_799_999_999
"""When the messages of these checks were sent: 2027-01-15 07:59:59 UTC."""
HOSTILE = (
    "../../escaped", "/escaped", "..", ".", "-rf", "~", "CON", "a\0b", "a\nb", "a\x1b[31m",
    "\u202egpj.exe", "%s%n$(touch escaped)`escaped`", "'; DROP TABLE messages; --", " ", "é" * 64,
    "\U0001f9d1" * 32, "C:\\escaped", "name" * 32, '{"id": "1"}', "=1+1",
)  # fmt: skip
"""What people may call themselves."""


class SinkContract(ABC):
    """Subclass it, say how your sink is opened and what its place holds then.

    ::

        class TestMine(SinkContract):
            def open(self) -> AbstractAsyncContextManager[Sink]:
                return open_mine(str(self.scratch / "in"))

            def held(self) -> list[Hashable]:
                return [path.read_bytes() for path in (self.scratch / "in").iterdir()]
    """

    speaks = False
    """What the sink says of itself; one that speaks is given nothing twice."""
    latest = False
    """True where the place holds the last message only."""
    patience = 20.0
    """Seconds that one check may take."""
    stall = 0.5
    """Seconds for which the event loop may be held up."""

    scratch: Path
    """A folder that is there for the time of one check."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Sink]:
        """Return the sink, not entered; each time of the same place, under ``scratch``."""

    @abstractmethod
    def held(self) -> list[Hashable]:
        """Return what the place holds, something for each message, leftovers too (hidden files).

        The same messages give the same here, wherever ``scratch`` is. A sink that speaks returns
        what was heard.
        """

    def takes(self, delivery: Delivery) -> bool:
        """Tell whether a message leaves something: by default, what has sound, and text."""
        return delivery.clip is not None or delivery.message.kind is Kind.TEXT

    def dead(self) -> AbstractAsyncContextManager[Sink]:
        """Return a sink whose opening must fail: no such folder or device. Or raise SinkError."""
        skip("this contract has no dead() sink")

    def fail(self) -> None:
        """Break the place of an open sink as the world would: full disk, pulled stick."""
        skip("this contract has no fail()")

    # what is said before anything is taken

    def test_the_key_is_one_line_and_stays(self) -> None:
        async def check() -> None:
            keys: set[str] = set()
            for _ in range(2):
                async with self.open() as sink:
                    keys.add(sink.key)
                    await sink.accept(voice(1 + len(keys)))
                    keys.add(sink.key)
            assert len(keys) == 1, f"one place has the keys {sorted(keys)}"
            (key,) = keys
            assert key and key.isprintable() and key == key.strip(), f"a key of {key!r}"

        self._run(check)

    def test_it_says_whether_it_speaks(self) -> None:
        async def check() -> None:
            async with self.open() as sink:
                assert sink.speaks == self.speaks, f"the contract says {self.speaks}"

        self._run(check)

    # what is taken

    def test_each_kind_of_message_is_taken_or_passed_over(self) -> None:
        async def check() -> None:
            given: list[Delivery] = []
            for delivery in kinds():
                await self._give(delivery)
                given.append(delivery)
                self._expect(*given)

        self._run(check)

    def test_what_it_names_is_there(self) -> None:
        async def check() -> None:
            names = [name for name in await self._give(*kinds()) if name is not None]
            gone = [name for name in names if not os.path.exists(name)]  # noqa: ASYNC240
            assert not gone, f"it says that it wrote {gone}"

        self._run(check)

    def test_history_is_written_and_not_spoken(self) -> None:
        async def check() -> None:
            delivery = voice(1, replayed=True)
            await self._give(delivery)
            self._expect(delivery)

        self._run(check)

    def test_sender_names_do_no_harm(self) -> None:
        async def check() -> None:
            given = [voice(n, sender=name) for n, name in enumerate(HOSTILE, 1)]
            await self._give(*given)
            strays = [path.name for path in self.scratch.parent.iterdir() if path != self.scratch]
            assert not strays, f"written outside of its place: {strays}"
            self._expect(*given)

        self._run(check)

    def test_words_that_are_no_utf8_do_no_harm(self) -> None:
        async def check() -> None:
            delivery = text(1, b"\xff\xfe\0\n\xed\xa0\x80 end")
            await self._give(delivery)
            self._expect(delivery)

        self._run(check)

    # what comes again

    def test_a_second_delivery_leaves_one(self) -> None:
        async def check() -> None:
            self._must_write()
            first, second = await self._give(voice(1), voice(1, received_at=AT + 900.0))
            held = Counter(self.held())
            self._expect(voice(1))
            assert first == second, f"one message is in {first} and in {second}"
            (again,) = await self._give(voice(1, received_at=AT + 1800.0))
            assert again == first, f"opened again, it wrote {again} instead of {first}"
            assert self.latest or Counter(self.held()) == held, "it wrote it a second time"

        self._run(check)

    def test_twins_are_messages_of_their_own(self) -> None:
        async def check() -> None:
            self._must_write()
            await self._give(*(voice(1, twin=twin) for twin in (0, 1, 2, 1, 0)))
            self._expect(*(voice(1, twin=twin) for twin in (0, 1, 2)))

        self._run(check)

    # what comes at once

    def test_accepts_may_be_many(self) -> None:
        async def check() -> None:
            given = [voice(number) for number in range(1, 13)]
            async with self.open() as sink, asyncio.TaskGroup() as group:
                for delivery in given if self.speaks else given * 2:
                    group.create_task(sink.accept(delivery))
            self._expect(*given)

        self._run(check)

    def test_the_loop_stays_free(self) -> None:
        delivery = voice(1, seconds=20.0)

        async def check() -> None:
            async with self.open() as sink:
                watching = asyncio.ensure_future(watch_loop(asyncio.sleep, 15))
                await step(2)
                await sink.accept(delivery)
                longest = await watching
            assert longest < self.stall, f"the event loop stood still for {longest:.2f} s"

        self._run(check)

    # what ends

    def test_a_cancelled_accept_may_come_again_at_once(self) -> None:
        async def check() -> None:
            self._must_write()
            async with self.open() as sink:
                for steps, delivery in enumerate(LONG):
                    await cancelled(sink.accept(delivery), steps)
                    await sink.accept(delivery)
            left = Counter(self.held())
            self._expect(*LONG)
            assert left <= await self._whole(LONG), "something is there in part"

        self._run(check)

    def test_a_cancelled_accept_leaves_all_or_nothing(self) -> None:
        async def cut_short() -> None:
            self._must_write()
            async with self.open() as sink:
                for steps, delivery in enumerate(LONG):
                    await cancelled(sink.accept(delivery), steps)

        async def check() -> None:
            left = Counter(self.held())  # the first event loop has ended, and all its threads
            assert left <= await self._whole(LONG), "something is there in part"

        self._run(cut_short, check)

    def test_an_error_inside_closes_and_passes(self) -> None:
        class Boom(Exception):
            pass

        async def check() -> None:
            try:
                async with self.open():
                    raise Boom
            except Boom:
                return
            raise AssertionError("the error did not come out of the sink's context")

        self._run(check)

    # what fails

    def test_a_place_that_cannot_be_is_told(self) -> None:
        async def check() -> None:
            try:
                async with self.dead():
                    raise AssertionError("it opened")
            except SinkError as error:
                one_line(error)

        self._run(check)

    def test_a_failing_place_is_told(self) -> None:
        async def check() -> None:
            async with self.open() as sink:
                await sink.accept(voice(1))
                self.fail()
                for number in (2, 3):
                    await self._refused(sink, voice(number))

        self._run(check)

    # how checks are run

    def _run(self, *checks: Callable[[], Awaitable[None]]) -> None:
        """Run checks, each in an event loop of its own, around one scratch folder."""
        with tempfile.TemporaryDirectory(prefix="focal-") as around:
            self.scratch = Path(around, "scratch")
            self.scratch.mkdir()
            for check in checks:
                run_check(check, self.patience)

    async def _give(self, *deliveries: Delivery) -> list[str | None]:
        async with self.open() as sink:
            return [await sink.accept(delivery) for delivery in deliveries]

    async def _whole(self, deliveries: Iterable[Delivery]) -> Counter[Hashable]:
        """Return what a place of its own holds of messages that nobody disturbs."""
        ours, whole = self.scratch, Counter[Hashable]()
        self.scratch = ours.with_name("undisturbed")
        self.scratch.mkdir()
        for delivery in deliveries:
            await self._give(delivery)
            whole |= Counter(self.held())
        self.scratch = ours
        return whole

    def _expect(self, *given: Delivery) -> None:
        """Assert that the place holds these messages, as far as it takes them."""
        silent = [self.speaks and delivery.replayed for delivery in given]
        count = sum(self.takes(d) and not quiet for d, quiet in zip(given, silent, strict=True))
        held, most = len(self.held()), min(count, 1) if self.latest else count
        assert held == most, f"its place holds {held} messages, of {most}"

    async def _refused(self, sink: Sink, delivery: Delivery) -> None:
        try:
            done = await sink.accept(delivery)
        except SinkError as error:
            one_line(error)
            return
        raise AssertionError(f"it took a message that it cannot keep, and says {done!r}")

    def _must_write(self) -> None:
        if self.speaks:
            skip("a sink that speaks is given nothing twice")


def voice(
    number: int,
    *,
    seconds: float = 0.2,
    sender: str | None = "Ana",
    received_at: float = AT + 60.5,
    replayed: bool = False,
    twin: int = 0,
) -> Delivery:
    """Return a voice message with its sound; twins have another payload under the same id."""
    payload = f"payload {number} {twin}".encode()
    id = MessageId(0x1A2B3C4D, number)
    message = Message(id, Kind.VOICE, payload, codec=240, sent_at=AT, sender=sender)
    clip = humming(seconds, 8000, number)
    return Delivery(
        message, clip, "plain", clip.seconds, "hill", "!99", received_at, replayed, twin
    )


def text(number: int, words: bytes) -> Delivery:
    """Return a text message."""
    id = MessageId(0x1A2B3C4D, number)
    message = Message(id, Kind.TEXT, words, sent_at=AT, sender="Ana")
    return Delivery(message, None, None, 0.0, "hill", None, AT + 60.5)


def kinds() -> list[Delivery]:
    """Return a message of each kind; the second of voice is one that nothing here decodes."""
    spoken = voice(1)
    others = [replace(spoken.message, id=MessageId(7, n), kind=kind) for n, kind in enumerate(Kind)]
    undecoded = [replace(spoken, message=m, clip=None, quality=None, seconds=0.0) for m in others]
    return [spoken, text(2, "Grüße, 4°".encode()), *undecoded]


LONG = [voice(number, seconds=3.0) for number in range(1, 13)]
"""Messages that take a while to write."""
