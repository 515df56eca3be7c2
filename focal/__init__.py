"""focal carries a spoken message over any link, however thin.

The names below are the public ones; each is imported when it is first used, so that
``import focal`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.audio import Clip as Clip
    from .core.draft import Draft as Draft
    from .core.errors import FocalError as FocalError
    from .core.events import LinkState as LinkState
    from .core.events import NodeEvent as NodeEvent
    from .core.events import Progress as Progress
    from .core.events import Received as Received
    from .core.events import State as State
    from .core.events import Trouble as Trouble
    from .core.message import Kind as Kind
    from .core.message import Message as Message
    from .core.message import MessageId as MessageId
    from .core.message import Speech as Speech
    from .core.node import Node as Node
    from .core.runtime import Runtime as Runtime
    from .core.runtime import real_runtime as real_runtime
    from .core.spool import Spool as Spool
    from .home import Home as Home
    from .plugins.manager import Plugins as Plugins
    from .settings import Settings as Settings

    __version__: str

_HOMES = {
    "Clip": "core.audio",
    "Draft": "core.draft",
    "FocalError": "core.errors",
    "Home": "home",
    "Kind": "core.message",
    "LinkState": "core.events",
    "Message": "core.message",
    "MessageId": "core.message",
    "Node": "core.node",
    "NodeEvent": "core.events",
    "Plugins": "plugins.manager",
    "Progress": "core.events",
    "Received": "core.events",
    "Runtime": "core.runtime",
    "Settings": "settings",
    "Speech": "core.message",
    "Spool": "core.spool",
    "State": "core.events",
    "Trouble": "core.events",
    "real_runtime": "core.runtime",
}

__all__ = [
    "Clip",
    "Draft",
    "FocalError",
    "Home",
    "Kind",
    "LinkState",
    "Message",
    "MessageId",
    "Node",
    "NodeEvent",
    "Plugins",
    "Progress",
    "Received",
    "Runtime",
    "Settings",
    "Speech",
    "Spool",
    "State",
    "Trouble",
    "real_runtime",
]


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
