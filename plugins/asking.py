"""One implementation of a hook at a time: called, caught, timed.

The law of this module: a plugin is called here and nowhere else, so that one which raises or
dawdles is known by its name and stops neither the others nor the message.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from ..core.errors import PluginError
from .loading import said
from .registry import Impl, Registry

DAWDLES = 0.5  # seconds after which a hook on what passes is told of in the log
TRACE = "FOCAL_TRACE_PLUGINS"

Given: TypeAlias = Mapping[str, object]

_log = logging.getLogger("focal.plugins")
_calls = logging.getLogger("focal.plugins.calls")


def trace() -> None:
    """Log every call of a hook, whatever else is logged."""
    _calls.setLevel(logging.DEBUG)


class Asker:
    """Asks plugins.

    Args:
        registry: who is loaded.
        clock: seconds that never go back.
    """

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock

    def ask(self, hook: str, given: Given) -> Iterator[tuple[str, object]]:
        """Yield each plugin's name and answer, where it has one; log what fails or dawdles.

        ``given`` is read before each call: what changes in it, the next plugin sees.
        """
        for impl in self._registry.impls(hook):
            answer = self._tried(hook, impl, given)
            if answer is not None:
                yield impl.plugin_name, answer

    def call(self, hook: str, impl: Impl, given: Given) -> object:
        """Call one implementation with what it takes of ``given``.

        Raises:
            PluginError: by name, whatever it raises.
        """
        try:
            answer = impl.function(*(given[name] for name in impl.argnames))
        except (Exception, SystemExit) as error:
            _calls.debug("%s: %s raised %s", impl.plugin_name, hook, said(error))
            raise PluginError(f"plugin {impl.plugin_name}: {hook} failed: {said(error)}") from error
        if _calls.isEnabledFor(logging.DEBUG):
            what = ", ".join(f"{name}={reprlib.repr(given[name])}" for name in impl.argnames)
            _calls.debug("%s: %s(%s) -> %s", impl.plugin_name, hook, what, reprlib.repr(answer))
        return answer

    def _tried(self, hook: str, impl: Impl, given: Given) -> object | None:
        started = self._clock()
        try:
            return self.call(hook, impl, given)
        except PluginError as error:
            _log.error("%s; nothing else stops", error, exc_info=_log.isEnabledFor(logging.DEBUG))
            return None
        finally:
            took = self._clock() - started
            if took > DAWDLES:
                _log.warning("plugin %s took %.1f s in %s", impl.plugin_name, took, hook)
