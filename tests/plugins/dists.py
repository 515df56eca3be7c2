"""Distributions as they are when installed: a folder of metadata beside modules, without pip."""

from __future__ import annotations

from pathlib import Path

GOOD = """\
from focal.core.link import TransportSpec
from focal.plugins import hookimpl

def from_url(url):
    raise ValueError("it only hums")

@hookimpl
def focal_transports():
    return [TransportSpec({scheme!r}, "hums", from_url)]
"""
HANGS = "import threading\nthreading.Event().wait()\n"
RAISES = "raise ImportError('no library for this radio')\n"
EXITS = "import os\nos._exit(3)\n"
LEAVES = "import sys\nsys.exit(4)\n"
CRASHES = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
SHADOWS = GOOD.format(scheme="udp")
NEWER = "FOCAL_CONTRACT = 99\n" + GOOD.format(scheme="newer")
COMMAND = """\
import click
from focal.plugins import hookimpl

@click.command({name!r})
@click.option("--loud", is_flag=True)
def command(loud):
    "Say hello."
    click.echo("HELLO" if loud else "hello")

@hookimpl
def focal_commands():
    return [command]
"""


def good(scheme: str) -> str:
    """Return the source of a plugin that adds a scheme."""
    return GOOD.format(scheme=scheme)


def command(name: str) -> str:
    """Return the source of a plugin that adds a command."""
    return COMMAND.format(name=name)


def install(
    site: Path, plugin: str, source: str, *, version: str = "1.0", distribution: str | None = None
) -> str:
    """Install a distribution with one plugin; return the name of its module.

    Args:
        site: a folder of the search path.
        plugin: ``kind.name``.
        source: of its module.
        version: of the distribution.
        distribution: its name; by default made of the plugin's.
    """
    name = distribution or f"focal_{plugin.replace('.', '_')}"
    module = name.replace("-", "_") + "_module"
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(source)
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(
        f"[console_scripts]\nx = y:z\n\n[focal]\n{plugin} = {module}\n"
    )
    return module


def fifty(site: Path) -> list[str]:
    """Install 50 distributions, five of them bad; return the names of their modules."""
    bad = {
        "transport.hang": HANGS,
        "transport.raise": RAISES,
        "transport.exit": EXITS,
        "transport.shadow": SHADOWS,
        "transport.newer": NEWER,
    }
    sound = {f"transport.hum{number}": good(f"hum{number}") for number in range(41)}
    commands = {f"command.hello{number}": command(f"hello{number}") for number in range(4)}
    return [install(site, name, text) for name, text in {**bad, **sound, **commands}.items()]
