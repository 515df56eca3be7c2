"""JSON lines: each message once, whole lines only, and nobody else's file is touched."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import SinkError
from focal.core.message import Kind
from focal.core.ports import Delivery
from focal.sinks.jsonl import (
    LONGEST_LINE,
    REMEMBERED,
    JsonLinesSink,
    StreamLines,
    focal_sinks,
    json_line,
)
from tests.deadline import environment
from tests.sinks.deliveries import text, undecoded, voice
from tests.unprivileged import ordinary_user

(SPEC,) = focal_sinks()


def give(place: object, *deliveries: Delivery) -> list[str | None]:
    """Open the sink, give it messages and return what it says of each."""

    async def main() -> list[str | None]:
        async with SPEC.open(str(place)) as sink:
            return [await sink.accept(delivery) for delivery in deliveries]

    return asyncio.run(main())


def refusal(place: object, *deliveries: Delivery) -> str:
    with pytest.raises(SinkError) as caught:
        give(place, *deliveries)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ids(path: Path) -> list[tuple[str, int]]:
    """Return which messages the file holds, line by line; each line must be whole."""
    content = path.read_bytes()
    assert not content or content.endswith(b"\n")
    return [(line["id"], line["twin"]) for line in map(json.loads, content.splitlines())]


ONE, TWO, THREE = (f"1a2b3c4d0000000{n}" for n in (1, 2, 3))


def test_a_line_says_everything_of_a_voice_message() -> None:
    line: dict[str, Any] = json.loads(json_line(voice()))
    assert base64.b64decode(line.pop("payload")) == voice().message.payload
    assert line == {
        "id": ONE,
        "twin": 0,
        "kind": "voice",
        "origin": "~1a2b3c4d",
        "sender": "Ana",
        "to": None,
        "sent_at": 1_799_999_999,
        "received_at": 1_800_000_059.5,
        "link": "hill",
        "peer": "!99",
        "replayed": False,
        "codec": 20,
        "quality": "c2-1300",
        "seconds": 0.5,
        "payload_bytes": 10,
    }


def test_a_text_is_readable() -> None:
    line = json.loads(json_line(text()))
    assert (line["kind"], line["text"]) == ("text", "Grüße, 4°")
    assert "payload" not in line
    assert json.loads(json_line(text(b"a\xff")))["text"] == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("kind", [Kind.VOICE, Kind.DATA, Kind.SEALED])
def test_what_has_no_sound_is_written_too(tmp_path: Path, kind: Kind) -> None:
    give(tmp_path / "in.jsonl", undecoded(kind))
    line = json.loads((tmp_path / "in.jsonl").read_text())
    assert (line["kind"], line["payload"]) == (kind.name.lower(), "Ynl0ZXM=")


@given(st.binary(max_size=100))
def test_any_text_is_one_line(words: bytes) -> None:
    line = json_line(text(words))
    assert line.count(b"\n") == 1 and line.endswith(b"\n") and line.isascii()


def test_the_longest_message_is_half_a_line() -> None:
    assert len(json_line(text(b"\x01" * 65_535))) < LONGEST_LINE / 2


def test_each_message_has_one_line(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    assert give(path, voice(1), voice(2), voice(1), voice(1, twin=1)) == [str(path)] * 4
    give(path, voice(2), voice(1, twin=1), voice(3))
    assert ids(path) == [(ONE, 0), (TWO, 0), (ONE, 1), (THREE, 0)]


def test_another_process_counts_too(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"

    async def main() -> None:
        async with SPEC.open(str(path)) as ours, SPEC.open(str(path)) as theirs:
            await ours.accept(voice(1))
            await theirs.accept(voice(1))
            await theirs.accept(voice(2))
            await ours.accept(voice(2))

    asyncio.run(main())
    assert ids(path) == [(ONE, 0), (TWO, 0)]


def test_deliveries_at_once_do_not_mix(tmp_path: Path) -> None:
    async def main() -> None:
        async with SPEC.open(str(tmp_path / "in.jsonl")) as sink:
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(sink.accept(voice(number % 10)))

    asyncio.run(main())
    assert len(ids(tmp_path / "in.jsonl")) == 10


@pytest.mark.parametrize("kept", [1, 5, 9, 30, 100, -2])
def test_what_a_kill_cut_short_is_cut_away(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(json_line(voice(1)) + json_line(voice(2))[:kept])
    give(path, voice(2), voice(1))
    assert ids(path) == [(ONE, 0), (TWO, 0)]


def test_a_line_that_lacks_only_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(json_line(voice(1))[:-1])
    give(path, voice(1), voice(2))
    assert ids(path) == [(ONE, 0), (TWO, 0)]


KILLED = """
import asyncio, resource, signal, sys
from focal.sinks.jsonl import focal_sinks
from tests.sinks.deliveries import voice

