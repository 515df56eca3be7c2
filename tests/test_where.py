"""Where the home is, told without the library that knows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from focal.where import home_folder
from tests.deadline import environment

ASK = "from platformdirs import user_data_path; print(user_data_path('focal', appauthor=False))"


@pytest.mark.parametrize("given", ["", "  ", "/srv/data", "~/data"])
def test_it_is_where_platformdirs_says(given: str) -> None:
    env = {"XDG_DATA_HOME": given}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        env=environment(env),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    if not given.startswith("~"):  # it leaves that as it is, a folder called ~ here
        assert home_folder(None, env) == Path(done.stdout.strip())


def test_it_costs_no_import_of_note() -> None:
    code = "import sys, focal.where as w, os; w.home_folder(None, os.environ); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60
    )
    loaded = set(done.stdout.split())
    assert "focal.home" not in loaded
    assert os.name == "nt" or "platformdirs" not in loaded or sys.platform == "darwin"
