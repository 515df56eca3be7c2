"""A plugin's module, imported: whatever it does at import, what comes of it is one line.

The law of this module: a module from outside is imported in a thread of its own and left behind
when it takes too long. What it then still does cannot be ended; it ends with the program.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import TypeVar

from ..core.errors import PluginError
from .builtins import Known

LIMIT = 5.0
"""Seconds that the import of a plugin may take."""

T = TypeVar("T")


def imported(one: Known, limit: float | None = LIMIT) -> ModuleType:
    """Import a plugin's module.

    Args:
        one: which.
        limit: seconds that it may take; None: any, and in this thread, as focal's own always are.

    Raises:
        PluginError: it is not there, fails, would end the program, or takes too long.
    """
    if one.ours or limit is None:
        return _imported(one, (Exception, SystemExit))
    try:  # a KeyboardInterrupt over there is the plugin's doing: a real one is the main thread's
        return _beside(lambda: _imported(one, (BaseException,))).result(limit)
    except TimeoutError:
        raise PluginError(
            f"plugin {one.name} cannot be used: it was still being imported after {limit:g} s"
        ) from None


def said(error: BaseException) -> str:
    """Return an exception in one line: its kind and what it says."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _imported(one: Known, caught: tuple[type[BaseException], ...]) -> ModuleType:
    try:
        if one.file is not None:
            return _from_file(one.module, one.file)
        return importlib.import_module(one.module)
    except caught as error:
        raise PluginError(f"plugin {one.name} cannot be imported: {said(error)}") from error


def _from_file(name: str, file: Path) -> ModuleType:
    """Import a file as the module ``name``, once as any module."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python source")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _beside(work: Callable[[], T]) -> Future[T]:
    """Do work in a thread that nobody has to wait for, not even the end of the program."""
    done = Future[T]()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="focal import", daemon=True).start()
    return done
