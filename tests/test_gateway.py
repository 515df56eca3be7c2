"""``examples/gateway`` does what it says: as it stands, but for the addresses of its links.

The law of this module: those are given by the environment, as a user would; nothing in the files is
changed.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from focal.app import App
from focal.bridging import CLOSING, plan
from focal.core.bridge import Full
from focal.plugins.manager import Plugins
from focal.settings import Settings
from focal.testing import free_ports
from tests.broker import HOST, broker, needs_broker, password_file
from tests.deadline import ROOT, Deadline, Process, focal, running
from tests.live.lab import serving
from tests.live.pair import free_ports as free_udp_ports
from tests.needs import needs

GATEWAY = ROOT / "examples" / "gateway"
UNIT = GATEWAY / "focal-bridge@.service"
CONTAINER = (GATEWAY / "Containerfile").read_text()
HELLO = str(ROOT / "examples" / "hello.wav")
SCENARIO = (
    (ROOT / "examples" / "lab" / "two-nodes.toml").read_text().replace("LONG_FAST", "SHORT_FAST")
)
STOPPED_AFTER = 10.0
"""Seconds that Podman and Docker leave a container until they kill it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the links of both files lead in a test."""

    folder: Path
    deadline: Deadline
    environment: Mapping[str, str]

    @contextmanager
    def run(self, home: str, *arguments: str) -> Generator[Process]:
        """Run focal with a home of that name for the time of the context."""
        command = focal("--home", home, "--json", *arguments)
        with running(command, self.deadline, env=self.environment, cwd=self.folder) as process:
            yield process

    @contextmanager
    def bridge(self, name: str, *arguments: str) -> Generator[Process]:
        """Run a bridge with one of the files."""
        config = ["--config", str(GATEWAY / f"{name}.toml"), *arguments]
        with self.run(name, "bridge", *config) as process:
            yield process

    def done(self, home: str, *arguments: str) -> Process:
        """Run focal to its end."""
        with self.run(home, *arguments) as process:
            assert process.wait() == 0, process.story()
            return process


def test_what_the_files_let_cross() -> None:
    hill = plan(App(Settings.of(GATEWAY / "hill.toml", {}), Plugins(), Path("home")))
    [onto_air, into_room] = hill.gates
    assert (onto_air.name, into_room.name) == ("radio", "room")
    assert onto_air.rate and onto_air.airtime and onto_air.full is Full.OLDEST
    assert onto_air.kinds == into_room.kinds and into_room.airtime is None
    town = plan(App(Settings.of(GATEWAY / "town.toml", {}), Plugins(), Path("home")))
    assert {gate.name for gate in town.gates} == {"room", "valley"}
    assert not hill.public and not town.public


def test_messages_cross_both_bridges_and_receipts_come_back(tmp_path: Path) -> None:
    needs_broker()
    users = f"password_file {password_file(tmp_path, hill='secret', town='secret')}"
    near, far = free_udp_ports(2)
    deadline = Deadline(120)
    with ExitStack() as stack:
        made = stack.enter_context(broker(tmp_path / "broker", users, anonymous=False))
        lab = stack.enter_context(serving(SCENARIO, tmp_path, deadline))
        environment = {
            "MQTT_PASSWORD": "secret",
            "FOCAL_LINKS__RADIO__URL": f"lora://{HOST}:{lab.port('b')}",
            "FOCAL_LINKS__ROOM__URL": f"mqtt://{HOST}:{made.port}/town",
            "FOCAL_LINKS__VALLEY__URL": f"udp://{HOST}:{far}?listen={near}",
        }
        place = Place(tmp_path, deadline, environment)
        for name in ("hill", "town"):
            with place.bridge(name, "--check") as checked:
                assert checked.wait() == 0, checked.story()

        [port] = free_ports(1)
        hill = stack.enter_context(place.bridge("hill", "--metrics", str(port)))
        town = stack.enter_context(place.bridge("town"))
        for each in (hill, town):
            each.line("bridging", "err")
        walker_via = ["--via", f"lora://{HOST}:{lab.port('a')}"]
        valley_via = ["--via", f"udp://{HOST}:{near}?listen={far}"]
        walker = stack.enter_context(place.run("walker", "listen", *walker_via))
        valley = stack.enter_context(place.run("valley", "listen", *valley_via))
        for each in (walker, valley):
            each.line("listening on", "err")

        said = [HELLO, "--quality", "c2-700c", "--wait", "delivered"]
        sent = place.done("walker", "send", *said, *walker_via)
        heard = json.loads(valley.line('"voice"'))
        assert heard["codec"] == "c2-700c" and heard["id"] == json.loads(sent.out[0])["id"]

        text = ["--text", "come down", "--wait", "delivered"]
        sent = place.done("valley", "send", *text, *valley_via)
        assert json.loads(walker.line('"come down"'))["id"] == json.loads(sent.out[0])["id"]

        is_healthy(port)
        for each in (hill, town):
            each.signal(15)
            assert each.wait() == 0, each.story()
        assert explained(place, "hill", heard["id"]) == [("radio", "came"), ("room", "goes on")]
        assert explained(place, "town", heard["id"]) == [("room", "came"), ("valley", "goes on")]
        assert "secret" not in "".join([*hill.err, *hill.out, *town.err, *town.out])


def explained(place: Place, home: str, id: str) -> list[tuple[str, str]]:
    """Return what a bridge says that it decided."""
    lines = place.done(home, "bridge", "--explain", id).out
    told = [json.loads(line) for line in lines if '"decision"' in line]
    return [(one["link"], re.sub(r"^came .*", "came", one["said"])) for one in told]


def is_healthy(port: int) -> None:
    """Ask as the container does."""
    [asked] = re.findall(r"^ *CMD (\[\"python\".*\])$", CONTAINER, re.MULTILINE)
    python, *rest = json.loads(asked)
    assert python == "python" and "127.0.0.1:9464" in rest[-1]
    rest[-1] = rest[-1].replace("9464", str(port))
    subprocess.run([sys.executable, *rest], check=True, timeout=30)
    rest[-1] = rest[-1].replace(str(port), "1")
    assert subprocess.run([sys.executable, *rest], capture_output=True, check=False).returncode


# The unit and the container


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def setting(name: str) -> str:
    """Return what the unit says last under a name."""
    said: list[str] = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return said[-1]


def test_a_service_has_the_time_that_it_needs_to_stop() -> None:
    command = shlex.split(setting("ExecStart"))
    assert float(setting("TimeoutStopSec")) > float(option(command, "--drain")) + CLOSING
    assert setting("Restart") == "always" and setting("StateDirectory") == "focal/%i"
    assert option(command, "--home") == f"%S/{setting('StateDirectory')}"


def test_a_container_has_the_time_that_it_needs_to_stop() -> None:
    [listed] = re.findall(r"^CMD (\[.*\])$", CONTAINER, re.MULTILINE)
    command = json.loads(listed)
    assert float(option(command, "--drain")) + CLOSING < STOPPED_AFTER
    assert "\nSTOPSIGNAL SIGTERM\n" in CONTAINER and "\nUSER focal\n" in CONTAINER


def test_what_the_service_and_the_container_run_are_commands_of_ours(tmp_path: Path) -> None:
    [listed] = re.findall(r"^CMD (\[.*\])$", CONTAINER, re.MULTILINE)
    for command in (json.loads(listed), shlex.split(setting("ExecStart"))[1:]):
        command[command.index("--config") + 1] = "none.toml"
        command[command.index("--metrics") + 1] = "9464"
        with running(focal(*command), Deadline(30), cwd=tmp_path) as process:
            assert process.wait() == 2, process.story()
        assert process.err == ["focal: none.toml cannot be read: No such file or directory\n"]


def test_its_extras_are_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in (CONTAINER, (GATEWAY / "README.md").read_text()):
        [extras] = re.findall(r"\[([a-z,]+)\]'", text)
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    needs("systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/focal/bin/focal", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "focal-bridge@hill.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "focal-bridge" not in done.stderr and done.returncode == 0, done.stderr
