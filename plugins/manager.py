"""Plugins: what there is to choose from, and who sees each message.

The law of this module: nobody else calls a hook. Plugins are imported when they are needed and
asked one by one; one that is broken is told of by its name, and is missed only by who asks for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..core.codec import CodecSpec
from ..core.errors import CodecError, PluginError, SettingsError
from ..core.link import Limits, Transport, TransportSpec
from ..core.message import Message
from ..core.ports import Sink, SinkSpec, Source, SourceSpec
from .asking import TRACE, Asker, Given, trace
from .builtins import BUILTINS, KINDS, Known
from .claims import Claim, Rank, Settled, settle
from .findings import Finding
from .hookspecs import Command
from .loading import LIMIT
from .models import Models
from .registry import Impl, Registry
from .roster import Roster, found, roster
from .shelf import CODECS, COMMANDS, SINKS, SOURCES, TRANSPORTS, Shelf, Spec, no_such

if TYPE_CHECKING:
    from ..core.audio import Clip

_log = logging.getLogger("focal.plugins")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The quality of a message of quality ``auto``.

    Args:
        spec: the quality.
        plugin: who chose it; None: focal's own rule.
        available: what there was to choose from.
    """

    spec: CodecSpec
    plugin: str | None
    available: tuple[CodecSpec, ...]


