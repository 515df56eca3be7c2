"""The contract of sinks is tested with broken ones: each check catches what it is there for."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncGenerator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar

import pytest

from focal.core.errors import SinkError
from focal.core.ports import Delivery, Sink
from focal.testing import SinkContract


class Sound:
    """Writes each message into a file of its own, with no fault; the mutants have one each."""

    speaks = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def key(self) -> str:
        return f"plain:{self.folder}"

    async def accept(self, delivery: Delivery, /) -> str | None:
        data = self.data(delivery)
        return None if data is None else await self.write(self.name(delivery), data)

    def data(self, delivery: Delivery) -> bytes | None:
        if delivery.clip is None:
            return delivery.message.payload if delivery.message.kind == 1 else None
        return delivery.clip.samples.tobytes()

    def name(self, delivery: Delivery) -> str:
        return f"{delivery.message.id}-{delivery.twin}"

    async def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        await asyncio.sleep(0)
        self.put(path, data)
        return str(path)

    def put(self, path: Path, data: bytes) -> None:
        try:
            path.write_bytes(data)
        except OSError as error:
            raise SinkError(f"{path} cannot be written: {error.strerror}") from error

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncGenerator[Sink]:
        try:
            folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - in place of a thread
        except OSError as error:
            raise cls.refusal(error) from error
        yield cls(folder)

    @staticmethod
    def refusal(error: OSError) -> Exception:
        return SinkError(f"no folder: {error.strerror}")


class Broken(SinkContract):
    patience = 10.0
    stall = 0.3

    def __init__(self, sink: type[Sound]) -> None:
        self.sink = sink
        self.speaks = issubclass(sink, Voice)

    def open(self) -> AbstractAsyncContextManager[Sink]:
        return self.sink.open(self.scratch / "in")

    def held(self) -> list[Hashable]:
        found = (self.scratch / "in").glob("*")
        return [(path.name, path.read_bytes()) for path in found if path.is_file()]

    def dead(self) -> AbstractAsyncContextManager[Sink]:
        return self.sink.open(self.scratch / "no" / "folder")

    def fail(self) -> None:
        shutil.rmtree(self.scratch / "in")


class Voice(Sound):
    """One that speaks, and says so."""

    speaks = True

    async def accept(self, delivery: Delivery, /) -> str | None:
        return None if delivery.replayed else await super().accept(delivery)


# what is said


class KeyOfTheMoment(Sound):
    opened: ClassVar[int] = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        type(self).opened += 1

    @property
    def key(self) -> str:
        return f"plain:{self.opened}"


class EmptyKey(Sound):
    @property
    def key(self) -> str:
        return ""


class SaysItSpeaks(Sound):
    speaks = True


class LeavesTask(Sound):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.task = asyncio.ensure_future(asyncio.sleep(9e9))


class LeavesFile(Sound):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log = open(__file__, "rb")


# what is taken


class NeedsSound(Sound):
    def data(self, delivery: Delivery) -> bytes | None:
        assert delivery.clip
        return super().data(delivery)


class WritesNothingForText(Sound):
    def data(self, delivery: Delivery) -> bytes | None:
        return super().data(delivery) if delivery.clip else None


class NamesAnother(Sound):
    async def accept(self, delivery: Delivery, /) -> str | None:
        name = await super().accept(delivery)
        return name and name + ".wav"


class SkipsHistory(Sound):
    async def accept(self, delivery: Delivery, /) -> str | None:
        return None if delivery.replayed else await super().accept(delivery)


class SpeaksHistory(Voice):
    async def accept(self, delivery: Delivery, /) -> str | None:
        return await Sound.accept(self, delivery)


class NamedBySender(Sound):
    def name(self, delivery: Delivery) -> str:
        return f"{delivery.message.sender}_{delivery.message.id}"


class OneASender(Sound):
    def name(self, delivery: Delivery) -> str:
        return "".join(c for c in delivery.message.sender or "" if c.isalnum())


class ReadsText(Sound):
    def data(self, delivery: Delivery) -> bytes | None:
        data = super().data(delivery)
        return data if delivery.clip or data is None else data.decode().encode()


# what comes again


class NamedByTime(Sound):
    def name(self, delivery: Delivery) -> str:
        return f"{super().name(delivery)}-{delivery.received_at}"


class ForgetsWhenClosed(Sound):
    opened: ClassVar[int] = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        type(self).opened += 1

    def name(self, delivery: Delivery) -> str:
        return f"{super().name(delivery)}-{self.opened}"


class ForgetsTwins(Sound):
    def name(self, delivery: Delivery) -> str:
        return str(delivery.message.id)


# what comes at once


class OneAtATime(Sound):
    async def write(self, name: str, data: bytes) -> str:
        part = self.folder / "part"
        part.write_bytes(data)
        await asyncio.sleep(0)
        os.replace(part, self.folder / name)
        return str(self.folder / name)


class Blocks(Sound):
    def put(self, path: Path, data: bytes) -> None:
        time.sleep(0.4)
        super().put(path, data)


# what ends


class InTwoParts(Sound):
    async def write(self, name: str, data: bytes) -> str:
        self.put(self.folder / name, data[:100])
        await asyncio.sleep(0)
        return await super().write(name, data)


class TakesWhatIsThereForWhole(InTwoParts):
    async def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        return str(path) if path.exists() else await super().write(name, data)


class Swallows(Sound):
    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncGenerator[Sink]:
        with suppress(Exception):
            yield cls(folder)


# what fails


class RaisesWhatItGets(Sound):
    def put(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    @staticmethod
    def refusal(error: OSError) -> Exception:
        return error


class TellsAStory(Sound):
    @staticmethod
    def refusal(error: OSError) -> Exception:
        return SinkError(f"it all began\nwith {error}")


class SaysNothing(Sound):
    def put(self, path: Path, data: bytes) -> None:
        with suppress(OSError):
            path.write_bytes(data)


MUTANTS: dict[str, list[type[Sound]]] = {
    "test_the_key_is_one_line_and_stays": [KeyOfTheMoment, EmptyKey, LeavesTask, LeavesFile],
    "test_it_says_whether_it_speaks": [SaysItSpeaks],
    "test_each_kind_of_message_is_taken_or_passed_over": [NeedsSound, WritesNothingForText],
    "test_what_it_names_is_there": [NamesAnother],
    "test_history_is_written_and_not_spoken": [SkipsHistory, SpeaksHistory],
    "test_sender_names_do_no_harm": [NamedBySender, OneASender],
    "test_words_that_are_no_utf8_do_no_harm": [ReadsText],
    "test_a_second_delivery_leaves_one": [NamedByTime, ForgetsWhenClosed],
    "test_twins_are_messages_of_their_own": [ForgetsTwins],
    "test_accepts_may_be_many": [OneAtATime],
    "test_the_loop_stays_free": [Blocks],
    "test_a_cancelled_accept_may_come_again_at_once": [TakesWhatIsThereForWhole],
    "test_a_cancelled_accept_leaves_all_or_nothing": [InTwoParts],
    "test_an_error_inside_closes_and_passes": [Swallows],
    "test_a_place_that_cannot_be_is_told": [RaisesWhatItGets, TellsAStory],
    "test_a_failing_place_is_told": [RaisesWhatItGets, SaysNothing],
}
"""For each check, the faults that it is there for."""


def checks() -> set[str]:
    return {name for name in dir(SinkContract) if name.startswith("test_")}


@pytest.mark.parametrize(
    ("check", "mutant"),
    [(check, mutant) for check, mutants in MUTANTS.items() for mutant in mutants],
)
def test_a_check_catches_its_mutants(check: str, mutant: type[Sound]) -> None:
    with pytest.raises(Exception):  # noqa: B017 - assertion, or the fault's own
        getattr(Broken(mutant), check)()


@pytest.mark.parametrize("check", sorted(checks()))
def test_a_check_passes_what_is_sound(check: str) -> None:
    getattr(Broken(Sound), check)()


def test_every_check_has_a_mutant() -> None:
    assert set(MUTANTS) == checks()
