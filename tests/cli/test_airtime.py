"""``focal airtime``: packets to the millisecond, what messages cost, and what was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from focal.core.clocks import Moment, moment
from focal.core.ledger import Ledger, Promise
from focal.home import Home
from tests.cli.conftest import Focal, recording
from tests.transports.lora.test_plan import TABLE, region_of

SIZES = (16, 64, 128, 200, 219, 231)


# One packet


@pytest.mark.parametrize("preset", TABLE)
def test_a_packet_costs_what_the_firmware_says(focal: Focal, preset: str) -> None:
    told: list[int] = []
    for size in SIZES:
        where = ("--region", region_of(preset), "--preset", preset)
        (cost,) = focal("airtime", "--frame-bytes", size, *where, "--json").objects
        assert (cost["event"], cost["frame_bytes"]) == ("airtime", size)
        told.append(cost["airtime_ms"])
    assert tuple(told) == TABLE[preset][:6]


def test_the_parts_of_a_packet_are_told(focal: Focal) -> None:
    packet = ("airtime", "--frame-bytes", 231, "--region", "TR")
    assert focal(*packet, "--json").objects == [
        {
            "event": "airtime",
            "region": "EU_868",
            "preset": "LONG_FAST",
            "bandwidth_khz": 250.0,
            "spreading_factor": 11,
            "coding_rate": 5,
            "frame_bytes": 231,
            "direct": False,
            "signed": False,
            "air_bytes": 255,
            "airtime_ms": 2157,
            "symbol_ms": 8.192,
            "slot_ms": 28,
            "duty": 0.1,
            "share": 0.00599,
        }
    ]
    text = focal(*packet).out
    assert "LONG_FAST in EU_868: 250 kHz, SF11, 4/5" in text
    assert "2157 ms" in text and "0.6 % of an hour's air" in text


def test_flags_of_a_packet(focal: Focal) -> None:
    def airtime(*flags: object) -> int:
        done = focal("airtime", "--frame-bytes", 100, "--region", "US", "--json", *flags)
        return int(done.objects[0]["airtime_ms"])

    plain = airtime()
    assert plain < airtime("--direct") < airtime("--signed")
    assert plain < airtime("--coding-rate", 8)
    assert plain == airtime("--coding-rate", 5)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "say one of FILE, --bytes, --frame-bytes and --ledger"),
        (("--ledger", "--bytes", "3"), 2, "say one of"),
        (("--bytes", "3"), 2, "say where: --region is one of US, EU_433, EU_868"),
        (("--bytes", "3", "--region", "XX"), 2, "there is no region 'XX'"),
        (("--bytes", "3", "--region", "US", "--preset", "FAST"), 2, "there is no preset 'FAST'"),
        (("--bytes", "3", "--region", "tr"), 2, "there is no region 'tr': did you mean TR?"),
        (("--bytes", "3", "--region", "US", "--preset", "LONGFAST"), 2, "did you mean LONG_FAST?"),
        (
            ("--bytes", "3", "--region", "EU_866", "--preset", "LONG_FAST"),
            2,
            "LONG_FAST is no preset of region EU_866: there are LITE_FAST, LITE_SLOW",
        ),
        (("--frame-bytes", "0", "--fit", "1frame"), 2, "--fit says nothing about --frame-bytes"),
        (("--frame-bytes", "9", "--to-peer"), 2, "--to-peer says nothing about --frame-bytes"),
        (("--frame-bytes", "9", "--to-all"), 2, "--to-all says nothing about --frame-bytes"),
        (("--ledger", "--region", "US"), 2, "--region says nothing about --ledger: leave it out"),
        (("--ledger", "--signed"), 2, "--signed says nothing about --ledger"),
        (("--bytes", "3", "--quality", "50hz"), 2, "--quality says nothing about --bytes"),
        (("--bytes", "3", "--region", "US", "--fit", "1"), 2, "--fit is a number of frames"),
        (("--frame-bytes", "232", "--region", "US"), 1, "231"),
        (("--bytes", "60000", "--region", "US"), 1, "too long for one message"),
        (("none.wav", "--region", "US"), 1, "none.wav"),
    ],
)
def test_what_cannot_be_reckoned_is_one_line(
    focal: Focal, home: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = focal("--home", home, "airtime", *arguments)
    assert (done.code, done.out, said in done.line) == (code, "", True)
    assert not home.exists()


def test_a_region_that_is_unset_is_told_to_send_nothing(focal: Focal) -> None:
    done = focal("airtime", "--frame-bytes", 9, "--region", "UNSET", "--json")
    assert (done.code, len(done.objects)) == (0, 1)
    assert (
        done.err == "region UNSET: a node without a region sends nothing; these are mere figures\n"
    )


# A message


def test_a_payload_costs_frames_air_and_a_share_of_the_hour(focal: Focal, home: Path) -> None:
    ask = ("--home", home, "airtime", "--bytes", 577, "--region", "TR", "--to-peer")
    (cost,) = focal(*ask, "--json").objects
    earliest = cost.pop("earliest")
    assert abs(earliest - moment().unix) < 60
    assert cost == {
        "event": "cost",
        "region": "EU_868",
        "preset": "LONG_FAST",
        "codec": None,
        "seconds": None,
        "payload_bytes": 577,
        "message_bytes": 602,
        "frames": 3,
        "parity": 0,
        "packet_bytes": 627,
        "air_bytes": 699,
        "saves": [{"frames": 2, "bytes": 194}],
        "missing": None,
        "airtime": 5.978,
        "airtime_confirmed": 6.496,
        "airtime_share": 0.016606,
        "per_hour": 60,
    }
    assert "194 bytes less: 2 frames" in focal(*ask).out
    everyone = focal(*ask[:-1], "--json").objects[0]
    assert (everyone["frames"], everyone["parity"], everyone["message_bytes"]) == (5, 2, 598)
    assert not home.exists()


def test_speech_is_reckoned_at_every_quality(focal: Focal, home: Path, tmp_path: Path) -> None:
    hello = recording(tmp_path / "hello.wav", seconds=5.0)
    ask = ("--home", home, "airtime", hello, "--region", "TR", "--to-peer")
    rows = {row["codec"]: row for row in focal(*ask, "--json").objects}
    assert list(rows) == [
        "50hz", "25hz", "12.5hz",
        "c2-3200", "c2-2400", "c2-1600", "c2-1400", "c2-1300", "c2-1200", "c2-700c",
    ]  # fmt: skip
    assert "focal models pull 12.5hz" in rows["12.5hz"]["missing"]
    assert (rows["12.5hz"]["frames"], rows["c2-700c"]["missing"]) == (1, None)
    assert rows["c2-700c"]["saves"] == [
        {"frames": 2, "seconds": 0.7},
        {"frames": 1, "codec": "12.5hz", "missing": True},
    ]
    lines = focal(*ask).out.splitlines()
    assert len(lines) == 10
    assert "0.7 s shorter: 2 frames" in lines[-1] and "12.5hz" not in lines[-1]


def test_one_quality_tells_what_would_be_less(focal: Focal, home: Path, tmp_path: Path) -> None:
    hello = recording(tmp_path / "hello.wav", seconds=5.0)
    ask = ("--home", home, "airtime", hello, "--region", "TR", "--quality", "c2-700c")
    assert "12.5hz (not here yet): 3 frames" in focal(*ask).out
    assert "did you mean 'c2-700c'?" in focal(*ask[:-1], "c2-700").line


def test_only_what_fits_is_told(focal: Focal, home: Path, tmp_path: Path) -> None:
    hello = recording(tmp_path / "hello.wav", seconds=5.0)
    ask = ("--home", home, "--json", "airtime", hello, "--region", "TR", "--fit")
    assert [row["codec"] for row in focal(*ask, "1frame").objects] == ["12.5hz"]
    rows = focal(*ask, "3frames").objects
    assert [(row["codec"], row["frames"], row["parity"]) for row in rows] == [
        ("50hz", 3, 0),
        ("25hz", 3, 1),
        ("12.5hz", 3, 2),
        ("c2-700c", 3, 0),
    ]
    done = focal(*ask, "1frame", "--quality", "c2-1300")
    assert (done.code, "at most 1.1 s at c2-1300 fit one frame" in done.line) == (1, True)


def test_speech_that_is_too_long_for_a_message_is_told_as_such(
    focal: Focal, home: Path, tmp_path: Path
) -> None:
    long = recording(tmp_path / "long.wav", seconds=90.0)
    ask = ("--home", home, "airtime", long, "--region", "TR", "--quality", "c2-3200")
    (row,) = focal(*ask, "--json").objects
    assert row["payload_bytes"] == 36_000
    assert (row["frames"], row["packet_bytes"], row["air_bytes"]) == (None, None, None)
    assert "airtime" not in row
    assert "too long for one message" in focal(*ask).out


def test_a_configured_link_says_where(focal: Focal, home: Path) -> None:
    home.mkdir()
    text = '[links.hill]\nurl = "lora+sim://hill?region=US&preset=SHORT_FAST"\n'
    (home / "focal.toml").write_text(text)
    (cost,) = focal("--home", home, "--json", "airtime", "--frame-bytes", 231).objects
    assert (cost["region"], cost["preset"], cost["airtime_ms"]) == ("US", "SHORT_FAST", 204)


# What was sent


RADIO = "meshtastic !1a2b3c4d 869.4-869.65"


def spend(home: Path, bursts: Iterable[tuple[float, float]], *, limit: float = 360.0) -> None:
    """Have the radio send: each burst so many seconds ago, and so long."""
    now, path = moment(), Home.open(home).ledger_path

    def before(ago: float) -> Callable[[], Moment]:
        return lambda: replace(now, awake=now.awake - ago, unix=now.unix - ago)

    for ago, seconds in bursts:
        with closing(Ledger.open(path, before(ago))) as ledger:
            promise = ledger.promise(RADIO, seconds, limit)
            assert isinstance(promise, Promise)
            assert ledger.spend(promise, seconds) is not None
            ledger.release(promise)


def test_nothing_sent_is_told_and_makes_nothing(focal: Focal, home: Path) -> None:
    done = focal("--home", home, "airtime", "--ledger")
    assert (done.code, done.out) == (0, "")
    assert done.err == "nothing was sent by radio in the last hour\n"
    assert not home.exists()


def test_the_ledger_tells_what_was_sent_and_when_it_leaves_the_hour(
    focal: Focal, home: Path
) -> None:
    spend(home, [(4000, 9.0), (1200, 2.0), (1190, 4.0), (600, 10.0)])
    now = moment().unix
    (spent,) = focal("--home", home, "--json", "airtime", "--ledger").objects
    frees = [(round(one["at"] - now, -1), one["seconds"]) for one in spent.pop("frees")]
    assert frees == [(2410, 6.0), (3010, 10.0)]
    assert spent == {
        "event": "spent",
        "radio": RADIO,
        "seconds": 16.0,
        "promised": 0.0,
        "limit": 360.0,
        "share": 0.044444,
    }
    text = focal("--home", home, "airtime", "--ledger").out
    assert f"{RADIO}: 16.0 s of 360.0 s sent in the last hour (4.4 %)" in text
    assert "free again: 6.0 s at " in text


def test_what_was_sent_says_when_there_is_air(focal: Focal, home: Path) -> None:
    spend(home, [(600, 355.0)])
    now = moment().unix
    ask = ("--home", home, "--json", "airtime", "--bytes", 577, "--to-peer", "--region")
    (cost,) = focal(*ask, "TR").objects
    assert cost["earliest"] - now == pytest.approx(3600 - 600 + 355 - 5.98, abs=5)
    (elsewhere,) = focal(*ask, "US").objects
    assert elsewhere["earliest"] - now < 5


def test_a_ledger_that_is_none_is_told(focal: Focal, home: Path) -> None:
    home.mkdir()
    (home / "ledger.db").write_text("no database" * 500)
    done = focal("--home", home, "airtime", "--ledger")
    assert (done.code, "ledger.db" in done.line) == (1, True)
