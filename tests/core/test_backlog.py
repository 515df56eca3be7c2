"""What waits for a radio is known without being looked through again."""

from __future__ import annotations

from focal.core.backlog import Backlog
from focal.core.changed import Mark
from focal.core.leg import Weight, Weights
from focal.core.message import MessageId

MARK = Mark(1, 1)


def weight(
    sequence: int, *, after: float = 0.0, wants: bool = False, priority: int = 0, length: int = 100
) -> Weight:
    return Weight(
        id=MessageId(7, sequence),
        length=length,
        head=b"",
        to=None,
        priority=priority,
        queued_at=float(sequence),
        expires_at=1e9,
        after=after,
        begun=False,
        agreed=False,
        wants_destination=wants,
        parity=None,
    )


def everything(*waiting: Weight) -> Weights:
    return Weights(MARK, True, waiting)


def changed(*waiting: Weight, gone: tuple[int, ...] = ()) -> Weights:
    return Weights(MARK, False, waiting, tuple(MessageId(7, number) for number in gone))


def sequences(weights: list[Weight]) -> list[int]:
    return [weight.id.sequence for weight in weights]


def test_only_what_is_new_or_changed_is_given_on() -> None:
    backlog = Backlog()
    assert sequences(backlog.take(everything(weight(1), weight(2)))) == [1, 2]
    assert sequences(backlog.take(everything(weight(1), weight(2), weight(3)))) == [3]
    assert sequences(backlog.take(changed(weight(1, length=50)))) == [1]
    assert len(backlog) == 3


def test_what_is_gone_is_named() -> None:
    backlog = Backlog()
    backlog.take(everything(weight(1), weight(2), weight(3)))
    backlog.take(changed(gone=(2, 9)))
    assert MessageId(7, 2) in backlog.gone
    backlog.take(everything(weight(3)))
    assert backlog.gone == [MessageId(7, 1)]
    assert len(backlog) == 1


def test_what_is_for_later_is_given_on_when_it_is_due_unless_it_is_gone() -> None:
    backlog = Backlog()
    later = weight(1, after=50.0), weight(2, after=40.0), weight(3, after=40.0)
    assert backlog.take(everything(*later)) == []
    assert backlog.next_due() == 40.0
    assert backlog.due(39.0) == []
    backlog.take(changed(weight(2, after=60.0), gone=(3,)))
    assert sequences(backlog.due(55.0)) == [1]
    assert backlog.next_due() == 60.0
    assert sequences(backlog.due(60.0)) == [2]
    assert backlog.next_due() is None


def test_who_wants_a_destination_is_in_sending_order_until_it_has_one() -> None:
    backlog = Backlog()
    wanting = [weight(n, wants=True, priority=n == 3) for n in (2, 1, 3)]
    assert backlog.take(everything(*wanting)) == []
    assert sequences(backlog.asking(2)) == [3, 1]
    assert sequences(backlog.take(changed(weight(3)))) == [3]
    assert sequences(backlog.asking(2)) == [1, 2]
    backlog.forget()
    assert backlog.asking(2) == []
    assert backlog.mark is None
