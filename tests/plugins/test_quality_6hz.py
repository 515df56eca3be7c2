"""The example of a quality plugin: its own tests pass, with the metadata that its wheel has."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.deadline import ROOT, environment

EXAMPLE = ROOT / "examples" / "focal-quality-6hz"


def metadata(site: Path) -> Path:
    """Write the example's entry points into a folder of the search path; return the folder."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    folder = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir(parents=True)
    points = project["entry-points"]["focal"]
    lines = ["[focal]", *(f"{plugin} = {module}" for plugin, module in points.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines))
    return site


def test_its_own_tests_pass(tmp_path: Path) -> None:
    path = [environment()["PYTHONPATH"], str(EXAMPLE), str(metadata(tmp_path / "site"))]
    bare = ["-c", os.devnull, "--rootdir", tmp_path, "-p", "no:cacheprovider", "-W", "error"]
    tests = EXAMPLE / "test_focal_quality_6hz.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *map(str, [*bare, tests])],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=environment({"PYTHONPATH": os.pathsep.join(path)}),
    )
    assert done.returncode == 0, done.stdout + done.stderr
