"""Bad input: each gets one clear line and exit code 1 or 2, and loses nothing."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import subprocess
import wave
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile  # pyright: ignore[reportMissingTypeStubs]

from focal.core.codec import Codec
from focal.core.errors import CodecError
from focal.plugins.manager import Plugins
from focal.speech import Recording, encode
from tests.cli.conftest import Focal, recording
from tests.deadline import Deadline, environment, running
from tests.deadline import focal as process
from tests.needs import needs
from tests.unprivileged import ordinary_user

UDP = "udp://127.0.0.1:9"


def text_called_wav(folder: Path) -> Path:
    path = folder / "text.wav"
    path.write_text("this is no sound\n" * 20)
    return path


def no_bytes(folder: Path) -> Path:
    path = folder / "none.wav"
    path.touch()
    return path


def no_samples(folder: Path) -> Path:
    path = folder / "empty.wav"
    soundfile.write(path, np.zeros(0, np.float32), 16_000)
    return path


def not_numbers(folder: Path) -> Path:
    path = folder / "nan.wav"
    soundfile.write(path, np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    return path


def nothing(folder: Path) -> Path:
    return folder / "nosuch.wav"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (nothing, "no such file"),
        (text_called_wav, "not audio that can be read"),
        (no_bytes, "empty (0 bytes)"),
        (no_samples, "holds no sound (0 samples)"),
        (not_numbers, "NaN or infinity"),
        (Path, "is a folder"),
    ],
)
@pytest.mark.parametrize("command", ["encode", "send"])
def test_what_is_no_speech(
    focal: Focal, home: Path, tmp_path: Path, make: object, said: str, command: str
) -> None:
    assert callable(make)
    options = ["-o", tmp_path / "x.focal"] if command == "encode" else ["--via", UDP]
    done = focal("--home", home, command, make(tmp_path), *options)
    assert (done.code, done.out) == (1, "")
    assert said in done.err.splitlines()[-1]  # the one before it may say how far it is
    assert not (tmp_path / "x.focal").exists()


def hours(path: Path, count: int) -> Path:
    """Write a WAV of so many hours of silence; most of the file is a hole."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(1000)
        file.writeframes(bytes(2 * 1000 * 3600 * count))
    return path


def test_three_hours_do_not_fit_one_packet(focal: Focal, home: Path, tmp_path: Path) -> None:
    long = hours(tmp_path / "long.wav", 3)
    done = focal("--home", home, "encode", long, "-o", tmp_path / "x", "--quality", "c2-700c")
    assert done.code == 1
    assert "10800 s of audio; at c2-700c at most 746 s" in done.line


def test_what_is_too_long_is_refused_unread(focal: Focal, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.full(1000 * 300, np.nan, np.float32), 1000, subtype="FLOAT")
    done = focal("--home", home, "encode", path, "-o", tmp_path / "x")
    assert (done.code, "300 s of audio; at c2-3200 at most 163 s" in done.line) == (1, True)


def test_too_little_memory_is_one_line(home: Path, hello: Path) -> None:
    def full() -> AbstractContextManager[Codec]:
        raise MemoryError

    plugins = Plugins.found(home / "plugins", {})
    spec = replace(plugins.codec("c2-1300"), load=full)
    with pytest.raises(CodecError, match="not enough memory for 30 minutes of audio: cut it"):
        encode(plugins, spec, Recording(hello, 1800), 1 << 20, parts=255)


def test_more_than_a_series_holds_is_refused_with_the_limit(
    focal: Focal, home: Path, tmp_path: Path
) -> None:
    long = hours(tmp_path / "long.wav", 5)
    send = ("send", long, "--via", UDP, "--quality", "c2-3200")
    done = focal("--home", home, *send)
    assert done.code == 1
    assert "18000 s of audio; at c2-3200 at most 16" in done.line


