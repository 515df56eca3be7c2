"""Who may import whom: every import of the tree is read and held to the layers.

::

    focal (the shell)  →  leaves: transports, sinks, plugins.codecs, plugins.sources
                              ↓ hookimpl, findings,    ↓
                              ↓ models (codecs only)   ↓
                          focal.plugins  ────────→  focal.core  →  standard library, numpy, msgpack
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from focal.plugins.builtins import BUILTINS, Known
from tests.deadline import ROOT, environment

PACKAGES = {
    "focal": "focal",
    "core": "focal.core",
    "plugins": "focal.plugins",
    "transports": "focal.transports",
    "sinks": "focal.sinks",
}
BESIDE = ("tests", "examples", "bench")

LEAVES = ("focal.transports", "focal.sinks", "focal.plugins.codecs", "focal.plugins.sources")

# The parts of core that wait, ask the time, use threads or files. Everything else in core is
# given bytes, ``now`` and chance, and gives values.
CORE_THAT_ACTS = {
    "focal.core.carrier",
    "focal.core.clocks",
    "focal.core.custody",
    "focal.core.database",
    "focal.core.datagrams",
    "focal.core.desk",
    "focal.core.crowd",
    "focal.core.mailbox",
    "focal.core.node",
    "focal.core.planner",
    "focal.core.rack",
    "focal.core.runtime",
    "focal.core.turns",
}
ACTING = {"asyncio", "socket", "threading", "time", "subprocess", "selectors", "concurrent"}

# Third-party libraries, and the files or folders named for their job.
HOMES = {
    "click": ("focal/cli/",),
    "msgpack": ("core/envelope.py", "core/spool.py"),
    "huggingface_hub": ("plugins/models/hub.py",),
    "google": ("transports/lora/mesh.py", "focal/lab/"),
    "meshtastic": ("transports/lora/mesh.py", "focal/lab/"),
    "numpy": (
        "core/",
        "plugins/codecs/",
        "plugins/models/",
        "plugins/sources/",
        "sinks/",
        "focal/",
    ),
    "onnx": ("plugins/models/slim.py", "focal/testing/_models.py"),
    "onnxruntime": ("plugins/models/sessions.py",),
    "paho": ("transports/mqtt/client.py",),
    "platformdirs": ("focal/where.py", "plugins/models/where.py"),
    "pluggy": ("plugins/__init__.py", "plugins/hookspecs.py", "plugins/registry.py"),
    "prometheus_client": ("focal/metrics.py",),
    "pytest": ("focal/testing/",),
    "pycodec2": ("plugins/codecs/codec2.py",),
    "rich": ("focal/cli/",),
    "serial": ("focal/radios.py", "transports/lora/"),
    "sounddevice": ("plugins/sources/microphone.py", "sinks/speaker.py"),
    "soundfile": ("plugins/sources/files.py",),
    "soxr": ("plugins/sources/resample.py",),
}

HEAVY = {
    "bleak",
    "huggingface_hub",
    "meshtastic",
    "numpy",
    "onnx",
    "onnxruntime",
    "paho",
    "prometheus_client",
    "pycodec2",
    "rich",
    "sounddevice",
    "soundfile",
    "soxr",
    "websockets",
}


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the file and module it stands in, and the module that it names."""

    path: str
    line: int
    module: str
    target: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.module} imports {self.target}"

    @property
    def top(self) -> str:
        """The first part of what is imported."""
        return self.target.partition(".")[0]


def files(folders: Iterable[str]) -> Iterator[Path]:
    """Yield the sources of folders; links are not followed."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(parent.is_symlink() for parent in path.parents):
                yield path.relative_to(ROOT)


def module_of(path: Path) -> str:
    """Return the name under which a file is imported."""
    first, *rest = path.with_suffix("").parts
    if rest[-1:] == ["__init__"]:
        rest.pop()
    return ".".join([PACKAGES.get(first, first), *rest])


MODULES = {module_of(path): path for path in files(PACKAGES)}


def imports(path: Path, source: str) -> Iterator[Import]:
    """Yield every import of a source, also those inside functions; relative ones resolved."""
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path.as_posix(), node.lineno, module, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *base.split(".")])
            for alias in node.names:
                inner = f"{base.strip('.')}.{alias.name}"
                target = inner if inner in MODULES else base.strip(".")
                yield Import(path.as_posix(), node.lineno, module, target)


def read(folders: Iterable[str]) -> list[Import]:
    return [one for path in files(folders) for one in imports(path, (ROOT / path).read_text())]


OURS = read(PACKAGES)
ALL = OURS + read(BESIDE)


def within(module: str, *packages: str) -> bool:
    """Tell whether a module is one of these packages or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def told(wrong: Iterable[Import]) -> None:
    """Fail with every import that is wrong."""
    lines = [str(one) for one in wrong]
    assert not lines, "\n".join(lines)


