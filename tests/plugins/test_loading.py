"""Modules that misbehave at import: each is one line, and what else there is works."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from focal.core.errors import PluginError
from focal.plugins import CONTRACT
from focal.plugins.installed import single_files
from focal.plugins.manager import Plugins
from focal.plugins.roster import found
from tests.plugins.dists import HANGS, LEAVES, NEWER, RAISES, good

WAITS = 0.2  # seconds that an import may take here

NO_HOOK = "from focal.plugins import hookimpl\n"
MISSPELT = NO_HOOK + "@hookimpl\ndef focal_transport(): return []\n"
COROUTINE = NO_HOOK + "@hookimpl\nasync def focal_transports(): return []\n"
FALLS = NO_HOOK + "def __getattr__(name): raise ValueError(name)\n__dir__ = lambda: ['x']\n"


def plugins(folder: Path, **sources: str) -> Plugins:
    """Return the plugins that are these files, each a transport."""
    for name, source in sources.items():
        (folder / f"transport.{name}.py").write_text(source)
    return Plugins(single_files(folder), limit=WAITS)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (HANGS, f"cannot be used: it was still being imported after {WAITS:g} s"),
        (RAISES, "cannot be imported: ImportError: no library for this radio"),
        (LEAVES, "cannot be imported: SystemExit: 4"),
        ("def f(:\n", "cannot be imported: SyntaxError: "),
        ("raise KeyboardInterrupt\n", "cannot be imported: KeyboardInterrupt"),
        (NEWER, f"it needs contract 99 of focal's plugins, and this focal has {CONTRACT}"),
        ("FOCAL_CONTRACT = '1'\n", "FOCAL_CONTRACT is a number from 1 up, not '1'"),
        (NO_HOOK, "it has no hook: mark its functions with @hookimpl"),
        (MISSPELT, "there is no hook 'focal_transport': did you mean 'focal_transports'?"),
        (COROUTINE, "focal_transports is a coroutine function"),
        (FALLS, "ValueError: FOCAL_CONTRACT"),
    ],
)
def test_one_that_misbehaves_is_named_with_the_reason_and_missed_by_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str, said: str
) -> None:
    manager = plugins(tmp_path, bad=source, hum=good("hum"))
    with pytest.raises(PluginError) as told:
        manager.transport("bad")
    assert "transport.bad" in str(told.value) and said in str(told.value)
    assert "\n" not in str(told.value)
    assert [spec.scheme for spec in manager.transports()] == ["hum"]
    assert manager.transport("hum").scheme == "hum"
    with pytest.raises(PluginError, match=r"transport\.bad"):
        manager.transport("bad")  # at once, and not imported again
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def test_the_present_contract_may_be_said(tmp_path: Path) -> None:
    said = f"FOCAL_CONTRACT = {CONTRACT}\n" + good("hum")
    assert plugins(tmp_path, hum=said).transport("hum").scheme == "hum"


def test_a_single_file_is_imported_once_for_all_that_ask(tmp_path: Path) -> None:
    counted = "import builtins\n" + good("hum")
    first, second = plugins(tmp_path, hum=counted), plugins(tmp_path)
    assert first.transport("hum").from_url is second.transport("hum").from_url


def test_a_single_file_may_have_dataclasses(tmp_path: Path) -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass(frozen=True, slots=True)\nclass Settings:\n    host: str\n"
    )
    assert plugins(tmp_path, hum=source + good("hum")).transport("hum").scheme == "hum"


def test_one_module_may_be_two_plugins(tmp_path: Path) -> None:
    (tmp_path / "acme.py").write_text("")
    (one,) = single_files(plugins_folder(tmp_path))
    other = type(one)("sink.hum", one.module, file=one.file)
    manager = Plugins([one, other])
    assert manager.transport("hum").scheme == "hum"
    manager.load("sink")
    assert [spec.scheme for spec in manager.transports()] == ["hum"]


def plugins_folder(folder: Path) -> Path:
    """Return a folder with one transport in it."""
    inside = folder / "plugins"
    inside.mkdir()
    (inside / "transport.hum.py").write_text(good("hum"))
    return inside


def test_hooks_that_cannot_be_imported_stop_no_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hooks.bad.py").write_text(RAISES)
    manager = Plugins.found(tmp_path, {})
    manager.load("hooks")
    manager.load("hooks")
    (said,) = [record.getMessage() for record in caplog.records]
    assert "plugin hooks.bad cannot be imported" in said


def test_every_call_is_logged_where_that_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "transport.hum.py").write_text(good("hum"))
    logger = logging.getLogger("focal.plugins.calls")
    try:
        manager = Plugins.of(found(tmp_path, {}), {"FOCAL_TRACE_PLUGINS": "1"})
        manager.transport("hum")
    finally:
        logger.setLevel(logging.NOTSET)
    calls = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert any(call.startswith("transport.hum: focal_transports() -> [") for call in calls)
