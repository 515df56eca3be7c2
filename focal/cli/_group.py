"""The group of commands, and the options that every command takes before and after its name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import click

from ._out import put
from ._shell import Shell


class _FolderType(click.Path):
    """A folder's path; an empty one, which a variable without a value makes, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("no folder is named.", param, ctx)
        return super().convert(value, param, ctx)


_STRAY = re.compile("[\ud800-\udfff]")
_FOLDER: dict[str, Any] = {
    "type": _FolderType(file_okay=False, path_type=Path),
    "metavar": "DIR",
    "is_eager": True,  # `focal --home DIR --help` lists the commands of that home's plugins
}


class Number(click.FloatRange):
    """A number in a range; ``nan``, which no bound keeps out, is none, nor is ``inf``."""

    what = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if number - number != 0:
            self.fail(f"{value} is no {self.what}.", param, ctx)
        return number


class Seconds(Number):
    """A time above 0; one that never ends is no time."""

    what = "number of seconds"

    def __init__(self) -> None:
        super().__init__(0, min_open=True)


FILE = click.Path(readable=False, allow_dash=True)
"""The type of file names: they may be any bytes, where other words are UTF-8."""


def common_options() -> list[click.Parameter]:
    """Return --home, --json, --log and -v; what they say is kept in the context's ``Shell``."""
    return [
        _kept("--home", **_FOLDER, help="This node's folder. [env: FOCAL_HOME]"),
        _kept("--json", is_flag=True, help="One JSON object an event on stdout."),
        _kept(
            "--log",
            type=click.Choice(["text", "json"]),
            is_eager=True,
            help="How stderr is written.",
        ),
        _kept("-v", "--verbose", count=True, help="Say more on stderr; -vv: everything."),
    ]


def _kept(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **attributes)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value and option.name:
        setattr(context.ensure_object(Shell), option.name, value)


class _Helpful(click.Command):
    """Has help that is written as results are, so that what cannot be written is told alike."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return --help."""
        if option := super().get_help_option(ctx):
            option.callback = _tell_help
        return option


def _tell_help(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        put(context.get_help())
        context.exit()


class Command(_Helpful):
    """A command of focal's."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params += common_options()

    def invoke(self, ctx: click.Context) -> Any:
        """Set up logging as the options say, then run the command.

        Raises:
            click.UsageError: a word that is no file's name is not UTF-8.
            SettingsError: a variable is not.
        """
        ctx.ensure_object(Shell).start_logging()
        _check_words(ctx)
        _check_variables(os.environ)
        return super().invoke(ctx)


def _check_words(context: click.Context) -> None:
    for option in context.command.params:
        is_file = isinstance(option.type, click.Path)
        if not is_file and not _is_text(context.params.get(option.name or "")):
            raise click.UsageError(f"{option.get_error_hint(context)} is not UTF-8", context)


def _is_text(value: object) -> bool:
    """Tell whether words of the command line are UTF-8; Python keeps other bytes as surrogates."""
    words = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return not any(isinstance(word, str) and _STRAY.search(word) for word in words)


def _check_variables(environment: Mapping[str, str]) -> None:
    from ..core.errors import SettingsError

    for name, value in environment.items():
        if name.startswith("FOCAL_") and name != "FOCAL_HOME" and not _is_text(value):
            raise SettingsError(f"the variable {name} is not UTF-8")


class Group(_Helpful, click.Group):
    """A group whose commands are imported when they are wanted.

    Args:
        lazy: the module of each command, within this package; it has the command as ``command``.
    """

    command_class = Command

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.lazy = lazy or {}
        self.params += common_options()

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a newcomer meets them."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command; its module is imported now."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(self.lazy[cmd_name], __package__).command
        return command

    def known_commands(self, ctx: click.Context) -> list[str]:
        """Return the names that a wrong one is compared with."""
        return self.list_commands(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a wrong name is told with the nearest one."""
        from ..settings import nearest

        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.known_commands(ctx)
            raise click.UsageError(f"there is no command {name!r}{nearest(name, known)}", ctx)
        return super().resolve_command(ctx, args)


class Root(Group):
    """The group of all commands: focal's own, and those of plugins, told by their names alone."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command's name."""
        ctx.ensure_object(Shell)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command; one that is not focal's own is asked of the plugin called so."""
        command = super().get_command(ctx, cmd_name)
        shell = ctx.find_object(Shell)
        if command is not None or shell is None or f"command.{cmd_name}" not in _plugins(shell):
            return command
        found = shell.plugins().command(cmd_name)
        if not isinstance(found, click.Command):
            from ..core.errors import PluginError

            raise PluginError(f"plugin command.{cmd_name}: its command is no click.Command")
        return found

    def known_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        shell = ctx.find_object(Shell)
        more = [name.partition(".")[2] for name in _plugins(shell)] if shell else []
        return [*self.list_commands(ctx), *more]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands; those of plugins with what they come from, and none is imported."""
        super().format_commands(ctx, formatter)
        shell = ctx.find_object(Shell)
        rows = [
            (name.partition(".")[2], f"From {whence}.")
            for name, whence in (_plugins(shell) if shell else {}).items()
            if name.partition(".")[2] not in self.lazy
        ]
        if rows:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(rows)


def _plugins(shell: Shell) -> dict[str, str]:
    """Return the plugins that add commands, each with where it comes from."""
    roster = shell.roster()
    return {name: roster.usable[name].whence for name in roster.names("command")}


def _tell_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from .. import __version__

        put(f"focal {__version__}")
        context.exit()


MODULES = {
    "demo": ".demo",
    "send": ".send",
    "listen": ".listen",
    "bridge": ".bridge",
    "encode": ".encode",
    "decode": ".decode",
    "info": ".info",
    "airtime": ".airtime",
    "outbox": ".outbox",
    "inbox": ".inbox",
    "config": ".config",
    "models": ".models",
    "doctor": ".doctor",
    "lab": ".lab",
    "plugins": ".plugins",
}


@click.group(cls=Root, lazy=MODULES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--plugins-dir",
    **_FOLDER,
    expose_value=False,
    callback=_keep,
    help="Single-file plugins. [default: plugins/ in the home]",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_tell_version,
    help="Say which version this is.",
)  # fmt: skip
def focal() -> None:
    """Voice that fits through anything: spoken messages over any link, however thin."""