def test_long_audio_becomes_a_series(focal: Focal, home: Path, tmp_path: Path) -> None:
    sound = recording(tmp_path / "long.wav", seconds=150)
    send = ("send", sound, "--via", UDP, "--quality", "c2-3200", "--wait", "queued", "--json")
    done = focal("--home", home, *send)
    assert [event["event"] for event in done.objects] == ["queued"] * 3
    numbers = [int(event["id"][8:], 16) for event in done.objects]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_96_khz_in_stereo_is_fine(focal: Focal, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    noise = np.random.default_rng(1).normal(0, 0.1, (96_000, 2)).astype(np.float32)
    soundfile.write(path, noise, 96_000)
    done = focal("--home", home, "--json", "encode", path, "-o", tmp_path / "x.focal")
    assert (done.code, done.objects[0]["seconds"]) == (0, 1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--via", UDP, "--quality", "c2-1330"], "did you mean 'c2-1300'?"),
        (["--via", "upd://127.0.0.1:9"], "did you mean 'udp'?"),
        (["--via", "udq"], "did you mean 'udp'?"),
        (["--via", "udp"], "udp://HOST:PORT"),
        (["--via", f"{UDP}?lisen=1"], "did you mean 'listen'?"),
        (["--via", "udp://127.0.0.1:99999"], "99999"),
        (["--via", "udp://[::1"], "udp://[::1"),
        ([], "say --via LINK"),
        (["--via", UDP, "--to", "~12"], "~1a2b3c4d"),
        (["--via", UDP, "--to", "~00000000"], "no node has 0"),
        (["--via", UDP, "--raw", "8000"], "--raw is for standard input"),
    ],
)
def test_what_there_is_not_names_what_there_is(
    focal: Focal, home: Path, hello: Path, options: list[str], said: str
) -> None:
    done = focal("--home", home, "send", hello, *options, "--wait", "queued")
    assert (done.code, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    "url",
    [
        "lora://me:secret@host",
        "lora://me:se secret cret@host",
        "lora://me:secret\u2100@host",
        "lora+ble://me:secret@host",
        "lora+sim://me:secret@host/x",
    ],
)
def test_a_password_in_a_link_is_never_said(focal: Focal, home: Path, url: str) -> None:
    done = focal("--home", home, "send", "--text", "x", "--via", url, "--wait", "queued")
    assert (done.code, done.out, "me:***@host" in done.line) == (2, "", True)
    assert "secret" not in done.line


def test_a_quality_that_tinyvoice_has_not(focal: Focal, home: Path, hello: Path) -> None:
    out = hello.with_suffix(".bin")
    encode = ("encode", hello, "-o", out, "--format", "tinyvoice", "--quality", "c2-1300")
    done = focal("--home", home, *encode)
    assert (done.code, "use --format focal" in done.line) == (1, True)


@pytest.fixture
def taken() -> Generator[int]:
    """Give a UDP port that is in use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def taken_for_now() -> Generator[socket.socket]:
    """Give what has a UDP port that is in use until it is closed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder


def test_a_message_for_a_link_that_is_down_waits_and_says_why(
    focal: Focal, home: Path, taken: int
) -> None:
    link = f"{UDP}?listen={taken}&bind=127.0.0.1"
    done = focal("--home", home, "--json", "send", "--text", "x", "--via", link, "--timeout", "0.4")
    first, waits, last = done.objects
    assert [one["event"] for one in done.objects] == ["queued", "queued", "unknown"]
    assert waits["reason"].startswith(f"the link is down: UDP port {taken} is in use")
    assert (done.code, last["id"]) == (1, first["id"])
    assert f"UDP port {taken} is in use" in last["reason"]
    (line,) = [line for line in done.err.splitlines() if "trying again" in line]
    assert line == f"{link} is down: {waits['reason'].partition(': ')[2]}; trying again"
    (row,) = focal("--home", home, "--json", "outbox", "list").objects
    assert (row["id"], row["state"], row["reason"]) == (first["id"], "queued", waits["reason"])
    send = ("send", "--text", "x", "--via", link, "--wait", "queued")
    assert focal("--home", home, *send).code == 0


