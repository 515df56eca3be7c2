"""``focal send`` and ``focal listen`` over LoRa: four processes, the real library, a lossy mesh."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import pytest

from tests.deadline import ROOT, Deadline, Process, focal, running
from tests.live.lab import Lab, serving

HELLO = str(ROOT / "examples" / "hello.wav")
SCENARIO = """
preset = "SHORT_FAST"
hop_limit = 0
loss = 0.2
seed = 4
[nodes.b]
number = "!0000b001"
[nodes.a]
number = "!0000a001"
"""


@pytest.fixture
def deadline() -> Deadline:
    return Deadline(90)


def link(lab: Lab, node: str) -> str:
    return f"lora://127.0.0.1:{lab.port(node)}"


def spent(home: str, folder: Path, deadline: Deadline) -> float:
    """Return the seconds that a home's ledger shows, to a process that has no link open."""
    command = focal("--home", home, "--json", "airtime", "--ledger")
    with running(command, deadline, cwd=folder) as process:
        assert process.wait() == 0, process.story()
        seconds: float = json.loads(process.out[0])["seconds"]
        return seconds


def on_air(lab: Lab, node: str) -> float:
    """Return the seconds that a node was on the air, at the least: it tells milliseconds."""
    sent = [one for one in lab.events if one["event"] == "on-air" and one["node"] == node]
    return sum(float(one["seconds"]) - 0.0005 for one in sent)


def end(listener: Process) -> None:
    """End a listener, which has stayed to confirm again where its confirmation was lost."""
    listener.line("received")
    listener.signal()
    assert listener.wait() == 130, listener.story()
    assert len(listener.out) == 1


def test_a_recording_is_delivered_through_loss_and_the_ledger_has_its_airtime(
    tmp_path: Path, deadline: Deadline
) -> None:
    with serving(SCENARIO, tmp_path, deadline, speed=1) as lab:
        listen = ["listen", "--save", "in", "--via", link(lab, "b")]
        with running(focal("--home", "b", "--json", *listen), deadline, cwd=tmp_path) as listener:
            listener.line("listening on", "err")
            send = ["send", HELLO, "--via", link(lab, "a"), "--to", "!0000b001"]
            command = focal("--home", "a", "--json", *send, "--wait", "delivered")
            with running(command, deadline, cwd=tmp_path) as sender:
                assert sender.wait() == 0, sender.story()
                assert '"delivered"' in sender.out[-1]
            end(listener)
        lab.event("left", node="a")
        for home in ("a", "b"):
            assert spent(home, tmp_path, deadline) >= on_air(lab, home) - 0.001 > 0
    (saved,) = (tmp_path / "in").iterdir()
    with wave.open(str(saved)) as heard:
        assert 4.9 < heard.getnframes() / heard.getframerate() < 5.2


def test_a_node_that_restarts_meanwhile_loses_nothing(tmp_path: Path, deadline: Deadline) -> None:
    with serving(SCENARIO, tmp_path, deadline, speed=1) as lab:
        listen = ["listen", "--via", link(lab, "b")]
        with running(focal("--home", "b", "--json", *listen), deadline, cwd=tmp_path) as listener:
            listener.line("listening on", "err")
            send = ["send", HELLO, "--via", link(lab, "a"), "--to", "!0000b001"]
            command = focal("--home", "a", "--json", *send, "--wait", "delivered")
            with running(command, deadline, cwd=tmp_path) as sender:
                lab.event("delivered", 3, node="b")
                assert lab.command("reboot a") == "ok"
                assert sender.wait() == 0, sender.story()
                assert '"delivered"' in sender.out[-1]
            end(listener)
        lab.event("connected", 2, node="a")
