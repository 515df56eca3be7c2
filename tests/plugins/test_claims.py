"""Who gets what two plugins add, whoever is asked first."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from focal.plugins.claims import Claim, Rank, settle


def claim(plugin: str, rank: Rank, *marks: str) -> Claim[None]:
    return Claim(plugin, rank, marks, None)


def claim_of(plugin: str, rank: Rank, marks: list[str]) -> Claim[None]:
    return claim(plugin, rank, *marks)


claims = st.builds(
    claim_of,
    st.sampled_from("abcd"),
    st.sampled_from(Rank),
    st.lists(st.sampled_from("xyz"), min_size=1, max_size=2, unique=True),
)


def test_focals_own_comes_before_the_named_one_and_that_before_others() -> None:
    ours, named = claim("udp", Rank.OURS, "x"), claim("named", Rank.NAMED, "x")
    other, alone = claim("other", Rank.OTHER, "x"), claim("other", Rank.OTHER, "y")
    for order in permutations([ours, named, other, alone]):
        settled = settle(order)
        assert settled.held == [ours, alone]
        assert {lost.plugin: why for lost, why in settled.lost} == {
            "named": "x is focal's own",
            "other": "x is focal's own",
        }
    assert settle([named, other]).lost == [(other, "x belongs to named, which is named for it")]


def test_of_equals_neither_gets_it_and_both_are_named() -> None:
    settled = settle([claim("b", Rank.OTHER, "x"), claim("a", Rank.OTHER, "x", "y")])
    assert not settled.held
    assert {why for _, why in settled.lost} == {"plugins a and b both add x: remove or disable one"}


def test_one_that_loses_takes_nothing_down_with_it() -> None:
    ours = claim("ours", Rank.OURS, "x")
    evil, sound = claim("evil", Rank.OTHER, "x", "y"), claim("sound", Rank.OTHER, "y")
    assert settle([evil, sound, ours]).held == [ours, sound]


def test_one_plugin_may_not_add_a_thing_twice() -> None:
    twice = [claim("a", Rank.NAMED, "x"), claim("a", Rank.NAMED, "x")]
    assert {why for _, why in settle(twice).lost} == {"plugin a adds x twice"}


@given(st.lists(claims, max_size=6))
def test_the_order_means_nothing_and_nothing_is_shared(some: list[Claim[None]]) -> None:
    settled = settle(some)
    assert len(settled.held) + len(settled.lost) == len(some)
    marks = [mark for held in settled.held for mark in held.marks]
    assert len(marks) == len(set(marks))
    shuffled = settle(sorted(some, key=repr))
    assert sorted(map(repr, shuffled.held)) == sorted(map(repr, settled.held))
