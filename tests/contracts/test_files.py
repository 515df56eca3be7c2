"""Audio files and standard input keep the contract of sources."""

from __future__ import annotations

import os
import wave
from io import BufferedReader, BufferedWriter
from pathlib import Path

import pytest

from focal.core.ports import Source
from focal.plugins.sources.files import FileSource, StdinSource
from focal.testing import SourceContract


def recording(path: Path) -> Path:
    """Write a second of a sawtooth."""
    samples = b"".join(int(200 * (n % 80)).to_bytes(2, "little") for n in range(8000))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples)
    return path


class TestFile(SourceContract):
    def open(self) -> Source:
        return FileSource(recording(self.scratch / "said.wav"))

    def missing(self) -> Source:
        return FileSource(self.scratch / "no.wav")


class TestResampled(TestFile):
    def open(self) -> Source:
        return FileSource(recording(self.scratch / "said.wav"), rate=16_000)


class TestStandardInput(SourceContract):
    @pytest.fixture(autouse=True)
    def pipes(self) -> None:
        self.lent: list[BufferedReader | BufferedWriter] = []

    def released(self) -> bool:
        """Close what the sources were lent; closing it is not theirs."""
        while self.lent:
            self.lent.pop().close()
        return True

    def lend(self, stream: BufferedReader) -> Source:
        self.lent.append(stream)
        return StdinSource(stream=stream)

    def open(self) -> Source:
        self.released()
        return self.lend(recording(self.scratch / "said.wav").open("rb"))

    def missing(self) -> Source:
        return self.lend(open(os.devnull, "rb"))

    def waiting(self) -> Source:
        readable, writable = os.pipe()
        self.lent.append(os.fdopen(writable, "wb"))
        return self.lend(os.fdopen(readable, "rb"))
