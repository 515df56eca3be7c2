"""Plugins: looked up lazily, told apart, asked one by one."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import SplitResult

import numpy as np
import pytest

from focal.core.audio import Clip
from focal.core.codec import Codec, CodecSpec
from focal.core.errors import CodecError, PluginError, SettingsError
from focal.core.link import Limits, LinkContext, Transport, TransportSpec
from focal.core.message import Kind, Message, MessageId
from focal.core.ports import Delivery, Sink, SinkSpec, Source, SourceSpec
from focal.plugins import hookimpl
from focal.plugins.asking import DAWDLES
from focal.plugins.builtins import BUILTINS, Known
from focal.plugins.findings import Finding
from focal.plugins.hookspecs import Command
from focal.plugins.manager import Plugins
from tests.deadline import ROOT, environment

MESSAGE = Message(MessageId(1, 2), Kind.VOICE, b"payload", codec=19)
HUMMING = Known("transport.hum", "tests.plugins.samples.humming")
BROKEN = Known("transport.radio", "tests.plugins.samples.broken")
WAVING = Known("command.wave", "tests.plugins.samples.waving")


DATAGRAMS = Limits("datagram", 231)


class Clock:
    """A clock that a plugin can move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def empty(*plugins: object, clock: Callable[[], float] | None = None) -> Plugins:
    """Return a manager without built-ins; the plugins are called a, b, c in this order."""
    manager = Plugins((), clock=clock) if clock else Plugins(())
    for name, plugin in zip("abcdef", plugins, strict=False):
        manager.register(plugin, name)
    return manager


def hooks(**functions: Callable[..., object]) -> object:
    """Make a plugin of functions."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in functions.items()})


def clip(level: float = 0.0) -> Clip:
    return Clip(np.full(4, level, np.float32), 8000)


def never_loaded() -> AbstractContextManager[Codec]:
    raise AssertionError("a codec was loaded to look it up")


def quality(name: str, wire_id: int, rate: float = 1000.0, why_not: str | None = None) -> CodecSpec:
    return CodecSpec(name, wire_id, rate, never_loaded, len, why_not=lambda: why_not)


def adds(*codecs: CodecSpec) -> object:
    return hooks(focal_codecs=lambda: list(codecs))


def named(name: str, plugin: object) -> Plugins:
    """Return a manager without built-ins, with a plugin of this name."""
    manager = Plugins(())
    manager.register(plugin, name)
    return manager


def hums(spec: TransportSpec) -> object:
    return hooks(focal_transports=lambda: [spec])


def no_url(url: SplitResult) -> Transport:
    raise ValueError(url)


def unheard_of(clip: Clip, loudness: float) -> None:
    """Take an argument that no hook has."""


def answering(answer: object) -> Callable[[], object]:
    return lambda: answer


class Watcher:
    """A plugin that notes what it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    @hookimpl
    def focal_encoded(self, message: Message) -> None:
        self.seen.append(("encoded", message))

    @hookimpl
    def focal_framed(self, frames: Sequence[bytes], message: Message) -> None:
        self.seen.append(("framed", message, frames))

    @hookimpl
    def focal_sent(self, message: Message, link: str) -> None:
        self.seen.append(("sent", message, link))

    @hookimpl
    def focal_received(self, link: str, message: Message) -> None:
        self.seen.append(("received", message, link))

    @hookimpl
    def focal_played(self, message: Message, sink: str) -> None:
        self.seen.append(("played", message, sink))


