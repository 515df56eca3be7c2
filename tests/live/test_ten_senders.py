"""Ten processes of one home speak at once, on a link that an eleventh one has open."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from focal.core.message import Message
from tests.deadline import Deadline
from tests.live.pair import Pair, free_ports, udp

SENDERS, EACH = 10, 100

SENDER = """
import asyncio, sys
from pathlib import Path
from focal.app import App
from focal.sending import Order, send

home, link, name, count = sys.argv[1:]
for number in range(int(count)):
    app = App.start(Path(home), {}, via=(link,), wait="queued")
    quiet = (lambda _: None,) * 3
    asyncio.run(send(app, Order(text=f"{name}/{number}"), *quiet))
print("all queued")
"""


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    a, b = free_ports(2)
    return Pair(tmp_path, [udp(b, a)], [udp(a, b)], Deadline(180))


def test_ten_processes_of_a_home_send_a_thousand_messages_once_each(pair: Pair) -> None:
    pair.a.mkdir()
    with pair.listening() as listener, pair.owning() as owner:
        owner.line("listening on", "err")
        with ExitStack() as stack:
            senders = [
                stack.enter_context(pair.running(_sender(pair, f"s{n}"))) for n in range(SENDERS)
            ]
            for sender in senders:
                assert sender.wait() == 0, sender.story()
                assert sender.err == [], sender.story()  # no word of a lock, or of anything
        pair.deadline.until("everything has arrived", pair.at_rest)
        pair.ends(owner)
        pair.ends(listener)
    texts = sorted(Message.from_bytes(entry.message).payload.decode() for entry in pair.held())
    assert texts == sorted(f"s{n}/{number}" for n in range(SENDERS) for number in range(EACH))


def _sender(pair: Pair, name: str) -> list[str]:
    return [sys.executable, "-c", SENDER, str(pair.a), pair.near[0], name, str(EACH)]
