"""A plugin that adds a command."""

from __future__ import annotations

import click

from focal.plugins import hookimpl


@click.command("wave")
def wave() -> None:
    """Wave."""
    click.echo("o/")


@hookimpl
def focal_commands() -> list[click.Command]:
    return [wave]