async def main():
    async with focal_sinks()[0].open(sys.argv[1]) as sink:
        await sink.accept(voice(1))
        if sys.argv[2] == "killed":
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        await sink.accept(voice(2))

try:
    asyncio.run(main())
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("how", ["killed", "refused"])
def test_a_line_written_half_way_is_made_whole_by_the_next_process(
    tmp_path: Path, how: str
) -> None:
    path = tmp_path / "in.jsonl"
    command = [sys.executable, "-c", KILLED, str(path), how]
    done = subprocess.run(
        command, env=environment(), timeout=60, capture_output=True, text=True, check=False
    )
    if how == "killed":
        assert done.returncode < 0
    else:
        assert "SinkError: " in done.stdout and "larger than is allowed" in done.stdout
    assert path.stat().st_size == 500 and not path.read_bytes().endswith(b"\n")
    give(path, voice(2), voice(1))
    assert ids(path) == [(ONE, 0), (TWO, 0)]


@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary",
        b"Dear diary\n",
        b'{"name": "x"}\n',
        b'{"id": "x"}\n',
        b'{"id": 5, "twin": 0}\n',
        b'{"id": "x", "twin": null}\n{"id',
        json_line(voice(1)) + b"Dear diary",
        b'{"id": "' + b"x" * LONGEST_LINE,
        bytes(1000),
    ],
)
def test_a_file_of_somebody_elses_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    assert "holds something else than focal's lines" in refusal(path)
    assert path.read_bytes() == content


def test_a_file_that_somebody_emptied_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"

    async def main() -> None:
        async with SPEC.open(str(path)) as sink:
            await sink.accept(voice(1))
            path.write_bytes(b"")
            await sink.accept(voice(2))

    asyncio.run(main())
    assert ids(path) == [(TWO, 0)]


def test_only_so_many_messages_are_remembered() -> None:
    stream = io.BytesIO()
    lines = StreamLines("-", stream)
    for number in range(REMEMBERED + 1):
        lines.add((str(number), 0), b"x")
    assert stream.tell() == REMEMBERED + 1
    lines.add((str(REMEMBERED), 0), b"x")
    lines.add(("1", 0), b"x")
    assert stream.tell() == REMEMBERED + 1
    lines.add(("0", 0), b"x")
    assert stream.tell() == REMEMBERED + 2


def test_a_stream_has_each_message_once() -> None:
    stream = io.BytesIO()
    sink = JsonLinesSink(StreamLines("-", stream))

    async def main() -> list[str | None]:
        return [await sink.accept(voice(number)) for number in (1, 2, 1)]

    assert asyncio.run(main()) == [None] * 3
    assert stream.getvalue() == json_line(voice(1)) + json_line(voice(2))
    assert (sink.key, sink.speaks) == ("jsonl:-", False)


@pytest.mark.parametrize("place", ["", "-"])
def test_standard_output_of_a_process(place: str) -> None:
    program = """
import asyncio, sys
from focal.sinks.jsonl import focal_sinks
from tests.sinks.deliveries import voice

async def main():
    async with focal_sinks()[0].open(sys.argv[1]) as sink:
        await sink.accept(voice())

asyncio.run(main())
"""
    command = [sys.executable, "-W", "error", "-c", program, place]
    assert subprocess.check_output(command, env=environment(), timeout=60) == json_line(voice())


def test_a_full_disk_is_told() -> None:
    assert "the disk is full: free some space" in refusal("/dev/full", voice())


def test_a_file_that_cannot_be_is_refused_on_opening(tmp_path: Path) -> None:
    assert "no such folder: make it first" in refusal(tmp_path / "a" / "in.jsonl")
    assert "it is a folder, not a file" in refusal(tmp_path)
    assert "write jsonl:FILE" in refusal("~nobody-of-this-name/in.jsonl")
    tmp_path.chmod(0o555)
    with ordinary_user():
        assert "may not be written" in refusal(tmp_path / "in.jsonl")


def test_the_key_is_the_file_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "in.jsonl")

    async def key(place: Path) -> str:
        async with SPEC.open(str(place)) as sink:
            return sink.key

    assert asyncio.run(key(tmp_path / "in.jsonl")) == f"jsonl:{tmp_path}/in.jsonl"
    assert asyncio.run(key(tmp_path / "link")) == f"jsonl:{tmp_path}/in.jsonl"