class Plugins:
    """Every plugin of one program: made in main and handed down. Usable from any thread.

    Args:
        known: plugins known by name, imported when they are needed; without it focal's own.
        limit: seconds that importing one from outside may take; None: any.
        clock: seconds that never go back; times the hooks on what passes.
        models: gives the models that neural codecs run; called when codecs are first asked for.
    """

    def __init__(
        self,
        known: Iterable[Known] | Roster = BUILTINS,
        *,
        limit: float | None = LIMIT,
        clock: Callable[[], float] = time.monotonic,
        models: Callable[[], Models] = Models.here,
    ) -> None:
        there = known if isinstance(known, Roster) else roster(known)
        self._registry = Registry(there, limit=limit)
        self._asker = Asker(self._registry, clock)
        self._lock = threading.RLock()
        self._answers: dict[tuple[str, str], list[Any] | PluginError] = {}
        self._told: set[tuple[str, str]] = set()
        self._find_models = models

    @classmethod
    def found(
        cls,
        folder: Path | None,
        environment: Mapping[str, str],
        models: Callable[[], Models] = Models.here,
    ) -> Plugins:
        """Return focal's own plugins, those that are installed, and the files in a folder.

        Args:
            folder: of the single-file plugins; it need not exist.
            environment: ``FOCAL_PLUGINS_DISABLED`` names those to leave out,
                ``FOCAL_TRACE_PLUGINS=1`` has every call of a hook logged.
            models: gives the models that neural codecs run.
        """
        return cls.of(found(folder, environment), environment, models)

    @classmethod
    def of(
        cls,
        there: Roster,
        environment: Mapping[str, str],
        models: Callable[[], Models] = Models.here,
    ) -> Plugins:
        """Return the plugins of a roster that was made before; the rest as in ``found``."""
        if environment.get(TRACE, "0") not in ("", "0"):
            trace()
        return cls(there, models=models)

    # Who is there -----------------------------------------------------------------------------

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin that is already imported: an object or module with hooks.

        Raises:
            PluginError: its name is taken; or it breaks the rules of hooks (hookspecs.py): a name
                or argument that no hook has, a coroutine function, a wrapper, no hook at all.
        """
        self._registry.register(plugin, name)

    def names(self, kind: str) -> list[str]:
        """Return the names of the plugins of a kind (``transport``); imports none of them."""
        return self._registry.roster.names(kind)

    def load(self, kind: str) -> None:
        """Import every plugin of a kind; ``hooks`` when a node starts, so that they see messages.

        One that fails is logged, once, and left out.
        """
        self._registry.load_kind(kind)

    @cached_property
    def models(self) -> Models:
        """The models that neural codecs run, their sessions shared by all plugins."""
        return self._find_models()

    # What exists ------------------------------------------------------------------------------

    def transports(self) -> list[TransportSpec]:
        """Return every transport, by scheme; what a plugin does wrong is logged and left out."""
        return self._all(TRANSPORTS)

    def transport(self, scheme: str) -> TransportSpec:
        """Return the transport of a scheme (``udp``); no other plugin is imported for it.

        Raises:
            SettingsError: there is none; names the nearest.
            PluginError: its plugin is broken, or two add this scheme.
        """
        return self._one(TRANSPORTS, scheme)

    def codecs(self) -> list[CodecSpec]:
        """Return every codec, by wire id, those that cannot be loaded here included.

        What a plugin does wrong is logged and left out.
        """
        return sorted(self._all(CODECS), key=lambda spec: spec.wire_id)

    def codec(self, name: str) -> CodecSpec:
        """Return the codec of a quality (``c2-1300``).

        Raises:
            SettingsError: there is none; names the nearest.
            PluginError: its plugin is broken, or another has its name or wire id.
        """
        return self._one(CODECS, name)

    def codec_by_id(self, wire_id: int) -> CodecSpec | None:
        """Return the codec of a codec id on the wire; None if nothing here knows it."""
        self._registry.load_kind("codec", ours=True)
        ours = (one.thing for one in self._settled(CODECS).held if one.rank is Rank.OURS)
        return next((spec for spec in ours if spec.wire_id == wire_id), None) or next(
            (spec for spec in self.codecs() if spec.wire_id == wire_id), None
        )

    def sources(self) -> list[SourceSpec]:
        """Return every kind of source, by name; what a plugin does wrong is logged and left out."""
        return self._all(SOURCES)

    def source(self, text: str) -> Source:
        """Return the source that ``name:rest`` asks for (``file:hello.wav``, ``mic``).

        Raises:
            SettingsError: there is none of that name; names the nearest.
            SourceError: what the source itself says of ``rest``.
            PluginError: its plugin is broken, or two add this name.
        """
        name, _, rest = text.partition(":")
        return self._one(SOURCES, name).open(rest)

    def sinks(self) -> list[SinkSpec]:
        """Return every kind of sink, by name; what a plugin does wrong is logged and left out."""
        return self._all(SINKS)

    def sink(self, text: str) -> AbstractAsyncContextManager[Sink]:
        """Return the sink that ``name:rest`` asks for (``wav:in/``), to be entered.

        Raises:
            SettingsError: there is none of that name; names the nearest.
            SinkError: what the sink itself says of ``rest``, now or on entering.
            PluginError: its plugin is broken, or two add this name.
        """
        name, _, rest = text.partition(":")
        return self._one(SINKS, name).open(rest)

    def commands(self) -> list[Command]:
        """Return the commands that plugins add, by name; what is wrong is logged and left out."""
        return self._all(COMMANDS)

    def command(self, name: str) -> Command | None:
        """Return the command that the plugin ``command.NAME`` adds; None without such a plugin.

        No other plugin is asked: what else one adds, nobody could find without importing all.

        Raises:
            PluginError: the plugin is broken, or adds no command of this name.
        """
        own = f"{COMMANDS.kind}.{name}"
        if why_not := self._registry.roster.why_not(own):
            raise PluginError(f"plugin {own} is not used: {why_not}")
        if not self._registry.knows(own):
            return None
        self._load_whole(COMMANDS, own)
        claim = self._claim(COMMANDS, name)
        if claim is None:
            raise PluginError(f"plugin {own} adds no command {name!r}")
        return claim.thing

    def doctor(self) -> list[Finding]:
        """Look at what every plugin needs; a plugin that fails is a finding itself. Blocks."""
        findings = [
            Finding(one.known.name, "bad", one.reason, "rename, remove or disable it")
            for one in self._registry.roster.left_out
            if not one.wanted
        ]
        for name in [name for kind in KINDS for name in self.names(kind)]:
            try:
                self._registry.load(name)
            except PluginError as error:
                findings.append(_bad(name, error))
        for impl in self._registry.impls("focal_doctor"):
            try:
                findings += self._findings(impl)
            except PluginError as error:
                findings.append(_bad(impl.plugin_name, error))
        return findings

    # Which one --------------------------------------------------------------------------------

    def choose_codec(self, limits: Sequence[Limits], seconds: float) -> Chosen:
        """Choose the codec for a message of quality ``auto``.

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
        for plugin, name in self._asker.ask("focal_choose_codec", given):
            if isinstance(name, str) and name in by_name:
                whose = None if self._registry.is_ours(plugin) else plugin
                return Chosen(by_name[name], whose, tuple(available))
            _log.warning("plugin %s chose the quality %r, which is not available", plugin, name)
        raise CodecError("the far side takes none of the qualities that can be used here")

    def wrap_transport(self, name: str, transport: Transport) -> Transport:
        """Return the transport to use for the link ``name``: its own, or a plugin's around it."""
        self.load("hooks")
        for plugin, wrapped in self._asker.ask(
            "focal_wrap_transport", {"name": name, "transport": transport}
        ):
            if hasattr(wrapped, "open") and hasattr(wrapped, "key"):
                wrapper: Any = wrapped
                return wrapper  # type: ignore[no-any-return]
            _refuse(plugin, "focal_wrap_transport", wrapped, "transport")
        return transport

    # What passes ------------------------------------------------------------------------------

    @property
    def captures(self) -> bool:
        """Whether some plugin is shown clips before encoding; then there has to be a whole one."""
        self.load("hooks")
        return bool(self._registry.impls("focal_captured"))

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

    # How they are asked -----------------------------------------------------------------------

    def _all(self, shelf: Shelf[Spec]) -> list[Spec]:
        self.load(shelf.kind)
        return sorted((claim.thing for claim in self._settled(shelf).held), key=shelf.name)

    def _one(self, shelf: Shelf[Spec], name: str) -> Spec:
        """Find by name, importing no more than it takes: focal's own, then the plugin called so.

        Only where neither has it are all of its kind asked.
        """
        claim = self._own(shelf, name) or self._named(shelf, name) or self._anyone(shelf, name)
        return claim.thing

    def _own(self, shelf: Shelf[Spec], name: str) -> Claim[Spec] | None:
        """Find among focal's own; nobody's claim is better."""
        own = f"{shelf.kind}.{name}"
        if self._registry.is_ours(own):
            self._registry.load(own)
            if claim := self._claim(shelf, name, Rank.OURS):
                return claim
        self._registry.load_kind(shelf.kind, ours=True)
        return self._claim(shelf, name, Rank.OURS)

    def _named(self, shelf: Shelf[Spec], name: str) -> Claim[Spec] | None:
        """Find in the plugin that is named for it, where names alone tell things apart."""
        own = f"{shelf.kind}.{name}"
        if not self._registry.knows(own):
            return None
        self._load_whole(shelf, own)
        return None if shelf is CODECS else self._claim(shelf, name, Rank.NAMED)

    def _anyone(self, shelf: Shelf[Spec], name: str) -> Claim[Spec]:
        self.load(shelf.kind)
        if claim := self._claim(shelf, name):
            return claim
        own = f"{shelf.kind}.{name}"
        if why_not := self._registry.roster.why_not(own):
            raise PluginError(f"plugin {own} is not used: {why_not}")
        names = (shelf.name(claim.thing) for claim in self._settled(shelf).held)
        raise SettingsError(no_such(shelf.word, name, names))

    def _claim(self, shelf: Shelf[Spec], name: str, rank: Rank = Rank.OTHER) -> Claim[Spec] | None:
        """Return what holds of this name, if it is of this rank or better.

        Raises:
            PluginError: somebody adds it and may not, and nobody else does.
        """
        settled = self._settled(shelf)
        for claim in settled.held:
            if shelf.name(claim.thing) == name and claim.rank <= rank:
                return claim
        for claim, reason in settled.lost:
            if shelf.name(claim.thing) == name and rank is Rank.OTHER:
                raise PluginError(f"the {shelf.word} {name!r} cannot be used: {reason}")
        return None

    def _load_whole(self, shelf: Shelf[Any], name: str) -> None:
        """Import a plugin and ask it for what it adds. Raises PluginError: it is broken."""
        self._registry.load(name)
        registered = self._registry.owner_of(name)
        for impl in self._registry.impls(shelf.hook):
            if impl.plugin_name == registered:
                answer = self._answer(shelf, impl)
                if isinstance(answer, PluginError):
                    raise answer

    def _settled(self, shelf: Shelf[Spec]) -> Settled[Spec]:
        """Decide among what the plugins imported so far add; log who gets nothing, once."""
        settled = settle(
            self._claim_of(shelf, impl.plugin_name, spec)
            for impl in self._registry.impls(shelf.hook)
            for spec in self._offered(shelf, impl)
        )
        for claim, reason in settled.lost:
            self._tell(claim.plugin, reason)
        return settled

    def _claim_of(self, shelf: Shelf[Spec], plugin: str, spec: Spec) -> Claim[Spec]:
        named = self._registry.owner_of(f"{shelf.kind}.{shelf.name(spec)}") == plugin
        rank = Rank.OURS if self._registry.is_ours(plugin) else Rank.NAMED if named else Rank.OTHER
        return Claim(plugin, rank, shelf.marks(spec), spec)

    def _offered(self, shelf: Shelf[Spec], impl: Impl) -> list[Spec]:
        answer = self._answer(shelf, impl)
        if isinstance(answer, PluginError):
            self._tell(impl.plugin_name, str(answer))
            return []
        return answer

    def _answer(self, shelf: Shelf[Spec], impl: Impl) -> list[Spec] | PluginError:
        """Return what a plugin adds, or why nothing; it is asked once and remembered."""
        key = (shelf.hook, impl.plugin_name)
        with self._lock:
            if key not in self._answers:
                try:
                    given = {"models": self.models} if shelf is CODECS else {}
                    self._answers[key] = offers(self._asker, shelf, impl, given)
                except PluginError as error:
                    self._answers[key] = error
            return self._answers[key]

    def _tell(self, plugin: str, reason: str) -> None:
        if (plugin, reason) not in self._told:
            self._told.add((plugin, reason))
            _log.warning("plugin %s: %s; it is left out", plugin, reason)

    def _findings(self, impl: Impl) -> list[Finding]:
        answer = self._asker.call("focal_doctor", impl, {})
        found = cast("list[object]", answer) if isinstance(answer, list) else [answer]
        if not all(isinstance(finding, Finding) for finding in found):
            raise PluginError(
                f"plugin {impl.plugin_name}: focal_doctor must return a list of Finding"
            )
        return cast("list[Finding]", found)

    def _show(self, hook: str, given: dict[str, object]) -> None:
        self.load("hooks")
        for _ in self._asker.ask(hook, given):
            pass  # what an observer returns means nothing

    def _replaced(self, hook: str, given: dict[str, object], clip: Clip) -> Clip:
        from ..core.audio import Clip as ClipType  # numpy: only once there is a clip

        self.load("hooks")
        given = {**given, "clip": clip}
        for plugin, answer in self._asker.ask(hook, given):
            if isinstance(answer, ClipType):
                given["clip"] = clip = answer  # what the next one is asked with
            else:
                _refuse(plugin, hook, answer, "clip")
        return clip


def offers(asker: Asker, shelf: Shelf[Spec], impl: Impl, given: Given) -> list[Spec]:
    """Return what a plugin adds of one kind. Raises PluginError: its answer is no list of that."""
    answer = asker.call(shelf.hook, impl, given)
    whose = f"plugin {impl.plugin_name}: {shelf.hook}"
    if not isinstance(answer, list):
        raise PluginError(f"{whose} must return a list of {shelf.spec.__name__}")
    for offer in cast("list[object]", answer):
        if fault := shelf.fault(offer):
            raise PluginError(f"{whose} must return a list of {shelf.spec.__name__}: {fault}")
    return cast("list[Spec]", answer)


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
