"""``focal doctor``: what works here, and what to do about the rest."""

from __future__ import annotations

import os

import click

from ._group import MODULES, Command
from ._shell import Shell


@click.command("doctor", cls=Command)
@click.pass_obj
def command(shell: Shell) -> None:
    """Look at everything that focal needs: each line is good, bad or absent, with what to do."""
    from ..doctor import Patient, examine

    patient = Patient(shell.home, os.environ, shell.roster(), MODULES)
    with shell.working("looking"):
        found = shell.run(examine(patient, shell.show))
    bad = [finding.name for finding in found if finding.state == "bad"]
    if bad:
        raise click.ClickException(f"{len(bad)} bad: {', '.join(bad)}")
