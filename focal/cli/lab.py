"""``focal lab``: simulated LoRa meshes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from ._group import FILE, Command, Group, Number
from ._shell import Shell

EVERY = 2.0
"""Seconds after which it is said again how far a simulation is."""


def _ports(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    words = value.split(",")
    if not all(word.isascii() and word.isdecimal() and int(word) < 65536 for word in words):
        raise click.BadParameter(f"{value!r} is no list of TCP ports: write 4501,4502")
    return tuple(map(int, words))


@click.group("lab", cls=Group)
def command() -> None:
    """Simulated LoRa meshes, described by a scenario file."""


@command.command("run", cls=Command)
@click.argument("scenario", type=FILE)
@click.option("--seed", type=int, help="Where all chance comes from, instead of the scenario's.")
@click.option(
    "--plot", type=FILE, metavar="OUT.svg", help="Draw airtime and latencies over the time."
)
@click.pass_obj
def run(shell: Shell, scenario: str, seed: int | None, plot: str | None) -> None:
    """Simulate a scenario in virtual time, and tell how its nodes fared.

    Behind each node is a focal, but for routers that no traffic names.
    """
    from ..lab.run import simulate
    from ..lab.scenario import Scenario

    out = _picture(plot) if plot is not None else None
    nodes = Scenario.read(Path(scenario))
    if seed is not None:
        nodes = replace(nodes, seed=seed)
    with shell.working("simulating") as say:
        figures = simulate(nodes, _now_and_then(say))
    seconds = nodes.duration
    shell.show_all([*figures.stations(seconds), figures.whole(seconds)])
    if out is not None:
        from ..lab.plot import plot as picture

        _write(out, picture(figures, seconds))
        shell.note(f"drawn: {out}")


def _picture(name: str) -> Path:
    """Return where a picture goes. Raises click.UsageError: before anything is simulated."""
    if not name.lower().endswith(".svg"):
        raise click.UsageError(f"--plot draws an SVG image: call it {Path(name).stem or 'out'}.svg")
    if not Path(name).absolute().parent.is_dir():
        raise click.UsageError(f"--plot: there is no folder {Path(name).parent}")
    return Path(name)


def _write(path: Path, text: str) -> None:
    from ..core.errors import FocalError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FocalError(f"{path} cannot be written: {error.strerror}") from error


def _now_and_then(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return what passes on the first word after each few seconds."""
    last = time.monotonic()

    def said(text: str) -> None:
        nonlocal last
        if time.monotonic() >= last + EVERY:
            last = time.monotonic()
            say(text)

    return said


@command.command("serve")
@click.argument("scenario", type=FILE)
@click.option(
    "--listen", "ports", callback=_ports, required=True, metavar="PORT,...",
    help="TCP ports, one for each of the scenario's first nodes; 0: any that is free.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--speed", type=Number(0, 1000, min_open=True), default=1.0, show_default=True,
    help="Seconds of the scenario in a second.",
)  # fmt: skip
@click.option(
    "--control", type=click.IntRange(0, 65535), metavar="PORT",
    help="A TCP port for commands: reboot NAME, silence NAME, wake NAME.",
)  # fmt: skip
@click.pass_obj
def serve(
    shell: Shell,
    scenario: str,
    ports: tuple[int, ...],
    host: str,
    speed: float,
    control: int | None,
) -> None:
    """Offer a scenario's nodes over Meshtastic's TCP protocol, until interrupted.

    Each is then a node for anything that talks to one: --via lora://127.0.0.1:4501
    """
    from concurrent.futures import ThreadPoolExecutor

    from ..core.runtime import real_runtime
    from ..lab.scenario import Scenario
    from ..lab.serve import Serving
    from ..lab.serve import serve as serve_

    nodes = Scenario.read(Path(scenario))
    serving = Serving(ports, host, speed, control)
    with ThreadPoolExecutor(1) as threads:
        shell.run(serve_(nodes, serving, real_runtime(threads), shell.show))
