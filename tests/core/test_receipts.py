"""Receipts: any message is one or is refused, and the same is always said in the same bytes."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import FrameError
from focal.core.message import Event, Kind, Message, MessageId, Receipt
from focal.core.receipts import receipt_for

from .outside import ids, messages, numbers, refuses_or_reads

events = st.sampled_from(Event)
almost = st.builds(Message, ids, st.just(Kind.RECEIPT), st.binary(max_size=8), destination=numbers)


@given(messages, events, numbers, st.floats(0, 4e9))
def test_a_receipt_says_what_happened_to_which_message(
    message: Message, event: Event, origin: int, at: float
) -> None:
    receipt = Message.from_bytes(receipt_for(message, event, origin, at).to_bytes())
    assert Receipt.read(receipt) == Receipt(message.id, event)
    assert (receipt.id.origin, receipt.destination) == (origin, message.id.origin)
    assert receipt.sent_at == int(at)


@given(messages, events, numbers)
def test_the_same_receipt_made_again_has_the_same_id(
    message: Message, event: Event, origin: int
) -> None:
    first, again = (receipt_for(message, event, origin, at) for at in (1.0, 2.0))
    assert first.id == again.id


@given(messages, numbers)
def test_different_events_have_different_ids(message: Message, origin: int) -> None:
    assert len({receipt_for(message, event, origin, 0).id for event in Event}) == len(Event)


@given(messages | almost)
def test_any_message_is_a_receipt_or_refused(message: Message) -> None:
    receipt = refuses_or_reads(lambda _: Receipt.read(message), b"")
    if receipt is not None:
        assert cast("Receipt", receipt).payload() == message.payload


@pytest.mark.parametrize(
    ("kind", "payload", "destination", "said"),
    [
        (Kind.TEXT, b"\x01\0\0\0\1", 5, "not a receipt"),
        (Kind.RECEIPT, b"\x01\0\0\0\1", None, "without a destination"),
        (Kind.RECEIPT, b"\x01\0\0\1", 5, "a receipt of 4 bytes"),
        (Kind.RECEIPT, b"\x00\0\0\0\1", 5, "event 0 is of a later version"),
        (Kind.RECEIPT, b"\x06\0\0\0\1", 5, "event 6 is of a later version"),
    ],
)
def test_what_is_no_receipt_is_said_in_a_line(
    kind: Kind, payload: bytes, destination: int | None, said: str
) -> None:
    with pytest.raises(FrameError, match=said):
        Receipt.read(Message(MessageId(1, 1), kind, payload, destination=destination))
