"""focal demo: a message crosses a lossy radio, the same way every time."""

from __future__ import annotations

import wave
from pathlib import Path

from tests.cli.conftest import Focal


def test_a_message_loses_frames_and_arrives(focal: Focal, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo.wav"
    done = focal("--json", "--home", home, "demo", "--out", out)
    (demo,) = done.objects
    assert (done.code, done.err, demo["event"]) == (0, "", "demo")
    assert demo["delivered"] is True
    assert demo["frames_lost"] >= 1 and demo["frames_repaired"] >= 1
    assert demo["frames"] > 4 and demo["air_bytes"] > demo["message_bytes"]
    assert (demo["codec"], demo["payload_bytes"]) == ("c2-1300", 819)
    assert demo["out"] == str(out)
    with wave.open(str(out), "rb") as heard:
        assert heard.getnframes() / heard.getframerate() > 5
    assert not home.exists()


def test_it_goes_the_same_way_every_time(focal: Focal, home: Path, tmp_path: Path) -> None:
    demo = ("--json", "--home", home, "demo", "--out", tmp_path / "demo.wav")
    assert focal(*demo).out == focal(*demo).out


def test_people_get_a_table(focal: Focal, home: Path, tmp_path: Path) -> None:
    done = focal("--home", home, "demo", "--out", tmp_path / "demo.wav", "--quality", "c2-700c")
    names = [line.partition("  ")[0] for line in done.out.splitlines()]
    assert names == ["speech", "message", "on the air", "lost", "repaired", "delivered", "heard in"]
    assert "c2-700c" in done.out
