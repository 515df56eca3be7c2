"""focal over a real broker, in real processes: brokers and listeners come, go and are killed.

The law of this module: what the broker is known to have lost is not asked for. A broker that is
killed without having saved forgets who was there: then all are waited for before more is said.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from tests.broker import HOST, Broker, broker, needs_broker, password_file
from tests.deadline import ROOT, Deadline, Process, running
from tests.deadline import focal as process
from tests.live.pair import LONG, LONG_TEXT, SHORT, TEXT, Pair, spool
from tests.live.test_kills import LISTENER, SENDER, drawn, play
from tests.transports.mqtt.outsider import outsider

HELLO = ROOT / "examples" / "hello.wav"
SAVES = ("autosave_on_changes true", "autosave_interval 1")
"""Lines with which a broker saves whatever changes, at once."""


@pytest.fixture
def plain(tmp_path: Path) -> Generator[Broker]:
    """Run a broker that saves when it is told to end."""
    with broker(tmp_path / "broker", persistence=True) as made:
        yield made


def pair_on(folder: Path, made: Broker) -> Pair:
    """Return two homes that meet in a room."""
    room = f"mqtt://{HOST}:{made.port}/lobby"
    return Pair(folder, [room], [room], Deadline(60))


def begun(pair: Pair) -> None:
    """Let the listener be there once, so that from now on the broker keeps what is for it."""
    with pair.listening() as listener:
        pair.ends(listener)


def ups(listener: Process) -> int:
    return sum("is up again" in line for line in listener.err)


def came_back(listener: Process, times: int) -> bool:
    return ups(listener) >= times


# what everybody does


def test_hello_is_sent_and_heard(tmp_path: Path, plain: Broker) -> None:
    deadline, room = Deadline(30), f"mqtt://{HOST}:{plain.port}/lobby"
    here, there, saved = (str(tmp_path / name) for name in ("here", "there", "in"))
    listen = ["--home", there, "listen", "--via", room, "--save", saved, "--count", "1"]
    send = ["--home", here, "--json", "send", str(HELLO), "--via", room, "--wait", "delivered"]
    with running(process(*listen), deadline) as listener:
        listener.line("listening on", "err")
        with running(process(*send), deadline) as sender:
            assert sender.wait() == 0, sender.story()
        assert listener.wait() == 0, listener.story()
    events = [json.loads(line) for line in sender.out]
    assert [event["event"] for event in events] == ["queued", "on-air", "sent", "delivered"]
    assert events[-1]["link"] == room
    assert len(list(Path(saved).glob("*.wav"))) == 1


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    needs_broker()
    listen = ["--home", str(tmp_path / "home"), "listen", "--via", f"mqtt://{HOST}:9/lobby"]
    with running(process(*listen), Deadline(30)) as listener:
        why = f"nobody listens at {HOST}:9: is the broker running?"
        assert listener.line(why, "err").endswith(f"is down: {why}; trying again\n")
        listener.signal()
        assert listener.wait() == 130, listener.story()
    assert len(listener.err) == 1


# what the broker does


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_goes_and_comes_again(tmp_path: Path, how: str) -> None:
    with broker(tmp_path / "broker", *SAVES, persistence=True) as made:
        pair = pair_on(tmp_path, made)
        with pair.listening() as listener, pair.owning() as owner:
            for each in (listener, owner):
                each.line("listening on", "err")
            for n in range(1, 4):
                pair.queue(TEXT, SHORT)
                pair.deadline.until("all is delivered", pair.at_rest)
                getattr(made, how)()
                pair.queue(LONG, TEXT)
                listener.line("is down: the broker at", "err")
                made.start()
                pair.deadline.until("the listener is back", partial(came_back, listener, n))
                pair.deadline.until("all is delivered", pair.at_rest)
            pair.ends(owner)
            pair.ends(listener)
        pair.check()
        assert len(pair.held()) == 12


def test_a_broker_that_saved_nothing_goes_and_comes_again(tmp_path: Path) -> None:
    with broker(tmp_path / "broker") as made:
        pair = pair_on(tmp_path, made)
        with pair.listening() as listener, pair.owning() as owner:
            for n in range(3):
                for each in (listener, owner):
                    each.line("listening on", "err")
                    pair.deadline.until("it is back", partial(came_back, each, n))
                pair.queue(TEXT, SHORT)
                pair.deadline.until("all is delivered", pair.at_rest)
                made.kill()
                made.start()
            pair.ends(owner)
            pair.ends(listener)
        pair.check()
        assert len(pair.held()) == 6


# what the listener does


@pytest.mark.parametrize("seed", range(2))
def test_a_row_of_kills_over_a_broker(tmp_path: Path, plain: Broker, seed: int) -> None:
    pair, chance = pair_on(tmp_path, plain), random.Random(seed)
    begun(pair)
    play(pair, drawn(chance, {**SENDER, "frame-sent": 3}, 2), drawn(chance, LISTENER, 2))


def test_what_was_said_meanwhile_is_heard_later(tmp_path: Path, plain: Broker) -> None:
    pair = pair_on(tmp_path, plain)
    begun(pair)
    with pair.owning() as owner:
        pair.queue(TEXT, LONG_TEXT, SHORT)
        pair.deadline.until("the broker has it", lambda: not _waiting(pair))
        plain.restart()
        pair.ends(owner)
    with pair.listening() as listener:
        pair.settle(listener)
    pair.check()


def test_who_is_killed_leaves_a_will(tmp_path: Path, plain: Broker) -> None:
    pair = pair_on(tmp_path, plain)
    with pair.listening() as listener, outsider(plain) as tool:
        listener.line("listening on", "err")
        with spool(pair.b) as theirs:
            topic = f"focal/lobby/{theirs.origin:08x}/status"
        tool.watch(topic)
        assert json.loads(tool.sees(topic).payload)["online"] is True
        listener.signal(signal.SIGKILL)
        assert json.loads(tool.sees(topic, 2).payload)["online"] is False


# what nobody shall see


@pytest.mark.parametrize("where", ["url", "file", "variable"])
def test_a_password_is_nowhere(tmp_path: Path, where: str) -> None:
    passwords = password_file(tmp_path, ada="top-s3cret")
    (tmp_path / "file").write_text("top-s3cret\n")
    with broker(tmp_path / "broker", f"password_file {passwords}", anonymous=False) as made:
        room = f"{HOST}:{made.port}/lobby"
        link = {
            "url": f"mqtt://ada:top-s3cret@{room}",
            "file": f"mqtt://ada@{room}?password_file={tmp_path / 'file'}",
            "variable": f"mqtt://ada@{room}?password_env=HILL",
        }[where]
        home = tmp_path / "home"
        listen = ["--home", str(home), "-v", "-v", "listen", "--via", link, "--json"]
        env = {"HILL": "top-s3cret"} if where == "variable" else {}
        with running(process(*listen), Deadline(30), env=env) as listener:
            listener.line("listening on", "err")
            listener.signal(signal.SIGINT)
            assert listener.wait() == 130, listener.story()
        said = listener.story()
        assert ("a password in a link can be seen" in said) is (where == "url")
        kept = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
        assert "s3cret" not in said and not any(b"s3cret" in data for data in kept)


def _waiting(pair: Pair) -> bool:
    """Tell whether something is still to be given to the broker."""
    with spool(pair.a) as ours:
        return any(not leg.done for leg in ours.outbox.legs())
