"""What the user has configured: a file, then the environment, then flags; the last word wins.

The law of this module: every setting is a field below, and whatever is not one is an error that
names the nearest. Reading settings opens no link and asks no plugin: what the options of a link
mean, its transport knows.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast, get_args
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from .core.bridge import QUEUE, Full, Rate
from .core.database import Durability
from .core.errors import SettingsError
from .core.message import MAX_LIFETIME, MAX_NAME
from .plugins.models.settings import MAX_THREADS, ModelSettings
from .plugins.models.where import VARIABLE as MODELS_DIR

FILE = "focal.toml"
PREFIX = "FOCAL_"
PLAIN = (
    "FOCAL_HOME",
    MODELS_DIR,
    "FOCAL_PLUGINS_DISABLED",
    "FOCAL_TRACE_PLUGINS",
    "FOCAL_FAIL_AT",
    "FOCAL_SOAK",
)
"""Variables of ours that are no settings."""

Wait: TypeAlias = Literal["queued", "sent", "delivered"]
Value: TypeAlias = str | int | float | bool
KindName: TypeAlias = Literal["voice", "text", "data", "receipt", "sealed"]
Table: TypeAlias = dict[str, Any]
T = TypeVar("T")

RATE = r"^[1-9][0-9]*/(s|min|h|d)$"
"""How a rate is written."""

ORIGIN = r"~[0-9a-fA-F]{8}"
"""How an origin is written."""

FIRST = 1000
"""The highest priority that settings can give, and below 0 the lowest."""

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """A configured link: a URL, or a scheme with its parts; ``options`` go into the query.

    Args:
        name: what ``--via`` calls it.
        url: as in ``--via``; else ``scheme`` says it.
        scheme: with the options ``host``, ``port`` and ``path`` it makes the URL.
        options: whatever the transport knows, by the names in its URL's query.
        public: whether strangers listen there, for focal bridge; without it, the URL tells.
    """

    name: str
    url: str | None = None
    scheme: str | None = None
    options: Mapping[str, Value] = field(default_factory=dict[str, Value])
    public: bool | None = None

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
        name: the display name that goes with messages; without it they carry none.
        lifetime: seconds that a message is worth carrying, 7 days at most.
        wait: what ``focal send`` waits for: queued, sent or delivered.
        save: the folder where ``focal listen`` writes WAV files, if anywhere.
        play: whether ``focal listen`` plays what arrives.
    """

    via: tuple[str, ...] = ()
    quality: str = "auto"
    name: str | None = field(default=None, metadata={"minLength": 1, "maxLength": MAX_NAME})
    lifetime: float = field(
        default=86_400.0, metadata={"exclusiveMinimum": 0, "maximum": MAX_LIFETIME}
    )
    wait: Wait = "sent"
    save: str | None = None
    play: bool = False


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """How what is accepted is kept.

    Args:
        durability: ``power``: it survives a power cut; ``process``: it survives a killed process.
    """

    durability: Durability = "power"


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """What crosses between links: from each link of ``from`` to each link of ``to``.

    Args:
        from_: the links that it comes from; without it, all that the tables name but the one that
            it goes to.
        to: the links that it goes to; without it, all that ``from`` names.
        kinds: of message that may cross; without it, all. Receipts of what crossed go back anyway.
        codecs: names of qualities or numbers of codecs; of voice only these may cross.
        senders: origins (~1a2b3c4d) and display names; only what they say may cross.
        size: bytes of a message, at most.
        rate: messages in a second, minute, hour or day, at most: 5/s, 30/min, 20/h, 100/d.
        airtime: seconds on air in any hour, at most.
        lifetime: seconds that a message may wait here, beside its own lifetime.
        priority: beside others that wait for the same link; those of this node have 0.
        queue: messages that may wait.
        full: what gives way when more come.
    """

    from_: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    kinds: tuple[KindName, ...] = ()
    codecs: tuple[str | int, ...] = ()
    senders: tuple[str, ...] = ()
    size: int | None = field(default=None, metadata={"minimum": 1})
    rate: str | None = field(default=None, metadata={"pattern": RATE})
    airtime: float | None = field(default=None, metadata={"exclusiveMinimum": 0})
    lifetime: float | None = field(
        default=None, metadata={"exclusiveMinimum": 0, "maximum": MAX_LIFETIME}
    )
    priority: int = field(default=0, metadata={"minimum": -FIRST, "maximum": FIRST})
    queue: int = field(default=QUEUE, metadata={"minimum": 1})
    full: Full = Full.WAIT

    @property
    def per(self) -> Rate | None:
        """The rate."""
        if self.rate is None:
            return None
        messages, _, unit = self.rate.partition("/")
        return Rate(int(messages), _SECONDS[unit])


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is configured, links by their names."""

    defaults: Defaults = Defaults()
    links: Mapping[str, LinkSettings] = field(default_factory=dict[str, LinkSettings])
    bridge: tuple[BridgeSettings, ...] = ()
    spool: SpoolSettings = SpoolSettings()
    models: ModelSettings = field(default_factory=ModelSettings)

    @classmethod
    def read(cls, folders: Iterable[Path], environment: Mapping[str, str]) -> Settings:
        """Read the first ``focal.toml`` among ``folders``, then the environment.

        Raises:
            SettingsError: what is wrong, where, and what was probably meant.
        """
        path = settings_file(folders)
        if path is None:
            return cls.merge({}, environment, FILE)
        return cls.of(path, environment)

    @classmethod
    def of(cls, path: Path, environment: Mapping[str, str]) -> Settings:
        """Read a file, then the environment. Raises SettingsError."""
        return cls.merge(read_toml(path), environment, str(path))

    @classmethod
    def merge(cls, table: Table, environment: Mapping[str, str], where: str) -> Settings:
        """Make settings of a file's table, overridden by the environment; ``where`` names it."""
        _known(table, [f.name for f in fields(cls)], where)
        settings = cls(
            _section(Defaults(), table.get("defaults", {}), f"{where}, [defaults]"),
            dict(_links(table.get("links", {}), where)),
            tuple(_bridges(table.get("bridge", []), where)),
            _section(SpoolSettings(), table.get("spool", {}), f"{where}, [spool]"),
            _section(ModelSettings(), table.get("models", {}), f"{where}, [models]"),
        )
        for variable in sorted(environment, key=_links_first):
            settings = settings._with_variable(variable, environment[variable])
        return settings

    def with_flags(self, **flags: object) -> Settings:
        """Return settings in which every flag that was given (is not None) stands in defaults."""
        given = {name: value for name, value in flags.items() if value not in (None, ())}
        for name, value in given.items():
            _check(name, value, f"--{name}")
        return replace(self, defaults=replace(self.defaults, **cast(Any, given)))

    def _with_variable(self, variable: str, text: str) -> Settings:
        path = setting_of(variable, self.links)
        if path is None:
            return self
        table, *keys = path
        if table == "links":
            name, option = keys
            return replace(self, links=_with_option(self.links, name, option, text, variable))
        section = getattr(self, table)
        value = _typed(section, keys[0], text, variable)
        return replace(self, **{table: replace(section, **value)})


