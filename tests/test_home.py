"""The home: where it is, what is in it, who owns what."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from focal.core.errors import SpoolError
from focal.core.link import Transport
from focal.home import Home, home_folder, machine_id
from focal.transports.udp import UdpTransport
from tests.deadline import ROOT, environment
from tests.unprivileged import ordinary_user


def home(path: Path) -> Home:
    return Home.open(home_folder(path, {}))


def test_the_flag_counts_before_the_environment(tmp_path: Path) -> None:
    env = {"FOCAL_HOME": str(tmp_path / "b")}
    assert home_folder(tmp_path / "a", env) == tmp_path / "a"
    assert home_folder(None, env) == tmp_path / "b"
    assert home_folder(None, {}).name == "focal"
    assert home_folder(None, {"FOCAL_HOME": ""}) == home_folder(None, {})
    assert home_folder(Path("~/radio"), {}) == Path.home() / "radio"
    assert home_folder(Path("radio"), {}) == Path.cwd() / "radio"
    assert not any(tmp_path.iterdir())


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    ours = home(tmp_path / "deep" / "down")
    assert ours.path.is_dir() and ours.path.stat().st_mode & 0o777 == 0o700
    assert home(ours.path) == ours
    assert ours.spool_path.parent == ours.ledger_path.parent == ours.path
    assert ours.plugins.parent == ours.links.parent == ours.path
    assert not any(ours.path.iterdir())


def test_its_spool_is_of_this_machine(tmp_path: Path) -> None:
    ours = home(tmp_path)
    with ours.spool() as first, ours.spool(durability="process", unix=lambda: 5.0) as second:
        assert first.origin == second.origin
        assert second.next_sequence() == 5
    assert ours.spool_path.exists()


# What can be wrong with it


def refusal(path: Path) -> str:
    with pytest.raises(SpoolError) as told:
        home(path)
    assert "\n" not in str(told.value) and "--home" in str(told.value)
    return str(told.value)


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "a file is in its place" in refusal(file)
    assert "a file is in its place" in refusal(file / "below")


def test_a_folder_that_is_not_ours_is_told(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with ordinary_user():
        assert "permission denied" in refusal(locked / "home")


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    # As root, everything can be written but what the kernel owns.
    assert "cannot" in refusal(Path("/proc/self") if Path("/proc/self").exists() else tmp_path)


# Locks


def test_one_of_two_owns_a_name(tmp_path: Path) -> None:
    ours = home(tmp_path)
    with ours.lock("lora:/dev/ttyUSB0") as first, home(tmp_path).lock("lora:/dev/ttyUSB0") as again:
        assert (first, again) == (True, False)
        with ours.lock("lora:/dev/ttyUSB1") as other:
            assert other
    with ours.lock("lora:/dev/ttyUSB0") as later:
        assert later


@pytest.mark.parametrize(
    "names", [("a/b", "a:b"), ("Room", "room"), ("x" * 500, "x" * 501), ("", ".")]
)
def test_names_that_look_alike_are_different_locks(tmp_path: Path, names: tuple[str, str]) -> None:
    ours = home(tmp_path)
    with ours.lock(names[0]) as one, ours.lock(names[1]) as other, ours.lock(names[0]) as again:
        assert (one, other, again) == (True, True, False)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    holder = (
        "import sys; from pathlib import Path; from focal.home import Home\n"
        "with Home(Path(sys.argv[1])).lock('speaker') as owned:\n"
        "    print(owned, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    ) as process:
        assert process.stdout and process.stdout.readline() == "True\n"
        with Home(tmp_path).lock("speaker") as owned:
            assert not owned
        process.kill()
    with Home(tmp_path).lock("speaker") as owned:
        assert owned


def test_links_are_owned_by_what_they_hold(tmp_path: Path) -> None:
    ours = home(tmp_path)

    def link(url: str) -> Transport:
        return UdpTransport.from_url(urlsplit(url))

    mine = {"a": link("udp://127.0.0.1:5001?listen=5000")}
    both = {**mine, "b": link("udp://127.0.0.1:5003?listen=5002")}
    with ours.owning(both) as second:
        with ours.owning(mine) as first:
            assert (first.names, first.elsewhere) == ([], ["a"])
        assert second.names == ["a", "b"]


def test_a_link_whose_owner_has_ended_is_there_for_others(tmp_path: Path) -> None:
    ours = home(tmp_path)
    link = {"a": UdpTransport.from_url(urlsplit("udp://127.0.0.1:5001?listen=5000"))}
    with ExitStack() as later:
        with ours.owning(link) as owner:
            waiting = later.enter_context(ours.owning(link))
            assert (waiting.take(), waiting.names, waiting.elsewhere) == ([], [], ["a"])
            assert owner.take() == []
        assert (waiting.take(), waiting.names, waiting.elsewhere) == (["a"], ["a"], [])
        with ours.owning(link) as third:
            assert third.elsewhere == ["a"]
    with ours.owning(link) as last:
        assert last.names == ["a"]


# The machine


def test_the_machine_is_told_by_the_first_file_that_knows(tmp_path: Path) -> None:
    empty, one, other = (tmp_path / name for name in ("empty", "one", "other"))
    empty.write_text("uninitialized\n")
    one.write_text("0123456789abcdef\n")
    other.write_text("fedcba9876543210\n")
    known = machine_id([tmp_path / "missing", empty, one, other])
    assert known == machine_id([one]) != machine_id([other])
    assert len(known) == 32 and "0123456789abcdef" not in known
