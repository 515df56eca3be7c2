"""The plugins that are loaded, and what they implement.

The law of this module: a plugin is loaded at most once. One that fails does so once, and is
remembered with its reason; it takes nothing else with it.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic
from types import ModuleType
from typing import TypeAlias

import pluggy

from ..core.errors import PluginError
from . import NAME, hookspecs
from .builtins import Known
from .loading import LIMIT, imported, said
from .roster import DISABLED, Roster
from .rules import fault_in, implemented

Impl: TypeAlias = pluggy.HookImpl

_log = logging.getLogger("focal.plugins")


class Registry:
    """Loads plugins when they are needed. Usable from any thread.

    Args:
        roster: who is there.
        limit: seconds that importing one may take; None: any.
        specs: the hooks there are.
    """

    def __init__(
        self,
        roster: Roster,
        *,
        limit: float | None = LIMIT,
        specs: ModuleType | type = hookspecs,
    ) -> None:
        self.roster = roster
        self._limit = limit
        self._specs = specs
        self._lock = threading.RLock()
        self._manager = pluggy.PluginManager(NAME)
        self._manager.add_hookspecs(specs)
        self._loaded: dict[str, str] = {}  # a plugin's name: what its module is registered as
        self._failed: dict[str, PluginError] = {}
        self._kinds: set[str] = set()

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin that is already imported.

        Raises:
            PluginError: its name is taken, or it breaks the rules of hooks.
        """
        with self._lock:
            if self.knows(name):
                raise PluginError(f"two plugins are called {name!r}: rename or remove one")
            self._register(plugin, name)
            self._loaded[name] = name

    def load(self, name: str) -> None:
        """Import a plugin, if it is not yet.

        Raises:
            PluginError: it cannot be imported or breaks the rules of hooks; every time again.
        """
        with self._lock:
            if name in self._failed:
                raise self._failed[name]
            if name not in self._loaded:
                try:
                    self._loaded[name] = self._load(self.roster.usable[name])
                except PluginError as error:
                    self._failed[name] = error
                    raise

    def load_kind(self, kind: str, *, ours: bool = False) -> None:
        """Import every plugin of a kind, or those that come with focal.

        One from outside that fails is logged, once, and left out.

        Raises:
            PluginError: one of focal's own cannot be imported: then focal itself is broken.
        """
        if kind in self._kinds:
            return
        for name in self.roster.names(kind):
            one = self.roster.usable[name]
            if one.ours:
                self.load(name)
            elif not ours and name not in self._failed:
                self._try(one)
        if not ours:
            self._kinds.add(kind)

    def knows(self, name: str) -> bool:
        """Tell whether a plugin of this name is there, loaded or not."""
        return name in self.roster.usable or name in self._loaded

    def owner_of(self, name: str) -> str | None:
        """Return what the module of a loaded plugin is registered as; None if it is not loaded."""
        return self._loaded.get(name)

    def is_ours(self, registered: str) -> bool:
        """Tell whether what is registered so comes with focal."""
        one = self.roster.usable.get(registered)
        return one is not None and one.ours

    def impls(self, hook: str) -> list[Impl]:
        """Return the implementations of a hook in the order in which they are asked."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()[::-1]

    def hooks_of(self, name: str) -> list[str]:
        """Return the hooks that a loaded plugin implements, in order."""
        plugin = self._manager.get_plugin(self._loaded[name])
        return sorted(hook for hook, _, _ in implemented(plugin, self._manager.parse_hookimpl_opts))

    def _try(self, one: Known) -> None:
        try:
            self.load(one.name)
        except PluginError as error:
            _log.warning(
                "%s; it is left out (%s=%s keeps it from being tried)", error, DISABLED, one.name,
                exc_info=_log.isEnabledFor(logging.DEBUG),
            )  # fmt: skip

    def _load(self, one: Known) -> str:
        """Import and register a plugin; return the name under which its module is registered.

        One module may be several plugins: it is registered once, by the first name.
        """
        started = monotonic()
        module = imported(one, self._limit)
        _log.debug("plugin %s was imported in %.0f ms", one.name, 1000 * (monotonic() - started))
        known = self._name_of(module)
        if known is None:
            self._register(module, one.name)
        return known or one.name

    def _name_of(self, module: ModuleType) -> str | None:
        return self._manager.get_name(module) if self._manager.is_registered(module) else None

    def _register(self, plugin: object, name: str) -> None:
        try:
            fault = fault_in(plugin, self._manager.parse_hookimpl_opts, self._specs)
            if fault is None:
                self._manager.register(plugin, name)
                self._manager.check_pending()
        except Exception as error:  # whatever a plugin's attributes do when they are looked at
            if self._manager.get_plugin(name) is plugin:
                self._manager.unregister(name=name)
            raise PluginError(f"plugin {name}: {said(error)}") from error
        if fault is not None:
            raise PluginError(f"plugin {name}: {fault}")
