"""What the doctor thinks: facts in, findings out; whatever is bad or absent says what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from focal import checks
from focal.checks import Clock, FocalCodec, Folder, Package, Port, Quality, Station
from focal.core.checkup import Checkup
from focal.filesystem import Mount
from focal.plugins.findings import Finding
from focal.results import Plugin, Spent

NOW = 1_800_000_000.0
SPOOL = Checkup(0x1A2B3C4D, 1, None, int(NOW) - 50, NOW - 40, 3, 12)


def states(findings: list[Finding]) -> dict[str, str]:
    for finding in findings:
        assert finding.state == "good" or finding.advice, f"{finding} says nothing to do"
        assert "\n" not in finding.detail + finding.advice
    return {finding.name: finding.state for finding in findings}


# Python and packages


def test_an_old_python_is_bad() -> None:
    assert checks.python((3, 11, 0), "CPython").state == "good"
    old = checks.python((3, 10, 9), "CPython")
    assert (old.state, old.advice) == ("bad", "use Python 3.11 or newer")


@pytest.mark.parametrize(
    ("requirement", "package"),
    [
        ("click>=8.1", Package("click", "8.1")),
        ("rich", Package("rich")),
        ("sounddevice>=0.4.6; extra == 'mic'", Package("sounddevice", "0.4.6", "mic")),
        ('pyright[nodejs] >=1.1.390 ; extra == "check"', Package("pyright", "1.1.390", "check")),
        ("focal-voice[mic]; extra == 'all'", Package("focal-voice", "", "all")),
        ("x<3,>=1; python_version >= '3.12'", Package("x", "1")),
    ],
)
def test_a_requirement_is_read(requirement: str, package: Package) -> None:
    assert Package.parse(requirement) == package


@pytest.mark.parametrize(
    ("version", "good"),
    [("8.1", True), ("8.1.0rc1", True), ("8.10", True), ("8", False), ("8.0.9", False)],
)
def test_versions_are_compared_by_their_numbers(version: str, good: bool) -> None:
    assert Package("click", "8.1", version=version).good is good


def test_what_lacks_is_named_and_an_extra_that_lacks_is_absent() -> None:
    found = list(
        checks.packages(
            [
                Package("click", "8.1", version="8.2"),
                Package("numpy", "1.26", version="1.20"),
                Package("rich", "13"),
                Package("sounddevice", "0.4", "mic", "0.5"),
                Package("paho-mqtt", "2", "mqtt"),
                Package("pytest", "8", "test"),
            ]
        )
    )
    assert states(found) == {
        "packages": "good",
        "package numpy": "bad",
        "package rich": "bad",
        "extra mic": "good",
        "extra mqtt": "absent",
    }
    advice = {finding.name: finding.advice for finding in found}
    assert advice["package numpy"] == "pip install 'numpy>=1.26'"
    assert "pip install 'focal-voice[mqtt]'" in advice["extra mqtt"]


# The home


HOME = Folder("/home/ada/focal", mount=Mount("/", "ext4"), locks=True, log=True)


def test_a_home_on_a_local_disk_is_good() -> None:
    assert states(list(checks.home(HOME))) == {"home": "good", "file system": "good"}


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        (replace(HOME, folder=False), "is a file"),
        (replace(HOME, writable=False), "cannot be written"),
        (replace(HOME, exists=False, writable=False), "cannot be made"),
        (replace(HOME, owner="root"), "belongs to root"),
        (replace(HOME, free=5_000_000), "has 5.0 MB left"),
    ],
)
def test_a_home_that_cannot_be_used_is_bad(folder: Folder, said: str) -> None:
    first = next(checks.home(folder))
    assert (first.name, first.state) == ("home", "bad")
    assert said in first.detail
    assert "--home" in first.advice


def test_a_home_that_is_not_there_yet_is_absent() -> None:
    found = next(checks.home(replace(HOME, exists=False, locks=None, log=None)))
    assert found.state == "absent"


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        (replace(HOME, mount=Mount("/", "nfs4")), "SQLite's log do not hold between machines"),
        (replace(HOME, mount=Mount("/", "fuse.sshfs")), "network file system"),
        (replace(HOME, mount=Mount("/", "iso9660", read_only=True)), "nothing can be accepted"),
        (replace(HOME, locks=False), "two processes would open one link"),
        (replace(HOME, mount=None, locks=False), "two processes would open one link"),
        (replace(HOME, mount=Mount("/", "nfs"), log=False), "SQLite is slower, as safe"),
    ],
)
def test_a_file_system_says_what_it_cannot_do(folder: Folder, said: str) -> None:
    _, disk = checks.home(folder)
    assert (disk.name, disk.state) == ("file system", "bad")
    assert said in disk.detail and disk.advice


def test_memory_and_a_slow_disk_are_good_and_told() -> None:
    _, memory = checks.home(replace(HOME, mount=Mount("/run", "tmpfs")))
    assert (memory.state, "restart" in memory.advice) == ("good", True)
    _, slow = checks.home(replace(HOME, log=False))
    assert (slow.state, "slower, as safe" in slow.detail) == ("good", True)


def test_where_nothing_tells_the_disk_nothing_is_said_of_it() -> None:
    assert len(list(checks.home(replace(HOME, mount=None, locks=None)))) == 1


# The spool


def test_a_spool_is_counted() -> None:
    found = checks.spool("spool.db", SPOOL)
    assert found.state == "good"
    assert found.detail == "version 1, node ~1a2b3c4d, 3 waiting, 12 received"


def test_a_damaged_spool_is_bad_and_none_is_absent() -> None:
    assert checks.spool("spool.db", None).state == "absent"
    damaged = checks.spool("spool.db", replace(SPOOL, damage="page 3 is never used"))
    assert (damaged.state, "page 3" in damaged.detail) == ("bad", True)
    assert damaged.advice


# The clock


@pytest.mark.parametrize(
    ("now", "spool", "state"),
    [
        (NOW, None, "good"),
        (NOW, SPOOL, "good"),
        (0.0, None, "bad"),
        (5e9, None, "bad"),
        (NOW - 60, SPOOL, "good"),
        (NOW - 200, SPOOL, "bad"),
        (NOW, replace(SPOOL, sequence=int(NOW) + 9_999), "good"),
        (NOW, replace(SPOOL, sequence=int(NOW) + 10_001), "bad"),
    ],
)
def test_a_clock_that_cannot_be_right_is_bad(now: float, spool: Checkup | None, state: str) -> None:
    assert states(list(checks.clock(Clock(now, True), spool)))["clock"] == state


@pytest.mark.parametrize(
    ("synchronised", "state"), [(True, "good"), (False, "absent"), (None, "absent")]
)
def test_a_clock_without_a_time_server_is_not_bad(synchronised: bool | None, state: str) -> None:
    assert states(list(checks.clock(Clock(NOW, synchronised), None)))["time server"] == state


# Codecs and plugins


def test_qualities_that_work_stand_together() -> None:
    lacks = Quality("c", "install c", why_silent="install c")
    tried = [Quality("a"), Quality("b"), lacks, Quality("d", failure="broke")]
    found = list(checks.qualities(tried))
    assert found[0] == Finding("qualities", "good", "a, b")
    assert states(found) == {"qualities": "good", "quality c": "absent", "quality d": "bad"}


def test_a_quality_that_fails_by_its_plugins_fault_is_told_from_one_that_says_what_to_do() -> None:
    tried = [Quality("a", failure="x is damaged: remove it"), Quality("b", failure="?", bug=True)]
    _, says, breaks = checks.qualities(tried)
    assert (says.detail, says.advice) == ("x is damaged: remove it", "do as it says")
    assert breaks.advice == "update or remove its plugin"


def test_a_quality_that_only_receives_is_good() -> None:
    tried = [Quality("a", "no encoder"), Quality("b", why_silent="no decoder")]
    assert list(checks.qualities(tried)) == [
        Finding("qualities", "good", "a (receives only), b (sends only)")
    ]


NEEDS = "50hz needs files: focal models pull 50hz"


def lacking(name: str) -> Quality:
    return Quality(name, NEEDS, why_silent="50hz needs a file")


NOTHING = FocalCodec("1.31.1", "/models", (), [lacking("50hz")])


def test_focalcodec_without_models_says_how_to_get_them() -> None:
    assert checks.focalcodec(NOTHING) == Finding(
        "focalcodec", "absent", "onnxruntime 1.31.1; no model files in /models", NEEDS
    )
    bare = replace(NOTHING, runtime=None)
    assert checks.focalcodec(bare).detail.startswith("without onnxruntime; ")


def test_focalcodec_that_only_receives_is_good_and_says_how_to_send() -> None:
    receives = Quality("50hz", NEEDS)
    found = replace(NOTHING, sizes=(141_089_940,), tried=[receives])
    assert checks.focalcodec(found) == Finding(
        "focalcodec",
        "good",
        "onnxruntime 1.31.1; 50hz (receives only); 1 model file, 141.1 MB in /models",
        NEEDS,
    )


def test_focalcodec_that_sends_and_receives_is_good_whatever_else_is_missing() -> None:
    tried = [Quality("50hz"), lacking("25hz"), Quality("12.5hz", failure="broke")]
    found = checks.focalcodec(replace(NOTHING, sizes=(600_000_000, 400_000_000), tried=tried))
    assert found == Finding(
        "focalcodec", "good", "onnxruntime 1.31.1; 50hz; 2 model files, 1.0 GB in /models"
    )


def test_focalcodec_that_fails_is_not_told_to_get_what_others_lack() -> None:
    tried = [Quality("50hz", failure="x is damaged: remove it"), lacking("50hz-local")]
    found = checks.focalcodec(replace(NOTHING, sizes=(600_000_000,), tried=tried))
    assert found == Finding(
        "focalcodec",
        "bad",
        "onnxruntime 1.31.1; 1 model file, 600.0 MB in /models",
        "do as is said of 50hz",
    )
    receives = [*tried, Quality("25hz", NEEDS)]
    assert checks.focalcodec(replace(NOTHING, tried=receives)).advice == ""


def test_without_any_quality_nothing_can_be_said() -> None:
    assert states(list(checks.qualities([]))) == {"qualities": "bad"}


def plugin(name: str, state: str, reason: str | None = None) -> Plugin:
    return Plugin(name, name.partition(".")[0], None, None, None, state, reason, (), (), None)


def test_a_bad_plugin_is_named_with_how_to_do_without_it() -> None:
    tried = [plugin("sink.a", "good"), plugin("sink.b", "bad", "it hangs")]
    found = list(checks.plugins([*tried, plugin("sink.c", "disabled", "disabled by you")]))
    assert [finding.state for finding in found] == ["good", "bad", "absent"]
    assert found[0].detail == "sink.a"
    assert found[1].detail == "it hangs"
    assert "FOCAL_PLUGINS_DISABLED=sink.b" in found[1].advice


# Radios


def test_a_machine_without_radios_lacks_them_and_nothing_is_bad() -> None:
    assert states(list(checks.radios("2.7.11", []))) == {"radios": "absent"}
    assert states(list(checks.radios(None, None))) == {"radios": "absent"}
    (lacks, port) = checks.radios(None, [Port("/dev/ttyUSB0", "CP2102")])
    assert (lacks.state, "'focal-voice[lora]'" in lacks.advice) == ("absent", True)
    assert port == Finding("port ttyUSB0", "good", "/dev/ttyUSB0 CP2102")


def test_a_port_that_cannot_be_opened_says_why() -> None:
    mine, closed, taken = (
        Port("/dev/ttyACM0"),
        Port("/dev/ttyUSB0", usable=False, group="dialout"),
        Port("/dev/ttyUSB1", usable=False, holder="meshtastic (4711)"),
    )
    found = list(checks.radios("2.7.11", [mine, closed, taken]))
    assert states(found) == {
        "radios": "good",
        "port ttyACM0": "good",
        "port ttyUSB0": "absent",
        "port ttyUSB1": "absent",
    }
    assert found[2].advice == "sudo usermod -aG dialout $USER, then log in again"
    assert "meshtastic (4711) has it" in found[3].detail


def test_a_node_tells_what_it_is() -> None:
    node = Station(
        "hill", node="!1a2b3c4d", firmware="2.7.15", region="EU_868", preset="LONG_FAST",
        channel="1 talk", duty=0.1, battery=87, used=0.015,
    )  # fmt: skip
    found = checks.station(node)
    assert (found.name, found.state) == ("radio hill", "good")
    assert found.detail == (
        "!1a2b3c4d, firmware 2.7.15; LONG_FAST in EU_868, channel 1 talk; duty cycle 10 %; "
        "1.5 % of the last hour sent; battery 87 %"
    )
    assert "external power" in checks.station(replace(node, battery=101)).detail
    assert checks.station(replace(node, battery=None, used=None)).detail.endswith("10 %")


def test_a_node_that_cannot_be_asked_is_bad_unless_one_of_us_has_it() -> None:
    assert checks.station(Station("hill", elsewhere=True)).state == "good"
    lost = checks.station(Station("hill", "no node answers at 192.0.2.1"))
    assert (lost.state, lost.detail) == ("bad", "no node answers at 192.0.2.1")


def test_a_ledger_tells_what_was_sent() -> None:
    assert checks.ledger("ledger.db", None).state == "absent"
    assert checks.ledger("ledger.db", []).detail == "air in the last hour: none"
    spent = Spent("hill", 12.34, 0.0, 360.0, 0.034, ())
    assert checks.ledger("ledger.db", [spent]).detail == "air in the last hour: hill 12.3 s"
