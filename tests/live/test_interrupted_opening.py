"""Who interrupts a sender while its link opens has said what it says: it is in the outbox."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.deadline import ROOT, Deadline, focal, running

HELLO = str(ROOT / "examples" / "hello.wav")


@pytest.fixture
def deadline() -> Deadline:
    return Deadline(60)


@pytest.fixture
def silent() -> Generator[str]:
    """Give the link over a node that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"lora://127.0.0.1:{server.getsockname()[1]}"


def waiting(folder: Path, deadline: Deadline) -> list[dict[str, object]]:
    """Return what a process that opens no link finds in the outbox."""
    command = focal("--home", "a", "--json", "outbox", "list")
    with running(command, deadline, cwd=folder) as process:
        assert process.wait() == 0, process.story()
        return [json.loads(line) for line in process.out]


@pytest.mark.parametrize(
    ("said", "number", "code"),
    [
        ([HELLO], signal.SIGINT, 130),
        (["--text", "on my way", "--fit", "1frame"], signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_what_is_at_hand_is_queued(
    said: list[str],
    number: signal.Signals,
    code: int,
    silent: str,
    tmp_path: Path,
    deadline: Deadline,
) -> None:
    command = focal("--home", "a", "--json", "send", *said, "--via", silent)
    with running(command, deadline, cwd=tmp_path) as sender:
        sender.line("to open", "err")
        sender.signal(number)
        assert sender.wait() == code, sender.story()
        (queued,) = [json.loads(line) for line in sender.out if '"queued"' in line]
        assert f"message {queued['id']} stays in the outbox" in sender.err[-1]
        assert "Traceback" not in sender.story()
    (kept,) = waiting(tmp_path, deadline)
    assert kept["id"] == queued["id"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (["--record", "5"], "nothing was recorded"),
        (["mic:5"], "nothing was recorded"),
        (["none.wav"], "nothing was queued: none.wav: no such file"),
        ([HELLO, "--fit", "3s-air"], "nothing was queued: the link"),
    ],
)
def test_what_is_not_at_hand_is_not_and_that_is_said(
    said: list[str], why: str, silent: str, tmp_path: Path, deadline: Deadline
) -> None:
    command = focal("--home", "a", "send", *said, "--via", silent)
    with running(command, deadline, cwd=tmp_path) as sender:
        sender.line("to open", "err")
        sender.signal()
        assert sender.wait() == 130, sender.story()
        assert why in sender.err[-1], sender.story()
    assert waiting(tmp_path, deadline) == []
