"""send and listen as a user has them: processes, homes, UDP and folders."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from focal import testing
from tests.cli.conftest import Focal
from tests.deadline import Deadline, Process, running
from tests.deadline import focal as process


@pytest.fixture
def ports() -> tuple[int, int]:
    """Return two UDP ports that are free now."""
    one, two = testing.free_ports(2, socket.SOCK_DGRAM)
    return one, two


@pytest.fixture
def near(ports: tuple[int, int]) -> str:
    """Return the link of the sender's end."""
    return f"udp://127.0.0.1:{ports[1]}?listen={ports[0]}&bind=127.0.0.1"


@pytest.fixture
def far(ports: tuple[int, int]) -> str:
    """Return the link of the listener's end."""
    return f"udp://127.0.0.1:{ports[0]}?listen={ports[1]}&bind=127.0.0.1"


@pytest.fixture
def listener(tmp_path: Path, far: str) -> Generator[Process]:
    """Give a listener of home b that saves into ``in``."""
    options = ("--via", far, "--save", str(tmp_path / "in"), "--json")
    command = process("--home", str(tmp_path / "b"), "listen", *options)
    with running(command, Deadline()) as listening:
        listening.line("listening on", "err")
        yield listening


def received(listening: Process, id: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(listening.line(id))
    return event


def test_speech_goes_in_at_one_end_and_is_heard_at_the_other(
    focal: Focal, hello: Path, tmp_path: Path, near: str, listener: Process, far: str
) -> None:
    send = ("send", hello, "--via", near, "--wait", "delivered", "--quality", "c2-1300", "--json")
    done = focal("--home", tmp_path / "a", *send)
    events = [event["event"] for event in done.objects]
    (id,) = {event["id"] for event in done.objects}
    assert (done.code, events) == (0, ["queued", "on-air", "sent", "delivered"])
    heard = received(listener, id)
    assert heard["event"] == "received"
    assert (heard["codec"], heard["seconds"], heard["payload_bytes"]) == ("c2-1300", 1.0, 163)
    assert (heard["from"], heard["link"], heard["name"]) == (f"~{id[:8]}", far, None)
    assert Path(heard["file"]).parent == tmp_path / "in"
    assert Path(heard["file"]).is_file() and id in heard["file"]
    assert done.objects[-1]["by"].startswith("~") and done.objects[-1]["by"] != heard["from"]


def test_a_text_with_a_name_and_a_destination(
    focal: Focal, tmp_path: Path, near: str, listener: Process
) -> None:
    first = focal("--home", tmp_path / "a", "--json", "send", "--text", "one", "--via", near,
                  "--wait", "delivered")  # fmt: skip
    peer = first.objects[-1]["by"]
    second = focal("--home", tmp_path / "a", "--json", "send", "--text", "two", "--via", near,
                   "--wait", "delivered", "--to", peer)  # fmt: skip
    heard = received(listener, second.objects[0]["id"])
    assert (heard["kind"], heard["text"], heard["to"]) == ("text", "two", peer)
    assert (heard["codec"], heard["seconds"]) == (None, 0.0)


def test_another_process_of_the_home_sends_for_us(
    focal: Focal, tmp_path: Path, near: str, listener: Process
) -> None:
    owner = process("--home", str(tmp_path / "a"), "listen", "--via", near)
    with running(owner, Deadline()) as owning:
        owning.line("listening on", "err")
        send = ("send", "--text", "over to you", "--via", near, "--wait", "delivered", "--json")
        done = focal("--home", tmp_path / "a", *send)
    assert [event["event"] for event in done.objects][-1] == "delivered"
    assert received(listener, done.objects[0]["id"])["text"] == "over to you"


@pytest.mark.parametrize("save", [True, False])
def test_a_second_listener_of_a_home_reads_what_the_first_received(
    focal: Focal, tmp_path: Path, near: str, far: str, listener: Process, save: bool
) -> None:
    options = ["--save", str(tmp_path / "second")] if save else []
    command = process("--home", str(tmp_path / "b"), "listen", "--json", "--via", far, *options)
    with running(command, Deadline()) as second:
        second.line("listening on", "err")
        send = ("send", "--text", "for both", "--via", near, "--wait", "delivered", "--json")
        id = focal("--home", tmp_path / "a", *send).objects[0]["id"]
        assert received(second, id)["text"] == received(listener, id)["text"] == "for both"
        assert bool(received(second, id)["file"]) is save


def test_what_was_only_queued_goes_out_with_the_next(
    focal: Focal, tmp_path: Path, near: str, listener: Process
) -> None:
    send = ("--home", tmp_path / "a", "--json", "send", "--via", near)
    first = focal(*send, "--text", "first", "--wait", "queued").objects[0]["id"]
    assert focal(*send, "--text", "second", "--wait", "delivered").code == 0
    assert received(listener, first)["text"] == "first"


def test_a_listener_ends_after_so_many_messages(
    focal: Focal, tmp_path: Path, near: str, far: str
) -> None:
    command = ("--home", str(tmp_path / "b"), "listen", "--via", far, "--count", "1")
    with running(process(*command), Deadline()) as listening:
        listening.line("listening on", "err")
        send = ("send", "--text", "that is all", "--via", near, "--wait", "delivered")
        assert focal("--home", tmp_path / "a", *send).code == 0
        assert listening.wait() == 0
        assert len(listening.out) == 1 and "that is all" in listening.out[0]


def test_a_folder_carries_a_message_to_another_day(
    focal: Focal, hello: Path, tmp_path: Path
) -> None:
    (tmp_path / "stick").mkdir()
    link = f"file:{tmp_path / 'stick'}"
    sent = focal("--home", tmp_path / "a", "--json", "send", hello, "--via", link)
    assert sent.code == 0
    listen = ("listen", "--via", link, "--count", "1", "--save", tmp_path / "in", "--json")
    done = focal("--home", tmp_path / "b", *listen, "--timeout", "20")
    (heard,) = done.objects
    assert (done.code, heard["id"]) == (0, sent.objects[0]["id"])
    assert Path(heard["file"]).is_file()


def test_what_came_is_in_the_inbox(
    focal: Focal, hello: Path, tmp_path: Path, near: str, listener: Process
) -> None:
    send = ("send", hello, "--via", near, "--wait", "delivered", "--json")
    id = focal("--home", tmp_path / "a", *send).objects[0]["id"]
    received(listener, id)
    at = ("--home", tmp_path / "b", "--json", "inbox")
    (held,) = focal(*at, "list").objects
    assert (held["event"], held["id"], held["seconds"]) == ("held", id, 1.0)
    assert focal(*at, "show", id).objects == [held]
    again = tmp_path / "again.wav"
    assert focal(*at, "play", id, "--sink", f"wavfile:{again}").code == 0
    assert again.is_file()
    dropped = focal(*at, "drop", id)
    assert (dropped.code, dropped.objects[0]["id"]) == (0, id)
    assert focal(*at, "list").objects == []


def test_the_outbox_is_looked_after(focal: Focal, tmp_path: Path, near: str) -> None:
    at = ("--home", tmp_path / "a", "--json")
    send = ("send", "--text", "x", "--via", near)
    id = focal(*at, *send, "--wait", "queued").objects[0]["id"]
    (waiting,) = focal(*at, "outbox", "list").objects
    assert (waiting["event"], waiting["id"], waiting["state"]) == ("outgoing", id, "queued")
    assert waiting["link"] == near
    assert focal(*at, "outbox", "dead").objects == []
    assert "nothing to retry" in focal(*at, "outbox", "retry", id).line
    assert focal(*at, "outbox", "drop", id).objects == [waiting]
    assert focal(*at, "outbox", "list").objects == []
    (dropped,) = focal(*at, "outbox", "show", id).objects
    assert (dropped["event"], dropped["reason"]) == ("refused", "dropped from the outbox")


def test_the_price_is_told_and_nothing_sent(focal: Focal, hello: Path, tmp_path: Path) -> None:
    at = ("--home", tmp_path / "a", "--json")
    send = ("send", hello, "--via", "mem://here?mtu=231", "--dry-run", "--quality", "c2-1300")
    (price,) = focal(*at, *send).objects
    assert price == {
        "event": "price",
        "link": "mem://here?mtu=231",
        "codec": "c2-1300",
        "seconds": 1.0,
        "payload_bytes": 163,
        "message_bytes": 184,
        "frames": 1,
        "packet_bytes": 186,
        "messages": 1,
        "parity": 0,
        "saves": [],
    }
    assert focal(*at, "outbox", "list", "--all").objects == []
