"""What fits, what it costs, and what an hour has left: lengths and limits in, figures out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.airtime import Plan, packet, place
from focal.core.airtime import Modem
from focal.core.audio import Clip
from focal.core.clocks import Moment
from focal.core.codec import CodecSpec
from focal.core.draft import Draft, price_of
from focal.core.errors import SettingsError, TooLong
from focal.core.events import State
from focal.core.hour import HOUR, Hour, Sent
from focal.core.link import Limits
from focal.core.runtime import run_virtual
from focal.cost import Budget, Note, fewer_bytes, other_qualities, shorter
from focal.fit import Fit, Space, choose_to_fit, longest, payload_size, refused
from focal.plugins.manager import Plugins
from focal.plugins.models import Models
from focal.plugins.models.store import SHELVES
from focal.seen import last_seen, remember
from focal.settings import Settings
from focal.transports.lora.link import limits_of
from focal.transports.lora.plan import Air, air
from focal.transports.lora.radio import Info
from focal.transports.memory import Conditions, Mesh
from tests.core.world import World, until
from tests.plugins.focalcodec.stock import stock

CODECS = Plugins().codecs()
BY_NAME = {spec.name: spec for spec in CODECS}
CODEC2 = [spec for spec in CODECS if spec.name.startswith("c2-")]
LONG_FAST = Plan(air("TR", "LONG_FAST")).limits()
HEAD = 21
"""Bytes of a message to everyone beside its payload."""


def spec_of(name: str) -> CodecSpec:
    return BY_NAME[name]


# How big a message becomes ------------------------------------------------------------------------


@pytest.mark.parametrize("spec", CODEC2, ids=lambda spec: spec.name)
@pytest.mark.parametrize("seconds", [0.01, 0.04, 0.041, 1.0, 5.76, 21.3])
def test_codec2_becomes_as_big_as_is_told(spec: CodecSpec, seconds: float) -> None:
    clip = Clip(np.zeros(round(8000 * seconds), np.float32), 8000)
    with spec.load() as codec:
        assert len(codec.encode(clip)) == payload_size(spec, clip.seconds)


@pytest.fixture(scope="module")
def neural(small: Path, tmp_path_factory: pytest.TempPathFactory) -> list[CodecSpec]:
    """Return the codecs where small models stand for the published ones and local ones."""
    models = Models(tmp_path_factory.mktemp("models"))
    for shelf in SHELVES:
        stock(models, small, shelf)
    return Plugins(models=lambda: models).codecs()


@pytest.mark.parametrize("name", ["50hz", "25hz", "12.5hz", "12.5hz-local"])
def test_focalcodec_becomes_as_big_as_is_told(name: str, neural: list[CodecSpec]) -> None:
    (spec,) = [one for one in neural if one.name == name]
    with spec.load() as codec:
        for seconds in (0.05, 0.08, 0.081, 5.76, 20.0):
            clip = Clip(np.zeros(round(16000 * seconds), np.float32), 16000)
            assert len(codec.encode(clip)) == payload_size(spec, clip.seconds)


def test_long_sound_is_told_with_its_joints() -> None:
    assert payload_size(spec_of("12.5hz"), 20.0) == 1 + math.ceil(250 * 13 / 8)
    assert payload_size(spec_of("12.5hz"), 44.0) == 1 + 2 * 4 + math.ceil(550 * 13 / 8)


@given(st.sampled_from(CODECS), st.floats(0.1, 60), st.integers(1, 5000))
def test_the_longest_that_fits_fits_and_a_step_more_does_not(
    spec: CodecSpec, most: float, room: int
) -> None:
    seconds = longest(spec, lambda size: size <= room, most)
    assert 0 <= seconds <= most
    assert not seconds or payload_size(spec, seconds) <= room
    assert seconds == pytest.approx(most) or payload_size(spec, seconds + spec.step) > room


# What is to fit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "fit", "said"),
    [
        ("1frame", Fit(1), "one frame"),
        ("1frames", Fit(1), "one frame"),
        ("12frames", Fit(12), "12 frames"),
        ("3s-air", Fit(airtime=3.0), "3 s of air"),
        ("0.5s-air", Fit(airtime=0.5), "0.5 s of air"),
    ],
)
def test_a_fit_is_read(word: str, fit: Fit, said: str) -> None:
    assert (Fit.parse(word), str(fit)) == (fit, said)


@pytest.mark.parametrize("word", ["", "frame", "0frames", "0s-air", "3s", "1 frame", "-1frame"])
def test_what_is_no_fit_is_refused(word: str) -> None:
    with pytest.raises(SettingsError, match="1frame, 2frames"):
        Fit.parse(word)


@given(st.integers(1, 4000), st.integers(1, 20), st.booleans())
def test_parity_is_what_is_left_of_a_fit(length: int, frames: int, to_all: bool) -> None:
    fit, planned = Fit(frames), price_of(length, LONG_FAST, to_all=to_all)
    parity = fit.parity(length, LONG_FAST, to_all=to_all)
    least = price_of(length, LONG_FAST, to_all=to_all, parity=0)
    if parity is None:
        assert least.frames > frames
    else:
        assert parity == min(planned.parity, frames - least.frames)


def test_what_costs_no_air_and_what_is_no_frame_fits() -> None:
    assert Fit(airtime=0.1).parity(5000, Limits("datagram", 1200), to_all=True) == 0
    assert Fit(1).parity(60_000, Limits("message", 70_000), to_all=True) == 0


def space(word: str, *, to_all: bool = False, **links: Limits) -> Space:
    return Space(Fit.parse(word), links or {"hill": LONG_FAST}, HEAD + 4 * (not to_all), to_all)


def test_the_best_quality_that_fits_is_chosen() -> None:
    assert choose_to_fit(space("12frames"), CODEC2, 5.0).spec.name == "c2-3200"
    assert choose_to_fit(space("3frames"), CODEC2, 5.0).spec.name == "c2-700c"
    chosen = choose_to_fit(space("3s-air"), CODEC2, 2.0)
    assert str(chosen) == "c2-700c: the best quality of which 2.0 s fit 3 s of air"


def test_where_nothing_fits_it_is_told_what_would() -> None:
    with pytest.raises(TooLong) as told:
        choose_to_fit(space("1frame"), CODECS, 5.0)
    assert str(told.value) == (
        "5.0 s do not fit one frame: at most 2.0 s at c2-700c fit one frame; "
        "12.5hz fits, whose models are not here"
    )
    assert "at most 0.4 s at c2-3200 fit" in str(refused(space("1frame"), [CODEC2[0]], 5.0))


def test_where_not_even_a_step_fits_that_is_told() -> None:
    with pytest.raises(TooLong, match="nothing fits 0\\.01 s of air here"):
        choose_to_fit(space("0.01s-air"), CODECS, 5.0)


def test_it_has_to_fit_on_every_link_that_takes_it() -> None:
    narrow = replace(LONG_FAST, size=100)
    both = space("2frames", near=LONG_FAST, far=narrow)
    near = space("2frames", near=LONG_FAST)
    assert near.holds(300) and not both.holds(300)
    locked = space("9frames", near=replace(LONG_FAST, codecs=frozenset({22})))
    assert choose_to_fit(locked, CODECS, 1.0).spec.name == "c2-700c"


# What would save a frame --------------------------------------------------------------------------


def note(**options: bool) -> Note:
    return Note(LONG_FAST, HEAD, options.get("to_all", False))


@given(st.integers(1, 3000), st.booleans())
def test_fewer_bytes_do_make_fewer_frames(size: int, to_all: bool) -> None:
    here = note(to_all=to_all)
    for one in fewer_bytes(here, size):
        assert one.bytes is not None
        assert here.frames(size - one.bytes) == one.frames < (here.frames(size) or 0)
        assert here.frames(size - one.bytes + 1) == here.frames(size)


@given(st.sampled_from(CODECS), st.floats(0.1, 19))
def test_a_shorter_clip_does_make_fewer_frames(spec: CodecSpec, seconds: float) -> None:
    here, size = note(), payload_size(spec, seconds)
    for one in shorter(here, spec, seconds, size):
        assert one.seconds is not None and one.seconds <= seconds / 2
        left = here.frames(payload_size(spec, seconds - one.seconds))
        assert left is not None and left <= one.frames < (here.frames(size) or 0)


def test_other_qualities_are_named_that_make_fewer_frames() -> None:
    spec, here = spec_of("c2-1300"), note()
    frames = here.frames(payload_size(spec, 5.0)) or 0
    others = list(other_qualities(here, spec, CODECS, 5.0, frames))
    assert [(one.codec, one.frames, one.missing) for one in others] == [
        ("c2-1200", 4, False),
        ("c2-700c", 3, False),
        ("12.5hz", 1, True),
    ]
    assert not list(other_qualities(here, spec_of("12.5hz"), CODECS, 5.0, 1))


# The hour -----------------------------------------------------------------------------------------

NOW = Moment("boot", 10_000.0, 1_800_000_000.0, True)


def test_an_empty_hour_has_room_at_once() -> None:
    air = Budget.of(LONG_FAST, Hour(()), NOW).figures(6.0, 6.5)
    assert (air.airtime_share, air.per_hour, air.earliest) == (6 / 360, 60, NOW.unix)


def test_a_full_hour_says_when_there_is_room() -> None:
    hour = Hour([Sent(NOW.awake - 600, 357.0), Sent(NOW.awake - 60, 2.0)])
    air = Budget.of(LONG_FAST, hour, NOW).figures(6.0, None)
    assert air.earliest == NOW.unix + HOUR - 600 - 6
    assert Budget.of(LONG_FAST, hour, NOW).figures(361.0, None).earliest is None


def test_what_others_send_by_the_radio_is_taken_off_and_ours_is_not_taken_twice() -> None:
    ours = Hour([Sent(NOW.awake - 600, 90.0)])
    known = replace(LONG_FAST, used=0.025)
    assert Budget.of(known, ours, NOW).left == 360
    assert Budget.of(replace(known, used=0.075), ours, NOW).left == 180
    assert Budget.of(replace(known, used=0.5), ours, NOW).left == 0
    assert Budget.of(replace(LONG_FAST, reserve=0.25), ours, NOW).left == 270


# One packet, and where ----------------------------------------------------------------------------


def test_signing_and_encrypting_for_one_node_cost_what_they_cost() -> None:
    here = air("TR", "LONG_FAST")
    assert packet(Plan(here), 231).airtime_ms == 2157
    assert packet(Plan(here, signed=True), 165).airtime_ms == 2157
    assert packet(Plan(here, direct=True), 219).air_bytes == 255
    with pytest.raises(TooLong, match="219"):
        packet(Plan(here, direct=True), 220)


def links(*urls: str) -> Settings:
    return Settings.merge({"links": {f"l{n}": {"url": url} for n, url in enumerate(urls)}}, {}, "f")


def unseen(_: str) -> Air | None:
    return None


def test_where_it_is_comes_from_the_flags_then_from_a_configured_link() -> None:
    hill = links("lora+sim://x?region=US&preset=SHORT_FAST")
    assert place(hill, None, None, None, unseen).preset == "SHORT_FAST"
    assert place(hill, "US", None, None, unseen).preset == "SHORT_FAST"
    assert place(hill, "TR", None, 8, unseen) == air("EU_868", "LONG_FAST", 8)
    assert place(hill, "TR", "SHORT_SLOW", 8, unseen).modem.coding_rate == 8
    assert place(hill, None, "SHORT_SLOW", None, unseen) == air("US", "SHORT_SLOW")
    assert place(links("lora+sim://x"), None, None, None, unseen) == air("EU_868", "LONG_FAST")
    with pytest.raises(SettingsError, match="say where: --region is one of US, EU_433"):
        place(links("udp://127.0.0.1:5000?region=US"), None, None, None, unseen)


@pytest.mark.parametrize(
    ("region", "preset"),
    [
        ("US", "LONG_FAST"),
        ("TR", "LONG_FAST"),
        ("EU_866", "LITE_FAST"),
        ("EU_N_868", "NARROW_SLOW"),
        ("ITU1_2M", "TINY_FAST"),
        ("ITU2_125CM", "NARROW_SLOW"),
        ("ITU3_70CM", "NARROW_SLOW"),
        ("LORA_24", "LONG_FAST"),
    ],
)
def test_without_a_preset_a_region_has_its_own(region: str, preset: str) -> None:
    assert place(Settings(), region, None, None, unseen) == air(region, preset)


def test_a_node_that_was_seen_says_how_it_is_set() -> None:
    slow, custom = air("EU_868", "LONG_SLOW"), Air(air("US").region, "custom", Modem(250e3, 9, 7))
    hill, far = links("lora://10.0.0.1", "lora:///dev/ttyUSB0"), {"l1": slow}.get
    assert place(hill, None, None, None, far) == slow
    assert place(hill, "EU_868", None, 5, far) == slow
    assert place(hill, "US", None, None, far) == air("US", "LONG_FAST")
    assert place(hill, None, None, 8, {"l0": custom}.get).modem == Modem(250e3, 9, 8)
    with pytest.raises(SettingsError, match="until the link l0 has been open once"):
        place(hill, None, None, None, unseen)
    via = hill.with_flags(via=("lora",))
    assert place(via, None, None, None, {"l0": custom, "lora": slow}.get) == slow


def test_how_a_node_was_set_is_kept_for_the_time_when_it_is_away(tmp_path: Path) -> None:
    limits = limits_of(Info(1, Air(air("US").region, "custom", Modem(250e3, 9, 7))))
    assert last_seen(tmp_path, "hill") is None
    remember(tmp_path, "hill", LONG_FAST)
    assert list(tmp_path.iterdir()) == []
    remember(tmp_path, "hill", limits)
    assert last_seen(tmp_path, "hill") == limits.air
    assert last_seen(tmp_path, "valley") is None
    (file,) = tmp_path.glob("*/*")
    for text in ("", "[]", "{}", '{"region": "XX", "preset": "", "modem": {}}'):
        file.write_text(text)
        assert last_seen(tmp_path, "hill") is None
    remember(tmp_path, "hill", limits)
    assert last_seen(tmp_path, "hill") == limits.air


def test_where_it_cannot_be_kept_it_is_only_not_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file", "hill", limits_of(Info(1, air("US"))))
    assert last_seen(tmp_path / "file", "hill") is None


# What goes out ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parity", "frames"), [(None, 5), (1, 4), (0, 3), (9, 5)])
def test_no_more_parity_goes_out_than_a_draft_allows(
    tmp_path: Path, parity: int | None, frames: int
) -> None:
    mesh, world = Mesh("air", Conditions(bandwidth=134.0, duty=0.1)), World(tmp_path)

    async def burst() -> None:
        async with world.node("a", mesh) as node:
            events = node.events()
            (id,) = await node.send(replace(Draft.text("x" * 500), parity=parity))
            await until(events, State.SENT, id)

    run_virtual(burst())
    limits = mesh.conditions.limits()
    assert mesh.carried.frames == frames
    assert price_of(500 + HEAD, limits, to_all=True, parity=parity).frames == frames