def key_of(field: Field[Any]) -> str:
    """Return what a field is called in the file: ``from_`` is ``from``, a word of Python's."""
    return field.name.rstrip("_")


def rate_text(rate: Rate) -> str:
    """Return a rate as it is written: ``20/h``."""
    unit = next(unit for unit, seconds in _SECONDS.items() if seconds == rate.seconds)
    return f"{rate.messages}/{unit}"


def settings_file(folders: Iterable[Path]) -> Path | None:
    """Return the file that counts: the first ``focal.toml`` among ``folders``; None: no file.

    What is called so counts, whatever it is; ``read_toml`` tells that it is no file.
    """
    return next((path for folder in folders if os.path.lexists(path := folder / FILE)), None)


def setting_of(variable: str, links: Iterable[str]) -> tuple[str, ...] | None:
    """Return the path of the setting that a variable sets (``defaults``, ``quality``).

    Args:
        variable: an environment variable's name.
        links: the names of the links that there are; in variables they are in capitals.

    Returns:
        Table and key, for an option of a link ``links``, name and option; None: it sets nothing.

    Raises:
        SettingsError: it is one of ours, and nothing is called so.
    """
    if variable == MODELS_DIR:
        return "models", "dir"
    if not variable.startswith(PREFIX):
        return None
    table, *keys = variable.removeprefix(PREFIX).lower().split("__")
    if not keys:
        _refuse_slip(variable)
        return None
    _known([table], [f.name for f in fields(Settings)], variable)
    if table == "bridge":
        raise SettingsError(f"{variable}: what crosses is said in {FILE}, under [[bridge]]")
    if table != "links":
        return table, "__".join(keys)
    if len(keys) != 2 or not all(keys):
        raise SettingsError(f"{variable}: write {PREFIX}LINKS__NAME__OPTION")
    spelt = {name.lower().replace("-", "_"): name for name in links}
    return table, spelt.get(keys[0], keys[0]), keys[1]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or the list of what there is; for error lines."""
    from difflib import get_close_matches

    there_is = {one.lower(): one for one in sorted(known)}
    if close := get_close_matches(word.lower(), there_is, n=1, cutoff=0.5):
        return f"; did you mean {there_is[close[0]]!r}?"
    return f"; there is {', '.join(there_is.values())}" if there_is else ""


def read_toml(path: Path) -> Table:
    """Return a file's table. Raises SettingsError: it is not TOML, or cannot be read."""
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
        if isinstance(value, str) and isinstance(getattr(section, name, None), bool):
            raise SettingsError(f"{where}: {name} is true or false, without quotes, not {value!r}")
        section = replace(cast(Any, section), **_typed(section, name, value, where))
    return section


