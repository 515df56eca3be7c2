"""The page a transport in ten minutes is true: its blocks are examples/focal-tcp, and they work.

The law of this module: nobody here knows better than the page. What it says is typed is typed, in
its order; only ports are others, so that two may follow it at once.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from focal.testing import free_ports
from tests.deadline import ROOT, Deadline, Process, running
from tests.needs import needs

PAGE = ROOT / "docs" / "transport-in-ten-minutes.md"
EXAMPLE = ROOT / "examples" / "focal-tcp"
BLOCK = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)^```", re.M | re.S)
FILE = re.compile(r"`(?P<name>[\w./-]+)`(, continued)?:")
COUNTS = re.compile(r"(\d+) pass(?:ed)?,? (?:and )?(\d+) (?:are )?skipped")
PORTS = ("5000", "5001")
NOT_ON_THE_PAGE = {"README.md", "focal_tcp/py.typed"}


@dataclass(frozen=True, slots=True)
class Step:
    """One block of the page.

    Args:
        file: what it is a part of; None for commands.
        text: what stands in it.
        stays: it runs on, in a terminal of its own, while what follows is done.
    """

    file: str | None
    text: str
    stays: bool = False


def steps() -> Iterator[Step]:
    """Yield the blocks of the page, in order."""
    for block in BLOCK.finditer(PAGE.read_text()):
        before, text = block["before"], block["text"]
        if named := FILE.fullmatch(before):
            yield Step(named["name"], text)
        else:
            assert block["language"] == "sh", f"a block that is no file and no command: {text}"
            yield Step(None, text, "one terminal" in before)


def lines(text: str) -> list[str]:
    """Return what a text says, however its parts are set apart."""
    return [line for line in text.splitlines() if line.strip()]


def counted(text: str) -> tuple[str, str]:
    """Return how many checks a text says have passed and were skipped."""
    found = COUNTS.search(text)
    assert found, f"no word of what passed: {text}"
    return found[1], found[2]


def test_the_blocks_of_the_page_are_the_files_of_the_example() -> None:
    written: dict[str, list[str]] = {}
    for step in steps():
        if step.file:
            written.setdefault(step.file, []).extend(lines(step.text))
    there = [*EXAMPLE.glob("*.*"), *(EXAMPLE / "focal_tcp").glob("*.*")]
    names = {path.relative_to(EXAMPLE).as_posix() for path in there if path.is_file()}
    assert names - NOT_ON_THE_PAGE == set(written)
    for name, said in written.items():
        assert said == lines((EXAMPLE / name).read_text()), f"{name} is not what the page says"


def checkout(folder: Path) -> None:
    """Copy what focal is built from, as the reader has it beside the new package."""
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
    for part in ("focal", "core", "plugins", "transports", "sinks", "examples"):
        shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=skip)
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, folder)


def surroundings() -> dict[str, str]:
    """Return an environment in which pip finds what is installed here, and fetches nothing more."""
    paths = sysconfig.get_paths()
    env = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([paths["purelib"], paths["platlib"]])),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if int(importlib.metadata.version("setuptools").partition(".")[0]) >= 77:
        env |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # 0: without isolation
    return env


class Reader:
    """Somebody who does what the page says, in a folder that has a checkout of focal.

    Args:
        folder: where the page begins.
        deadline: until when everything must have happened.
        terminals: holds what stays open.
    """

    def __init__(self, folder: Path, deadline: Deadline, terminals: ExitStack) -> None:
        self.here = folder
        self.said: list[str] = []
        self.left: list[Process] = []
        self._deadline = deadline
        self._terminals = terminals
        self._env = surroundings()
        self._ports = dict(zip(PORTS, map(str, free_ports(2)), strict=True))

    def follow(self, step: Step) -> None:
        """Do what one block says."""
        if step.file:
            with (self.here / step.file).open("a") as file:
                file.write(step.text)
        elif step.stays:
            self.left.append(self._type(step.text))
            self.left[-1].line("listening on", "err")
        else:
            process = self._type(step.text)
            assert process.wait() == 0, f"{step.text}: {process.story()}"
            self.said += process.out
            for folder in re.findall(r"^cd (\S+)$", step.text, re.M):
                self.here /= folder

    def _type(self, commands: str) -> Process:
        for port, free in self._ports.items():
            commands = commands.replace(f":{port}", f":{free}").replace(f"={port}", f"={free}")
        shell = ["sh", "-euc", commands]
        started = running(shell, self._deadline, env=self._env, cwd=self.here)
        return self._terminals.enter_context(started)


def test_who_follows_the_page_has_a_link(tmp_path: Path) -> None:
    needs("CI to be set, for it installs packages into a venv", "CI" in os.environ)
    checkout(tmp_path / "focal")
    with ExitStack() as terminals:
        reader = Reader(tmp_path, Deadline(120.0), terminals)
        for step in steps():
            reader.follow(step)
        assert [process.wait() for process in reader.left] == [0]
    said = "".join(reader.said)
    assert counted(said) == counted(PAGE.read_text())
    assert "tcp" in said and "kind: datagram" in said and "delivered" in said
    folder = tmp_path / "focal-tcp"
    assert len(list((folder / "in").glob("*.wav"))) == 1
    assert len(list((folder / "dist").glob("focal_tcp-*.whl"))) == 1
