"""What is configured and who said so: the default, a line of the file, a variable or a flag.

The law of this module: it reads what ``Settings`` reads, in the same order, and shows no secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias, cast

from .home import home_folder
from .settings import (
    FILE,
    BridgeSettings,
    LinkSettings,
    Settings,
    Table,
    Value,
    key_of,
    setting_of,
    settings_file,
)

HIDDEN = "***"
"""What is shown of a secret."""

Path_: TypeAlias = tuple[str, ...]
Shown: TypeAlias = Value | Sequence[Value] | None
Tables: TypeAlias = Sequence[Mapping[str, Shown]]

_SECRET = re.compile(r"pass(word|wd|phrase)?$|token|key|psk|secret|credential", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)([^:@/]*):.*@")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_QUERY = re.compile(r"(?<=[?&])([^\s=&#]+)=([^\s&#]*)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is now.

    Args:
        key: as in the file, with dots: ``links.hill.url``; ``home`` is the home's folder.
        value: with what is secret in it hidden; None where it is not set. Of ``bridge`` it is a
            list of tables.
        origin: ``default``, ``FILE:LINE``, a variable's name or a flag's.
    """

    key: str
    value: Shown | Tables
    origin: str


@dataclass(frozen=True, slots=True)
class Config:
    """The file that is read, or would be.

    Args:
        path: where it is; where there is none, its place in the home.
        exists: whether it is there.
    """

    path: str
    exists: bool


def file(home: Path | None, environment: Mapping[str, str]) -> Config:
    """Return which file is read; it need not be right."""
    folder = home_folder(home, environment)
    path = settings_file([Path.cwd(), folder])
    return Config(str(path or folder / FILE), path is not None)


def show(home: Path | None, environment: Mapping[str, str], **flags: object) -> list[Setting]:
    """Return every setting with its origin, in the order of the documentation.

    Args:
        home: from ``--home``.
        environment: the environment.
        flags: what flags say, by the names of the defaults that they override.

    Raises:
        SettingsError: what is configured cannot be.
    """
    folder = home_folder(home, environment)
    folders = [Path.cwd(), folder]
    settings = Settings.read(folders, environment).with_flags(**flags)
    origins = _from_file(settings_file(folders))
    origins |= _from_environment(environment, settings.links)
    origins |= {
        ("defaults", name): f"--{name}" for name, it in flags.items() if it not in (None, ())
    }
    where = "--home" if home else "FOCAL_HOME" if environment.get("FOCAL_HOME") else "default"
    return [
        Setting("home", str(folder), where),
        *(
            Setting(_dotted(path), value, origins.get(path, "default"))
            for path, value in _leaves(settings)
        ),
    ]


def hidden(name: str, value: Shown) -> Shown:
    """Return a value with what is secret in it replaced: all of it, or parts of a URL.

    Args:
        name: what it is called; ``password``, ``mqtt_token`` and their like are secret.
        value: a text may be a URL, with a password before the host or secrets in its query.
    """
    if value is None or isinstance(value, bool):
        return value
    if _SECRET.search(name):
        return HIDDEN
    if isinstance(value, str):
        return _veiled(value)
    if isinstance(value, Sequence):
        return [_veiled(item) if isinstance(item, str) else item for item in value]
    return value


def toml(value: Shown | Tables) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, list):
        items = cast("Tables | Sequence[Value]", value)
        return f"[{', '.join(_table(it) if isinstance(it, Mapping) else toml(it) for it in items)}]"
    # JSON's strings are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(table: Mapping[str, Shown]) -> str:
    return "{" + ", ".join(f"{name} = {toml(value)}" for name, value in table.items()) + "}"


def lines(text: str) -> dict[Path_, int]:
    """Return the line on which each setting of a TOML text begins.

    Statements are told apart by tomllib itself: a line that it cannot read alone goes on.
    """
    import tomllib

    found: dict[Path_, int] = {}
    table: Path_ = ()
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            said = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if statement.lstrip().startswith("["):
            table = _header(said)
            if statement.lstrip().startswith("[["):
                found.setdefault(table, start)
        else:
            found |= {(*table, *path): start for path in _paths(said)}
        statement, start = "", number + 1
    return found


def _from_file(path: Path | None) -> dict[Path_, str]:
    if path is None:
        return {}
    return {key: f"{path}:{line}" for key, line in lines(path.read_text(encoding="utf-8")).items()}


def _from_environment(environment: Mapping[str, str], links: Iterable[str]) -> dict[Path_, str]:
    there_are = list(links)
    return {
        path: variable
        for variable in environment
        if (path := setting_of(variable, there_are)) is not None
    }


def _leaves(settings: Settings) -> Iterator[tuple[Path_, Shown | Tables]]:
    yield from _section("defaults", settings.defaults)
    for name, link in settings.links.items():
        for key, value in _link(link):
            yield ("links", name, key), hidden(key, value)
    yield ("bridge",), [dict(_said(table)) for table in settings.bridge]
    yield from _section("spool", settings.spool)
    yield from _section("models", settings.models)


def _section(table: str, section: object) -> Iterator[tuple[Path_, Shown]]:
    for field in fields(cast(Any, section)):
        value = _listed(getattr(section, field.name))
        yield (table, field.name), hidden(field.name, value)


def _said(table: BridgeSettings) -> Iterator[tuple[str, Shown]]:
    """Yield what a table says, what is as by default left out."""
    for field in fields(table):
        if (value := getattr(table, field.name)) != field.default:
            yield key_of(field), hidden(field.name, _listed(value))


def _link(link: LinkSettings) -> Iterator[tuple[str, Shown]]:
    if link.url is not None:
        yield "url", link.url
    if link.scheme is not None:
        yield "scheme", link.scheme
    yield from link.options.items()
    if link.public is not None:
        yield "public", link.public


def _listed(value: Value | tuple[Value, ...] | None) -> Shown:
    return list(value) if isinstance(value, tuple) else value


def _header(table: object) -> Path_:
    """Return the path of the one empty table that a header alone makes."""
    path: Path_ = ()
    while table and isinstance(table, dict):
        ((name, table),) = cast(Table, table).items()
        path = (*path, name)
    return path


def _paths(table: Table) -> Iterator[Path_]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from ((name, *path) for path in _paths(cast(Table, value)))
        else:
            yield (name,)


def _veiled(text: str) -> str:
    """Hide a password before the host, and in the query whatever is called like a secret."""
    text = _USERINFO.sub(rf"\1:{HIDDEN}@", text)
    return _QUERY.sub(lambda m: f"{m[1]}={HIDDEN}" if _SECRET.search(m[1]) else m[0], text)


def _dotted(path: Path_) -> str:
    return ".".join(name if _BARE.fullmatch(name) else toml(name) for name in path)