def _table(value: object, where: str) -> Table:
    if not isinstance(value, dict):
        raise SettingsError(f"{where}: a table is wanted here")
    return cast(Table, value)


def _typed(section: object, name: str, value: object, where: str) -> dict[str, object]:
    """Read one value of a section as what its field is: a file's value or a variable's text."""
    known = {key_of(f): f for f in fields(cast(Any, section))}
    _known([name], known, where)
    what, read = _READERS[str(known[name].type)]
    try:
        typed = read(value)
    except (KeyError, TypeError, ValueError):
        raise SettingsError(f"{where}: {name} is {what}, not {value!r}") from None
    _check(name, typed, where)
    return {known[name].name: typed}


def _check(name: str, value: object, where: str) -> None:
    """Refuse a value of the right kind that is none of those there are; ``where`` says it."""
    match name, value:
        case "wait", str():
            _one_of(value, get_args(Wait), f"{where}: wait")
        case "durability", str():
            _one_of(value, get_args(Durability), f"{where}: durability")
        case "quality", "":
            raise SettingsError(f"{where}: quality is empty: name one, or auto")
        case "threads", int() if not 0 <= value <= MAX_THREADS:
            raise SettingsError(f"{where}: threads is a number from 0 to {MAX_THREADS}")
        case "idle", float() if not 0 <= value < math.inf:
            raise SettingsError(f"{where}: idle is a number of seconds, 0 or more")
        case "providers", ():
            raise SettingsError(f"{where}: providers is empty: name one, or leave it away")
        case "dir", "":
            raise SettingsError(f"{where}: dir is empty: name a folder, or leave it away")
        case "lifetime", float() if not 0 < value <= MAX_LIFETIME:
            most = f"{MAX_LIFETIME} s (7 days)"
            raise SettingsError(f"{where}: a message's lifetime is above 0 and at most {most}")
        case "kinds" | "codecs" | "senders" | "from" | "to", ():
            raise SettingsError(f"{where}: {name} is empty: name one, or leave it away")
        case "kinds", tuple():
            for kind in cast("tuple[str, ...]", value):
                _one_of(kind, get_args(KindName), f"{where}: a kind of message")
        case "codecs", tuple():
            _check_codecs(cast("tuple[str | int, ...]", value), where)
        case "senders", tuple():
            _check_senders(cast("tuple[str, ...]", value), where)
        case "rate", str() if not re.fullmatch(RATE, value):
            written = "5/s, 30/min, 20/h or 100/d"
            raise SettingsError(f"{where}: rate is written {written}, not {value!r}")
        case "size" | "queue", int() if value < 1:
            raise SettingsError(f"{where}: {name} is 1 at least")
        case "airtime", float() if not 0 < value < math.inf:
            raise SettingsError(f"{where}: airtime is a number of seconds above 0")
        case "priority", int() if not -FIRST <= value <= FIRST:
            raise SettingsError(f"{where}: priority is a number from -{FIRST} to {FIRST}")
        case "name", str() if not 0 < len(value.encode()) <= MAX_NAME:
            raise SettingsError(f"{where}: a display name has 1 to {MAX_NAME} bytes of UTF-8")
        case _:
            pass


def _check_senders(senders: tuple[str, ...], where: str) -> None:
    for sender in senders:
        if sender.startswith("~") and not re.fullmatch(ORIGIN, sender):
            raise SettingsError(f"{where}: {sender!r} is no origin: one is written ~1a2b3c4d")


def _check_codecs(codecs: tuple[str | int, ...], where: str) -> None:
    for codec in codecs:
        if isinstance(codec, int) and not 0 < codec < 256:
            raise SettingsError(f"{where}: a codec's number is 1 to 255, not {codec}")


def _one_of(value: str, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise SettingsError(f"{what} is not {value!r}{nearest(value, known)}")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_string(item) for item in cast(list[object], value))
    return tuple(part for part in _string(value).split(",") if part)


