"""What a command has at hand: the common options, and the two streams it writes to.

The law of this module: with ``--json`` stdout carries JSON objects, one a line, and nothing else;
whatever is not a result goes to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._out import put

if TYPE_CHECKING:
    from ..app import App
    from ..plugins.choice import Choice
    from ..plugins.manager import Plugins
    from ..plugins.models import Models
    from ..plugins.roster import Roster
    from ._counter import Counter
    from ._progress import Bar, Spinner
    from ._show import Result

T = TypeVar("T")


@dataclass(slots=True)
class Shell:
    """The common options as they were given, before or after the command's name.

    ``spinner`` is what moves on the terminal now, if anything does.
    """

    home: Path | None = None
    plugins_dir: Path | None = None
    json: bool = False
    log: str = "text"
    verbose: int = 0
    spinner: Spinner | Bar | None = None
    _plugins: Plugins | None = None
    _roster: Roster | None = None

    @property
    def plugins_folder(self) -> Path:
        """The folder of the single-file plugins: ``--plugins-dir``, else the home's."""
        from ..where import PLUGINS, home_folder

        return self.plugins_dir or home_folder(self.home, os.environ) / PLUGINS

    def roster(self) -> Roster:
        """Return which plugins there are, told from names alone; looked for once."""
        from ..plugins.roster import found

        self._roster = self._roster or found(self.plugins_folder, os.environ)
        return self._roster

    def plugins(self) -> Plugins:
        """Return the plugins, none of them imported yet."""
        from ..plugins.manager import Plugins

        self._plugins = self._plugins or Plugins.of(self.roster(), os.environ, self.models)
        return self._plugins

    def models(self) -> Models:
        """Return the models as the settings say. Raises SettingsError."""
        from ..app import models_of

        return models_of(self.home, os.environ)

    def app(self, **flags: object) -> App:
        """Return what the command works with; ``flags`` override the settings' defaults."""
        from ..app import App

        return App.start(self.home, os.environ, plugins=self.plugins(), **flags)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, or to the first SIGINT or SIGTERM."""
        from ._run import run_async

        return run_async(main)

    def show(self, result: Result) -> None:
        """Print a result: its JSON object, or its text."""
        from ._show import as_object, as_text

        text = _dumps(as_object(result)) if self.json else as_text(result)
        with self._aside():
            put(text)

    def show_all(self, results: Sequence[Result], nothing: str = "") -> None:
        """Print several results; where there are none, say ``nothing`` on stderr."""
        for result in results:
            self.show(result)
        if not results and nothing:
            self.note(nothing)

    def check_out(self, out: str) -> None:
        """Refuse to write both data and JSON objects to stdout. Raises click.UsageError."""
        if out == "-" and self.json:
            raise click.UsageError("--json and - both want standard output: name a file")

    def wrote(self, result: Result, out: str) -> None:
        """Print what was written; on stderr where stdout has the data itself."""
        from ._show import as_text

        if out == "-":
            self.note(as_text(result))
        else:
            self.show(result)

    def note(self, text: str) -> None:
        """Say on stderr how far the work is."""
        self._tell("note", text, text)

    @property
    def asker(self) -> Callable[[str], Awaitable[bool]] | None:
        """What asks a person yes or no; None where nobody answers, or a program reads."""
        from ._ask import ask, can_ask

        if self.json or self.log != "text" or not can_ask():
            return None
        return lambda question: ask(question, self._aside)

    def explain(self, choice: Choice) -> None:
        """Say on stderr which quality was chosen and why."""
        self.note(str(choice))

    def fail(self, text: str) -> None:
        """Say on stderr what went wrong."""
        self._tell("error", text, f"focal: {text}")

    def _tell(self, level: str, text: str, line: str) -> None:
        as_json = self.log == "json"
        with self._aside():
            click.echo(_dumps({"level": level, "text": text}) if as_json else line, err=True)

    def _aside(self) -> AbstractContextManager[None]:
        """Keep what moves on the terminal away while something is printed."""
        return self.spinner.aside() if self.spinner else nullcontext()

    @contextmanager
    def working(self, text: str) -> Generator[Callable[[str], None]]:
        """Show on a terminal that work goes on; gives what says how far, anywhere."""
        if not self._moves:
            yield self.note
            return
        from ._progress import spinner

        try:
            with spinner(text) as self.spinner:
                yield self.spinner.say
        finally:
            self.spinner = None

    @contextmanager
    def counting(self) -> Generator[Counter]:
        """Show how many bytes have passed: bars on a terminal, a line now and then elsewhere."""
        from ._counter import Lines

        if not self._moves:
            yield Lines(self.note)
            return
        from ._progress import bar

        try:
            with bar() as self.spinner:
                yield self.spinner
        finally:
            self.spinner = None

    @property
    def _moves(self) -> bool:
        """Whether stderr is a terminal on which something can move."""
        return self.log == "text" and sys.stderr is not None and sys.stderr.isatty()

    def start_logging(self) -> None:
        """Send the log to stderr: warnings, with ``-v`` what is done, with ``-vv`` everything."""
        from ._logs import start

        start(sys.stderr, self.log, self.verbose)


def _dumps(event: Mapping[str, Any]) -> str:
    import json

    return json.dumps(event, ensure_ascii=False)