class TestWhatExists:
    def test_a_scheme_finds_its_transport(self) -> None:
        assert Plugins([HUMMING]).transport("hum").summary == "hums"

    def test_a_plugin_may_add_schemes_that_its_name_does_not_say(self) -> None:
        assert Plugins([HUMMING]).transport("hums").summary == "hums under cover"

    def test_only_the_plugin_of_a_scheme_is_imported(self) -> None:
        assert Plugins([BROKEN, HUMMING]).transport("hum").scheme == "hum"

    def test_names_are_told_without_any_import(self) -> None:
        assert Plugins([BROKEN, HUMMING]).names("transport") == ["transport.hum", "transport.radio"]

    def test_all_are_listed_by_name(self) -> None:
        assert [spec.scheme for spec in Plugins([HUMMING]).transports()] == ["hum", "hums"]

    def test_a_plugin_that_cannot_be_imported_is_named_with_the_reason(self) -> None:
        with pytest.raises(PluginError, match=r"transport\.radio .*no library for this radio"):
            Plugins([BROKEN]).transport("radio")

    def test_a_module_that_does_not_exist_is_a_plugin_error(self) -> None:
        with pytest.raises(PluginError, match=r"sink\.x cannot be imported"):
            Plugins([Known("sink.x", "focal.nowhere")]).sink("x")

    def test_one_that_is_broken_is_left_out_of_lists_and_told_of_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = Plugins([BROKEN, HUMMING])
        assert [spec.scheme for spec in manager.transports()] == ["hum", "hums"]
        assert manager.transport("hums").scheme == "hums"
        (said,) = [record.getMessage() for record in caplog.records]
        assert "plugin transport.radio cannot be imported" in said
        assert "FOCAL_PLUGINS_DISABLED=transport.radio" in said

    def test_an_unknown_scheme_names_the_nearest_and_lists_all(self) -> None:
        with pytest.raises(SettingsError, match="no link scheme 'humm': did you mean 'hum'") as e:
            Plugins([HUMMING]).transport("humm")
        assert str(e.value).endswith("(there are hum, hums)")

    def test_an_unknown_quality_names_the_nearest(self) -> None:
        manager = empty(adds(quality("c2-1300", 20), quality("c2-700c", 22)))
        with pytest.raises(SettingsError, match=r"'c2-130': did you mean 'c2-1300'\?"):
            manager.codec("c2-130")

    def test_with_nothing_installed_it_says_so(self) -> None:
        with pytest.raises(SettingsError, match=r"no source 'mic' \(none is installed\)"):
            empty().source("mic")

    def test_a_codec_is_found_by_name_and_by_wire_id(self) -> None:
        manager = empty(adds(quality("high", 20), quality("low", 19)))
        assert manager.codec("low").wire_id == 19
        found = manager.codec_by_id(20)
        assert found and found.name == "high"
        assert manager.codec_by_id(21) is None
        assert [spec.name for spec in manager.codecs()] == ["low", "high"]

    def test_a_source_gets_what_stands_after_its_name(self) -> None:
        opened: list[str] = []

        class Silence:
            async def clips(self) -> AsyncIterator[Clip]:
                yield clip()

        def open(rest: str) -> Source:
            opened.append(rest)
            return Silence()

        manager = empty(hooks(focal_sources=lambda: [SourceSpec("file", "files", open)]))
        manager.source("file:C:/a.wav")
        manager.source("file")
        assert opened == ["C:/a.wav", ""]
        assert [spec.name for spec in manager.sources()] == ["file"]

    def test_a_sink_gets_what_stands_after_its_name(self) -> None:
        class Basket:
            key = "basket:"
            speaks = False

            async def accept(self, delivery: Delivery, /) -> str | None:
                return None

        @asynccontextmanager
        async def open(rest: str) -> AsyncGenerator[Sink]:
            basket = Basket()
            basket.key += rest
            yield basket

        async def main() -> str:
            async with manager.sink("basket:in/") as sink:
                return sink.key

        manager = empty(hooks(focal_sinks=lambda: [SinkSpec("basket", "a basket", open)]))
        assert asyncio.run(main()) == "basket:in/"
        assert [spec.name for spec in manager.sinks()] == ["basket"]

    def test_a_plugin_is_asked_once(self) -> None:
        asked: list[int] = []

        def focal_codecs() -> list[CodecSpec]:
            asked.append(1)
            return [quality("low", 19)]

        manager = empty(hooks(focal_codecs=focal_codecs))
        manager.codec("low")
        manager.codecs()
        assert asked == [1]

    def test_a_failing_plugin_is_named(self) -> None:
        def focal_codecs() -> list[CodecSpec]:
            raise ZeroDivisionError("oops")

        with pytest.raises(PluginError, match=r"codec\.low: focal_codecs failed: ZeroDivision"):
            named("codec.low", hooks(focal_codecs=focal_codecs)).codec("low")

    def test_one_that_fails_leaves_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        manager = empty(hooks(focal_codecs=lambda: sys.exit(3)), adds(quality("low", 19)))
        assert [spec.name for spec in manager.codecs()] == ["low"]
        assert manager.codec_by_id(19) is manager.codec("low")
        (said,) = [record.getMessage() for record in caplog.records]
        assert "plugin a: focal_codecs failed: SystemExit: 3; it is left out" in said

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            quality("low", 19),
            ["low"],
            {},
            [quality("", 19)],
            [replace(quality("low", 19), instead="")],
            [replace(quality("low", 19), why_not_decode=cast("Any", "no decoder"))],
            [quality("low", 0)],
            [quality("low", 256)],
            [quality("low", 19, rate=0.0)],
            [CodecSpec("low", 19, 1.0, None, len)],  # type: ignore[arg-type]  # pyright: ignore
        ],
    )
    def test_what_is_no_list_of_the_right_kind_is_refused(
        self, answer: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert empty(hooks(focal_codecs=lambda: answer)).codecs() == []
        assert "plugin a: focal_codecs must return a list of CodecSpec" in caplog.text
        with pytest.raises(PluginError, match=r"codec\.low: focal_codecs must return a list"):
            named("codec.low", hooks(focal_codecs=lambda: answer)).codec("low")

    def test_commands_are_listed_by_name(self) -> None:
        class Hello:
            def __init__(self, name: str) -> None:
                self.name: str | None = name

            def get_short_help_str(self, limit: int = 45) -> str:
                return "Say hello."

        def focal_commands() -> list[Command]:
            return [Hello("wave"), Hello("hello")]

        manager = empty(hooks(focal_commands=focal_commands))
        assert [command.name for command in manager.commands()] == ["hello", "wave"]
        assert empty(hooks(focal_commands=lambda: [Hello("")])).commands() == []

    def test_a_command_is_asked_of_the_plugin_that_is_named_for_it(self) -> None:
        manager = Plugins([WAVING, Known("command.nod", "tests.plugins.samples.waving"), BROKEN])
        found = manager.command("wave")
        assert found and found.get_short_help_str() == "Wave."
        assert manager.command("send") is None
        with pytest.raises(PluginError, match=r"plugin command\.nod adds no command 'nod'"):
            manager.command("nod")

    def test_doctor_tells_of_every_plugin_even_one_that_fails(self) -> None:
        def fails() -> list[Finding]:
            raise OSError("no bus")

        good = Finding("microphone", "good", "one found")
        manager = Plugins([BROKEN])
        manager.register(hooks(focal_doctor=fails), "a")
        manager.register(hooks(focal_doctor=lambda: [good]), "b")
        findings = manager.doctor()
        assert good in findings
        assert {(f.name, f.state) for f in findings if f is not good} == {
            ("transport.radio", "bad"),
            ("a", "bad"),
        }


class TestTellingApart:
    def test_one_name_for_two_known_plugins_names_both_modules(self) -> None:
        manager = Plugins([Known("sink.x", "one"), Known("sink.x", "two")])
        assert manager.sinks() == []
        with pytest.raises(PluginError, match=r"'sink\.x', in one and two"):
            manager.sink("x")

    def test_one_name_for_two_registered_plugins(self) -> None:
        manager = empty(adds())
        with pytest.raises(PluginError, match="two plugins are called 'a'"):
            manager.register(adds(), "a")

    def test_a_built_in_cannot_be_replaced_by_its_name(self) -> None:
        with pytest.raises(PluginError, match=r"'transport\.hum'"):
            Plugins([HUMMING]).register(adds(), "transport.hum")

    def test_a_plugin_registered_twice_is_refused(self) -> None:
        plugin = adds(quality("low", 19))
        manager = empty(plugin)
        with pytest.raises(PluginError, match="plugin again: "):
            manager.register(plugin, "again")
        assert [spec.name for spec in manager.codecs()] == ["low"]

    def test_a_name_that_says_no_kind_is_a_finding(self) -> None:
        (finding,) = Plugins([Known("carrier.pigeon", "birds")]).doctor()
        assert (finding.name, finding.state) == ("carrier.pigeon", "bad")
        assert "kind.name" in finding.detail

    def test_one_scheme_from_two_plugins(self) -> None:
        spec = TransportSpec("drum", "drums", no_url)
        manager = empty(hums(spec), hums(spec))
        with pytest.raises(PluginError, match="'drum' cannot be used: plugins a and b both add"):
            manager.transport("drum")
        assert manager.transports() == []

    def test_the_plugin_that_is_named_for_a_scheme_has_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        manager = Plugins([HUMMING])
        manager.register(hums(TransportSpec("hum", "hums too", no_url)), "a")
        assert manager.transport("hum").summary == "hums"
        assert [spec.summary for spec in manager.transports()] == ["hums", "hums under cover"]
        assert "plugin a: the scheme 'hum' belongs to transport.hum" in caplog.text

    def test_nobody_takes_what_is_focals(self, caplog: pytest.LogCaptureFixture) -> None:
        manager = Plugins()
        manager.register(hums(TransportSpec("udp", "hums", no_url)), "transport.evil")
        manager.register(adds(quality("c2-1300", 99), quality("mine", 20)), "codec.evil")
        assert manager.transport("udp").summary != "hums"
        assert "hums" not in [spec.summary for spec in manager.transports()]
        assert manager.codec("c2-1300").wire_id == 20
        found = manager.codec_by_id(20)
        assert found and found.name == "c2-1300" and manager.codec_by_id(99) is None
        with pytest.raises(PluginError, match="'mine' cannot be used: the wire id 20 is focal's"):
            manager.codec("mine")
        assert "plugin transport.evil: the scheme 'udp' is focal's own" in caplog.text

    @pytest.mark.parametrize(
        ("second", "told"),
        [(quality("low", 20), "the quality 'low'"), (quality("mid", 19), "the wire id 19")],
    )
    def test_one_quality_or_wire_id_from_two_plugins(self, second: CodecSpec, told: str) -> None:
        manager = empty(adds(quality("low", 19)), adds(second))
        with pytest.raises(PluginError, match=f"plugins a and b both add {told}"):
            manager.codec("low")
        assert manager.codecs() == []


class TestTheRulesOfHooks:
    def test_a_misspelt_hook_names_the_plugin_and_the_nearest_hook(self) -> None:
        with pytest.raises(
            PluginError, match=r"plugin a: there is no hook 'focal_recieved': did .*focal_received"
        ):
            empty(hooks(focal_recieved=lambda: None))

    def test_an_argument_that_the_hook_has_not_is_refused(self) -> None:
        with pytest.raises(
            PluginError, match="a: focal_captured has no argument 'loudness'; it has clip"
        ):
            empty(hooks(focal_captured=unheard_of))

    def test_a_coroutine_function_is_refused(self) -> None:
        async def focal_received(message: Message) -> None: ...

        with pytest.raises(PluginError, match="plugin a: focal_received is a coroutine function"):
            empty(hooks(focal_received=focal_received))

    def test_a_wrapper_is_refused(self) -> None:
        @hookimpl(wrapper=True)
        def focal_received(message: Message) -> Generator[None, object, object]:
            return (yield)

        with pytest.raises(PluginError, match="plugin a: focal_received is a wrapper"):
            empty(SimpleNamespace(focal_received=focal_received))

    def test_a_plugin_without_a_hook_is_refused(self) -> None:
        with pytest.raises(PluginError, match=r"plugin a: it has no hook: .*@hookimpl"):
            empty(SimpleNamespace(focal_received=lambda: None))

    def test_what_was_refused_leaves_nothing_behind(self) -> None:
        manager = empty()
        bad = hooks(focal_codecs=lambda: [quality("low", 19)], focal_captured=unheard_of)
        with pytest.raises(PluginError):
            manager.register(bad, "a")
        assert manager.codecs() == []
        manager.register(adds(quality("high", 20)), "a")
        assert [spec.name for spec in manager.codecs()] == ["high"]

    def test_a_hook_may_have_another_name_in_the_plugin(self) -> None:
        @hookimpl(specname="focal_codecs")
        def qualities() -> list[CodecSpec]:
            return [quality("low", 19)]

        assert empty(SimpleNamespace(qualities=qualities)).codec("low").wire_id == 19


def test_who_wants_whole_clips_is_known(plugins: Plugins) -> None:
    assert not plugins.captures
    plugins.register(hooks(focal_captured=lambda: None), "hooks.mine")
    assert plugins.captures


class TestWhichOne:
    def choosing(
        self,
        *answers: object,
        codecs: Sequence[CodecSpec] | None = None,
        limits: Limits = DATAGRAMS,
    ) -> CodecSpec:
        """Choose with plugins that answer so, the last one asked first, then our own choice."""
        manager = Plugins([Known("hooks.choice", "focal.plugins.choice")])
        manager.register(adds(*(codecs or (quality("low", 19, 700), quality("high", 20)))), "c2")
        for index, answer in enumerate(answers):
            manager.register(hooks(focal_choose_codec=answering(answer)), str(index))
        return manager.choose_codec((limits,), 5.0).spec

    def test_without_a_plugin_it_is_our_own_choice(self) -> None:
        assert self.choosing().name == "high"

    def test_who_chose_is_told_unless_it_is_focals_own_rule(self, plugins: Plugins) -> None:
        assert plugins.choose_codec((), 5.0).plugin is None
        plugins.register(hooks(focal_choose_codec=answering("c2-1300")), "hooks.mine")
        chosen = plugins.choose_codec((), 5.0)
        assert (chosen.spec.name, chosen.plugin) == ("c2-1300", "hooks.mine")
        assert all(spec.name.startswith("c2-") for spec in chosen.available)

    def test_a_plugin_decides(self) -> None:
        assert self.choosing("low").name == "low"

    def test_a_plugin_without_an_opinion_leaves_it_to_the_next(self) -> None:
        assert self.choosing("low", None).name == "low"

    @pytest.mark.parametrize("answer", ["opus", 19, b"low"])
    def test_a_choice_that_is_not_available_is_logged_and_left_out(
        self, answer: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert self.choosing("low", answer).name == "low"
        assert f"plugin 1 chose the quality {answer!r}" in caplog.text

    def test_a_codec_that_cannot_be_loaded_is_not_available(self) -> None:
        codecs = (quality("low", 19, 700), quality("high", 20, why_not="no model"))
        assert self.choosing("high", codecs=codecs).name == "low"

    def test_with_no_codec_at_all_it_says_why(self) -> None:
        with pytest.raises(CodecError, match=r"can be used here: pip install 'x\[y\]'"):
            self.choosing(codecs=[quality("high", 20, why_not="pip install 'x[y]'")])

    def test_with_no_codec_that_the_far_side_takes_it_says_so(self) -> None:
        with pytest.raises(CodecError, match="the far side takes none"):
            self.choosing(limits=Limits("message", 65_535, codecs=frozenset({1})))

    def test_a_link_may_be_wrapped(self) -> None:
        class Wire:
            def __init__(self, key: str) -> None:
                self.key = key

            def open(self, context: LinkContext, /) -> AbstractContextManager[object]:
                raise AssertionError("opened to be wrapped")

        def wrap(name: str, transport: Transport) -> object:
            return Wire(f"{transport.key}+{name}") if name == "hill" else None

        def refuse(name: str) -> object:
            return 7 if name == "hut" else None

        manager = empty(hooks(focal_wrap_transport=wrap), hooks(focal_wrap_transport=refuse))
        plain: Transport = Wire("udp")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        assert manager.wrap_transport("hill", plain).key == "udp+hill"
        assert manager.wrap_transport("valley", plain) is plain
        assert manager.wrap_transport("hut", plain) is plain


class TestWhatPasses:
    def test_each_plugin_gets_the_last_ones_clip(self) -> None:
        def louder(clip: Clip) -> Clip:
            return Clip(clip.samples + np.float32(0.25), clip.rate)

        def double(clip: Clip) -> Clip:
            return Clip(clip.samples * np.float32(2), clip.rate)

        heard = empty(hooks(focal_captured=double), hooks(focal_captured=louder)).captured(clip())
        assert heard.samples.tolist() == [0.5] * 4  # the last one registered is asked first

    def test_without_a_replacement_the_clip_itself_goes_on(self) -> None:
        here = clip()
        assert empty().captured(here) is here
        assert empty(hooks(focal_captured=lambda: None)).captured(here) is here

    def test_decoded_shows_the_message_too(self) -> None:
        seen: list[object] = []
        there = clip(0.5)

        def focal_decoded(clip: Clip, message: Message) -> Clip:
            seen.append(message)
            return there

        assert empty(hooks(focal_decoded=focal_decoded)).decoded(MESSAGE, clip()) is there
        assert seen == [MESSAGE]

    @pytest.mark.parametrize("answer", [7, "clip", [clip()], np.zeros(4, np.float32)])
    def test_a_replacement_of_the_wrong_type_is_refused_and_logged(
        self, answer: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        here = clip()
        manager = empty(hooks(focal_captured=lambda: answer))
        assert manager.captured(here) is here
        assert f"plugin a: focal_captured returned {type(answer).__name__}" in caplog.text

    @pytest.mark.parametrize("failure", [ValueError("oops"), SystemExit(3), PluginError("own")])
    def test_one_that_raises_is_logged_by_name_and_stops_nothing(
        self, failure: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails(message: Message) -> None:
            raise failure

        before, after = Watcher(), Watcher()
        empty(after, hooks(focal_received=fails), before).received(MESSAGE, "hill")
        assert before.seen == after.seen == [("received", MESSAGE, "hill")]
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "plugin b: focal_received failed" in caplog.text

    def test_one_that_fails_at_replacing_leaves_the_clip_as_it_was(self) -> None:
        def fails(clip: Clip) -> Clip:
            raise CodecError("no such filter")

        there = clip(0.5)
        manager = empty(hooks(focal_captured=fails), hooks(focal_captured=lambda: there))
        assert manager.captured(clip()) is there

    def test_what_is_interrupted_stays_interrupted(self) -> None:
        def interrupted() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            empty(hooks(focal_sent=interrupted)).sent(MESSAGE, "hill")

    def test_one_that_dawdles_is_logged_by_name(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = Clock()

        def slow() -> None:
            clock.now += DAWDLES + 1

        def brisk() -> None:
            clock.now += DAWDLES / 2

        empty(hooks(focal_sent=slow), hooks(focal_sent=brisk), clock=clock).sent(MESSAGE, "hill")
        assert [r.getMessage() for r in caplog.records] == ["plugin a took 1.5 s in focal_sent"]

    def test_observers_see_what_they_ask_for(self) -> None:
        watcher = Watcher()
        manager = empty(watcher)
        manager.encoded(MESSAGE)
        manager.framed(MESSAGE, [b"a", b"b"])
        manager.sent(MESSAGE, "hill")
        manager.received(MESSAGE, "valley")
        manager.played(MESSAGE, "wav:in")
        assert watcher.seen == [
            ("encoded", MESSAGE),
            ("framed", MESSAGE, [b"a", b"b"]),
            ("sent", MESSAGE, "hill"),
            ("received", MESSAGE, "valley"),
            ("played", MESSAGE, "wav:in"),
        ]

    def test_what_an_observer_returns_means_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        empty(hooks(focal_sent=lambda: "thanks")).sent(MESSAGE, "hill")
        assert not caplog.records


class TestBuiltIns:
    @pytest.mark.parametrize("known", BUILTINS, ids=lambda known: known.name)
    def test_each_can_be_imported_and_keeps_the_rules(self, known: Known) -> None:
        Plugins([known]).load(known.kind)

    def test_each_adds_what_its_name_says(self, plugins: Plugins) -> None:
        for known in BUILTINS:
            kind, _, name = known.name.partition(".")
            if kind == "transport":
                assert plugins.transport(name).scheme == name
        assert {"file", "mic"} <= {spec.name for spec in plugins.sources()}
        assert {"wav", "jsonl", "speaker"} <= {spec.name for spec in plugins.sinks()}
        assert plugins.codec("c2-1300").name == "c2-1300"

    def test_the_manager_is_light(self) -> None:
        code = (
            "import sys, focal.plugins.manager as m; m.Plugins(); "
            "print(sorted({'numpy', 'click', 'rich', 'soundfile'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment(),
            cwd=ROOT,
        )
        assert done.stdout.strip() == "[]"