def _words(value: object) -> tuple[str | int, ...]:
    """Read texts and whole numbers, one or a list."""
    items = cast(list[object], value) if isinstance(value, list) else [value]
    return tuple(item if isinstance(item, str) else _whole(item) for item in items)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    return int(value)


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
    "Full": ("wait, oldest, newest or largest", lambda value: Full(_string(value))),
    "Wait": ("a text", _string),
    "float": ("a number", _number),
    "float | None": ("a number", _number),
    "int": ("a whole number", _whole),
    "int | None": ("a whole number", _whole),
    "bool": ("true or false", _flag),
    "tuple[KindName, ...]": ("a text or a list of texts", _strings),
    "tuple[str, ...]": ("a text or a list of texts", _strings),
    "tuple[str | int, ...]": ("a text, a whole number, or a list of them", _words),
}


def _bridges(tables: object, where: str) -> Iterator[BridgeSettings]:
    if not isinstance(tables, list):
        raise SettingsError(f"{where}: write [[bridge]], with two brackets: there may be several")
    for number, table in enumerate(cast(list[object], tables), 1):
        yield _section(BridgeSettings(), table, f"{where}, [[bridge]] {number}")


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
        slip = _slip(options, ("url", "scheme"))
        raise SettingsError(f"{where}: say either url or scheme, for example url = 'udp://…'{slip}")
    if not isinstance(url if scheme is None else scheme, str):
        raise SettingsError(f"{where}: {'url' if scheme is None else 'scheme'} is a text")
    rest = {key: value for key, value in options.items() if key not in _OF_FOCAL}
    public = _public(options["public"], where) if "public" in options else None
    return LinkSettings(name, url, scheme, rest, public)


_OF_FOCAL = ("url", "scheme", "public")
"""What is said of a link and is no option of its transport's."""


def _public(value: object, where: str) -> bool:
    try:
        return _flag(value)
    except (KeyError, TypeError):
        raise SettingsError(f"{where}: public is true or false, not {value!r}") from None


def _with_option(
    links: Mapping[str, LinkSettings], name: str, option: str, text: str, variable: str
) -> dict[str, LinkSettings]:
    """Set one option of a link from the environment; a link that has a URL there may be new."""
    old = links.get(name)
    if option in ("url", "scheme"):
        options = dict(old.options) if old else {}
        if old and old.public is not None:
            options["public"] = old.public
        return {**links, name: _link(name, {**options, option: text}, variable)}
    if old is None:
        raise SettingsError(f"{variable}: no link {name!r}{nearest(name, links)}")
    if option == "public":
        return {**links, name: replace(old, public=_public(text, variable))}
    return {**links, name: replace(old, options={**old.options, option: text})}


def _links_first(variable: str) -> tuple[bool, str]:
    """Order variables so that a link's URL comes before its options."""
    return not variable.lower().endswith(("__url", "__scheme")), variable


def _slip(given: Iterable[str], known: tuple[str, ...]) -> str:
    """Say which of the given keys was probably meant to be a known one, if any was."""
    from difflib import get_close_matches

    for word in given:
        if word not in known and (close := get_close_matches(word, known, n=1, cutoff=0.6)):
            return f"; there is {word!r}, did you mean {close[0]!r}?"
    return ""


def _refuse_slip(variable: str) -> None:
    """Refuse ``FOCAL_DEFAULTS_VIA`` and ``FOCAL_HOMEE``, which somebody believes to have set."""
    from difflib import get_close_matches

    if variable in PLAIN:
        return
    word = variable.removeprefix(PREFIX)
    for table in (f.name.upper() for f in fields(Settings) if f.name != "bridge"):
        if word.startswith(f"{table}_"):
            meant = f"{PREFIX}{table}__{word.removeprefix(table + '_')}"
            raise SettingsError(f"{variable}: two underscores are wanted: {meant}")
    known = _variables()
    near = [name for name in known if name.endswith(f"__{word}")]
    near += get_close_matches(variable, [*PLAIN, *known], n=1, cutoff=0.85)
    if near:
        raise SettingsError(f"{variable}: there is no such setting; did you mean {near[0]}?")


def _variables() -> list[str]:
    """Return the variables of every setting but those of links."""
    tables = {"DEFAULTS": Defaults, "SPOOL": SpoolSettings, "MODELS": ModelSettings}
    return [
        f"{PREFIX}{table}__{f.name.upper()}"
        for table, section in tables.items()
        for f in fields(section)
    ]


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
