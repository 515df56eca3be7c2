"""Pull a file in a process of its own, and print what is told: FOLDER NAME SIZE.

Run as a process by ``test_pull.py``; the hub is that of its environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

from focal.core.errors import FocalError
from focal.plugins.models.hub import Progress, pull
from focal.plugins.models.store import Store


def say(progress: Progress) -> None:
    print(progress, flush=True)


def main(folder: str, name: str, size: str) -> None:
    """Pull one file."""
    try:
        files = pull(Store(Path(folder), {name: int(size)}), [name], tell=say, waits=())
    except FocalError as error:
        sys.exit(f"focal: {error}")
    print("pulled", *files)


if __name__ == "__main__":
    main(*sys.argv[1:])
