"""The simulated mesh: who may speak, who hears what, and what the firmware's rules make of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focal.transports.lora.channel import (
    EVERYONE,
    QUEUE,
    ROUTING,
    TRIES,
    Channel,
    Delivered,
    Gone,
    Happening,
    Hearing,
    MeshPacket,
    Priority,
    Refused,
    Relayed,
    Result,
    Role,
    Station,
    Unacknowledged,
)
from focal.transports.lora.loss import Bursty, Independent, Loss
from focal.transports.lora.plan import Air, air
from focal.transports.lora.usage import Bins

T = TypeVar("T")

LONG_FAST = air("US", "LONG_FAST")
SHORT_FAST = air("US", "SHORT_FAST")


def mesh(
    *pairs: tuple[int, int],
    costs: Air = LONG_FAST,
    seed: int = 1,
    roles: dict[int, Role] | None = None,
    duty: float | None = None,
    capture_db: float | None = None,
    snr: dict[tuple[int, int], float] | None = None,
) -> Channel:
    """Return a mesh of these pairs, each of which hears the other."""
    channel = Channel(costs, seed=seed, capture_db=capture_db)
    for number in sorted({number for pair in pairs for number in pair}):
        role = (roles or {}).get(number, Role.CLIENT)
        channel.join(Station(number, role, duty))
    for a, b in pairs:
        for speaker, hearer in ((a, b), (b, a)):
            channel.connect(speaker, hearer, Hearing((snr or {}).get((speaker, hearer), 6.0)))
    return channel


def run(channel: Channel, until: float = float("inf")) -> list[Happening]:
    happened: list[Happening] = []
    while (at := channel.next_event()) is not None and at <= until:
        happened += channel.run(at)
    return happened


def only(kind: type[T], happened: Iterable[Happening]) -> list[T]:
    return [one for one in happened if isinstance(one, kind)]


def packet(
    sender: int,
    id: int,
    size: int = 100,
    *,
    to: int = EVERYONE,
    hop_limit: int = 0,
    want_ack: bool = False,
    priority: int = Priority.DEFAULT,
) -> MeshPacket:
    return MeshPacket(
        sender, id, bytes(size), to, hop_limit=hop_limit, want_ack=want_ack, priority=priority
    )


def test_a_packet_takes_its_slots_and_its_airtime() -> None:
    channel = mesh((1, 2))
    assert channel.hand(1, packet(1, 7, 200), 10.0).result is Result.QUEUED
    (gone, delivered) = run(channel)
    assert isinstance(gone, Gone) and isinstance(delivered, Delivered)
    assert gone.seconds == pytest.approx(LONG_FAST.airtime(200))
    assert 10.0 <= gone.at - gone.seconds <= 10.0 + 7 * LONG_FAST.slot + 1e-9
    assert (delivered.node, delivered.packet.id, delivered.at) == (2, 7, gone.at)


def test_an_acknowledgement_has_the_firmware_s_29_bytes() -> None:
    assert MeshPacket(1, 2, b"\x18\0", to=3, port=ROUTING, request=9).length == 29


def test_who_does_not_hear_gets_nothing() -> None:
    channel = mesh((1, 2), (3, 4))
    channel.hand(1, packet(1, 7), 0.0)
    assert [one.node for one in only(Delivered, run(channel))] == [2]


def test_hearing_may_be_one_way() -> None:
    channel = mesh((1, 2))
    channel.part(2, 1)
    channel.hand(1, packet(1, 7), 0.0)
    channel.hand(2, packet(2, 8), 10.0)
    assert [one.node for one in only(Delivered, run(channel))] == [2]


def test_those_who_hear_each_other_wait_for_each_other() -> None:
    arrived = 0
    for seed in range(40):
        channel = mesh((1, 2), (1, 3), (2, 3), seed=seed)
        channel.hand(1, packet(1, 7, 200), 0.0)
        run(channel, 0.5)
        channel.hand(2, packet(2, 8, 200), 0.5)
        happened = run(channel)
        first, second = only(Gone, happened)
        assert second.at - second.seconds >= first.at
        arrived += len(only(Delivered, happened))
    assert arrived == 40 * 4


def test_hidden_nodes_collide_at_whom_both_reach() -> None:
    channel = mesh((1, 2), (3, 2))
    channel.hand(1, packet(1, 7, 200), 0.0)
    channel.hand(3, packet(3, 8, 200), 0.5)
    happened = run(channel)
    assert len(only(Gone, happened)) == 2
    assert not only(Delivered, happened)


def test_the_stronger_of_two_is_heard_where_that_is_simulated() -> None:
    strong = {(1, 2): 9.0, (3, 2): 0.0}
    for capture, heard in ((6.0, [1]), (None, list[int]())):
        channel = mesh((1, 2), (3, 2), snr=strong, capture_db=capture)
        channel.hand(1, packet(1, 7, 200), 0.0)
        channel.hand(3, packet(3, 8, 200), 0.5)
        assert [one.packet.sender for one in only(Delivered, run(channel))] == heard


def test_two_who_draw_the_same_slot_are_both_lost_and_hear_nothing() -> None:
    lost = 0
    for seed in range(200):
        channel = mesh((1, 2), seed=seed)
        channel.hand(1, packet(1, 7), 0.0)
        channel.hand(2, packet(2, 8), 0.0)
        lost += not only(Delivered, run(channel))
    assert 10 <= lost <= 45  # one in eight


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_a_packet_goes_as_far_as_its_hop_limit(hops: int) -> None:
    channel = mesh(*((n, n + 1) for n in range(1, 6)))
    channel.hand(1, packet(1, 7, hop_limit=hops), 0.0)
    delivered = only(Delivered, run(channel))
    assert [one.node for one in delivered] == list(range(2, 3 + hops))
    assert [one.packet.hop_start - one.packet.hop_limit for one in delivered] == list(
        range(hops + 1)
    )


def test_a_relay_waits_its_offset_and_sends_each_packet_once() -> None:
    channel = mesh((1, 2), (2, 3), (1, 3))
    channel.hand(1, packet(1, 7, hop_limit=3), 0.0)
    happened = run(channel)
    sent = only(Gone, happened)
    assert sorted(one.node for one in sent) == [1, 2]  # 3 heard 2 relay it, or the other way round
    assert sent[1].at - sent[1].seconds - sent[0].at >= 16 * LONG_FAST.slot
    assert sorted(one.node for one in only(Delivered, happened)) == [2, 3]


def test_mute_nodes_relay_nothing_and_routers_first() -> None:
    pairs = (1, 2), (2, 4), (1, 3), (3, 4)
    mute = mesh(*pairs, roles={2: Role.CLIENT_MUTE, 3: Role.CLIENT_MUTE})
    mute.hand(1, packet(1, 7, hop_limit=3), 0.0)
    assert len(only(Gone, run(mute))) == 1
    router = mesh(*pairs, roles={3: Role.ROUTER})
    router.hand(1, packet(1, 7, hop_limit=1), 0.0)
    assert only(Gone, run(router))[1].node == 3


def test_the_queue_holds_sixteen_and_tells() -> None:
    channel = mesh((1, 2))
    free = [channel.hand(1, packet(1, id), 0.0).free for id in range(1, QUEUE + 1)]
    assert free == list(range(QUEUE - 1, -1, -1))
    full = channel.hand(1, packet(1, 99), 0.0)
    assert (full.result, full.free) == (Result.QUEUE_FULL, 0)
    assert len(only(Delivered, run(channel))) == QUEUE


def test_a_full_queue_gives_way_to_what_is_more_important() -> None:
    channel = mesh((1, 2))
    for id in range(1, QUEUE + 1):
        channel.hand(1, packet(1, id), 0.0)
    assert channel.hand(1, packet(1, 99, priority=120), 0.0).result is Result.QUEUED
    happened = run(channel)
    assert [one.packet.id for one in only(Refused, happened)] == [QUEUE]
    assert only(Delivered, happened)[0].packet.id == 99


def test_what_is_too_long_is_refused() -> None:
    channel = mesh((1, 2))
    assert channel.hand(1, packet(1, 1, 232), 0.0).result is Result.TOO_LARGE
    assert channel.hand(1, packet(1, 2, 231), 0.0).result is Result.QUEUED


def test_the_duty_cycle_refuses_at_hand_over_and_forgets_after_an_hour() -> None:
    channel = mesh((1, 2), duty=0.001)  # 3.6 s
    results: list[Result] = []
    for id in range(1, 5):
        results.append(channel.hand(1, packet(1, id, 200), 10.0 * id).result)
        run(channel, 10.0 * id + 9)
    assert results == [Result.QUEUED] * 2 + [Result.DUTY_CYCLE] * 2
    assert channel.used(1, 50.0) == pytest.approx(2 * LONG_FAST.airtime(200) / 3600)
    assert channel.hand(1, packet(1, 9, 200), 3601.0).result is Result.QUEUED


def test_channel_use_counts_what_is_sent_and_heard_in_a_minute() -> None:
    channel = mesh((1, 2))
    channel.hand(1, packet(1, 7, 200), 0.0)
    run(channel)
    assert channel.busy(1, 5.0) == channel.busy(2, 5.0)
    assert channel.busy(1, 5.0) == pytest.approx(LONG_FAST.airtime(200) / 60)
    assert channel.busy(2, 65.0) == 0


def test_a_direct_packet_is_acknowledged() -> None:
    channel = mesh((1, 2))
    channel.hand(1, packet(1, 7, to=2, want_ack=True), 0.0)
    first, ack = only(Delivered, run(channel))
    assert (first.node, first.packet.hop_limit) == (2, 3)  # the firmware's default
    assert (ack.node, ack.packet.port, ack.packet.request, ack.packet.sender) == (1, ROUTING, 7, 2)


def test_what_nobody_acknowledges_is_sent_three_times() -> None:
    channel = mesh((1, 2), costs=SHORT_FAST)
    channel.hand(1, packet(1, 7, 231, to=99, want_ack=True), 0.0)
    happened = run(channel)
    sent = [one.at for one in only(Gone, happened) if one.node == 1]
    assert len(sent) == TRIES
    assert all(5.0 < b - a < 5.7 for a, b in pairwise(sent))
    assert [one.packet.id for one in only(Unacknowledged, happened)] == [7]


def test_a_relay_of_what_is_for_everyone_acknowledges_it() -> None:
    channel = mesh((1, 2))
    channel.hand(1, packet(1, 7, to=EVERYONE, want_ack=True, hop_limit=1), 0.0)
    happened = run(channel)
    assert [one.node for one in only(Relayed, happened)] == [1]
    assert not only(Unacknowledged, happened)


def test_a_lost_acknowledgement_is_said_again_and_the_packet_delivered_once() -> None:
    channel = mesh((1, 2), roles={2: Role.CLIENT_MUTE})
    channel.connect(2, 1, Hearing(loss=_First(2)))
    channel.hand(1, packet(1, 7, to=2, want_ack=True), 0.0)
    happened = run(channel)
    assert [one.node for one in only(Delivered, happened)] == [2, 1]
    assert not only(Unacknowledged, happened)


class _First:
    """Loses the first frames."""

    def __init__(self, frames: int) -> None:
        self.left = frames

    def lost(self, now: float, draw: Random, /) -> bool:
        self.left -= 1
        return self.left >= 0


def test_a_node_that_is_reset_forgets_and_is_heard_again() -> None:
    channel = mesh((1, 2))
    for id in range(1, 4):
        channel.hand(1, packet(1, id, 200), 0.0)
    run(channel, 1.0)
    channel.join(Station(1))
    assert channel.free(1) == QUEUE
    assert not only(Delivered, run(channel))
    channel.hand(1, packet(1, 9), 20.0)
    assert [one.packet.id for one in only(Delivered, run(channel))] == [9]
    channel.leave(2)
    channel.hand(1, packet(1, 10), 40.0)
    assert not only(Delivered, run(channel))


@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.tuples(st.integers(1, 4), st.floats(0, 30)), max_size=25))
def test_the_same_seed_gives_the_same_run_and_nobody_speaks_twice_at_once(
    seed: int, said: list[tuple[int, float]]
) -> None:
    runs: list[list[Happening]] = []
    for _ in range(2):
        channel = mesh((1, 2), (2, 3), (3, 4), seed=seed)
        happened: list[Happening] = []
        for id, (node, at) in enumerate(sorted(said, key=lambda one: one[1]), 1):
            happened += run(channel, at)
            channel.hand(node, packet(node, id, hop_limit=2), at)
        runs.append(happened + run(channel))
    assert runs[0] == runs[1]
    for node in range(1, 5):
        spans = [(one.at - one.seconds, one.at) for one in only(Gone, runs[0]) if one.node == node]
        assert all(b[0] >= a[1] for a, b in pairwise(spans))


@pytest.mark.parametrize("loss", [Independent(0.3), Bursty(0.3, 5.0)])
def test_a_path_loses_its_share(loss: Loss) -> None:
    draw = Random(4)
    lost = [loss.lost(2.0 * n, draw) for n in range(20_000)]
    assert 0.28 < sum(lost) / len(lost) < 0.32


def test_losses_come_in_bursts_where_they_do() -> None:
    def in_a_row(loss: Loss) -> float:
        draw = Random(4)
        lost = [loss.lost(2.0 * n, draw) for n in range(20_000)]
        both = sum(a and b for a, b in pairwise(lost))
        return both / sum(lost)

    assert in_a_row(Bursty(0.3, 5.0)) > 0.6 > 0.35 > in_a_row(Independent(0.3))


def test_bins_forget_whole_bins() -> None:
    bins = Bins(6, 10.0)
    bins.add(5.0, 3.0)
    bins.add(55.0, 3.0)
    assert bins.share(59.0) == pytest.approx(0.1)
    assert bins.share(61.0) == pytest.approx(0.05)
    assert bins.share(200.0) == 0
