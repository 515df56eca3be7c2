"""What a message would cost, and what fits: ``send --dry-run`` and ``--fit``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from focal.core.clocks import moment
from focal.core.ledger import Ledger, Promise
from focal.home import Home
from tests.cli.conftest import Focal, recording

AIR = "mem://price?bandwidth=134"
LIMITED = "mem://{}?bandwidth=134&duty=0.1"


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """Return a recording of five seconds."""
    return recording(tmp_path / "five.wav", seconds=5.0)


def test_where_air_costs_the_hour_is_told(focal: Focal, home: Path, five: Path) -> None:
    send = ("--home", home, "send", five, "--via", LIMITED.format("hour"), "--dry-run")
    (price,) = focal(*send, "--quality", "c2-700c", "--json").objects
    earliest = price.pop("earliest")
    assert abs(earliest - moment().unix) < 60
    assert price == {
        "event": "price",
        "link": LIMITED.format("hour"),
        "codec": "c2-700c",
        "seconds": 5.0,
        "payload_bytes": 438,
        "message_bytes": 459,
        "frames": 5,
        "packet_bytes": 805,
        "messages": 1,
        "parity": 2,
        "saves": [
            {"frames": 4, "seconds": 0.6},
            {"frames": 3, "codec": "12.5hz", "missing": True},
        ],
        "airtime": 6.007,
        "airtime_confirmed": 6.097,
        "airtime_share": 0.016687,
        "per_hour": 59,
    }
    text = focal(*send, "--quality", "c2-700c").out
    assert "6.01 s, 6.10 s with the confirmation" in text
    assert "1.7 % of an hour's air: 59 an hour" in text
    assert "0.6 s shorter: 4 frames; 12.5hz (not here yet): 3 frames" in text


def test_where_air_is_free_there_is_no_airtime(focal: Focal, home: Path, five: Path) -> None:
    send = ("--home", home, "--json", "send", five, "--via", "udp://127.0.0.1:5000", "--dry-run")
    (price,) = focal(*send).objects
    assert not {"airtime", "airtime_share", "per_hour", "earliest"} & price.keys()
    assert price["frames"] > 1


def test_the_ledger_says_when_it_could_go(focal: Focal, home: Path, five: Path) -> None:
    ledger = Ledger.open(Home.open(home).ledger_path, moment)
    with closing(ledger):
        promise = ledger.promise("mem mem-1", 358.0, 360.0)
        assert isinstance(promise, Promise)
        assert ledger.spend(promise, 358.0) is not None
        ledger.release(promise)
    link = LIMITED.format("busy")
    send = ("--home", home, "--json", "send", five, "--via", link, "--dry-run")
    (price,) = focal(*send, "--quality", "c2-700c").objects
    assert price["earliest"] - moment().unix == pytest.approx(3600 + 358 - 6, abs=10)


def test_a_text_tells_how_many_bytes_less(focal: Focal, home: Path) -> None:
    send = ("--home", home, "--json", "send", "--text", "x" * 190, "--via", AIR, "--dry-run")
    (price,) = focal(*send).objects
    assert (price["frames"], price["saves"]) == (4, [{"frames": 3, "bytes": 7}])
    (short,) = focal(*send, "--fit", "2frames").objects
    assert (short["frames"], short["parity"]) == (2, 0)
    done = focal(*send, "--fit", "1frame")
    assert (done.code, "a text of 190 bytes does not fit one frame" in done.line) == (1, True)


def test_the_best_quality_that_fits_is_chosen_and_told(
    focal: Focal, home: Path, five: Path
) -> None:
    send = ("--home", home, "send", five, "--via", AIR, "--dry-run", "--json", "--fit")
    done = focal(*send, "4frames")
    (price,) = done.objects
    assert done.err == "c2-1200: the best quality of which 5.0 s fit 4 frames\n"
    assert (price["frames"], price["parity"]) == (4, 0)
    (air,) = focal(*send, "4s-air").objects
    assert (air["codec"], air["parity"], air["airtime"] <= 4) == ("c2-700c", 0, True)


def test_what_does_not_fit_says_what_would(focal: Focal, home: Path, five: Path) -> None:
    send = ("--home", home, "send", five, "--via", AIR, "--fit", "1frame")
    said = (
        "5.0 s do not fit one frame: at most 2.0 s at c2-700c fit one frame; "
        "12.5hz fits, whose models are not here"
    )
    done = focal(*send)
    assert (done.code, done.out, done.line) == (1, "", said)
    asked = focal(*send, "--quality", "c2-1300")
    assert asked.code == 1
    assert asked.err.endswith(
        "focal: 5.0 s do not fit one frame: at most 1.1 s at c2-1300 fit one frame\n"
    )
    outbox = focal("--home", home, "outbox", "list", "--json")
    assert (outbox.code, outbox.objects) == (0, [])


def test_what_was_made_to_fit_goes_out_so(focal: Focal, home: Path, five: Path) -> None:
    """The promised parity is in the outbox, for whichever process sends it."""
    send = ("--home", home, "--json", "send", five, "--via", AIR, "--wait", "queued", "--fit")
    focal(*send, "4frames")
    focal(*send[:-1], "--quality", "c2-700c")
    with Home(home).spool() as spool:
        assert [leg.parity for leg in spool.outbox.legs()] == [0, None]


def test_a_wrong_fit_is_wrong_usage(focal: Focal, home: Path, five: Path) -> None:
    done = focal("--home", home, "send", five, "--via", AIR, "--fit", "one")
    assert (done.code, "1frame, 2frames" in done.line) == (2, True)


def test_a_packet_file_can_be_made_to_fit(focal: Focal, home: Path, tmp_path: Path) -> None:
    two, packet = recording(tmp_path / "two.wav", seconds=1.9), tmp_path / "two.focal"
    encode = ("--home", home, "--json", "encode", two, "-o", packet, "--fit")
    (encoded,) = focal(*encode, "1frame").objects
    assert (encoded["codec"], encoded["message_bytes"] <= 204) == ("c2-700c", True)
    assert focal("info", packet, "--json").objects[0]["frames"] == 1
    done = focal(*encode, "1frame", "--quality", "c2-1300")
    assert (done.code, "at most 1.1 s at c2-1300 fit one frame" in done.line) == (1, True)
    assert focal(*encode, "3s-air").code == 2
    assert focal(*encode, "1frame", "--format", "tinyvoice").code == 2
