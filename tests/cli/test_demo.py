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
    assert demo["frames"] > 5 and demo["packet_bytes"] > demo["message_bytes"]
    assert (demo["codec"], demo["payload_bytes"]) == ("c2-1300", 819)
    assert (demo["preset"], demo["region"], demo["loss"]) == ("LONG_FAST", "EU_868", 0.25)
    assert demo["out"] == str(out)
    with wave.open(str(out), "rb") as heard:
        assert heard.getnframes() / heard.getframerate() > 5
    assert not home.exists()


def test_what_it_costs_is_told_for_each_preset(focal: Focal, home: Path, tmp_path: Path) -> None:
    done = focal("--json", "--home", home, "demo", "--out", tmp_path / "demo.wav")
    (demo,) = done.objects
    costs = {one["preset"]: one for one in demo["presets"]}
    assert [*costs][::6] == ["SHORT_FAST", "LONG_SLOW"]
    alone = costs["LONG_FAST"]
    assert (alone["frames"], alone["airtime"], alone["per_hour"]) == (5, 8.735, 41)
    assert abs(alone["airtime_share"] - alone["airtime"] / 360) < 1e-5
    # What was lost was sent anew, and confirmed: more than that, and less than an hour allows.
    assert alone["airtime"] < demo["airtime"] < demo["air_seconds"]
    assert alone["airtime_share"] < demo["airtime_share"] < demo["airtime"] / 360


def test_it_goes_the_same_way_every_time(focal: Focal, home: Path, tmp_path: Path) -> None:
    demo = ("--json", "--home", home, "demo", "--out", tmp_path / "demo.wav")
    assert focal(*demo).out == focal(*demo).out


def test_people_get_a_table(focal: Focal, home: Path, tmp_path: Path) -> None:
    done = focal("--home", home, "demo", "--out", tmp_path / "demo.wav", "--quality", "c2-700c")
    went, costs = done.out.split("\n\n")
    assert [line.partition("  ")[0] for line in went.splitlines()] == [
        "speech",
        "message",
        "radio",
        "on the air",
        "airtime",
        "lost",
        "repaired",
        "delivered",
        "heard in",
    ]
    assert "c2-700c" in went
    head, *presets = costs.splitlines()
    assert head.split("  ")[0] == "if nothing is lost"
    assert len(presets) == 7
