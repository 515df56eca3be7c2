"""Plugins: what there is to choose from, and who sees each message.

The law of this module: nobody else calls a hook. Plugins are imported when they are needed and
asked one by one, so that one which fails or dawdles is known by its name and stops neither the
others nor the message.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pluggy

from ..core.codec import CodecSpec
from ..core.errors import CodecError, PluginError, SettingsError
from ..core.link import Limits, Transport, TransportSpec
from ..core.message import Message
from ..core.ports import Sink, SinkSpec, Source, SourceSpec
from . import NAME, hookspecs
from .builtins import BUILTINS, KINDS, Known
from .findings import Finding
from .hookspecs import Command
from .rules import fault_in
from .shelf import CODECS, SINKS, SOURCES, TRANSPORTS, Shelf, Spec, no_such

if TYPE_CHECKING:
    from ..core.audio import Clip

DAWDLES = 0.5  # seconds after which a hook on what passes is told of in the log

_log = logging.getLogger("focal.plugins")

T = TypeVar("T")


class Plugins:
    """Every plugin of one program: made in main and handed down. Usable from any thread.

    Args:
        known: plugins known by name, imported when they are needed.
        clock: seconds that never go back; times the hooks on what passes.

    Raises:
        PluginError: two of them have one name, or one has a name that says no kind.
    """

    def __init__(
        self,
        known: Iterable[Known] = BUILTINS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._manager = pluggy.PluginManager(NAME)
        self._manager.add_hookspecs(hookspecs)
        self._known: dict[str, Known] = {}
        self._answers: dict[tuple[str, str], list[Any]] = {}
        for one in known:
            self._learn(one)

    # Who is there -----------------------------------------------------------------------------

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin that is already imported: an object or module with hooks.

        Raises:
            PluginError: its name is taken; or it breaks the rules of hooks (hookspecs.py): a name
                or argument that no hook has, a coroutine function, a wrapper, no hook at all.
        """
        with self._lock:
            if name in self._known or self._manager.has_plugin(name):
                raise PluginError(f"two plugins are called {name!r}: rename or remove one")
            self._register(plugin, name)

    def names(self, kind: str) -> list[str]:
        """Return the names of the plugins of a kind (``transport``); imports none of them."""
        return sorted(name for name, one in self._known.items() if one.kind == kind)

    def load(self, kind: str) -> None:
        """Import every plugin of a kind; ``hooks`` when a node starts, so that they see messages.

        Raises:
            PluginError: one of them cannot be imported or breaks the rules of hooks.
        """
        for name in self.names(kind):
            self._load(name)

    # What exists ------------------------------------------------------------------------------

    def transports(self) -> list[TransportSpec]:
        """Return every transport, by scheme.

        Raises:
            PluginError: a plugin fails, or two add one scheme.
        """
        return self._all(TRANSPORTS)

    def transport(self, scheme: str) -> TransportSpec:
        """Return the transport of a scheme (``udp``); no other plugin is imported for it.

        Raises:
            SettingsError: there is none; names the nearest.
            PluginError: its plugin fails, or two add this scheme.
        """
        return self._one(TRANSPORTS, scheme)

    def codecs(self) -> list[CodecSpec]:
        """Return every codec, by wire id, those that cannot be loaded here included.

        Raises:
            PluginError: a plugin fails, or two add one quality or wire id.
        """
        return sorted(self._all(CODECS), key=lambda spec: spec.wire_id)

    def codec(self, name: str) -> CodecSpec:
        """Return the codec of a quality (``c2-1300``).

        Raises:
            SettingsError: there is none; names the nearest.
            PluginError: a plugin fails, or two add one quality or wire id.
        """
        return self._one(CODECS, name)

    def codec_by_id(self, wire_id: int) -> CodecSpec | None:
        """Return the codec of a codec id on the wire; None if nothing here knows it.

        Raises:
            PluginError: a plugin fails, or two add one quality or wire id.
        """
        return next((spec for spec in self.codecs() if spec.wire_id == wire_id), None)

    def sources(self) -> list[SourceSpec]:
        """Return every kind of source, by name.

        Raises:
            PluginError: a plugin fails, or two add one name.
        """
        return self._all(SOURCES)

    def source(self, text: str) -> Source:
        """Return the source that ``name:rest`` asks for (``file:hello.wav``, ``mic``).

        Raises:
            SettingsError: there is none of that name; names the nearest.
            SourceError: what the source itself says of ``rest``.
            PluginError: its plugin fails, or two add this name.
        """
        name, _, rest = text.partition(":")
        return self._one(SOURCES, name).open(rest)

    def sinks(self) -> list[SinkSpec]:
        """Return every kind of sink, by name.

        Raises:
            PluginError: a plugin fails, or two add one name.
        """
        return self._all(SINKS)

    def sink(self, text: str) -> AbstractAsyncContextManager[Sink]:
        """Return the sink that ``name:rest`` asks for (``wav:in/``), to be entered.

        Raises:
            SettingsError: there is none of that name; names the nearest.
            SinkError: what the sink itself says of ``rest``, now or on entering.
            PluginError: its plugin fails, or two add this name.
        """
        name, _, rest = text.partition(":")
        return self._one(SINKS, name).open(rest)

    def commands(self) -> list[Command]:
        """Return the commands that plugins add, by name.

        Raises:
            PluginError: a plugin fails, or two add one name.
        """
        self.load("command")
        owners: dict[str, str] = {}
        found: dict[str, Command] = {}
        for plugin, command in self._offers("focal_commands", object):
            if not isinstance(command, Command) or not command.name:
                raise PluginError(f"plugin {plugin}: focal_commands gave no named click command")
            _claim(owners, f"the command {command.name!r}", plugin)
            found[command.name] = command
        return [found[name] for name in sorted(found)]

    def doctor(self) -> list[Finding]:
        """Look at what every plugin needs; a plugin that fails is a finding itself. Blocks."""
        findings: list[Finding] = []
        for name in [name for kind in KINDS for name in self.names(kind)]:
            try:
                self._load(name)
            except PluginError as error:
                findings.append(_bad(name, error))
        for impl in self._impls("focal_doctor"):
            try:
                findings += _offered("focal_doctor", impl, Finding)
            except PluginError as error:
                findings.append(_bad(impl.plugin_name, error))
        return findings

    # Which one --------------------------------------------------------------------------------

    def choose_codec(self, limits: Sequence[Limits], seconds: float) -> CodecSpec:
        """Return the codec for a message of quality ``auto``.

        Args:
            limits: of every link that it goes to.
            seconds: how long the clip is.

        Raises:
            CodecError: none can be loaded here, or no link takes any that can.
        """
        self.load("hooks")
        available = _loadable(self.codecs())
        by_name = {spec.name: spec for spec in available}
        given: dict[str, object] = {"available": available, "limits": limits, "seconds": seconds}
        for plugin, name in self._ask("focal_choose_codec", given):
            if isinstance(name, str) and name in by_name:
                return by_name[name]
            _log.warning("plugin %s chose the quality %r, which is not available", plugin, name)
        raise CodecError("the far side takes none of the qualities that can be used here")

    def wrap_transport(self, name: str, transport: Transport) -> Transport:
        """Return the transport to use for the link ``name``: its own, or a plugin's around it."""
        self.load("hooks")
        for plugin, wrapped in self._ask(
            "focal_wrap_transport", {"name": name, "transport": transport}
        ):
            if hasattr(wrapped, "open") and hasattr(wrapped, "key"):
                wrapper: Any = wrapped
                return wrapper  # type: ignore[no-any-return]
            _refuse(plugin, "focal_wrap_transport", wrapped, "transport")
        return transport

    # What passes ------------------------------------------------------------------------------

    def captured(self, clip: Clip) -> Clip:
        """Show a clip before encoding; return it or what plugins made of it. Blocks."""
        return self._replaced("focal_captured", {}, clip)

    def encoded(self, message: Message) -> None:
        """Show a message of ours that is safe in the outbox."""
        self._show("focal_encoded", {"message": message})

    def framed(self, message: Message, frames: Sequence[bytes]) -> None:
        """Show a message cut into the frames of its first burst on a datagram link."""
        self._show("focal_framed", {"message": message, "frames": frames})

    def sent(self, message: Message, link: str) -> None:
        """Show that a message has gone out on a link."""
        self._show("focal_sent", {"message": message, "link": link})

    def received(self, message: Message, link: str) -> None:
        """Show a message that came in and is safe in the inbox."""
        self._show("focal_received", {"message": message, "link": link})

    def decoded(self, message: Message, clip: Clip) -> Clip:
        """Show the sound of a message; return it or what plugins made of it. Blocks."""
        return self._replaced("focal_decoded", {"message": message}, clip)

    def played(self, message: Message, sink: str) -> None:
        """Show that a sink took a message."""
        self._show("focal_played", {"message": message, "sink": sink})

    # How plugins are loaded -------------------------------------------------------------------

    def _learn(self, one: Known) -> None:
        if one.name in self._known:
            raise PluginError(
                f"two plugins are called {one.name!r}, in {self._known[one.name].module} "
                f"and {one.module}: remove one"
            )
        if one.kind not in KINDS:
            raise PluginError(
                f"plugin {one.name!r} ({one.module}): a plugin is named kind.name, "
                f"and the kinds are {', '.join(KINDS)}"
            )
        self._known[one.name] = one

    def _load(self, name: str) -> None:
        with self._lock:
            if self._manager.has_plugin(name):
                return
            try:
                module = importlib.import_module(self._known[name].module)
            except (Exception, SystemExit) as error:
                raise PluginError(f"plugin {name} cannot be imported: {_said(error)}") from error
            self._register(module, name)

    def _register(self, plugin: object, name: str) -> None:
        fault = fault_in(plugin, self._manager.parse_hookimpl_opts)
        if fault is not None:
            raise PluginError(f"plugin {name}: {fault}")
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.get_plugin(name) is plugin:
                self._manager.unregister(name=name)
            raise PluginError(f"plugin {name}: {_said(error)}") from error

    # How plugins are asked --------------------------------------------------------------------

    def _all(self, shelf: Shelf[Spec]) -> list[Spec]:
        self.load(shelf.kind)
        return sorted(self._shelved(shelf), key=shelf.name)

    def _one(self, shelf: Shelf[Spec], name: str) -> Spec:
        """Find by name: in the plugin called so, where there is one, else in all of its kind."""
        own = f"{shelf.kind}.{name}"
        if own in self._known:
            self._load(own)
            found = self._named(shelf, name)
            if found is not None:
                return found
        self.load(shelf.kind)
        found = self._named(shelf, name)
        if found is None:
            raise SettingsError(no_such(shelf.word, name, map(shelf.name, self._shelved(shelf))))
        return found

    def _named(self, shelf: Shelf[Spec], name: str) -> Spec | None:
        return next((spec for spec in self._shelved(shelf) if shelf.name(spec) == name), None)

    def _shelved(self, shelf: Shelf[Spec]) -> list[Spec]:
        """Return what the plugins imported so far add; PluginError if two cannot be told apart."""
        owners: dict[str, str] = {}
        specs: list[Spec] = []
        for plugin, spec in self._offers(shelf.hook, shelf.spec):
            for mark in shelf.marks(spec):
                _claim(owners, mark, plugin)
            specs.append(spec)
        return specs

    def _offers(self, hook: str, kind: type[T]) -> Iterator[tuple[str, T]]:
        """Yield each plugin's name and what it adds; a plugin is asked once and remembered."""
        for impl in self._impls(hook):
            key = (hook, impl.plugin_name)
            with self._lock:
                if key not in self._answers:
                    self._answers[key] = _offered(hook, impl, kind)
            for offer in self._answers[key]:
                yield impl.plugin_name, offer

    def _impls(self, hook: str) -> list[pluggy.HookImpl]:
        """Return the implementations of a hook in the order in which they are asked."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()[::-1]

    def _ask(self, hook: str, given: dict[str, object]) -> Iterator[tuple[str, object]]:
        """Yield each plugin's name and answer, where it has one; log what fails or dawdles."""
        for impl in self._impls(hook):
            answer = self._tried(hook, impl, given)
            if answer is not None:
                yield impl.plugin_name, answer

    def _tried(self, hook: str, impl: pluggy.HookImpl, given: dict[str, object]) -> object | None:
        started = self._clock()
        try:
            return _call(hook, impl, given)
        except PluginError as error:
            _log.error("%s; nothing else stops", error, exc_info=_log.isEnabledFor(logging.DEBUG))
            return None
        finally:
            took = self._clock() - started
            if took > DAWDLES:
                _log.warning("plugin %s took %.1f s in %s", impl.plugin_name, took, hook)

    def _show(self, hook: str, given: dict[str, object]) -> None:
        for _ in self._ask(hook, given):
            pass  # what an observer returns means nothing

    def _replaced(self, hook: str, given: dict[str, object], clip: Clip) -> Clip:
        from ..core.audio import Clip as ClipType  # numpy: only once there is a clip

        given = {**given, "clip": clip}
        for plugin, answer in self._ask(hook, given):
            if isinstance(answer, ClipType):
                given["clip"] = clip = answer  # what the next one is asked with
            else:
                _refuse(plugin, hook, answer, "clip")
        return clip


