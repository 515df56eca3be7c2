"""Fifty plugins, five of them bad: help is as before, each problem is named, all else works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Focal, recording
from tests.deadline import environment
from tests.plugins.dists import COMMAND, CRASHES, LEAVES, command, fifty, good, install

REASONS = {
    "transport.hang": "it was still being imported after 5 s",
    "transport.raise": "cannot be imported: ImportError: no library for this radio",
    "transport.exit": "it ended the process that imported it (exit code 3)",
    "transport.shadow": "the scheme 'udp' is focal's own",
    "transport.newer": "it needs contract 99 of focal's plugins, and this focal has 2",
}

WATCHED = """\
import sys
read = []
sys.addaudithook(lambda what, given: read.append(str(given[0])) if what == "open" else None)
sys.argv = ["focal", *{arguments!r}]
from focal.cli import main
try:
    main()
except SystemExit as leaving:
    code = leaving.code
read = [name for name in read if name.endswith(("entry_points.txt", "METADATA"))]
print("*", code, *sorted(sys.modules), "*", *read, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of the search path with 50 plugins installed."""
    folder = tmp_path_factory.mktemp("site")
    fifty(folder)
    return folder


def run(site: Path, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run focal beside what is installed in ``site``."""
    path = environment()["PYTHONPATH"] + ":" + str(site)
    return subprocess.run(
        [sys.executable, "-m", "focal", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment({"FOCAL_HOME": str(site / "home"), **env, "PYTHONPATH": path}),
    )


def watched(site: Path, *arguments: str) -> tuple[str, set[str], list[str], str]:
    """Run a command line; return its exit code, what it imported, what metadata it read, stdout."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(arguments=arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(
            {
                "FOCAL_HOME": str(site / "home"),
                "PYTHONPATH": environment()["PYTHONPATH"] + ":" + str(site),
            }
        ),
    )
    _, modules, read = done.stderr.split("*")
    code, *imported = modules.split()
    return code, set(imported), read.split(), done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("hello1", "--help"), ("helo1",)])
def test_help_imports_no_plugin_and_reads_metadata_once(
    site: Path, arguments: tuple[str, ...]
) -> None:
    code, imported, read, _ = watched(site, *arguments)
    wanted = {"focal_command_hello1_module"} if arguments[0] == "hello1" else set[str]()
    assert {name for name in imported if name.endswith("_module")} == wanted
    assert "importlib.metadata" not in imported
    assert len(read) == len(set(read)) and sum(str(site) in name for name in read) == 50
    assert code == ("2" if arguments == ("helo1",) else "0")


def test_one_of_focals_own_commands_asks_for_no_metadata(site: Path) -> None:
    code, imported, read, _ = watched(site, "send", "--help")
    assert code == "0" and not read
    assert not {name for name in imported if name.endswith("_module")}


def test_help_names_the_commands_of_plugins_and_whence_they_are(site: Path) -> None:
    _, _, _, out = watched(site, "--help")
    _, _, theirs = out.partition("Commands of plugins:")
    assert theirs.split("\n")[1] == "  hello0  From focal-command-hello0 1.0."
    assert theirs.count("hello") == 8


def test_a_command_of_a_plugin_runs(site: Path) -> None:
    done = run(site, "hello3", "--loud")
    assert (done.returncode, done.stdout, done.stderr) == (0, "HELLO\n", "")


def test_each_problem_is_named(site: Path) -> None:
    done = run(site, "plugins", "--json")
    assert done.returncode == 0
    rows: dict[str, dict[str, Any]] = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows[row["name"]] = row
    bad = {name: row["reason"] for name, row in rows.items() if row["state"] == "bad"}
    assert bad.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert bad[name].startswith(reason)
    hum = rows["transport.hum7"]
    assert (hum["kind"], hum["distribution"], hum["version"], hum["state"]) == (
        "transport", "focal-transport-hum7", "1.0", "good",
    )  # fmt: skip
    assert hum["file"] == str(site / "focal_transport_hum7_module.py")
    assert rows["transport.udp"]["distribution"] == "focal-voice"
    assert len(rows) == 50 + sum(row["distribution"] == "focal-voice" for row in rows.values())


def test_everything_else_works(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    hello = recording(tmp_path / "hello.wav", seconds=1)
    sent = run(site, "send", hello, "--via", f"file:{folder}", "--quality", "c2-1300")
    assert (sent.returncode, "Traceback" in sent.stderr) == (0, False), sent.stderr
    assert len(list(folder.glob("*.focal"))) == 1
    udp = run(site, "send", "--text", "x", "--via", "udp://127.0.0.1:9", "--wait", "queued")
    assert udp.returncode == 0, udp.stderr


@pytest.mark.parametrize("scheme", ["raise", "newer"])
def test_using_the_broken_thing_is_one_line(site: Path, scheme: str) -> None:
    done = run(site, "send", "--text", "x", "--via", f"{scheme}://there")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"focal: plugin transport.{scheme}")


def test_what_is_disabled_is_not_tried(site: Path) -> None:
    off = "transport.hang, focal-transport-exit"
    done = run(site, "plugins", "--json", "show", "hang", FOCAL_PLUGINS_DISABLED=off)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["state"], row["reason"], row["hooks"]) == (
        "disabled", "disabled by FOCAL_PLUGINS_DISABLED", [],
    )  # fmt: skip


def plugin_rows(focal: Focal, *arguments: object) -> dict[str, dict[str, Any]]:
    done = focal(*arguments)
    assert done.code == 0, done.err
    return {row["name"]: row for row in done.objects}


class TestOneHome:
    """Single files of a home, tried from this process."""

    def test_files_are_plugins_of_that_home(self, focal: Focal, home: Path) -> None:
        folder = home / "plugins"
        folder.mkdir(parents=True)
        (folder / "transport.hum.py").write_text(good("hum"))
        (folder / "sink.crash.py").write_text(CRASHES)
        (folder / "codec.leave.py").write_text(LEAVES)
        (folder / "command.wave.py").write_text(command("wave"))
        (folder / "source.wrong.py").write_text(good("hum"))
        rows = plugin_rows(focal, "--home", home, "--json", "plugins")
        assert rows["transport.hum"]["state"] == "good"
        assert rows["source.wrong"]["reason"] == "it is called source.wrong and adds no source"
        assert rows["sink.crash"]["reason"] == "it crashed the process that imported it (SIGSEGV)"
        assert rows["codec.leave"]["reason"] == "cannot be imported: SystemExit: 4"
        assert focal("--home", home, "wave").out == "hello\n"
        assert "wave" in focal("--home", home, "--help").out
        assert "Commands of plugins" not in focal("--help").out

    def test_another_folder_may_be_said(self, focal: Focal, home: Path, tmp_path: Path) -> None:
        (tmp_path / "transport.hum.py").write_text(good("hum"))
        rows = plugin_rows(
            focal, "--home", home, "--plugins-dir", tmp_path, "plugins", "show", "hum", "--json"
        )
        (row,) = rows.values()
        assert row["state"] == "good" and row["import_ms"] >= 0
        assert row["hooks"] == ["focal_transports"]

    def test_a_plugin_cannot_have_a_command_of_focals(self, focal: Focal, tmp_path: Path) -> None:
        (tmp_path / "command.send.py").write_text(command("send"))
        (tmp_path / "command.odd.py").write_text(command("even"))
        rows = plugin_rows(focal, "--plugins-dir", tmp_path, "--json", "plugins", "list")
        assert rows["command.send"]["reason"] == "the command 'send' is focal's own"
        assert "only a plugin called command.even may" in rows["command.odd"]["reason"]
        assert "Send FILE" in focal("--plugins-dir", tmp_path, "send", "--help").out
        done = focal("--plugins-dir", tmp_path, "odd")
        assert (done.code, done.line) == (1, "plugin command.odd adds no command 'odd'")

    def test_a_command_that_is_no_click_command_is_one_line(
        self, focal: Focal, tmp_path: Path
    ) -> None:
        fake = (
            "class Fake:\n    name = 'x'\n    def get_short_help_str(self, limit=45): return ''\n"
        )
        text = COMMAND.format(name="x").replace("[command]", "[Fake()]") + fake
        (tmp_path / "command.x.py").write_text(text)
        assert "no click.Command" in focal("--plugins-dir", tmp_path, "x").line

    def test_options_are_shown_with_what_their_settings_say(self, focal: Focal) -> None:
        (row,) = plugin_rows(focal, "--json", "plugins", "show", "transport.udp").values()
        (added,) = row["adds"]
        assert [option["name"] for option in added["options"]] == ["listen", "bind"]
        assert added["options"][0]["type"] == "int | None"
        assert added["options"][0]["help"].startswith("our own port")
        assert added["facts"] == {"kind": "datagram", "carries": "1200 bytes at once"}
        text = focal("plugins", "show", "mem").out
        assert "loss" in text and "probability, for each receiver" in text and "import" in text

    def test_an_unknown_name_names_the_nearest(self, focal: Focal) -> None:
        done = focal("plugins", "show", "transport.upd")
        assert (done.code, "did you mean 'transport.udp'?" in done.line) == (2, True)

    def test_two_of_one_name_are_both_listed(self, focal: Focal, tmp_path: Path) -> None:
        (tmp_path / "transport.udp.py").write_text(good("udp"))
        rows = [
            row
            for row in focal("--plugins-dir", tmp_path, "--json", "plugins").objects
            if row["name"] == "transport.udp"
        ]
        assert [row["state"] for row in rows] == ["good", "bad"]
        assert rows[1]["reason"] == "transport.udp is focal's own: rename this one"

    def test_the_table_is_for_people(self, focal: Focal, tmp_path: Path) -> None:
        (tmp_path / "sink.x.py").write_text(LEAVES)
        out = focal("--plugins-dir", tmp_path, "plugins").out
        assert "\nsink.x               bad      -" in out
        assert "\n    cannot be imported: SystemExit: 4" in out


def test_a_plugin_in_the_listing_cannot_hurt_with_what_it_starts(
    focal: Focal, tmp_path: Path
) -> None:
    left = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'input()'])\n"
    threads = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    (tmp_path / "transport.a.py").write_text(left + good("a"))
    (tmp_path / "transport.b.py").write_text(threads + good("b"))
    (tmp_path / "transport.c.py").write_text("print('x' * 100_000)\n" + good("c"))
    rows = plugin_rows(focal, "--plugins-dir", tmp_path, "--json", "plugins")
    assert {rows[f"transport.{name}"]["state"] for name in "abc"} == {"good"}


def test_two_third_parties_with_one_scheme_are_both_bad(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "transport.one", good("shared"))
    install(site, "transport.two", good("shared"))
    done = run(site, "plugins", "--json")
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    both = "plugins transport.one and transport.two both add the scheme 'shared'"
    for name in ("transport.one", "transport.two"):
        assert rows[name]["reason"].startswith(both)
    sent = run(site, "send", "--text", "x", "--via", "shared://x")
    assert sent.returncode == 1 and both in sent.stderr.splitlines()[-1]
