"""focal carries a spoken message over any link, however thin.

The names below are the public ones; each is imported when it is first used, so that
``import focal`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.audio import Clip as Clip
    from .core.errors import FocalError as FocalError
    from .core.message import Kind as Kind
    from .core.message import Message as Message
    from .core.message import MessageId as MessageId
    from .core.message import Speech as Speech
    from .core.spool import Spool as Spool
    from .plugins.manager import Plugins as Plugins

    __version__: str

_HOMES = {
    "Clip": "core.audio",
    "FocalError": "core.errors",
    "Kind": "core.message",
    "Message": "core.message",
    "MessageId": "core.message",
    "Plugins": "plugins.manager",
    "Speech": "core.message",
    "Spool": "core.spool",
}

__all__ = ["Clip", "FocalError", "Kind", "Message", "MessageId", "Plugins", "Speech", "Spool"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'focal' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("focal-voice")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0+checkout"