def _call(hook: str, impl: pluggy.HookImpl, given: dict[str, object]) -> object:
    """Call one implementation with what it takes; PluginError, by name, for whatever it raises."""
    try:
        return impl.function(*(given[name] for name in impl.argnames))
    except (Exception, SystemExit) as error:
        raise PluginError(f"plugin {impl.plugin_name}: {hook} failed: {_said(error)}") from error


def _offered(hook: str, impl: pluggy.HookImpl, kind: type[T]) -> list[T]:
    """Return what a plugin adds; PluginError if that is no list of ``kind``."""
    answer = _call(hook, impl, {})
    offers = cast("list[T]", answer) if isinstance(answer, list) else None
    if offers is None or not all(isinstance(offer, kind) for offer in offers):
        raise PluginError(
            f"plugin {impl.plugin_name}: {hook} must return a list of {kind.__name__}"
        )
    return offers


def _claim(owners: dict[str, str], mark: str, plugin: str) -> None:
    """Note who adds what; PluginError if somebody else does already."""
    if mark in owners:
        raise PluginError(f"plugins {owners[mark]} and {plugin} both add {mark}: remove one")
    owners[mark] = plugin


def _loadable(codecs: list[CodecSpec]) -> list[CodecSpec]:
    """Return those that can be used here; CodecError, with the first reason, if none can."""
    reasons = [(spec, spec.why_not()) for spec in codecs]
    available = [spec for spec, reason in reasons if reason is None]
    if not available:
        why = next((reason for _, reason in reasons), "no codec is installed")
        raise CodecError(f"no quality can be used here: {why}")
    return available


def _bad(plugin: str, error: PluginError) -> Finding:
    return Finding(plugin, "bad", str(error), "update or remove this plugin")


def _refuse(plugin: str, hook: str, answer: object, wanted: str) -> None:
    _log.error(
        "plugin %s: %s returned %s instead of a %s; it is left out",
        plugin,
        hook,
        type(answer).__name__,
        wanted,
    )


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