def folder_of(module: str) -> str:
    """Return which of the leaves' folders a module is in, or nothing."""
    return next((leaf for leaf in LEAVES if within(module, leaf)), "")


def test_the_reader_resolves_what_it_reads() -> None:
    source = "from ..core.link import Packet\nfrom . import _disk\ndef f():\n    import wave, a.b\n"
    found = [(one.line, one.target) for one in imports(Path("sinks/wav.py"), source)]
    assert found == [
        (1, "focal.core.link"),
        (2, "focal.sinks._disk"),
        (4, "wave"),
        (4, "a.b"),
    ]
    inside = imports(Path("core/framing/__init__.py"), "from ..link import Packet\nfrom . import x")
    assert [one.target for one in inside] == ["focal.core.link", "focal.core.framing"]


def test_core_knows_only_core_numpy_and_msgpack() -> None:
    allowed = sys.stdlib_module_names | {"numpy", "msgpack"}
    told(
        one
        for one in OURS
        if within(one.module, "focal.core")
        and not within(one.target, "focal.core")
        and one.top not in allowed
    )


def test_what_decides_is_given_bytes_time_and_chance() -> None:
    told(
        one
        for one in OURS
        if within(one.module, "focal.core")
        and one.module not in CORE_THAT_ACTS
        and one.top in ACTING
    )


def test_chance_is_a_generator_that_somebody_hands_in() -> None:
    for path in files(["core"]):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = f"{node.value.id}.{node.attr}"
                assert node.value.id != "random" or node.attr == "Random", f"{path}: {used}"


def test_leaves_know_core_and_the_marker_and_no_other_leaf() -> None:
    built_in = {known.module for known in BUILTINS}
    told(
        one
        for one in OURS
        if (folder := folder_of(one.module))
        and one.top == "focal"
        and not within(one.target, "focal.core")
        and one.target not in ("focal.plugins", "focal.plugins.findings")
        and not (folder == "focal.plugins.codecs" and within(one.target, "focal.plugins.models"))
        and not (
            within(one.target, folder)
            and (one.target not in built_in or within(one.module, one.target))
        )
    )


def test_the_plugin_seam_knows_no_leaf_and_no_shell() -> None:
    told(
        one
        for one in OURS
        if within(one.module, "focal.plugins")
        and not folder_of(one.module)
        and one.top == "focal"
        and (folder_of(one.target) or not within(one.target, "focal.core", "focal.plugins"))
    )


def test_the_testing_kit_knows_core_alone() -> None:
    told(
        one
        for one in OURS
        if within(one.module, "focal.testing")
        and one.top == "focal"
        and not within(one.target, "focal.core", "focal.testing")
    )


def test_commands_reach_the_leaves_through_the_application() -> None:
    told(one for one in OURS if within(one.module, "focal.cli") and folder_of(one.target))


def test_each_library_stays_in_the_place_named_for_its_job() -> None:
    third = [one for one in OURS if one.top not in sys.stdlib_module_names | {"focal"}]
    told(one for one in third if not one.path.startswith(HOMES.get(one.top, ("nowhere",))))


def test_the_packages_are_imported_under_their_installed_name() -> None:
    told(one for one in ALL if one.top in {"core", "plugins", "transports", "sinks"})


def test_inside_the_packages_imports_are_relative() -> None:
    for path in files(PACKAGES):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert not within(node.module or "", "focal"), f"{path}:{node.lineno}"


def test_tests_use_fakes_and_patch_nothing() -> None:
    told(one for one in ALL if within(one.target, "unittest", "mock", "pytest_mock"))


def loaded_after(code: str) -> set[str]:
    """Return the heavy libraries that a fresh interpreter has loaded after ``code``."""
    report = f"import sys\n{code}\nprint(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", report],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["send", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    run = (
        "from focal.cli import main\n"
        f"sys.argv = ['focal', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as leaving:\n    assert not leaving.code"
    )
    assert loaded_after(run) == set()


@pytest.mark.parametrize("known", BUILTINS, ids=lambda known: known.name)
def test_importing_a_built_in_loads_nothing_heavy(known: Known) -> None:
    assert loaded_after(f"import {known.module}") == set()


def test_listing_everything_loads_nothing_heavy() -> None:
    listing = (
        "from focal.plugins.manager import Plugins\n"
        "p = Plugins()\n"
        "p.transports(), p.codecs(), p.sources(), p.sinks()"
    )
    assert loaded_after(listing) == set()