def test_a_listener_stays_while_its_link_is_down(focal: Focal, home: Path, taken: int) -> None:
    link = f"{UDP}?listen={taken}&bind=127.0.0.1"
    done = focal("--home", home, "listen", "--via", link, "--timeout", "1.5")
    assert (done.code, done.out) == (0, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"{link} is down: UDP port {taken} is in use")


def test_a_listener_whose_link_comes_up_says_so(home: Path, taken_for_now: socket.socket) -> None:
    port = taken_for_now.getsockname()[1]
    link = f"{UDP}?listen={port}&bind=127.0.0.1"
    command = process("--home", str(home), "listen", "--via", link)
    with running(command, Deadline()) as listener:
        listener.line("is down", "err")
        taken_for_now.close()
        listener.line(f"{link} is up", "err")
        listener.signal()
        assert listener.wait() == 130, listener.story()


def test_what_a_link_costs_that_is_down_cannot_be_told(
    focal: Focal, home: Path, taken: int
) -> None:
    link = f"{UDP}?listen={taken}&bind=127.0.0.1"
    done = focal("--home", home, "send", "--text", "x", "--via", link, "--dry-run")
    assert (done.code, f"UDP port {taken} is in use" in done.line) == (1, True)


def test_a_host_that_there_is_not(focal: Focal, home: Path) -> None:
    send = ("send", "--text", "x", "--via", "udp://nosuch.invalid:9", "--timeout", "0.3")
    done = focal("--home", home, *send)
    assert done.code == 1
    assert "nosuch.invalid" in done.err and "stays in the outbox" in done.err.splitlines()[-1]


def test_nobody_at_the_other_end_ends_unknown_and_loses_nothing(focal: Focal, home: Path) -> None:
    send = ("send", "--text", "x", "--via", UDP, "--wait", "delivered", "--timeout", "0.3")
    done = focal("--home", home, "--json", *send)
    last = done.objects[-1]
    assert (done.code, last["event"]) == (1, "unknown")
    assert f"outbox show {last['id']}" in done.err.splitlines()[-1]
    (waiting,) = focal("--home", home, "--json", "outbox", "list").objects
    assert waiting["id"] == last["id"]


@pytest.mark.parametrize("command", ["decode", "info"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "No such file"),
        (b"", "it is empty"),
        (b"\x84\xa1v\x01\xa1mgarbage", "a damaged envelope"),
        (b"\x81\xa1v\x01more", "extra bytes after its end"),
        (b"\xf1" + bytes(40), "a damaged message"),
        (b"\xf2" + bytes(40), "a message of version 2"),
        (b"this is a text.", "neither a focal packet nor a TinyVoice packet"),
        (bytes(300_000), "more than"),
    ],
)
def test_a_corrupt_packet(
    focal: Focal, home: Path, tmp_path: Path, command: str, data: bytes | None, said: str
) -> None:
    packet = tmp_path / "packet.focal"
    if data is not None:
        packet.write_bytes(data)
    options = ["-o", tmp_path / "out.wav"] if command == "decode" else []
    done = focal("--home", home, command, packet, *options)
    assert (done.code, done.out) == (1, "")
    assert said in done.line
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_a_place_that_cannot_be_written(
    focal: Focal, home: Path, hello: Path, tmp_path: Path, command: str
) -> None:
    packet = tmp_path / "hello.focal"
    assert focal("--home", home, "encode", hello, "-o", packet).code == 0
    source = hello if command == "encode" else packet
    done = focal("--home", home, command, source, "-o", tmp_path / "nosuch" / "out")
    assert (done.code, "there is no such folder" in done.line) == (1, True)
    done = focal("--home", home, command, source, "-o", tmp_path)
    assert (done.code, "is a folder" in done.line) == (1, True)


