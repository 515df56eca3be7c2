"""``focal.toml`` as a JSON schema, by which editors complete, explain and check it.

The law of this module: it is made from the dataclasses in settings.py, types, defaults and
docstrings; nothing of what a setting is stands here a second time.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, fields
from typing import Any, TypeAlias, cast, get_args

from .core.bridge import Full
from .core.database import Durability
from .plugins.models.settings import ModelSettings
from .settings import BridgeSettings, Defaults, KindName, LinkSettings, SpoolSettings, Wait, key_of

Json: TypeAlias = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
_TEXTS: Json = {"type": "array", "items": {"type": "string"}}
_KIND: Json = {"enum": list(get_args(KindName))}
_CODEC: Json = {"type": ["string", "integer"]}
_OPTION: Json = {"type": ["string", "number", "boolean"]}
_TYPES: dict[str, Json] = {
    "str": {"type": "string"},
    "str | None": {"type": "string"},
    "float": {"type": "number"},
    "float | None": {"type": "number"},
    "int": {"type": "integer"},
    "int | None": {"type": "integer"},
    "bool": {"type": "boolean"},
    "bool | None": {"type": "boolean"},
    "tuple[str, ...]": {"anyOf": [{"type": "string"}, _TEXTS]},
    "tuple[KindName, ...]": {"anyOf": [_KIND, {"type": "array", "items": _KIND}]},
    "tuple[str | int, ...]": {"anyOf": [_CODEC, {"type": "array", "items": _CODEC}]},
    "Full": {"enum": [full.value for full in Full]},
    "Wait": {"enum": list(get_args(Wait))},
    "Durability": {"enum": list(get_args(Durability))},
}


def schema() -> Json:
    """Return the JSON schema (draft 7, which TOML editors read) of ``focal.toml``."""
    return {
        "$schema": DRAFT,
        "title": "focal.toml",
        "description": "What focal is configured with.",
        **_table(
            {
                "defaults": _section(Defaults),
                "links": {
                    "type": "object",
                    "description": "The links, by the names that --via calls them.",
                    "additionalProperties": _link(),
                },
                "bridge": {
                    "type": "array",
                    "description": "What crosses, for focal bridge: one table or more.",
                    "items": _section(BridgeSettings),
                },
                "spool": _section(SpoolSettings),
                "models": _section(ModelSettings),
            }
        ),
    }


def explained(section: type) -> dict[str, str]:
    """Return what a class's docstring says of each of its arguments."""
    _, _, listed = (section.__doc__ or "").partition("Args:\n")
    found = re.findall(r"^ +(\w+): (.+(?:\n {9,}.+)*)", listed, re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "") for name, text in found}


def _section(section: type) -> Json:
    about = (section.__doc__ or "").partition("\n")[0]
    told = explained(section)
    properties = {key_of(f): _property(f, told[f.name]) for f in fields(section)}
    return {**_table(properties), "description": about}


def _property(field: Field[Any], about: str) -> Json:
    default = field.default
    known = {} if default is None or default is MISSING else {"default": _plain(default)}
    return {**_TYPES[str(field.type)], **field.metadata, **known, "description": about}


def _link() -> Json:
    """Return a link: one of url and scheme, and whatever options its transport knows."""
    about = explained(LinkSettings)
    types = {"url": "str", "scheme": "str", "public": "bool"}
    properties = {name: _TYPES[of] | {"description": about[name]} for name, of in types.items()}
    return {
        **_table(properties),
        "description": "A configured link: a URL, or a scheme with its parts.",
        "additionalProperties": _OPTION | {"description": about["options"]},
        "oneOf": [{"required": ["url"]}, {"required": ["scheme"]}],
    }


def _table(properties: Json) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _plain(value: object) -> object:
    return list(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value
