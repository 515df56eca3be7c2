"""What is told of one plugin: values that pass from the process that tried it to who asked.

The law of this module: a report is JSON on its way, so it holds texts, numbers and lists of them.
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from typing import Any, Literal, TypeAlias

State: TypeAlias = Literal["good", "bad", "disabled"]

_PLACES = ("host", "port", "path")
"""What stands in a URL before its query, as in a link's table in focal.toml."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option in a link's query.

    Args:
        name: as it is written there.
        type: what it takes, as its field is annotated.
        default: what it is when it is not given; None where that is nothing.
        help: what the settings' docstring says of it.
    """

    name: str
    type: str
    default: str | None
    help: str


@dataclass(frozen=True, slots=True)
class Added:
    """One thing that a plugin adds.

    Args:
        kind: transport, codec, source, sink or command.
        name: what it is asked for by.
        summary: one line.
        marks: what no other plugin may add too.
        facts: what else is known, by name.
        options: of a transport: what may stand in its URL's query.
    """

    kind: str
    name: str
    summary: str
    marks: tuple[str, ...] = ()
    facts: dict[str, str] | None = None
    options: tuple[Option, ...] = ()

    @classmethod
    def from_object(cls, given: dict[str, Any]) -> Added:
        """Return what was a JSON object's part."""
        options = tuple(Option(**option) for option in given["options"])
        parts: dict[str, Any] = {**given, "marks": tuple(given["marks"]), "options": options}
        return cls(**parts)


@dataclass(frozen=True, slots=True)
class Report:
    """What a plugin turned out to be when it was tried.

    Args:
        name: ``kind.name``.
        state: good, bad, or disabled.
        reason: why it is not good, one line.
        hooks: those it implements.
        adds: what it adds.
        import_ms: how long its import took; None if it was not imported, or had been before.
        file: where its module stands.
    """

    name: str
    state: State
    reason: str | None = None
    hooks: tuple[str, ...] = ()
    adds: tuple[Added, ...] = ()
    import_ms: float | None = None
    file: str | None = None

    def as_object(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_object(cls, given: dict[str, Any]) -> Report:
        """Return what ``as_object`` of another process gave."""
        adds = tuple(map(Added.from_object, given["adds"]))
        parts: dict[str, Any] = {**given, "hooks": tuple(given["hooks"]), "adds": adds}
        return cls(**parts)


def options_of(settings: type | None) -> tuple[Option, ...]:
    """Return the options that a transport's settings (``TransportSpec.settings``) tell of."""
    if settings is None or not is_dataclass(settings):
        return ()
    told = _told(settings)
    return tuple(
        Option(each.name, _type(each), _default(each), told.get(each.name, ""))
        for each in fields(settings)
        if each.init and each.name not in _PLACES
    )


def _type(field: Field[Any]) -> str:
    kind: object = field.type
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


def _default(field: Field[Any]) -> str | None:
    if field.default is MISSING or field.default is None:
        return None
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _told(settings: type) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say under ``Args:``, by name."""
    told: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        _, _, args = (inspect.cleandoc(kind.__doc__ or "")).partition("\nArgs:\n")
        name = ""
        for line in args.split("\n\n")[0].splitlines():
            if line.startswith("        "):
                told[name] = f"{told.get(name, '')} {line.strip()}"
            elif line.startswith("    "):
                name, _, first = line.strip().partition(":")
                told[name] = first.strip()
    return told
