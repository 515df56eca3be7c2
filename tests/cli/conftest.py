"""What the tests of the command line share: focal in this process, and recordings to give it."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from focal.cli._run import run


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects on stdout; it must hold nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def line(self) -> str:
        """The one line on stderr, without ``focal: ``."""
        (line,) = self.err.splitlines()
        assert line.startswith("focal: ")
        return line.removeprefix("focal: ")


Focal: TypeAlias = Callable[..., Done]


@pytest.fixture
def focal(capsys: pytest.CaptureFixture[str]) -> Focal:
    """Run a command line in this process."""

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return where a home may be made."""
    return tmp_path / "home"


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """Return a recording of one second."""
    return recording(tmp_path / "hello.wav", seconds=1)


def recording(path: Path, *, seconds: float, rate: int = 8000) -> Path:
    """Write a WAV file that hums."""
    samples = bytearray()
    for n in range(round(seconds * rate)):
        samples += round(6000 * ((n % 80) / 40 - 1)).to_bytes(2, "little", signed=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(samples))
    return path