def test_a_full_disk(focal: Focal, home: Path, hello: Path) -> None:
    needs("/dev/full", Path("/dev/full").exists())
    done = focal("--home", home, "encode", hello, "-o", "/dev/full")
    assert (done.code, "No space left" in done.line) == (1, True)


def test_a_file_that_may_not_grow_is_not_half_written(
    focal: Focal, home: Path, hello: Path, tmp_path: Path
) -> None:
    focal("--home", home, "encode", hello, "-o", tmp_path / "hello.focal")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        back = tmp_path / "back.wav"
        done = focal("--home", home, "decode", tmp_path / "hello.focal", "-o", back)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (done.code, "back.wav cannot be written" in done.line) == (1, True)
    assert not list(tmp_path.glob("*back*"))


def test_a_home_that_is_a_file(focal: Focal, hello: Path) -> None:
    done = focal("--home", hello, "outbox", "list")
    assert (done.code, "is a file" in done.line) == (2, True)


def test_a_home_that_is_read_only(focal: Focal, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with ordinary_user():
        done = focal("--home", "/proc/focal", "outbox", "list")
    assert (done.code, "/proc/focal" in done.line) == (1, True)


def test_looking_makes_no_home(focal: Focal, home: Path) -> None:
    for command in ("outbox", "inbox"):
        done = focal("--home", home, command, "list")
        assert (done.code, f"there is no home {home}" in done.line) == (1, True)
    assert not home.exists()


def test_a_spool_of_a_newer_version(focal: Focal, home: Path) -> None:
    home.mkdir()
    assert focal("--home", home, "outbox", "list").code == 0
    with sqlite3.connect(home / "spool.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    done = focal("--home", home, "outbox", "list")
    assert (done.code, "version 99" in done.line) == (1, True)


def test_a_spool_that_is_a_folder(focal: Focal, home: Path) -> None:
    (home / "spool.db").mkdir(parents=True)
    done = focal("--home", home, "inbox", "list")
    assert (done.code, "spool.db is a folder" in done.line) == (1, True)


def test_a_spool_that_is_no_database(focal: Focal, home: Path) -> None:
    home.mkdir()
    (home / "spool.db").write_bytes(b"not a database" * 100)
    done = focal("--home", home, "inbox", "list")
    assert (done.code, "is not a database" in done.line) == (1, True)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["outbox", "show", "0" * 16], "no message 0000000000000000 in the outbox"),
        (["outbox", "retry", "0" * 16], "no message 0000000000000000 in the outbox"),
        (["outbox", "drop", "0" * 16], "no message 0000000000000000 in the outbox"),
        (["inbox", "show", "0" * 16], "no message 0000000000000000 in the inbox"),
        (["inbox", "play", "0" * 16], "no message 0000000000000000 in the inbox"),
        (["inbox", "drop", "0" * 16], "no message 0000000000000000 in the inbox"),
        (["inbox", "drop", "hello"], "one is 16 hex digits"),
    ],
)
def test_a_message_that_there_is_not(
    focal: Focal, home: Path, command: list[str], said: str
) -> None:
    home.mkdir()
    done = focal("--home", home, *command)
    assert (done.code, said in done.line) == (1, True)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--sink", "wavv:x"], 2, "did you mean 'wav'?"),
        (["--save", "/proc/nosuch/in"], 1, "/proc/nosuch/in cannot be written"),
        (["--timeout", "0.1", "--count", "1"], 1, "fewer than 1 messages came in 0.1 s"),
    ],
)
def test_a_listener_that_cannot(
    focal: Focal, home: Path, options: list[str], code: int, said: str
) -> None:
    done = focal("--home", home, "listen", "--via", UDP, *options)
    assert done.code == code
    assert said in done.err.splitlines()[-1]


