from __future__ import annotations

import csv
import logging
from pathlib import Path

import focal_message_log
import pytest
from focal_message_log import COLUMNS, MessageLog

from focal import Kind, Message, MessageId, Plugins

MESSAGE = Message(MessageId(0x1A2B3C4D, 7), Kind.TEXT, b"on my way", sender='Ada "A" Lovelace')


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


@pytest.fixture
def plugins(log: Path) -> Plugins:
    plugins = Plugins(())
    plugins.register(MessageLog(log, clock=lambda: 12.5), "hooks.message-log")
    return plugins


def test_a_message_is_a_row_each_time(plugins: Plugins, log: Path) -> None:
    plugins.encoded(MESSAGE)
    plugins.framed(MESSAGE, [b"a", b"b"])
    plugins.sent(MESSAGE, "hill")
    plugins.received(MESSAGE, "valley")
    plugins.played(MESSAGE, "wav:in")
    found = rows(log)
    assert [(row["event"], row["where"]) for row in found] == [
        ("encoded", ""),
        ("framed", "2 frames"),
        ("sent", "hill"),
        ("received", "valley"),
        ("played", "wav:in"),
    ]
    assert {(row["at"], row["id"], row["sender"]) for row in found} == {
        ("12.500", "1a2b3c4d00000007", 'Ada "A" Lovelace')
    }


def test_clips_are_told_by_their_length(plugins: Plugins, log: Path) -> None:
    import numpy as np

    from focal import Clip

    clip = Clip(np.zeros(4000, np.float32), 8000)
    assert plugins.captured(clip) is clip
    assert plugins.decoded(MESSAGE, clip) is clip
    assert [(row["event"], row["id"], row["seconds"]) for row in rows(log)] == [
        ("captured", "", "0.50"),
        ("decoded", str(MESSAGE.id), "0.50"),
    ]


def test_a_file_that_was_moved_away_is_begun_anew(plugins: Plugins, log: Path) -> None:
    plugins.encoded(MESSAGE)
    log.rename(log.with_suffix(".1"))
    plugins.encoded(MESSAGE)
    assert log.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert len(rows(log)) == 1


def test_a_file_that_cannot_be_written_stops_no_message(
    log: Path, plugins: Plugins, caplog: pytest.LogCaptureFixture
) -> None:
    log.mkdir()
    plugins.sent(MESSAGE, "hill")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "hooks.message-log: focal_sent failed: IsADirectoryError" in caplog.text


def test_the_module_itself_is_the_plugin() -> None:
    plugins = Plugins(())
    plugins.register(focal_message_log, "hooks.message-log")
