"""What the user has configured: a file, then the environment, then flags; the last word wins.

The law of this module: every setting is a field below, and whatever is not one is an error that
names the nearest. Reading settings opens no link and asks no plugin: what the options of a link
mean, its transport knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from .core.database import Durability
from .core.errors import SettingsError
from .core.message import MAX_LIFETIME, MAX_NAME

FILE = "focal.toml"
PREFIX = "FOCAL_"
WAITS = ("queued", "sent", "delivered")
DURABILITY = ("power", "process")

Value: TypeAlias = str | int | float | bool
Table: TypeAlias = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """A configured link: a URL, or a scheme with its parts; ``options`` go into the query.

    Args:
        name: what ``--via`` calls it.
        url: as in ``--via``; None where ``scheme`` says it.
        scheme: with the options ``host``, ``port`` and ``path`` it makes the URL.
        options: whatever the transport knows, by the names in its URL's query.
    """

    name: str
    url: str | None = None
    scheme: str | None = None
    options: Mapping[str, Value] = field(default_factory=dict[str, Value])

    def address(self, default: Callable[[str], str]) -> str:
        """Return the link as one URL; ``default`` tells what a bare scheme stands for."""
        options = dict(self.options)
        base = self.url if self.url is not None else _base(self.scheme or "", options)
        base = base if ":" in base else default(base)
        split = urlsplit(base)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        query |= {name: _plain(value) for name, value in options.items()}
        return base.split("?")[0] + (f"?{urlencode(query)}" if query else "")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a command does when no flag says otherwise.

    Args:
        via: the links, each written as for ``--via``.
        quality: a quality's name, or ``auto``.
        name: the display name that goes with messages; None: none.
        lifetime: seconds that a message is worth carrying, 7 days at most.
        wait: what ``focal send`` waits for: queued, sent or delivered.
        save: the folder where ``focal listen`` writes WAV files; None: nowhere.
        play: whether ``focal listen`` plays what arrives.
    """

    via: tuple[str, ...] = ()
    quality: str = "auto"
    name: str | None = None
    lifetime: float = 86_400.0
    wait: str = "sent"
    save: str | None = None
    play: bool = False


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """How the spool writes: ``power`` survives a power cut, ``process`` a killed process."""

    durability: Durability = "power"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is configured, links by their names."""

    defaults: Defaults = Defaults()
    links: Mapping[str, LinkSettings] = field(default_factory=dict[str, LinkSettings])
    spool: SpoolSettings = SpoolSettings()

    @classmethod
    def read(cls, folders: Iterable[Path], environment: Mapping[str, str]) -> Settings:
        """Read the first ``focal.toml`` among ``folders``, then the environment.

        Raises:
            SettingsError: what is wrong, where, and what was probably meant.
        """
        for path in (folder / FILE for folder in folders):
            if path.is_file():
                return cls.merge(_toml(path), environment, str(path))
        return cls.merge({}, environment, FILE)

    @classmethod
    def merge(cls, table: Table, environment: Mapping[str, str], where: str) -> Settings:
        """Make settings of a file's table, overridden by the environment; ``where`` names it."""
        _known(table, [f.name for f in fields(cls)], where)
        settings = cls(
            _section(Defaults(), table.get("defaults", {}), f"{where}, [defaults]"),
            dict(_links(table.get("links", {}), where)),
            _section(SpoolSettings(), table.get("spool", {}), f"{where}, [spool]"),
        )
        for variable, text in sorted(environment.items()):
            settings = settings._with_variable(variable, text)
        return settings._checked()

    def with_flags(self, **flags: object) -> Settings:
        """Return settings in which every flag that was given (is not None) stands in defaults."""
        given = {name: value for name, value in flags.items() if value not in (None, ())}
        return replace(self, defaults=replace(self.defaults, **cast(Any, given)))._checked()

    def _with_variable(self, variable: str, text: str) -> Settings:
        if not variable.startswith(PREFIX):
            return self
        table, *keys = variable.removeprefix(PREFIX).lower().split("__")
        if not keys:
            _refuse_single(variable)
            return self
        _known([table], [f.name for f in fields(self)], variable)
        if table == "links":
            return replace(self, links=_with_option(self.links, keys, text, variable))
        section = getattr(self, table)
        value = _typed(section, "__".join(keys), text, variable)
        return replace(self, **{table: replace(section, **value)})

    def _checked(self) -> Settings:
        _known([self.defaults.wait], WAITS, "wait")
        _known([self.spool.durability], DURABILITY, "durability")
        if not 0 < self.defaults.lifetime <= MAX_LIFETIME:
            raise SettingsError(
                f"a message's lifetime is above 0 and at most {MAX_LIFETIME} s (7 days)"
            )
        name = self.defaults.name
        if name is not None and not 0 < len(name.encode()) <= MAX_NAME:
            raise SettingsError(f"a display name has 1 to {MAX_NAME} bytes of UTF-8")
        return self


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or the list of what there is; for error lines."""
    from difflib import get_close_matches

    there_is = sorted(known)
    if close := get_close_matches(word.lower(), there_is, n=1, cutoff=0.5):
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(there_is)}" if there_is else ""


def _toml(path: Path) -> Table:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _known(given: Iterable[str], known: Iterable[str], where: str) -> None:
    there_is = tuple(known)
    for word in given:
        if word not in there_is:
            raise SettingsError(f"{where}: no setting {word!r}{nearest(word, there_is)}")


def _section(section: T, table: object, where: str) -> T:
    """Return the section with what the table says; the wrong type of a value is an error."""
    for name, value in _table(table, where).items():
        section = replace(cast(Any, section), **_typed(section, name, value, where))
    return section


def _table(value: object, where: str) -> Table:
    if not isinstance(value, dict):
        raise SettingsError(f"{where}: a table is wanted here")
    return cast(Table, value)


def _typed(section: object, name: str, value: object, where: str) -> dict[str, object]:
    """Read one value of a section as what its field is: a file's value or a variable's text."""
    types = {f.name: str(f.type) for f in fields(cast(Any, section))}
    _known([name], types, where)
    what, read = _READERS[types[name]]
    try:
        return {name: read(value)}
    except (KeyError, TypeError, ValueError):
        raise SettingsError(f"{where}: {name} is {what}, not {value!r}") from None


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_string(item) for item in cast(list[object], value))
    return tuple(part for part in _string(value).split(",") if part)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return float(value)


def _flag(value: object) -> bool:
    return value if isinstance(value, bool) else _WORDS[_string(value).lower()]


_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_READERS: dict[str, tuple[str, Callable[[object], object]]] = {
    "str": ("a text", _string),
    "str | None": ("a text", _string),
    "Durability": ("a text", _string),
    "float": ("a number", _number),
    "bool": ("true or false", _flag),
    "tuple[str, ...]": ("a text or a list of texts", _strings),
}


def _links(table: object, where: str) -> Iterator[tuple[str, LinkSettings]]:
    for name, options in _table(table, f"{where}, [links]").items():
        place = f"{where}, [links.{name}]"
        yield name, _link(name, _table(options, place), place)


def _link(name: str, options: Table, where: str) -> LinkSettings:
    for key, value in options.items():
        if not isinstance(value, str | int | float | bool):
            raise SettingsError(f"{where}: {key} is a text, a number, true or false")
    url, scheme = options.get("url"), options.get("scheme")
    if (url is None) == (scheme is None):
        raise SettingsError(f"{where}: say either url or scheme, for example url = 'udp://…'")
    if not isinstance(url if scheme is None else scheme, str):
        raise SettingsError(f"{where}: {'url' if scheme is None else 'scheme'} is a text")
    rest = {key: value for key, value in options.items() if key not in ("url", "scheme")}
    return LinkSettings(name, url, scheme, rest)


def _with_option(
    links: Mapping[str, LinkSettings], keys: list[str], text: str, variable: str
) -> dict[str, LinkSettings]:
    """Set one option of a link from the environment; a link that has a URL there may be new."""
    if len(keys) != 2 or not all(keys):
        raise SettingsError(f"{variable}: write {PREFIX}LINKS__NAME__OPTION")
    spelt = {name.lower().replace("-", "_"): name for name in links}
    name, option = spelt.get(keys[0], keys[0]), keys[1]
    old = links.get(name)
    if option in ("url", "scheme"):
        options = dict(old.options) if old else {}
        return {**links, name: _link(name, {**options, option: text}, variable)}
    if old is None:
        raise SettingsError(f"{variable}: no link {name!r}{nearest(name, links)}")
    return {**links, name: replace(old, options={**old.options, option: text})}


def _refuse_single(variable: str) -> None:
    """Refuse ``FOCAL_DEFAULTS_VIA``, which somebody believes to have set."""
    for table in (f.name for f in fields(Settings)):
        start = f"{PREFIX}{table.upper()}_"
        if variable.startswith(start):
            meant = f"{start}_{variable.removeprefix(start)}"
            raise SettingsError(f"{variable}: two underscores are wanted: {meant}")


def _base(scheme: str, options: dict[str, Value]) -> str:
    """Make a URL of a scheme and of the options that have their own place in one."""
    host, port = options.pop("host", None), options.pop("port", None)
    path = str(options.pop("path", ""))
    if host is None and port is None:
        return f"{scheme}:{quote(path)}" if path else scheme
    where = f"[{host}]" if ":" in str(host) else str(host if host is not None else "localhost")
    place = where + (f":{port}" if port is not None else "")
    return f"{scheme}://{place}/{quote(path.lstrip('/'))}" if path else f"{scheme}://{place}"


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
