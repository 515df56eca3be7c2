"""JSON lines keep the contract of sinks."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from focal.core.ports import Delivery, Sink
from focal.sinks.jsonl import open_lines
from focal.testing import SinkContract


class TestJsonLines(SinkContract):
    @property
    def log(self) -> Path:
        return self.scratch / "log.jsonl"

    def open(self) -> AbstractAsyncContextManager[Sink]:
        return open_lines(str(self.log))

    def held(self) -> list[Hashable]:
        return [*self.log.read_bytes().splitlines(keepends=True)] if self.log.exists() else []

    def takes(self, delivery: Delivery) -> bool:
        return True

    def dead(self) -> AbstractAsyncContextManager[Sink]:
        return open_lines(str(self.scratch / "no" / "log.jsonl"))

    def fail(self) -> None:
        self.log.write_text("somebody else's line\n" * 100)
