"""The WAV sinks keep the contract of sinks."""

from __future__ import annotations

import shutil
from collections.abc import Hashable
from contextlib import AbstractAsyncContextManager

from focal.core.ports import Delivery, Sink
from focal.sinks.wav import open_file, open_folder
from focal.testing import SinkContract


class TestFolder(SinkContract):
    def open(self) -> AbstractAsyncContextManager[Sink]:
        return open_folder(str(self.scratch / "in"))

    def held(self) -> list[Hashable]:
        folder = self.scratch / "in"
        return [(path.name, path.read_bytes()) for path in folder.glob("*")]

    def dead(self) -> AbstractAsyncContextManager[Sink]:
        return open_folder(str(self.scratch / "no" / "folder"))

    def fail(self) -> None:
        shutil.rmtree(self.scratch / "in")


class TestFile(TestFolder):
    latest = True

    def open(self) -> AbstractAsyncContextManager[Sink]:
        (self.scratch / "in").mkdir(exist_ok=True)
        return open_file(str(self.scratch / "in" / "last.wav"))

    def takes(self, delivery: Delivery) -> bool:
        return delivery.clip is not None

    def dead(self) -> AbstractAsyncContextManager[Sink]:
        return open_file(str(self.scratch))
