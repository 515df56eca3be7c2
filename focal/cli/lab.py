"""``focal lab``: simulated LoRa meshes."""

from __future__ import annotations

from pathlib import Path

import click

from ._group import FILE, Group
from ._shell import Shell


def _ports(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    words = value.split(",")
    if not all(word.isascii() and word.isdecimal() and int(word) < 65536 for word in words):
        raise click.BadParameter(f"{value!r} is no list of TCP ports: write 4501,4502")
    return tuple(map(int, words))


@click.group("lab", cls=Group)
def command() -> None:
    """Simulated LoRa meshes, described by a scenario file."""


@command.command("serve")
@click.argument("scenario", type=FILE)
@click.option(
    "--listen", "ports", callback=_ports, required=True, metavar="PORT,...",
    help="TCP ports, one for each of the scenario's first nodes; 0: any that is free.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--speed", type=click.FloatRange(0, 1000, min_open=True), default=1.0, show_default=True,
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
