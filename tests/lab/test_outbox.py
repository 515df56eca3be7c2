"""What waits for a client waits in order, and no more of it than in a node."""

from __future__ import annotations

from focal.lab.outbox import ANSWERS, NOTICES, PACKETS, TEXT, Outbox


def all_of(outbox: Outbox) -> list[bytes]:
    return list(iter(outbox.next, None))


def test_nothing_is_told_before_a_client_has_asked() -> None:
    outbox = Outbox()
    outbox.packet(b"packet", 256)
    assert not outbox and not outbox.asked and outbox.next() is None
    outbox.begin([b"config"])
    assert outbox and outbox.asked and all_of(outbox) == [b"config", b"packet"]
    assert not outbox


def test_what_was_asked_for_comes_first_then_answers_notices_and_packets() -> None:
    outbox = Outbox()
    outbox.begin([b"1", b"2"])
    outbox.packet(b"5", 256)
    outbox.notice(b"4")
    outbox.answer(b"3")
    assert all_of(outbox) == [b"1", b"2", b"3", b"4", b"5"]


def test_only_the_latest_answers_and_notices_are_kept() -> None:
    outbox = Outbox()
    outbox.begin([])
    for number in range(10):
        outbox.answer(b"%d" % number)
        outbox.notice(b"n%d" % number)
    told = all_of(outbox)
    assert told == [b"8", b"9", b"n6", b"n7", b"n8", b"n9"]
    assert len(told) == ANSWERS + NOTICES


def test_a_packet_too_many_is_dropped_and_text_pushes_the_oldest_out() -> None:
    outbox = Outbox()
    assert all(outbox.packet(b"%d" % number, 256) for number in range(PACKETS))
    assert not outbox.packet(b"late", 256)
    assert outbox.packet(b"text", TEXT)
    outbox.begin([])
    told = all_of(outbox)
    assert told[0] == b"1" and told[-1] == b"text" and len(told) == PACKETS


def test_packets_outlive_a_client_but_no_restart() -> None:
    outbox = Outbox()
    outbox.begin([b"config"])
    outbox.answer(b"answer")
    outbox.packet(b"packet", 256)
    outbox.end()
    assert outbox.packets == 1
    outbox.begin([])
    assert all_of(outbox) == [b"packet"]
    outbox.packet(b"packet", 256)
    outbox.forget()
    outbox.begin([])
    assert all_of(outbox) == []
