"""What is said of bytes that pass where nothing can move: a line now and then."""

from __future__ import annotations

import io

from rich.console import Console
from rich.progress import Progress

from focal.cli._counter import Lines
from focal.cli._progress import Bar


class Told:
    """A counter's lines, with the time that they came at."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[str] = []
        self.counter = Lines(self.lines.append, lambda: self.now)

    def pour(self, total: int, rate: float, every: float, kept: int = 0) -> None:
        """Have a file pass at a rate, told again and again, until it is done."""
        done = float(kept)
        self.counter.count("encoder.onnx", kept, total, kept)
        while done < total:
            self.now += every
            done = min(done + rate * every, total)
            self.counter.count("encoder.onnx", int(done), total, kept)


def test_a_fast_file_says_nothing() -> None:
    told = Told()
    told.pour(100_000_000, 100_000_000, 0.1)
    assert told.lines == []


def test_a_slow_file_says_a_line_every_five_percent() -> None:
    told = Told()
    told.pour(100_000_000, 1_000_000, 0.1)
    assert len(told.lines) == 20
    assert told.lines[0] == "encoder.onnx: 5% of 100.0 MB, 1.0 MB/s, 2 min left"
    assert told.lines[-1] == "encoder.onnx: 100% of 100.0 MB, 1.0 MB/s"


def test_a_very_slow_file_says_a_line_a_minute() -> None:
    told = Told()
    told.pour(10_000_000, 1_000, 10)
    assert len(told.lines) == 10_000 / 60 // 1 + 1
    assert told.lines[0] == "encoder.onnx: 1% of 10.0 MB, 1,000 bytes/s, 2.8 h left"


def test_the_rate_counts_only_what_came_now() -> None:
    told = Told()
    told.pour(100_000_000, 1_000_000, 1, kept=50_000_000)
    assert told.lines[0] == "encoder.onnx: 55% of 100.0 MB, 1.0 MB/s, 45 s left"


def test_nothing_that_stands_still_is_said_to_end() -> None:
    told = Told()
    told.counter.count("x", 0, 10)
    told.now += 61
    told.counter.count("x", 0, 10)
    assert told.lines == ["x: 0% of 10 bytes, 0 bytes/s"]


def test_an_empty_file_is_no_trouble() -> None:
    told = Told()
    told.counter.count("x", 0, 0)
    told.now += 61
    told.counter.count("x", 0, 0)
    assert told.lines == ["x: all of 0 bytes, 0 bytes/s"]


def test_bars_are_one_a_file() -> None:
    out = io.StringIO()
    with Progress(console=Console(file=out, force_terminal=True)) as progress:
        bar = Bar(progress)
        bar.count("[a]", 1, 10)
        bar.count("b", 5, 10, 4)
        with bar.aside():
            bar.count("[a]", 10, 10)
        tasks = [(task.description, task.completed) for task in progress.tasks]
    assert tasks == [(r"\[a]", 10), ("b", 5)]
