"""Which quality ``auto`` is, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.codec import Codec, CodecSpec
from focal.core.link import Address, Limits
from focal.plugins.choice import explained, focal_choose_codec


def unloaded() -> AbstractContextManager[Codec]:
    raise AssertionError("a codec was loaded to choose one")


def quality(name: str, wire_id: int, rate: float, why_not: str | None = None) -> CodecSpec:
    return CodecSpec(name, wire_id, rate, unloaded, len, why_not=lambda: why_not)


RATES = {"50hz": 650.0, "25hz": 325.0, "12.5hz": 162.5}
FOCALCODEC = [quality(name, id, rate) for id, (name, rate) in enumerate(RATES.items(), 1)]
LOCAL = [quality(f"{name}-local", id, rate) for id, (name, rate) in enumerate(RATES.items(), 224)]
MISSING = [
    quality(name, id, rate, f"{name} needs a file: focal models pull {name}")
    for id, (name, rate) in enumerate(RATES.items(), 1)
]
CODEC2 = [quality("c2-3200", 16, 3200), quality("c2-1300", 20, 1300), quality("c2-700c", 22, 700)]

UDP = Limits("datagram", 1200)
BROKER = Limits("message", 65_535)


@dataclass(frozen=True, slots=True)
class Radio(Limits):
    """A slow radio: so many bytes a second, and a preamble of half a second."""

    bytes_per_second: float = 130.0

    def airtime(self, n: int, to: Address | None, /) -> float:
        return 0.5 + n / self.bytes_per_second


LORA = Radio("datagram", 231, duty=0.1)
STRICT = Radio("datagram", 231, duty=0.01)


@pytest.mark.parametrize(
    ("limits", "seconds", "best"),
    [
        ((), 6.0, "50hz"),
        ((UDP,), 600.0, "50hz"),
        ((BROKER, UDP), 6.0, "50hz"),
        ((LORA,), 6.0, "50hz"),
        ((LORA,), 30.0, "25hz"),
        ((LORA,), 120.0, "12.5hz"),
        ((STRICT,), 4.0, "12.5hz"),
        ((UDP, STRICT), 4.0, "12.5hz"),
    ],
)
def test_the_rate_follows_the_narrowest_link(
    limits: tuple[Limits, ...], seconds: float, best: str
) -> None:
    assert focal_choose_codec([*CODEC2, *FOCALCODEC], limits, seconds) == best


def test_without_models_it_is_codec2() -> None:
    assert focal_choose_codec(CODEC2, (UDP,), 6.0) == "c2-3200"
    assert focal_choose_codec(CODEC2, (LORA,), 6.0) == "c2-1300"
    assert focal_choose_codec(CODEC2, (STRICT,), 6.0) == "c2-700c"


def test_a_locked_room_gets_what_it_takes() -> None:
    room = Limits("message", 65_535, codecs=frozenset({2, 20}))
    assert focal_choose_codec([*FOCALCODEC, *CODEC2], (room,), 6.0) == "25hz"
    assert focal_choose_codec(CODEC2, (room,), 6.0) == "c2-1300"


def test_where_nothing_is_taken_it_has_no_answer() -> None:
    room = Limits("message", 65_535, codecs=frozenset({9}))
    assert focal_choose_codec(CODEC2, (room,), 6.0) is None


def test_what_only_some_can_decode_comes_last() -> None:
    local = quality("mine", 224, 9000)
    assert focal_choose_codec([local, *CODEC2], (UDP,), 6.0) == "c2-3200"
    assert focal_choose_codec([local], (UDP,), 6.0) == "mine"


def test_weights_of_ones_own_are_no_rival_of_the_published_ones() -> None:
    assert focal_choose_codec([*LOCAL, *CODEC2, *FOCALCODEC], (LORA,), 6.0) == "50hz"
    assert focal_choose_codec([*LOCAL, *CODEC2], (LORA,), 6.0) == "c2-1300"
    assert focal_choose_codec(LOCAL, (LORA,), 30.0) == "25hz-local"


# Why


ROOM = Limits("message", 65_535, codecs=frozenset({2, 3, 20, 22}))


def why(
    available: list[CodecSpec],
    links: Mapping[str, Limits],
    seconds: float = 5.76,
    lacking: Sequence[CodecSpec] = (),
) -> str:
    """Choose, and return what is said of the choice."""
    name = focal_choose_codec(available, list(links.values()), seconds)
    (spec,) = [spec for spec in available if spec.name == name]
    return str(explained(spec, available, lacking, links, seconds))


@pytest.mark.parametrize(
    ("links", "seconds", "said"),
    [
        ({}, 6.0, "50hz: FocalCodec, the highest rate here"),
        ({"udp": UDP, "lora": LORA}, 6.0, "50hz: FocalCodec, the highest rate here"),
        (
            {"udp": UDP, "lora": LORA},
            30.0,
            "25hz: FocalCodec, the highest rate that lora carries in fair time",
        ),
        (
            {"lora": LORA, "udp": UDP, "hill": LORA},
            30.0,
            "25hz: FocalCodec, the highest rate that lora and hill carry in fair time",
        ),
        (
            {"lora": STRICT},
            60.0,
            "12.5hz: FocalCodec, the lowest rate here, and still more than lora carries in fair "
            "time",
        ),
        ({"room": ROOM}, 6.0, "25hz: FocalCodec, the highest rate that room takes"),
        (
            {"room": ROOM, "lora": LORA},
            60.0,
            "12.5hz: FocalCodec, the highest rate that room takes and lora carries in fair time",
        ),
        (
            {"room": Limits("message", 65_535, codecs=frozenset({1})), "lora": LORA},
            60.0,
            "50hz: FocalCodec, the lowest rate that room takes, and still more than lora carries "
            "in fair time",
        ),
    ],
)
def test_the_reason_names_the_links_that_matter(
    links: Mapping[str, Limits], seconds: float, said: str
) -> None:
    assert why([*FOCALCODEC, *LOCAL, *CODEC2], links, seconds) == said


def test_what_pulling_models_would_give_is_said_with_the_way() -> None:
    assert why(CODEC2, {"lora": LORA}, lacking=[*MISSING, *LOCAL]) == (
        "c2-1300: the highest rate that lora carries in fair time; 50hz would make it about 468 "
        "bytes instead of 936, but 50hz needs a file: focal models pull 50hz"
    )
    assert why(CODEC2, {"lora": LORA}, 30.0, MISSING).endswith(
        "; 25hz would make it about 1219 bytes instead of 2625, but 25hz needs a file: "
        "focal models pull 25hz"
    )


def test_nothing_is_promised_that_would_not_be_chosen_or_not_be_smaller() -> None:
    closed = Limits("message", 65_535, codecs=frozenset({20}))
    assert why(CODEC2, {"room": closed}, lacking=MISSING) == (
        "c2-1300: the highest rate that room takes"
    )
    better = [spec for spec in MISSING if spec.name == "50hz"]
    smaller = [spec for spec in FOCALCODEC if spec.name == "25hz"]
    assert why([*smaller, *CODEC2], {}, lacking=better) == "25hz: FocalCodec, the highest rate here"
    assert why(CODEC2, {}, lacking=[quality("opus", 99, 100, "pip install opus")]) == (
        "c2-3200: the highest rate here"
    )


def test_a_model_that_arrives_meanwhile_is_not_asked_for() -> None:
    assert why(CODEC2, {}, lacking=FOCALCODEC) == "c2-3200: the highest rate here"


def test_who_refuses_the_better_kind_is_named() -> None:
    room = Limits("message", 65_535, codecs=frozenset({20, 224}))
    every = [*FOCALCODEC, *CODEC2, *LOCAL]
    assert why(every, {"room": room, "udp": UDP}) == (
        "c2-1300: the highest rate that room takes; room takes no FocalCodec"
    )
    one, other = (Limits("message", 65_535, codecs=frozenset({id, 20})) for id in (1, 2))
    assert why(every, {"a": one, "b": other}).endswith("; a and b together take no FocalCodec")
    own = Limits("message", 65_535, codecs=frozenset({224}))
    assert why([*CODEC2, *LOCAL], {"room": own}) == (
        "50hz-local: the highest rate here; room takes no other; only who has the same decoder "
        "hears it"
    )


@given(
    seconds=st.floats(0.02, 3600),
    have=st.sets(st.sampled_from(range(len(FOCALCODEC + LOCAL + CODEC2))), min_size=1),
    links=st.lists(
        st.builds(
            Radio,
            st.just("datagram"),
            st.just(231),
            duty=st.sampled_from([0.001, 0.01, 0.1, 1.0]),
            codecs=st.none() | st.frozensets(st.sampled_from([1, 2, 3, 16, 20, 22, 224, 225])),
        ),
        max_size=3,
    ),
)
def test_every_choice_has_a_reason_in_one_line(
    seconds: float, have: set[int], links: list[Radio]
) -> None:
    available = [(FOCALCODEC + LOCAL + CODEC2)[index] for index in sorted(have)]
    if focal_choose_codec(available, links, seconds) is not None:
        said = why(available, {f"link{n}": link for n, link in enumerate(links)}, seconds, MISSING)
        assert "rate" in said and "\n" not in said
