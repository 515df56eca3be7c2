"""``focal listen`` with a loudspeaker that writes down what it says: HOME LINK FILE.

Run as a process by ``test_speaking.py``; a line is in FILE before the message counts as spoken.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from focal.app import App
from focal.cli._run import INTERRUPTED, Interrupted, run_async
from focal.core.ports import Delivery, SinkSpec
from focal.listening import Enough, listen
from focal.plugins import hookimpl


@dataclass
class Loudspeaker:
    """A sink that speaks into a file."""

    path: Path
    key: str = "loud:"
    speaks: bool = True

    async def accept(self, delivery: Delivery, /) -> str | None:
        with self.path.open("a") as file:
            file.write(f"{delivery.message.id}\n")
            file.flush()
            os.fsync(file.fileno())
        return None


class Plugin:
    """Gives the loudspeaker."""

    @hookimpl
    def focal_sinks(self) -> list[SinkSpec]:
        @asynccontextmanager
        async def opened(rest: str) -> AsyncGenerator[Loudspeaker]:
            yield Loudspeaker(Path(rest))

        return [SinkSpec("loud", "writes down what it says", opened)]


def say(line: str) -> None:
    print(line, file=sys.stderr)


def main(home: str, link: str, path: str) -> None:
    """Listen until the end."""
    app = App.start(Path(home), os.environ, via=(link,))
    app.plugins.register(Plugin(), "sink.loud")
    run_async(listen(app, [f"loud:{path}"], Enough(), print, say))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Interrupted:
        sys.exit(INTERRUPTED)
