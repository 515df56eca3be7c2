"""A folder: what is written, what is read, and what happens when the stick is pulled."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from focal.core.envelope import Envelope
from focal.core.errors import FrameError, LinkLost, TransportUnavailable
from focal.core.link import Accepted, Link, LinkContext, Packet, Refused
from focal.core.message import Event, Kind, Message, MessageId, Receipt
from focal.core.receipts import receipt_for
from focal.core.runtime import run_virtual
from focal.testing import FAR, NEAR, context
from focal.transports import folder
from focal.transports.folder import FolderTransport

THIRD = 0x0C0C0C0C
Check = Callable[[], Awaitable[None]]


def node(origin: int) -> LinkContext:
    return context(origin=origin)


def message(
    sequence: int = 1,
    author: int = NEAR,
    payload: bytes = b"hello",
    destination: int | None = None,
) -> Message:
    return Message(MessageId(author, sequence), Kind.DATA, payload, destination=destination)


def wrap(inner: Message) -> bytes:
    return Envelope(inner.to_bytes()).to_bytes()


def run(check: Check) -> None:
    run_virtual(limited(check))


async def limited(check: Check) -> None:
    async with asyncio.timeout(3600):
        await check()


async def drain(link: Link, seconds: float = 5.0) -> list[Packet]:
    """Return all that arrives within so many virtual seconds."""
    packets: list[Packet] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                packets.append(await link.receive())
    except TimeoutError:
        return packets


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def inner(packet: Packet) -> Message:
    return Message.from_bytes(Envelope.from_bytes(packet.data).message)


# what is written


def test_a_message_is_a_file_of_its_id(tmp_path: Path) -> None:
    async def check() -> None:
        async with FolderTransport(tmp_path).open(node(NEAR)) as link:
            assert link.limits.keeps and link.limits.kind == "message"
            ticket = await link.send(wrap(message(7)))
            assert await anext(link.reports()) == Accepted(ticket)
        assert names(tmp_path) == ["0a0a0a0a00000007.focal"]
        assert (tmp_path / "0a0a0a0a00000007.focal").read_bytes() == wrap(message(7))

    run(check)


def test_a_message_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    async def check() -> None:
        async with FolderTransport(tmp_path).open(node(NEAR)) as link:
            await link.send(wrap(message()))
            before = (tmp_path / "0a0a0a0a00000001.focal").stat().st_mtime_ns
            carried = Envelope(message().to_bytes(), hops=1, route=(THIRD,)).to_bytes()
            ticket = await link.send(carried)
            told = [await anext(link.reports()) for _ in range(2)]
            assert told[1] == Accepted(ticket)
            assert (tmp_path / "0a0a0a0a00000001.focal").stat().st_mtime_ns == before
        assert len(names(tmp_path)) == 1

    run(check)


def test_other_bytes_under_one_id_stand_beside_the_first(tmp_path: Path) -> None:
    async def check() -> None:
        twins = [message(payload=payload) for payload in (b"one", b"two", b"three")]
        async with FolderTransport(tmp_path).open(node(NEAR)) as link:
            for twin in (*twins, *twins):
                await link.send(wrap(twin))
        assert len(names(tmp_path)) == 3
        assert "0a0a0a0a00000001.focal" in names(tmp_path)
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            packets = await drain(far)
            assert sorted(inner(p).payload for p in packets) == [b"one", b"three", b"two"]
            for packet in packets:
                packet.ack()
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            assert await drain(far) == []

    run(check)


def test_a_receipt_is_an_ack_beside_its_message(tmp_path: Path) -> None:
    async def check() -> None:
        receipt = receipt_for(message(), Event.PLAYED, FAR, 0.0)
        async with FolderTransport(tmp_path).open(node(FAR)) as link:
            for _ in range(2):
                ticket = await link.send(wrap(receipt))
                assert await anext(link.reports()) == Accepted(ticket)
        assert names(tmp_path) == ["0a0a0a0a00000001.0b0b0b0b.ack"]

    run(check)


def test_what_is_no_envelope_is_not_written(tmp_path: Path) -> None:
    async def check() -> None:
        async with FolderTransport(tmp_path).open(node(NEAR)) as link:
            with pytest.raises(FrameError):
                await link.send(b"junk")
        assert names(tmp_path) == []

    run(check)


# what is read


def test_messages_come_oldest_first(tmp_path: Path) -> None:
    async def check() -> None:
        for sequence, age in ((1, 10), (2, 30), (3, 20)):
            path = tmp_path / f"{message(sequence).id}.focal"
            path.write_bytes(wrap(message(sequence)))
            os.utime(path, (1000 - age, 1000 - age))
        async with FolderTransport(tmp_path).open(node(FAR)) as link:
            assert [inner(p).id.sequence for p in await drain(link)] == [2, 3, 1]

    run(check)


def test_ack_writes_that_it_was_delivered(tmp_path: Path) -> None:
    async def check() -> None:
        async with FolderTransport(tmp_path).open(node(NEAR)) as near:
            await near.send(wrap(message()))
            async with FolderTransport(tmp_path).open(node(FAR)) as far:
                (await far.receive()).ack()
            (packet,) = await drain(near)
            receipt = inner(packet)
            assert Receipt.read(receipt) == Receipt(message().id, Event.DELIVERED)
            assert receipt.id.origin == FAR
        assert "0a0a0a0a00000001.0b0b0b0b.ack" in names(tmp_path)

    run(check)


def test_ack_of_what_is_for_somebody_else_says_custody(tmp_path: Path) -> None:
    async def check() -> None:
        async with FolderTransport(tmp_path).open(node(NEAR)) as near:
            await near.send(wrap(message(destination=THIRD)))
            async with FolderTransport(tmp_path).open(node(FAR)) as far:
                (await far.receive()).ack()
            (packet,) = await drain(near)
            assert Receipt.read(inner(packet)).event is Event.CUSTODY

    run(check)


def test_receipts_come_once_for_each_opening(tmp_path: Path) -> None:
    async def check() -> None:
        receipt = receipt_for(message(), Event.DELIVERED, FAR, 0.0)
        (tmp_path / "0a0a0a0a00000001.0b0b0b0b.ack").write_bytes(wrap(receipt))
        for _ in range(2):
            async with FolderTransport(tmp_path).open(node(NEAR)) as near:
                assert [inner(p) for p in await drain(near)] == [receipt]

    run(check)


def test_receipts_come_for_what_we_pass_on_and_for_nobody_elses(tmp_path: Path) -> None:
    async def check() -> None:
        passed, foreign = message(1, THIRD), message(2, THIRD)
        for each in (passed, foreign):
            receipt = receipt_for(each, Event.DELIVERED, FAR, 0.0)
            (tmp_path / f"{each.id}.0b0b0b0b.ack").write_bytes(wrap(receipt))
        async with FolderTransport(tmp_path).open(node(NEAR)) as near:
            assert await drain(near) == []
            await near.send(wrap(passed))
            assert [Receipt.read(inner(p)).of for p in await drain(near)] == [passed.id]

    run(check)


def test_our_own_messages_do_not_come_back(tmp_path: Path) -> None:
    async def check() -> None:
        (tmp_path / "renamed.focal").write_bytes(wrap(message(5)))
        async with FolderTransport(tmp_path).open(node(NEAR)) as near:
            await near.send(wrap(message(6)))
            await near.send(wrap(message(7, THIRD)))
            assert await drain(near) == []

    run(check)


def test_a_renamed_file_is_read_and_acked_by_its_id(tmp_path: Path) -> None:
    async def check() -> None:
        (tmp_path / "from the hill (2).focal").write_bytes(wrap(message(5)))
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            (await far.receive()).ack()
        assert f"{message(5).id}.0b0b0b0b.ack" in names(tmp_path)
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            assert await drain(far) == []

    run(check)


def test_a_receipt_in_a_message_file_is_never_receipted(tmp_path: Path) -> None:
    async def check() -> None:
        receipt = receipt_for(message(author=THIRD), Event.DELIVERED, NEAR, 0.0)
        (tmp_path / "receipt.focal").write_bytes(wrap(receipt))
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            (await far.receive()).ack()
        assert names(tmp_path) == ["receipt.focal"]

    run(check)


@pytest.mark.parametrize("name", ["x.txt", ".x.focal", ".x.focal.0a0a0a0a.tmp", "x.focal.part"])
def test_other_names_are_not_looked_into(tmp_path: Path, name: str) -> None:
    async def check() -> None:
        (tmp_path / name).write_bytes(wrap(message()))
        (tmp_path / "folder.focal").mkdir()
        (tmp_path / "nowhere.focal").symlink_to(tmp_path / "missing")
        os.mkfifo(tmp_path / "pipe.focal")
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            assert await drain(far) == []

    run(check)


def test_what_is_half_written_is_told_once_and_read_when_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        path = tmp_path / "copied.focal"
        path.write_bytes(wrap(message())[:-3])
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            assert await drain(far) == []
            assert len(caplog.records) == 1 and "copied.focal" in caplog.text
            path.write_bytes(wrap(message()))
            assert inner(await far.receive()) == message()

    run(check)


def test_a_receipt_file_without_a_receipt_is_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        (tmp_path / "0a0a0a0a00000001.0b0b0b0b.ack").write_bytes(wrap(message()))
        async with FolderTransport(tmp_path).open(node(NEAR)) as near:
            assert await drain(near) == []
        assert "not a receipt" in caplog.text

    run(check)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_skipped(tmp_path: Path, data: bytes) -> None:
    async def check() -> None:
        (tmp_path / "any.focal").write_bytes(data)
        (tmp_path / "good.focal").write_bytes(wrap(message()))
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            assert message() in [inner(p) for p in await drain(far, 1.0)]

    run(check)


def test_more_than_a_reader_takes_waits_in_the_folder(tmp_path: Path) -> None:
    async def check() -> None:
        for sequence in range(300):
            (tmp_path / f"{message(sequence).id}.focal").write_bytes(wrap(message(sequence)))
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            await asyncio.sleep(60)
            first = await far.receive()
            assert len({first.data, *(p.data for p in await drain(far))}) == 300

    run(check)


def test_what_went_and_came_back_is_read_again(tmp_path: Path) -> None:
    async def check() -> None:
        path = tmp_path / f"{message().id}.focal"
        async with FolderTransport(tmp_path).open(node(FAR)) as far:
            for _ in range(2):
                path.write_bytes(wrap(message()))
                assert len(await drain(far)) == 1
                path.unlink()
                await asyncio.sleep(1)

    run(check)


# when it cannot


def test_the_folder_is_made_only_if_asked_for(tmp_path: Path) -> None:
    async def check() -> None:
        url = f"file:{tmp_path / 'new'}"
        with pytest.raises(TransportUnavailable, match=r"plug in .* add \?make=1"):
            async with FolderTransport.from_url(urlsplit(url)).open(node(NEAR)):
                raise AssertionError("it opened")
        assert names(tmp_path) == []
        async with FolderTransport.from_url(urlsplit(f"{url}?make=1")).open(node(NEAR)) as link:
            await link.send(wrap(message()))
        assert len(names(tmp_path / "new")) == 1

    run(check)


@pytest.mark.parametrize(
    ("where", "words"), [("a/b", "plug in"), ("file", "in, a file"), ("file/b", "in, a file")]
)
def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path, where: str, words: str) -> None:
    async def check() -> None:
        (tmp_path / "file").touch()
        with pytest.raises(TransportUnavailable, match=words) as caught:
            async with FolderTransport(tmp_path / where, make=True).open(node(NEAR)):
                raise AssertionError("it opened")
        assert "\n" not in str(caught.value)

    run(check)


@pytest.mark.parametrize("again", [True, False])
def test_a_pulled_stick_is_a_lost_link(tmp_path: Path, again: bool) -> None:
    """Also where an empty folder stays behind in its place."""

    async def check() -> None:
        stick, other = tmp_path / "stick", tmp_path / "other"
        stick.mkdir()
        async with FolderTransport(stick).open(node(NEAR)) as link:
            stick.rename(other)
            if again:
                stick.mkdir()
            with pytest.raises(LinkLost, match="plug it in"):
                await link.send(wrap(message()))
            with pytest.raises(LinkLost):
                await link.receive()
        async with FolderTransport(other).open(node(NEAR)) as link:
            waiting = asyncio.ensure_future(link.receive())
            await asyncio.sleep(1)
            shutil.rmtree(other)
            with pytest.raises(LinkLost, match="plug it in"):
                await waiting

    run(check)


@contextmanager
def no_room(most: int) -> Generator[None]:
    """Let no file grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        async with FolderTransport(tmp_path).open(node(NEAR)) as link:
            with no_room(16):
                ticket = await link.send(wrap(message()))
            report = await anext(link.reports())
            assert isinstance(report, Refused) and report.ticket == ticket
            assert "\n" not in report.reason
            assert names(tmp_path) == []
            await link.send(wrap(message()))
            assert isinstance(await anext(link.reports()), Accepted)

    run(check)


