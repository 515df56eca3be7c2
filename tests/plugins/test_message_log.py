"""The example of a hooks plugin: its own tests pass, and installed it logs what focal does."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import recording
from tests.deadline import ROOT, environment

EXAMPLE = ROOT / "examples" / "focal-message-log"


def run(*command: object, path: Path, cwd: Path, **env: str) -> str:
    """Run a Python module with the example and ``path`` on the search path; return its stdout."""
    folders = os.pathsep.join([environment()["PYTHONPATH"], str(EXAMPLE), str(path)])
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env=environment({**env, "PYTHONPATH": folders}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder of the search path with the example's metadata, as its wheel has it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["focal"]
    name = f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata = tmp_path / "site" / name
    metadata.mkdir(parents=True)
    lines = ["[focal]", *(f"{plugin} = {module}" for plugin, module in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return metadata.parent


def test_its_own_tests_pass(tmp_path: Path) -> None:
    tests = EXAMPLE / "test_focal_message_log.py"
    bare = ["-c", os.devnull, "--rootdir", tmp_path, "-p", "no:cacheprovider", "-W", "error"]
    run("pytest", "-q", *bare, tests, path=tmp_path, cwd=tmp_path)


def test_installed_it_logs_what_is_sent(site: Path, tmp_path: Path) -> None:
    hello = recording(tmp_path / "hello.wav", seconds=1)
    home, log = tmp_path / "home", tmp_path / "log.csv"
    send = ["focal", "send", hello, "--home", home, "--via", "udp://127.0.0.1:9", "--json"]
    out = run(*send, "--wait", "queued", path=site, cwd=tmp_path, FOCAL_MESSAGE_LOG=str(log))
    (id,) = {json.loads(line)["id"] for line in out.splitlines()}
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["event"] for row in rows[:2]] == ["captured", "encoded"]
    assert (rows[0]["seconds"], rows[1]["id"]) == ("1.00", id)


def test_focal_shows_it_with_all_hooks_on_what_passes(site: Path, tmp_path: Path) -> None:
    show = ["focal", "--home", tmp_path / "home", "--json", "plugins", "show", "focal-message-log"]
    row = json.loads(run(*show, path=site, cwd=tmp_path))
    assert (row["name"], row["state"], row["version"]) == ("hooks.message-log", "good", "0.1.0")
    assert len(row["hooks"]) == 7
    assert not list(tmp_path.glob("*.csv"))
