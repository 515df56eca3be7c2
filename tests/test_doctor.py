"""The doctor looks at real folders, files and plugins, and leaves them as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from focal.core.clocks import moment
from focal.core.ledger import Ledger, Promise
from focal.doctor import Patient, examine, look, needed
from focal.home import Home
from focal.plugins.findings import Finding
from focal.plugins.roster import found
from focal.testing import free_ports
from tests.test_packaging import project

NOW = 1_800_000_000.0


def patient(home: Path, **environment: str) -> Patient:
    roster = found(home / "plugins", environment)
    return Patient(home, environment, roster, limit=5, clock=lambda: NOW)


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def examined(home: Path, **environment: str) -> dict[str, Finding]:
    return by_name(look(patient(home, **environment)))


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_what_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    told = examined(tmp_path / "home")
    assert told["home"].state == told["spool"].state == "absent"
    bad = {name for name, finding in told.items() if finding.state == "bad"}
    assert bad <= {"microphone", "loudspeaker"}  # bad where PortAudio is not installed
    assert not any(tmp_path.iterdir())


def test_a_home_that_is_used_is_good_and_stays_as_it_was(tmp_path: Path) -> None:
    with Home.open(tmp_path).spool(unix=lambda: NOW) as spool:
        spool.next_sequence()
    before = everything(tmp_path)
    told = examined(tmp_path)
    for name in ("python", "packages", "home", "spool", "clock", "qualities", "plugins"):
        assert told[name].state == "good", told[name]
    assert {"microphone", "loudspeaker"} <= set(told)
    assert everything(tmp_path) == before


def test_a_clock_behind_the_last_number_is_bad(tmp_path: Path) -> None:
    with Home.open(tmp_path).spool(unix=lambda: NOW) as spool:
        spool.next_sequence()
    late = replace(patient(tmp_path), clock=lambda: NOW - 86_400)
    assert by_name(look(late))["clock"].state == "bad"


def test_a_file_in_the_place_of_the_home_is_told(tmp_path: Path) -> None:
    file = tmp_path / "home"
    file.touch()
    assert "is a file" in examined(file)["home"].detail


def test_a_spool_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_text("x" * 5000)
    told = examined(tmp_path)
    assert (told["spool"].state, told["clock"].state) == ("bad", "good")


def test_a_wrong_configuration_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "focal.toml").write_text("[defaultz]\n")
    told = examined(tmp_path)
    assert told["configuration"].state == "bad"
    assert "did you mean 'defaults'?" in told["configuration"].detail
    assert told["qualities"].state == "good"


def test_every_configured_link_is_read_and_secrets_are_hidden(tmp_path: Path) -> None:
    text = "links.a.url = 'udp://h:1'\nlinks.b.url = 'udp://h:1?lisen=2'\nlinks.c.url = 'upd://h'"
    (tmp_path / "focal.toml").write_text(text)
    told = examined(tmp_path)
    assert told["link a"] == Finding("link a", "good", "udp://h:1")
    assert (told["link b"].state, told["link c"].state) == ("bad", "bad")
    assert "did you mean 'listen'?" in told["link b"].detail
    assert "did you mean 'udp'?" in told["link c"].detail


PLUGINS = {
    "hooks.breaks": "raise ImportError('no library')",
    "hooks.ends": "raise SystemExit(3)",
    "hooks.ill": """
from focal.plugins import hookimpl

@hookimpl
def focal_doctor():
    raise RuntimeError("fell over")
""",
    "hooks.looks": """
from focal.plugins import hookimpl
from focal.plugins.findings import Finding

@hookimpl
def focal_doctor():
    return [Finding("aerial", "absent", "there is none", "put one up")]
