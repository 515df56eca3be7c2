"""Messages on their way to a sink, for tests."""

from __future__ import annotations

import numpy as np

from focal.core.audio import Clip
from focal.core.message import Kind, Message, MessageId
from focal.core.ports import Delivery

AT = 1_799_999_999  # 2027-01-15 07:59:59 UTC


def sound(seconds: float = 0.5, rate: int = 8000) -> Clip:
    """Return a ramp from almost -1 to almost 1."""
    return Clip(np.linspace(-0.99, 0.99, round(seconds * rate), dtype=np.float32), rate)


def voice(
    number: int = 1,
    *,
    clip: Clip | None = None,
    sender: str | None = "Ana",
    sent_at: int = AT,
    received_at: float = AT + 60.5,
    clock_trusted: bool = True,
    replayed: bool = False,
    twin: int = 0,
) -> Delivery:
    """Return a voice message with its sound."""
    clip = clip or sound()
    message = Message(
        MessageId(0x1A2B3C4D, number),
        Kind.VOICE,
        b"\x01\xff payload",
        codec=20,
        sent_at=sent_at,
        sender=sender,
        clock_trusted=clock_trusted,
    )
    return Delivery(
        message, clip, "c2-1300", clip.seconds, "hill", "!99", received_at, replayed, twin
    )


def text(words: bytes = "Grüße, 4°".encode(), number: int = 7) -> Delivery:
    """Return a text message."""
    message = Message(MessageId(0x1A2B3C4D, number), Kind.TEXT, words, sent_at=AT, sender="Ana")
    return Delivery(message, None, None, 0, "hill", None, AT + 60.5)


def undecoded(kind: Kind = Kind.VOICE) -> Delivery:
    """Return a message that nothing here turns into sound."""
    message = Message(MessageId(0x1A2B3C4D, 9), kind, b"bytes", codec=240 if not kind else 0)
    return Delivery(message, None, None, 1.0 if not kind else 0, "hill", None, AT + 60.5)
