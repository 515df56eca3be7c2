"""The package list in pyproject.toml says what is on disk, and the wheel holds that and no more.

These tests read the working tree: they are for checkouts, not for an installed focal.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from focal.plugins.builtins import BUILTINS
from tests.deadline import ROOT

PACKAGES = {
    "focal": "focal",
    "focal.core": "core",
    "focal.plugins": "plugins",
    "focal.transports": "transports",
    "focal.sinks": "sinks",
}
EXAMPLES = {"focal.examples": "examples"}
"""No package: installed for the recording that ``focal demo`` sends, and to be read."""
NEEDED = {
    "focal/py.typed",
    "focal/core/spool.sql",
    "focal/cli/__init__.py",
    "focal/examples/hello.wav",
}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def on_disk() -> set[str]:
    """Return the files of all packages, by the place where they are installed."""
    found: set[str] = set()
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT / folder)
            linked = any(parent.is_symlink() for parent in (path, *path.parents))
            if path.is_file() and not linked and "__pycache__" not in inside.parts:
                found.add(f"{package.replace('.', '/')}/{inside.as_posix()}")
    examples = [ROOT / "examples" / "hello.wav", *(ROOT / "examples").glob("*.py")]
    return found | {f"focal/examples/{path.name}" for path in examples}


def test_every_package_is_declared() -> None:
    setuptools = project()["tool"]["setuptools"]
    found: set[str] = set()
    for name, folder in PACKAGES.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            if not any(parent.is_symlink() for parent in init.parents):
                found.add(".".join([name, *init.parent.relative_to(ROOT / folder).parts]))
    assert setuptools["package-dir"] == PACKAGES | EXAMPLES
    assert set(setuptools["packages"]) == found | set(EXAMPLES)


def test_links_lead_to_the_packages() -> None:
    for folder in PACKAGES.values():
        if folder != "focal":
            link = ROOT / "focal" / folder
            assert link.is_symlink()
            assert link.readlink() == Path("..") / folder
            assert link.resolve() == ROOT / folder


def test_every_built_in_is_in_a_declared_package() -> None:
    packages = set(project()["tool"]["setuptools"]["packages"])
    homes = {known.module.rpartition(".")[0] for known in BUILTINS}
    assert homes <= packages


def test_the_extra_all_has_every_extra_for_users() -> None:
    extras = dict(project()["project"]["optional-dependencies"])
    (everything,) = extras.pop("all")
    named = set(everything.removeprefix("focal-voice[").removesuffix("]").split(","))
    assert named == set(extras) - {"test", "check", "docs"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names of the files in a wheel built from a copy of the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in [*PACKAGES.values(), *EXAMPLES.values()]:
        shutil.copytree(ROOT / part, source / part, symlinks=True, ignore=skip)
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder)]
    if int(importlib.metadata.version("setuptools").partition(".")[0]) >= 77:
        build.append("--no-build-isolation")
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: set[str]) -> None:
    ours = {name for name in wheel if ".dist-info/" not in name}
    assert ours == on_disk()


def test_the_wheel_holds_what_is_not_python_too(wheel: set[str]) -> None:
    assert wheel >= NEEDED
    assert not [name for name in wheel if "/tests/" in name or name.startswith("tests")]
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in wheel)