""",
}


def test_each_plugin_is_told_by_name_and_those_that_work_are_asked(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    for name, text in PLUGINS.items():
        (tmp_path / "plugins" / f"{name}.py").write_text(text)
    told = examined(tmp_path, FOCAL_PLUGINS_DISABLED="sink.jsonl")
    assert "no library" in told["plugin hooks.breaks"].detail
    assert told["plugin hooks.ends"].state == "bad"
    assert told["plugin sink.jsonl"].state == "absent"
    assert "hooks.looks" in told["plugins"].detail
    assert told["aerial"] == Finding("aerial", "absent", "there is none", "put one up")
    assert "fell over" in told["hooks.ill"].detail


def test_a_plugin_that_hangs_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    hangs = "import threading\nthreading.Event().wait()\n"
    (tmp_path / "plugins" / "hooks.hangs.py").write_text(hangs)
    told = by_name(look(replace(patient(tmp_path), limit=1.0)))
    assert told["plugin hooks.hangs"].state == "bad"
    assert told["qualities"].state == "good"


def test_a_plugin_that_looks_for_too_long_is_named(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "hooks.slow.py").write_text(
        "import threading\n"
        "from focal.plugins import hookimpl\n"
        "@hookimpl\n"
        "def focal_doctor():\n"
        "    threading.Event().wait()\n"
    )
    told = by_name(look(replace(patient(tmp_path), patience=0.2)))
    assert "takes longer" in told["plugin hooks.slow"].detail


def test_each_finding_is_shown_as_soon_as_it_is_known(tmp_path: Path) -> None:
    shown: list[Finding] = []
    findings = asyncio.run(examine(patient(tmp_path), shown.append))
    assert shown == findings
    assert shown[0].name == "python"


def test_what_focal_needs_is_what_its_project_says() -> None:
    told = project()["project"]
    names = {package.name for package in needed() if package.extra is None}
    assert names == {package.partition(">")[0] for package in told["dependencies"]}
    assert {package.extra for package in needed()} - {None} <= set(told["optional-dependencies"])
    (click,) = [package for package in needed() if package.name == "click"]
    assert click.version == metadata.version("click")


@pytest.mark.parametrize("name", ["sounddevice"])
def test_an_extra_is_told_with_its_packages(name: str) -> None:
    assert {package.extra for package in needed() if package.name == name} >= {"mic"}


def test_the_node_behind_a_configured_link_is_asked_what_it_is(tmp_path: Path) -> None:
    url = "lora+sim://hill?region=EU_868&preset=SHORT_FAST"
    (tmp_path / "focal.toml").write_text(f"links.hill.url = '{url}'\nlinks.far.url = 'udp://h:1'")
    told = examined(tmp_path)
    assert told["radio hill"].state == "good"
    assert "SHORT_FAST in EU_868, channel 0" in told["radio hill"].detail
    assert "duty cycle 10 %" in told["radio hill"].detail
    assert "radio far" not in told


def test_a_node_that_another_process_of_the_home_uses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "focal.toml").write_text("links.hill.url = 'lora+sim://hill'")
    with Home.open(tmp_path).lock("lora+sim:hill") as ours:
        assert ours
        found = examined(tmp_path)["radio hill"]
    assert (found.state, "it was not asked" in found.detail) == ("good", True)


def test_a_node_that_cannot_be_reached_is_bad_and_a_typo_is_told_once(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    text = f"links.gone.url = 'lora://127.0.0.1:{port}'\nlinks.typo.url = 'lora+sim://x?presett=A'"
    (tmp_path / "focal.toml").write_text(text)
    told = examined(tmp_path)
    assert (told["link gone"].state, told["radio gone"].state) == ("good", "bad")
    assert told["link typo"].state == "bad" and "radio typo" not in told


def test_what_the_radios_sent_is_told(tmp_path: Path) -> None:
    assert examined(tmp_path)["ledger"].state == "absent"
    with closing(Ledger.open(Home.open(tmp_path).ledger_path, moment)) as ledger:
        promise = ledger.promise("hill", 2.5, 360.0)
        assert isinstance(promise, Promise)
        ledger.spend(promise, 2.5)
        ledger.release(promise)
    assert examined(tmp_path)["ledger"].detail == "air in the last hour: hill 2.5 s"
    (tmp_path / "ledger.db").write_text("x" * 5000)
    assert examined(tmp_path)["ledger"].state == "bad"
