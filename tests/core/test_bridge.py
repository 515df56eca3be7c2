"""The rules of a bridge: what goes on to which link, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.bridge import (
    FRESH,
    LONGEST,
    Decision,
    Gate,
    Known,
    Passing,
    Rate,
    Router,
    Sight,
)
from focal.core.envelope import MAX_HOPS
from focal.core.message import Kind, Message, MessageId

ORIGIN, AUTHOR, OTHER = 7, 8, 9
NOW = 1_800_000_000.0
LINKS = ("lora:a", "mqtt:b", "udp:c")
NAMES = {"lora:a": "hill", "mqtt:b": "room", "udp:c": "hall"}


def gate(link: str = "mqtt:b", sources: Sequence[str] = LINKS, **rules: object) -> Gate:
    return Gate(link, NAMES[link], frozenset(sources), **rules)  # type: ignore[arg-type]


def text(to: int | None = None, **fields: object) -> Message:
    made: dict[str, object] = {"sent_at": int(NOW), "lifetime": 3600, "destination": to, **fields}
    return Message(MessageId(AUTHOR, 1), Kind.TEXT, b"hello", **made)  # type: ignore[arg-type]


def voice(codec: int) -> Message:
    return replace(text(), kind=Kind.VOICE, codec=codec)


def passing(message: Message | None = None, **how: object) -> Passing:
    message = message or text()
    made: dict[str, object] = {"source": "lora:a", "hops": 0, "at": NOW, **how}
    return Passing(message, len(message.to_bytes()), **made)  # type: ignore[arg-type]


def decide(what: Passing, *gates: Gate, known: Known | None = None) -> list[Decision]:
    return Router(ORIGIN, gates or everything(), NAMES).decide(what, known or Known())


def everything() -> list[Gate]:
    return [gate(link) for link in LINKS]


def goes_to(decisions: Sequence[Decision]) -> set[str]:
    return {one.gate.link for one in decisions if one.why_not is None}


# Where a message goes


def test_what_is_for_everyone_goes_everywhere_else() -> None:
    assert goes_to(decide(passing())) == {"mqtt:b", "udp:c"}


def test_what_is_for_one_node_goes_where_it_was_heard() -> None:
    known = Known({"udp:c": Sight(NOW - 60, NOW - 60)})
    decisions = decide(passing(text(OTHER)), known=known)
    assert goes_to(decisions) == {"udp:c"}
    assert "heard elsewhere" in (decisions[0].why_not or "")


def test_what_is_for_one_node_that_nobody_heard_goes_everywhere() -> None:
    long_ago = Known({"udp:c": Sight(NOW - FRESH, NOW - FRESH)})
    for known in (Known(), long_ago):
        assert goes_to(decide(passing(text(OTHER)), known=known)) == {"mqtt:b", "udp:c"}


def test_where_a_node_was_heard_itself_counts_before_where_a_bridge_spoke_for_it() -> None:
    known = Known({"udp:c": Sight(NOW - 1, None), "mqtt:b": Sight(NOW - 60, NOW - 60)})
    assert goes_to(decide(passing(text(OTHER)), known=known)) == {"mqtt:b"}


def test_where_a_node_was_once_and_only_a_bridge_speaks_for_it_now_does_not_count_as_near() -> None:
    moved = Known({"lora:a": Sight(NOW - 1, NOW - FRESH), "udp:c": Sight(NOW - 60, NOW - 60)})
    assert goes_to(decide(passing(text(OTHER)), known=moved)) == {"udp:c"}


def test_what_is_for_a_node_that_is_heard_where_it_came_from_goes_nowhere() -> None:
    known = Known({"lora:a": Sight(NOW - 60, NOW - 60)})
    decisions = decide(passing(text(OTHER)), known=known)
    assert not goes_to(decisions)
    assert {one.why_not for one in decisions} == {
        "the node that it is for is heard where it came from"
    }


def test_what_is_for_a_node_that_bridges_speak_for_on_both_sides_goes_on() -> None:
    both = {"lora:a": Sight(NOW - 1), "udp:c": Sight(NOW - 60)}  # as in a ring
    assert goes_to(decide(passing(text(OTHER)), known=Known(both))) == {"udp:c"}
    here = {"lora:a": Sight(NOW - 1)}
    assert not goes_to(decide(passing(text(OTHER)), known=Known(here)))


def test_a_receipt_goes_the_way_back_whatever_may_cross_there() -> None:
    receipt = passing(replace(text(OTHER), kind=Kind.RECEIPT), source="mqtt:b")
    closed = gate("lora:a", kinds=frozenset([Kind.VOICE]))
    assert goes_to(decide(receipt, closed, known=Known(back="lora:a"))) == {"lora:a"}


def test_a_receipt_goes_back_also_where_nothing_leads() -> None:
    receipt = passing(replace(text(OTHER), kind=Kind.RECEIPT), source="mqtt:b")
    assert goes_to(decide(receipt, gate("mqtt:b"), known=Known(back="lora:a"))) == {"lora:a"}


def test_a_receipt_does_not_go_back_twice_where_airtime_is_dear_nor_to_where_it_came_from() -> None:
    receipt = passing(replace(text(OTHER), kind=Kind.RECEIPT))
    spent = Known(back="udp:c", spent=frozenset(["udp:c"]))
    assert "airtime is dear" in (decide(receipt, known=spent)[0].why_not or "")
    assert "came by the link" in (decide(receipt, known=Known(back="lora:a"))[0].why_not or "")


def test_a_receipt_whose_way_back_is_gone_goes_where_its_author_was_heard() -> None:
    receipt = passing(replace(text(OTHER), kind=Kind.RECEIPT))
    known = Known({"udp:c": Sight(NOW, NOW)}, back="lora:was-here-last-year")
    assert goes_to(decide(receipt, known=known)) == {"udp:c"}


# What goes nowhere


def test_what_has_outlived_its_lifetime_goes_nowhere() -> None:
    old = replace(text(), sent_at=int(NOW) - 3600)
    assert not goes_to(decide(passing(old)))


def test_what_a_folder_kept_has_its_lifetime_before_it() -> None:
    old = replace(text(), sent_at=int(NOW) - 365 * 86_400)
    kept = passing(old, keeps=True)
    assert goes_to(decide(kept)) == {"mqtt:b", "udp:c"}
    assert kept.expires_at == NOW + 3600


def test_what_is_its_own_goes_nowhere() -> None:
    own = replace(text(), id=MessageId(ORIGIN, 1))
    assert not goes_to(decide(passing(own)))


# What a gate lets pass


@pytest.mark.parametrize(
    ("named", "message", "why"),
    [
        (gate(kinds=frozenset([Kind.VOICE])), text(), "text is not named"),
        (gate(codecs=frozenset([3])), voice(16), "codec 16 is not named"),
        (gate(codecs=frozenset([16])), voice(16), None),
        (gate(codecs=frozenset([16])), text(), None),
        (gate(senders=frozenset([OTHER])), text(), "sender ~00000008 is not named"),
        (gate(senders=frozenset([AUTHOR])), text(), None),
        (gate(senders=frozenset(["Anna"])), text(sender="Anna"), None),
        (gate(senders=frozenset(["Anna"])), text(), "sender ~00000008 is not named"),
        (gate(size=20), text(), "26 bytes, and at most 20 may cross"),
        (gate(size=26), text(), None),
        (gate(public=True), text(), "the link is public, and nothing is named that may cross"),
        (gate(public=True, kinds=frozenset([Kind.TEXT])), text(), None),
        (gate(public=True, codecs=frozenset([16])), voice(16), None),
        (gate(public=True, senders=frozenset([AUTHOR])), text(), None),
        (gate(public=True, size=500), text(), "the link is public"),
    ],
)
def test_a_gate_lets_pass_what_it_names(named: Gate, message: Message, why: str | None) -> None:
    (decision,) = decide(passing(message), named)
    if why is None:
        assert decision.why_not is None
    else:
        assert decision.why_not is not None
        assert decision.why_not.startswith(why)


def test_the_first_gate_that_lets_it_pass_counts() -> None:
    voices = gate(kinds=frozenset([Kind.VOICE]), priority=1)
    texts = gate(kinds=frozenset([Kind.TEXT]), priority=2)
    all = gate(priority=3)
    assert decide(passing(), voices, texts, all) == [Decision(texts)]
    assert decide(passing(), all, texts) == [Decision(all)]


def test_where_no_gate_lets_it_pass_the_first_one_says_why() -> None:
    voices = gate(kinds=frozenset([Kind.VOICE]))
    small = gate(size=3)
    (decision,) = decide(passing(), voices, small)
    assert (decision.gate, decision.why_not) == (voices, "text is not named")


def test_a_gate_is_for_the_links_that_it_leads_from() -> None:
    assert decide(passing(), gate(sources=["udp:c"])) == []


def test_what_is_closed_is_no_way_that_others_could_be_delayed_on() -> None:
    router = Router(ORIGIN, [gate("mqtt:b", public=True), gate("udp:c")], NAMES)
    assert router.others("lora:a") == {"udp:c"}


@pytest.mark.parametrize(("messages", "seconds"), [(0, 1.0), (5, 0.0), (5, LONGEST + 1)])
def test_a_rate_that_cannot_be_kept_is_refused(messages: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="a rate is"):
        Rate(messages, seconds)


# Whatever comes

links = st.sampled_from(LINKS)
origins = st.sampled_from([ORIGIN, AUTHOR, OTHER])
kinds = st.sampled_from([Kind.VOICE, Kind.TEXT, Kind.DATA])
times = st.floats(NOW - 2 * FRESH, NOW + 60)
gates = st.builds(
    Gate,
    links,
    st.just("named"),
    st.frozensets(links),
    kinds=st.none() | st.frozensets(kinds),
    codecs=st.none() | st.frozensets(st.integers(1, 3)),
    senders=st.none() | st.frozensets(origins),
    size=st.none() | st.integers(20, 60),
    public=st.booleans(),
    priority=st.integers(0, 3),
)
messages = st.builds(
    Message,
    st.builds(MessageId, origins, st.integers(0, 3)),
    kinds,
    st.binary(max_size=30),
    codec=st.integers(1, 3),
    sent_at=st.integers(int(NOW) - 7200, int(NOW) + 60),
    lifetime=st.just(3600),
    destination=st.none() | origins,
)
came = st.builds(
    passing,
    messages,
    source=links,
    hops=st.integers(0, MAX_HOPS),
    route=st.lists(origins | st.integers(100, 110), max_size=4).map(tuple),
    keeps=st.booleans(),
)
knowns = st.builds(
    Known,
    st.dictionaries(links, st.builds(Sight, times, st.none() | times), max_size=3),
    st.none() | links,
    st.frozensets(links),
)


@given(st.lists(gates, max_size=6), came, knowns)
def test_whatever_comes_never_goes_back_nor_in_circles(
    gates: list[Gate], passing: Passing, known: Known
) -> None:
    decisions = Router(ORIGIN, gates, NAMES).decide(passing, known)
    links = [one.gate.link for one in decisions]
    assert len(links) == len(set(links))
    going = [one.gate for one in decisions if one.why_not is None]
    for gate in going:
        assert gate.link != passing.source
    if (
        passing.hops >= MAX_HOPS
        or ORIGIN in passing.route
        or passing.message.id.origin == ORIGIN
        or passing.expires_at <= NOW
    ):
        assert not going


@given(st.lists(gates, max_size=6), came)
def test_whatever_goes_on_was_named(gates: list[Gate], passing: Passing) -> None:
    message = passing.message
    for one in Router(ORIGIN, gates, NAMES).decide(passing, Known()):
        gate = one.gate
        leading = [g for g in gates if g.link == gate.link and passing.source in g.sources]
        assert gate in leading
        letting = [g for g in leading if g.why_not(message, passing.size) is None]
        if one.why_not is None:
            assert gate == letting[0]
            assert not gate.closed
            assert gate.kinds is None or message.kind in gate.kinds
            assert gate.senders is None or message.id.origin in gate.senders
            assert gate.size is None or passing.size <= gate.size
        elif letting:
            assert one.why_not not in [g.why_not(message, passing.size) for g in leading]


@given(st.lists(gates, max_size=6), came, knowns)
def test_what_is_for_one_node_never_goes_where_it_is_known_not_to_be(
    gates: list[Gate], passing: Passing, known: Known
) -> None:
    router = Router(ORIGIN, gates, NAMES)
    known = replace(known, back=None)
    fresh = {link for link, sight in known.heard.items() if sight.at > NOW - FRESH}
    near = {
        link
        for link, sight in known.heard.items()
        if sight.near is not None and sight.near > NOW - FRESH
    }
    going = goes_to(router.decide(passing, known))
    if passing.message.destination is not None and (near or fresh):
        assert going <= (near or fresh)
        assert not going or passing.source not in near