def test_settings_that_cannot_be(home: Path, tmp_path: Path) -> None:
    (tmp_path / "focal.toml").write_text("[defaults]\nqualty = 'auto'\n")
    with running(process("outbox", "list"), Deadline(), cwd=tmp_path) as told:
        assert told.wait() == 2
        assert "did you mean 'quality'?" in told.err[0]
        assert len(told.err) == 1


def test_a_reader_that_goes_away(home: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        process("--help"), stdout=write, stderr=subprocess.PIPE, env=environment(), timeout=60
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_a_listener_whose_reader_goes_away_ends_quietly(home: Path, tmp_path: Path) -> None:
    deadline, folder = Deadline(), tmp_path / "link"
    read, write = os.pipe()
    listen = process("--home", str(home), "--json", "listen", "--via", f"file:{folder}?make=1")
    listener = subprocess.Popen(listen, stdout=write, stderr=subprocess.PIPE, env=environment())
    os.close(write)
    os.close(read)
    assert listener.stderr and b"listening" in listener.stderr.readline()
    other = (
        "--home",
        str(tmp_path / "other"),
        "send",
        "--text",
        "x",
        "--via",
        f"file:{folder}?make=1",
    )
    with running(process(*other), deadline) as sender:
        sender.wait()
    assert listener.wait(deadline.left) == -signal.SIGPIPE
    with listener.stderr as stderr:
        assert stderr.read() == b""


def silenced(redirection: str, *arguments: str) -> tuple[int, str]:
    """Run focal in a shell that redirects its output; give its exit code and stderr."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *process(*arguments)],
        stderr=subprocess.PIPE, env=environment(), timeout=60, text=True,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["config", "schema"]])
def test_an_output_that_is_full_is_one_line(command: list[str]) -> None:
    needs("/dev/full", Path("/dev/full").exists())
    code, said = silenced("> /dev/full", *command)
    assert (code, said.splitlines()) == (
        1, ["focal: standard output cannot be written: No space left on device"],
    )  # fmt: skip


def test_an_output_that_is_closed_is_one_line(hello: Path) -> None:
    code, said = silenced(">&-", "info", str(hello))
    assert (code, len(said.splitlines())) == (1, 1)
    assert "standard output is closed" in said


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "words",
    [
        ("lab", "serve", "none.toml", "--listen", "0", "--speed"),
        ("bridge", UDP, "mem:", "--drain"),
        ("send", "--text", "a", "--via", UDP, "--timeout"),
        ("send", "--via", UDP, "--record"),
        ("plugins", "list", "--limit"),
    ],
)
def test_a_number_that_is_none(
    focal: Focal, home: Path, words: tuple[str, ...], value: str
) -> None:
    *words_before, option = words
    done = focal("--home", home, *words_before, f"{option}={value}")
    assert (done.code, done.out) == (2, "")
    assert f"Invalid value for '{option}'" in done.line


@pytest.mark.parametrize("to", ["!xyz", "!", "!1a2b3c4", "!1a2b3c4d5"])
@pytest.mark.parametrize("option", ["--dry-run", "--wait=queued", "--wait=sent"])
def test_what_is_no_number_of_a_node_is_refused_unopened(
    focal: Focal, home: Path, to: str, option: str
) -> None:
    words = ("--home", home, "send", "--text", "a", "--via", "lora://127.0.0.1:9", "--to", to)
    done = focal(*words, option)
    assert (done.code, done.out) == (2, "")
    assert done.line == f"--to: {to!r} is no node's number: one is written !1a2b3c4d"
    assert not focal("--home", home, "--json", "outbox", "list").objects


@pytest.mark.parametrize("more", [["--to", "zorro"], ["--via", UDP, "--to", "!xyz"]])
def test_what_may_be_the_name_of_somebody_is_queued(
    focal: Focal, home: Path, more: list[str]
) -> None:
    words = ("--home", home, "send", "--text", "a", "--via", "lora://127.0.0.1:9", *more)
    assert focal(*words, "--wait=queued").code == 0
