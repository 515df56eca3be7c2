"""The shell around all commands: options anywhere, exit codes, one line for every failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Focal
from tests.deadline import Deadline, environment, running
from tests.deadline import focal as process


def test_help_names_every_command(focal: Focal) -> None:
    done = focal("--help")
    assert done.code == 0
    for name in ("demo", "send", "listen", "encode", "decode", "info", "outbox", "inbox"):
        assert f"\n  {name} " in done.out


@pytest.mark.parametrize(
    "arguments", [["send"], ["listen"], ["demo"], ["outbox", "list"], ["inbox", "play"]]
)
def test_every_command_has_help_and_the_common_options(focal: Focal, arguments: list[str]) -> None:
    done = focal(*arguments, "--help")
    assert done.code == 0
    for option in ("--home", "--json", "--log", "--verbose"):
        assert option in done.out


def test_the_version_is_told(focal: Focal) -> None:
    done = focal("--version")
    assert (done.code, done.out.split()[0]) == (0, "focal")


def test_the_common_options_stand_before_or_after_the_name(
    focal: Focal, home: Path, hello: Path, tmp_path: Path
) -> None:
    packet = tmp_path / "hello.focal"
    before = focal("--home", home, "--json", "encode", hello, "-o", packet)
    after = focal("encode", hello, "-o", packet, "--json", "--home", home)
    origins = {event["id"][:8] for event in before.objects + after.objects}
    assert (before.code, after.code, len(origins)) == (0, 0, 1)
    assert focal("outbox", "--home", home, "--json", "list").out == ""
    assert focal("outbox", "list", "--home", home).err == "the outbox is empty\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["encod"], "did you mean 'encode'?"),
        (["outbox", "lst"], "did you mean 'list'?"),
        (["info"], "Missing argument 'PACKET'"),
        (["info", "x", "--jsn"], "--jsn"),
        (["info", "x", "--log", "xml"], "'xml'"),
        (["send", "a.wav", "--text", "b"], "one of FILE, --record and --text"),
        (["send", "--via", "udp://127.0.0.1:9"], "one of FILE, --record and --text"),
        (["send", "--text", "x", "--timeout", "-1"], "-1"),
        (["listen", "--count", "0"], "0 is not in the range"),
        (["listen", "--timeout", "nan"], "'--timeout': nan is no number of seconds"),
        (["send", "--text", "x", "--timeout", "nan"], "nan"),
        (["send", "--text", ""], "--text is empty"),
        (["send", "--text", "x", "--to", ""], "--to is empty"),
        (["send", "-", "--raw", "0"], "'--raw'"),
        (["send", "-", "--raw", "-5"], "'--raw'"),
        (["--home", "", "inbox", "list"], "'--home': no folder is named"),
        (["inbox", "list", "--home", ""], "'--home': no folder is named"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    focal: Focal, arguments: list[str], said: str
) -> None:
    done = focal(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.line


def test_no_command_shows_the_help(focal: Focal) -> None:
    done = focal()
    assert "Commands:" in done.out + done.err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_signal_ends_a_listener_in_order(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    listen = process("listen", "--home", str(tmp_path / "home"), "--via", "udp://127.0.0.1:9")
    with running(listen, Deadline()) as listener:
        listener.line("listening on udp://127.0.0.1:9", "err")
        listener.signal(number)
        assert listener.wait() == code
        assert "Traceback" not in listener.story()


def test_logs_and_notes_can_be_json(focal: Focal, home: Path) -> None:
    home.mkdir()
    done = focal("--log", "json", "--home", home, "inbox", "list")
    assert done.err == '{"level": "note", "text": "the inbox is empty"}\n'


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--text", "'--text'"),
        ("--to", "'--to'"),
        ("--via", "'--via'"),
        ("--quality", "'--quality'"),
    ],
)
def test_words_are_utf_8(focal: Focal, home: Path, option: str, said: str) -> None:
    done = focal("--home", home, "send", "--via", "file:x", option, os.fsdecode(b"file:\xff"))
    assert (done.code, f"{said} is not UTF-8" in done.line) == (2, True)


def test_variables_are_utf_8(tmp_path: Path) -> None:
    named = {**environment(), "FOCAL_DEFAULTS__NAME": os.fsdecode(b"\xff")}
    command = process("--home", str(tmp_path), "outbox", "list")
    done = subprocess.run(command, env=named, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        2, "focal: the variable FOCAL_DEFAULTS__NAME is not UTF-8\n",
    )  # fmt: skip


def test_file_names_may_be_any_bytes(hello: Path, home: Path) -> None:
    strange = hello.with_name(os.fsdecode(b"hello-\xff.wav"))
    hello.rename(strange)
    packet = strange.with_suffix(".focal")
    options = ("-o", str(packet), "--quality", "c2-1300")
    encode = process("--home", str(home), "encode", str(strange), *options)
    strict = {**environment(), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(encode, env=strict, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"c2-1300: asked for\n")
    assert packet.exists()


@pytest.mark.parametrize(("rest", "code"), [("mic:0", 1), ("file:hello.wav", 0)])
def test_a_file_may_name_any_source(
    focal: Focal, home: Path, hello: Path, rest: str, code: int
) -> None:
    name = rest.replace("hello.wav", str(hello))
    done = focal("--home", home, "encode", name, "-o", hello.with_suffix(".focal"))
    assert done.code == code
    assert code == 0 or "more than 0 and at most 3600 seconds" in done.line


@pytest.mark.parametrize("command", [["info", "nosuch"], ["info", "--nosuch"], ["nosuch"]])
def test_errors_can_be_json(focal: Focal, command: list[str]) -> None:
    (line,) = focal("--log", "json", *command).err.splitlines()
    said = json.loads(line)
    assert said["level"] == "error" and "nosuch" in said["text"]


def test_an_error_of_a_task_group_is_told_as_its_own() -> None:
    from focal.cli._run import _only  # pyright: ignore[reportPrivateUsage]
    from focal.core.errors import SpoolError

    error, bug = SpoolError("the disk is full"), ValueError("a bug")
    assert _only(ExceptionGroup("tasks", [ExceptionGroup("inner", [error])])) is error
    assert isinstance(_only(ExceptionGroup("tasks", [error, bug])), ExceptionGroup)
