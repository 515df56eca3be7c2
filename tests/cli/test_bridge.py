"""``focal bridge`` as its keeper has it: processes, homes, UDP and a real broker."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from focal import testing
from tests.broker import HOST, Broker, broker
from tests.cli.conftest import Focal
from tests.deadline import Deadline, Process, running
from tests.deadline import focal as process


def udp(here: int, there: int) -> str:
    return f"udp://127.0.0.1:{there}?listen={here}&bind=127.0.0.1"


class Hill:
    """Two UDP links that a bridge joins, and the ends of both."""

    def __init__(self, folder: Path) -> None:
        one, two, three, four = testing.free_ports(4, socket.SOCK_DGRAM)
        self.folder = folder
        self.deadline = Deadline(60)
        self.left, self.right = udp(two, one), udp(three, four)
        self.from_left, self.from_right = udp(one, two), udp(four, three)

    def home(self, name: str) -> str:
        return str(self.folder / name)

    @contextmanager
    def bridge(self, *arguments: str, home: str = "bridge") -> Generator[Process]:
        """Run a bridge that says what it does as JSON objects."""
        command = process("--home", self.home(home), "bridge", "--json", *arguments)
        with running(command, self.deadline) as bridging:
            bridging.line("bridging ", "err")
            yield bridging

    @contextmanager
    def listener(self, link: str) -> Generator[Process]:
        command = process("--home", self.home("listener"), "listen", "--json", "--via", link)
        with running(command, self.deadline) as listening:
            listening.line("listening on", "err")
            yield listening


@pytest.fixture
def hill(tmp_path: Path) -> Hill:
    return Hill(tmp_path)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Generator[Broker]:
    with broker(tmp_path / "broker") as running_broker:
        yield running_broker


def say(focal: Focal, hill: Hill, text: str, link: str, wait: str = "delivered") -> str:
    """Send a text from home a, and return its id once it is as far as ``wait`` says."""
    options = ("--via", link, "--wait", wait, "--timeout", "20", "--json")
    done = focal("--home", hill.home("a"), "send", "--text", text, *options)
    assert done.code == 0, done.err
    id: str = done.objects[0]["id"]
    return id


def told(bridging: Process, id: str, event: str) -> dict[str, Any]:
    """Wait until a bridge told of an event of a message; return it."""
    line = bridging.line(f'"event": "{event}", "id": "{id}"')
    found: dict[str, Any] = json.loads(line)
    return found


def stopped(bridging: Process, number: int = signal.SIGTERM) -> tuple[int, str]:
    """Stop a bridge; return its exit code and its last line."""
    bridging.signal(number)
    return bridging.wait(), bridging.err[-1].strip()


def test_what_comes_by_one_link_goes_on_to_the_other(focal: Focal, hill: Hill) -> None:
    with hill.bridge(hill.left, hill.right) as bridging, hill.listener(hill.from_right) as far:
        id = say(focal, hill, "over the hill", hill.from_left)
        assert json.loads(far.line(id))["text"] == "over the hill"
        passed = told(bridging, id, "passed")
        sent = told(bridging, id, "delivered")
        code, last = stopped(bridging)
    assert (code, last) == (0, "stopped; queued for the next time: nothing")
    known = {key: passed[key] for key in ("link", "by", "to", "kept_back", "kind", "from")}
    assert known == {
        "link": hill.left,
        "by": None,
        "to": [hill.right],
        "kept_back": {},
        "kind": "text",
        "from": f"~{id[:8]}",
    }
    assert passed["bytes"] > len("over the hill") and sent["link"] == hill.right
    assert f"{hill.left} -> {hill.right}: everything\n" in bridging.err
    for line in bridging.out:
        json.loads(line)


def test_what_is_for_the_bridge_itself_is_received_there(focal: Focal, hill: Hill) -> None:
    with hill.bridge(hill.left, hill.right, "--allow", "voice") as bridging:
        options = ("--via", hill.from_left, "--wait", "delivered", "--timeout", "20", "--json")
        send = ("--home", hill.home("a"), "send", *options, "--text")
        us = focal(*send, "to all").objects[-1]["by"]
        done = focal(*send, "to you", "--to", us)
        received = told(bridging, done.objects[0]["id"], "received")
    assert (received["text"], received["to"], received["link"]) == ("to you", us, hill.left)
    assert sum('"event": "received"' in line for line in bridging.out) == 1


def test_people_read_a_line_for_each_message(focal: Focal, hill: Hill) -> None:
    command = process("--home", hill.home("bridge"), "bridge", hill.left, hill.right, "--allow",
                      "voice")  # fmt: skip
    with running(command, hill.deadline) as bridging:
        bridging.line("bridging ", "err")
        id = say(focal, hill, "no", hill.from_left)
        line = bridging.line(id)
        assert stopped(bridging, signal.SIGINT)[0] == 130
    why = f"goes on to nothing; kept back from {hill.right}: text is not named"
    assert f" {id} text, " in line and f" came by {hill.left}, {why}" in line
    assert f"{hill.left} -> {hill.right}: voice\n" in bridging.err


def test_a_message_is_explained_in_order_of_time(focal: Focal, hill: Hill) -> None:
    with hill.bridge(hill.left, hill.right) as bridging, hill.listener(hill.from_right):
        id = say(focal, hill, "why", hill.from_left)
        told(bridging, id, "delivered")
        stopped(bridging)
    done = focal("--home", hill.home("bridge"), "bridge", "--explain", id, "--json")
    events = [one["event"] for one in done.objects]
    assert events[:3] == ["decision", "decision", "held"] and events[-1] == "delivered"
    assert [one["at"] for one in done.objects] == sorted(one["at"] for one in done.objects)
    assert done.objects[0]["link"] == hill.left and done.objects[0]["said"].startswith("came from ")
    text = focal("--home", hill.home("bridge"), "bridge", "--explain", id).out.splitlines()
    assert text[1].endswith(f"  {hill.right}: goes on")
    assert text[2].endswith(f"  it is in the inbox, from {hill.left}")
    assert len(text) == len(events)


def test_what_nobody_knows_is_not_explained(focal: Focal, home: Path) -> None:
    assert "there is no home" in focal("--home", home, "bridge", "--explain", "0" * 16).line
    focal("--home", home, "send", "--text", "x", "--via", "file:" + str(home), "--wait", "queued")
    done = focal("--home", home, "bridge", "--explain", "1" * 16)
    assert (done.code, done.line) == (1, f"nothing is known here of a message {'1' * 16}")


def test_a_link_that_is_down_holds_its_own_queue(focal: Focal, hill: Hill) -> None:
    """The bridge lives, the other link works, and what waits goes out when the link is back."""
    [port] = testing.free_ports(1)
    room = f"mqtt://{HOST}:{port}/lobby"
    with hill.bridge(hill.left, hill.right, room) as bridging, hill.listener(hill.from_right):
        bridging.line(f"{room} is down: nobody listens", "err")
        id = say(focal, hill, "wait", hill.from_left)
        told(bridging, id, "delivered")
        code, last = stopped(bridging)
    assert (code, last) == (0, f"stopped; queued for the next time: 1 for {room}")
    assert sum(f"{room} is down" in line for line in bridging.err) == 1
    listed = focal("--home", hill.home("bridge"), "outbox", "list", "--json").objects
    [waits] = [one for one in listed if one["link"] == room]
    assert waits["passed_on"] == {"author": f"~{id[:8]}", "link": hill.left, "hops": 1}
    text = focal("--home", hill.home("bridge"), "outbox", "show", id).out
    assert f"on {room}, by ~{id[:8]}, came by {hill.left}, hops 1" in text
    with made_at(hill.folder / "late", port), hill.bridge(hill.left, room) as again:
        assert told(again, id, "sent")["link"] == room


@contextmanager
def made_at(folder: Path, port: int) -> Generator[None]:
    """Run a broker on a port."""
    folder.mkdir()
    late = Broker(folder, port)
    late.start()
    try:
        yield
    finally:
        late.kill()


def test_what_expired_here_is_dead_with_its_reason_and_may_be_tried_again(
    focal: Focal, hill: Hill
) -> None:
    [port] = testing.free_ports(1)
    room = f"mqtt://{HOST}:{port}/lobby"
    config = hill.folder / "bridge.toml"
    config.write_text(
        f"[links]\nleft.url = '{hill.left}'\nroom.url = '{room}'\n"
        "[[bridge]]\nfrom = 'left'\nto = 'room'\nlifetime = 0.2\n"
    )
    with hill.bridge("--config", str(config)) as bridging:
        id = say(focal, hill, "late", hill.from_left, "sent")
        assert told(bridging, id, "expired")["link"] == "room"
        stopped(bridging)
    [dead] = focal("--home", hill.home("bridge"), "outbox", "dead", "--json").objects
    assert (dead["id"], dead["link"], dead["state"]) == (id, "room", "expired")
    assert dead["reason"] and dead["passed_on"]["link"] == "left"
    [retried] = focal("--home", hill.home("bridge"), "outbox", "retry", id, "--json").objects
    assert retried["state"] == "queued" and retried["passed_on"] == dead["passed_on"]
    assert focal("--home", hill.home("bridge"), "outbox", "drop", id).code == 0
    assert focal("--home", hill.home("bridge"), "outbox", "list", "--json").objects == []


def test_what_another_process_receives_would_not_cross(focal: Focal, hill: Hill) -> None:
    command = process("--home", hill.home("bridge"), "listen", "--via", hill.left)
    with running(command, hill.deadline) as listening:
        listening.line("listening on", "err")
        done = focal("--home", hill.home("bridge"), "bridge", hill.left, hill.right)
        assert (done.code, done.out) == (1, "")
        assert f"{hill.left}: another process of this home has it open" in done.err
        checked = focal("--home", hill.home("bridge"), "bridge", "--check", hill.left, hill.right)
        assert checked.code == 1
        assert f"{hill.left}: does not open: another process of this home" in checked.out


def test_messages_of_the_bridges_own_home_go_out_too(focal: Focal, hill: Hill) -> None:
    with hill.bridge(hill.left, hill.right), hill.listener(hill.from_right) as far:
        options = ("--via", hill.right, "--wait", "delivered", "--timeout", "20", "--json")
        done = focal("--home", hill.home("bridge"), "send", "--text", "mine", *options)
        assert done.code == 0, done.err
        assert json.loads(far.line(done.objects[0]["id"]))["text"] == "mine"


def test_a_check_opens_every_link_and_takes_nothing(
    focal: Focal, hill: Hill, mosquitto: Broker
) -> None:
    room = f"mqtt://{HOST}:{mosquitto.port}/lobby"
    joined = (hill.left, room)
    with hill.bridge(*joined) as bridging:
        stopped(bridging)  # from now on the broker keeps what is for it
    id = say(focal, hill, "kept", room, "sent")
    done = focal("--home", hill.home("bridge"), "bridge", "--check", *joined, "--json")
    assert (done.code, done.err) == (0, "")
    crossings, tried = done.objects[:2], done.objects[2:]
    assert [(one["event"], one["from"], one["to"], one["closed"]) for one in crossings] == [
        ("crossing", [room], hill.left, False),
        ("crossing", [hill.left], room, False),
    ]
    assert [(one["event"], one["link"], one["public"], one["open"]) for one in tried] == [
        ("tried", hill.left, False, True),
        ("tried", room, False, True),
    ]
    assert focal("--home", hill.home("bridge"), "inbox", "list", "--json").objects == []
    with hill.bridge(*joined) as bridging:
        assert told(bridging, id, "passed")["link"] == room


def test_a_check_says_which_link_does_not_open(focal: Focal, hill: Hill) -> None:
    [port] = testing.free_ports(1)
    room = f"mqtt://{HOST}:{port}/lobby"
    done = focal("--home", hill.home("bridge"), "bridge", "--check", hill.left, room)
    assert done.code == 1
    assert done.line == f"1 of 2 links did not open: {room}"
    assert f"{hill.left}: opens" in done.out and " wait" not in done.out  # its queue is ordinary
    assert f"{room}: does not open: nobody listens at {HOST}:{port}" in done.out


def test_what_may_cross_to_strangers_is_said(focal: Focal, hill: Hill) -> None:
    config = hill.folder / "bridge.toml"
    config.write_text(
        f"[links]\nleft.url = '{hill.left}'\nright.url = '{hill.right}'\nright.public = true\n"
        "[[bridge]]\nfrom = ['left', 'right']\nrate = '20/h'\nsize = 300\n"
        "queue = 3\nfull = 'newest'\n"
    )
    check = ("--home", hill.home("bridge"), "bridge", "--check", "--config", config)
    closed = focal(*check)
    assert closed.code == 0 and "right (public): opens" in closed.out
    assert "left -> right: nothing crosses, because strangers listen there" in closed.out
    assert (
        "right -> left: everything; 300 B at most; 20/h at most; at most 3 wait, newest gives way\n"
        in closed.out
    )
    allowed = focal(*check, "--allow", "text", "--allow", "voice").out
    assert "left -> right: text, voice (strangers listen there); 300 B at most" in allowed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to join"),
        (["udp://127.0.0.1:9"], "a bridge joins two links or more"),
        (["udp://127.0.0.1:9", "mem://x?los=1"], "did you mean 'loss'?"),
        (["udp://127.0.0.1:9", "smoke://x"], "smoke"),
        (["mem://a", "mem://b", "--allow", "txt"], "'txt' is not"),
        (["mem://a", "mem://b", "--metrics", "http"], "'http' is no [HOST:]PORT"),
        (["mem://a", "mem://b", "--metrics", "70000"], "'70000' is no [HOST:]PORT"),
        (["mem://a", "mem://b", "--drain", "-1"], "-1"),
        (["--config", "nosuch.toml"], "nosuch.toml cannot be read: No such file"),
    ],
)
def test_wrong_usage_is_one_line(focal: Focal, home: Path, arguments: list[str], said: str) -> None:
    done = focal("--home", home, "bridge", *arguments)
    assert (done.code, done.out) == (2, "") and said in done.line


def test_metrics_are_served(hill: Hill) -> None:
    pytest.importorskip("prometheus_client")
    with hill.bridge(hill.left, hill.right, "--metrics", "0") as bridging:
        url = bridging.line("metrics at ", "err").split()[-1]
        assert url.startswith("http://127.0.0.1:")
        with urlopen(url, timeout=hill.deadline.left) as answer:
            assert b"focal_" in answer.read()
        assert stopped(bridging)[0] == 0


def test_a_port_that_is_taken_is_one_line(focal: Focal, hill: Hill) -> None:
    pytest.importorskip("prometheus_client")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = focal("--home", hill.home("b"), "bridge", hill.left, hill.right, "--metrics", port)
    assert done.code in (1, 2) and port in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_logs_are_objects_where_that_is_wanted(hill: Hill) -> None:
    with hill.bridge(hill.left, hill.right, "--log", "json") as bridging:
        stopped(bridging)
    said = [json.loads(line) for line in bridging.err]
    assert {one["level"] for one in said} == {"note"}
    assert any(one["text"].startswith("bridging ") for one in said)