def test_a_full_disk_is_worth_another_try(tmp_path: Path) -> None:
    full = folder.refusal(1, tmp_path, OSError(28, "No space left on device"))
    assert full == Refused(1, f"no room is left in {tmp_path}: free some", folder.PATIENCE)


@pytest.fixture
def read_only(tmp_path: Path) -> Generator[Path]:
    path = tmp_path / "stick"
    path.mkdir()
    (path / "a.focal").write_bytes(wrap(message(1, THIRD)))
    path.chmod(0o555)
    if os.access(path, os.W_OK):
        pytest.skip("whoever runs this may write everywhere")
    yield path
    path.chmod(0o755)


def test_a_read_only_folder_is_read_and_refuses(
    read_only: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        async with FolderTransport(read_only).open(node(NEAR)) as link:
            (await link.receive()).ack()
            await link.send(wrap(message()))
            report = await anext(link.reports())
            assert isinstance(report, Refused) and "cannot be written" in report.reason
        assert "will come again" in caplog.text

    run(check)


def test_an_ack_that_cannot_be_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        (tmp_path / "a.focal").write_bytes(wrap(message(1, THIRD)))
        async with FolderTransport(tmp_path).open(node(NEAR)) as link:
            packet = await link.receive()
            with no_room(16):
                packet.ack()
                await asyncio.sleep(1)
        assert "will come again" in caplog.text
        assert names(tmp_path) == ["a.focal"]

    run(check)


def test_an_ack_after_closing_is_not_written(tmp_path: Path) -> None:
    async def check() -> None:
        (tmp_path / "a.focal").write_bytes(wrap(message(1, THIRD)))
        async with FolderTransport(tmp_path).open(node(NEAR)) as link:
            packet = await link.receive()
        packet.ack()
        await asyncio.sleep(1)
        assert names(tmp_path) == ["a.focal"]

    run(check)


def test_what_a_crash_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    async def check() -> None:
        ours, theirs = ".x.focal.0a0a0a0a.tmp", ".x.focal.0b0b0b0b.tmp"
        for name in (ours, theirs):
            (tmp_path / name).touch()
        async with FolderTransport(tmp_path).open(node(NEAR)):
            assert names(tmp_path) == [theirs]

    run(check)


def test_a_damaged_file_does_not_keep_its_message_out(tmp_path: Path) -> None:
    async def check() -> None:
        (tmp_path / f"{message().id}.focal").write_bytes(b"half")
        async with FolderTransport(tmp_path).open(node(NEAR)) as link:
            await link.send(wrap(message()))
            twin = next(name for name in names(tmp_path) if "-" in name)
            (tmp_path / twin).write_bytes(b"half too")
            await link.send(wrap(message()))
            assert (tmp_path / twin).read_bytes() == wrap(message())
        assert len(names(tmp_path)) == 2

    run(check)


# how it is written


@pytest.mark.parametrize(
    ("text", "path", "poll"),
    [
        ("file:drop", "drop", 0.5),
        ("file:../drop?poll=2", "../drop", 2.0),
        ("file:///media/stick", "/media/stick", 0.5),
        ("file://localhost/media/stick", "/media/stick", 0.5),
        ("file:/media/my%20stick", "/media/my stick", 0.5),
    ],
)
def test_a_url_names_a_folder(text: str, path: str, poll: float) -> None:
    assert FolderTransport.from_url(urlsplit(text)) == FolderTransport(Path(path), poll)


def test_home_is_understood() -> None:
    assert FolderTransport.from_url(urlsplit("file:~/drop")).path == Path.home() / "drop"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file:", "missing"),
        ("file://host/share", "'host'"),
        ("file:a#b", "%23"),
        ("file:a?pol=1", "'poll'"),
        ("file:a?poll=0", "from 0.05"),
    ],
)
def test_a_url_that_cannot_be_says_how_to_write_it(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        FolderTransport.from_url(urlsplit(text))
    assert words in str(caught.value) and "file:DIR" in str(caught.value)


def test_the_key_is_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    keys = {FolderTransport(tmp_path / way).key for way in (".", "link", "link/.", "link/link")}
    assert keys == {f"file:{os.path.realpath(tmp_path)}"}


def test_plugins_find_it_by_its_scheme() -> None:
    (spec,) = folder.focal_transports()
    assert spec.scheme == "file"
