"""Receipts: messages that say what happened to another message.

The law of this module: the same origin saying the same of a message makes the same id, so a
receipt that is made again after a crash is the same receipt.
"""

from __future__ import annotations

from hashlib import blake2b

from .message import Event, Kind, Message, MessageId, Receipt

RECEIPT_LIFETIME = 86_400


def receipt_for(message: Message, event: Event, origin: int, at: float) -> Message:
    """Return the receipt by which ``origin`` says that ``event`` happened to ``message``.

    Its destination is the message's origin.
    """
    return Message(
        receipt_id(message.id, event, origin),
        Kind.RECEIPT,
        Receipt(message.id, event).payload(),
        sent_at=int(at),
        lifetime=RECEIPT_LIFETIME,
        destination=message.id.origin,
    )


def receipt_id(of: MessageId, event: Event, origin: int) -> MessageId:
    """Return the id of the receipt by which ``origin`` says that ``event`` happened to a message.

    Its sequence is the first four bytes of BLAKE2b over our origin, the message's id and the event
    (docs/wire.md, Receipt).
    """
    numbers = (origin, of.origin, of.sequence, event)
    said = b"".join(number.to_bytes(4, "big") for number in numbers)
    return MessageId(origin, int.from_bytes(blake2b(said).digest()[:4], "big"))
