"""The command line: one file a command, imported when the command is called.

A command parses, calls one function of ``focal.app`` and prints what it gives; ``_run.py`` is the
one bridge to exit codes, signals and the event loop. ``focal --help`` imports click and these
files, nothing else.
"""

from __future__ import annotations


def main() -> None:
    """Run the command that ``sys.argv`` says, and leave with its exit code."""
    import sys
    from io import TextIOWrapper

    from ._run import leave, run

    out: object = sys.stdout
    if isinstance(out, TextIOWrapper) and out.errors == "strict":
        out.reconfigure(errors="backslashreplace")  # file names may be any bytes
    leave(run(sys.argv[1:]))
