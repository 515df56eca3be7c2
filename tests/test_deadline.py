"""Processes are waited for by what they say, and never outlive their test."""

from __future__ import annotations

import sys

import pytest

from tests.deadline import Deadline, focal, running

SPEAKER = """
import signal, sys
try:
    print("ready", flush=True)
    print("a word", file=sys.stderr, flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("bye")
    sys.exit(130)
"""


def test_lines_and_the_exit_are_waited_for() -> None:
    with running([sys.executable, "-c", SPEAKER], Deadline()) as process:
        assert process.line("read") == "ready\n"
        assert process.line("word", of="err") == "a word\n"
        process.signal()
        assert process.wait() == 130
        assert process.out == ["ready\n", "bye\n"]


def test_what_does_not_come_in_time_fails_with_the_story() -> None:
    with running([sys.executable, "-c", SPEAKER], Deadline(0.5)) as process:
        with pytest.raises(AssertionError, match="no line with 'never'; stdout: "):
            process.line("never")
        with pytest.raises(AssertionError, match="still running"):
            process.wait()


def test_a_line_is_not_waited_for_when_the_process_has_ended() -> None:
    with running(focal("--version"), Deadline()) as process:
        with pytest.raises(AssertionError, match="no line with 'never'"):
            process.line("never")
        assert process.wait() == 0, process.story()


def test_a_condition_is_waited_for() -> None:
    answers = iter([0, 0, 7])
    assert Deadline().until("seven", lambda: next(answers)) == 7
    with pytest.raises(AssertionError, match="not in time: the end"):
        Deadline(0.05).until("the end", lambda: False)
