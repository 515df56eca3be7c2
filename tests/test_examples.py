"""Every script under examples/ runs as it stands and prints what it says that it prints."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .deadline import ROOT, environment

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_prints_what_it_says(script: Path, tmp_path: Path) -> None:
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    _, _, promised = text.partition("Prints:")
    lines = [line.strip() for line in promised.strip().splitlines()]
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment({"PYTHONPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = [re.sub(r"~[0-9a-f]{8}", "~…", line.strip()) for line in done.stdout.splitlines()]
    assert lines and printed == lines
