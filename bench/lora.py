"""What a voice message takes on a LoRa mesh that loses frames: airtime, time until it is heard.

The mesh is simulated (``transports.lora.channel``), the conversations are real, time is virtual:
the same seed gives the same figures on every machine. Conditions: LONG_FAST (SHORT_FAST where it
says so), a region without a duty limit, one message every 120 s, hop limit 0, no other traffic,
unsigned channel frames, contention of 0 to 7 slots, hosts that take 0.1 to 0.5 s to answer what
they heard, independent loss on every frame for every hearer. Times are from hand-over of the burst
to the node; *played* is when the receiver's host has the message complete (the last of them, where
it is for everyone). Every cell begins with nothing measured: hosts take the loss to be 10 %, as a
node on LoRa does, and learn.

Bytes are of payload. Messages to a peer carry a destination and no name; to everyone, neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from random import Random

from bench._mesh import MTU, Mesh, Said, quantile
from focal.core.framing.split import frames_for
from focal.core.message import Kind, Message, MessageId
from focal.transports.lora.loss import Bursty, Independent, Loss
from focal.transports.lora.plan import air

MESSAGES = 4000
SEED = 2026
EVERY = 120.0
LISTENERS = 8
REGION = "US"  # no duty limit
BAD = 5.0
"""Seconds that a bad time lasts in the mean, on the bursty channel."""

PEER = {
    0.0: (100.0, 6.6, 6.5, 6.7),
    0.1: (99.9, 7.8, 6.6, 10.3),
    0.2: (99.9, 9.3, 9.7, 13.9),
    0.3: (99.8, 11.3, 8.8, 16.5),
}
"""577 bytes to a peer, by loss: confirmed at least, %; at most, in seconds: mean airtime, median
and 90th percentile until played."""

CAST = {0.1: (99.5, 1.85), 0.2: (99.5, 2.25), 0.3: (99.0, 2.75)}
"""To everyone, by loss: all have it at least, %; mean airtime over the blind burst's at most."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a cell gives.

    Args:
        confirmed: share of the messages whose sender knows that somebody has it.
        played: share that all whom it was for have.
        failed: messages that ended as something other than delivered or unknown.
        airtime: seconds in the mean, everybody's frames.
        median: seconds until played.
        tail: seconds until 90 % were played.
        soon: share that was played within 6.6 s.
        confirm_median: seconds until confirmed.
        confirm_longest: seconds until the last one was confirmed.
    """

    confirmed: float
    played: float
    failed: int
    airtime: float
    median: float
    tail: float
    soon: float
    confirm_median: float
    confirm_longest: float

    @classmethod
    def of(cls, messages: list[Said], hearers: int) -> Figures:
        """Sum up a cell, each message of which was for so many."""
        confirmed = [inf if s.confirmed is None else s.confirmed - s.at for s in messages]
        played = [
            max(s.played.values()) - s.at if len(s.played) == hearers else inf for s in messages
        ]
        number = len(messages)
        return cls(
            sum(time < inf for time in confirmed) / number,
            sum(time < inf for time in played) / number,
            sum(s.confirmed is None and not s.unknown for s in messages),
            sum(s.airtime for s in messages) / number,
            quantile(played, 0.5),
            quantile(played, 0.9),
            sum(time <= 6.6 for time in played) / number,
            quantile(confirmed, 0.5),
            max(confirmed),
        )


def to_a_peer(
    size: int, loss: float, messages: int = MESSAGES, *, preset: str = "LONG_FAST",
    bursty: bool = False, seed: int = SEED,
) -> Figures:  # fmt: skip
    """Send messages to one peer, one after the other."""
    mesh = Mesh(air(REGION, preset), seed)
    sender, _ = mesh.add(1), mesh.add(2)
    paths: tuple[Loss, Loss] = Independent(loss), Independent(loss)
    if bursty:
        paths = Bursty(loss, BAD), Bursty(loss, BAD)
    mesh.join(1, 2, *paths)
    return Figures.of([_say(mesh, sender.number, size, 2) for _ in range(messages)], 1)


def to_everyone(
    size: int, loss: float, messages: int = MESSAGES, *, listeners: int = LISTENERS,
    seed: int = SEED,
) -> Figures:  # fmt: skip
    """Send messages to everyone; all hear one another."""
    mesh = Mesh(air(REGION, "LONG_FAST"), seed)
    numbers = range(1, listeners + 2)
    for number in numbers:
        mesh.add(number)
        for other in range(1, number):
            mesh.join(number, other, Independent(loss), Independent(loss))
    return Figures.of([_say(mesh, 1, size, None) for _ in range(messages)], listeners)


def hidden(
    size: int, loss: float, messages: int = MESSAGES, *, apart: float = 10.0, seed: int = SEED
) -> Figures:
    """Let two who do not hear each other send to a third, within ``apart`` seconds of another."""
    mesh = Mesh(air(REGION, "LONG_FAST"), seed)
    for number in (1, 2, 3):
        mesh.add(number)
    for number in (1, 3):
        mesh.join(number, 2, Independent(loss), Independent(loss))
    chance, said = Random(f"{seed} apart"), list[Said]()
    for _ in range(messages // 2):
        until = mesh.now + EVERY
        said.append(_say(mesh, 1, size, 2, pause=chance.uniform(0, apart)))
        said.append(_say(mesh, 3, size, 2, pause=until - mesh.now))
    return Figures.of(said, 1)


def _say(mesh: Mesh, sender: int, size: int, to: int | None, *, pause: float = EVERY) -> Said:
    payload = Random(f"{mesh.seed} {len(mesh.said)}").randbytes(size)
    said = mesh.hosts[sender].say(payload, to)
    mesh.run(mesh.now + pause)
    return said


def blind(size: int) -> float:
    """Return the seconds of air of a message to everyone without parity, repair and confirm."""
    there = air(REGION, "LONG_FAST")
    message = Message(MessageId(1, 1), Kind.VOICE, bytes(size), codec=1).to_bytes()
    return sum(there.airtime(len(frame)) for frame in frames_for(message, MTU))


def bench() -> dict[str, float]:
    """Return the table; what must be reached stands in the names."""
    results: dict[str, float] = {"117 B blind: airtime, s (at most 1.5)": blind(117)}
    for loss, bounds in PEER.items():
        results |= _peer(f"577 B to a peer, {loss:.0%} loss", to_a_peer(577, loss), *bounds)
    results |= _small()
    for loss, (least, most) in CAST.items():
        results |= _cast(loss, least, most)
    for name, figures in (
        ("bursty channel, 577 B to a peer, 20 % loss", to_a_peer(577, 0.2, bursty=True)),
        ("bursty channel, 577 B to a peer, 30 % loss", to_a_peer(577, 0.3, bursty=True)),
        ("two hidden senders, 577 B, no loss", hidden(577, 0.0)),
        ("two hidden senders, 577 B, 10 % loss", hidden(577, 0.1)),
    ):
        results |= _peer(name, figures)
    return results


def _peer(
    name: str, figures: Figures, least: float | None = None, airtime: float | None = None,
    median: float | None = None, tail: float | None = None,
) -> dict[str, float]:  # fmt: skip
    return {
        f"{name}: confirmed, %{_at('least', least)}": 100 * figures.confirmed,
        f"{name}: mean airtime, s{_at('most', airtime)}": figures.airtime,
        f"{name}: median to played, s{_at('most', median)}": figures.median,
        f"{name}: 90th percentile, s{_at('most', tail)}": figures.tail,
        f"{name}: played within 6.6 s, %": 100 * figures.soon,
        f"{name}: played, %": 100 * figures.played,
        f"{name}: failed{_at('most', 0)}": figures.failed,
    }


def _small() -> dict[str, float]:
    fast = to_a_peer(577, 0.0, preset="SHORT_FAST")
    one_frame = to_a_peer(117, 0.3)
    return {
        "468 B to a peer, 30% loss: mean airtime, s (at most 10.1)": to_a_peer(468, 0.3).airtime,
        "117 B to a peer, 30% loss: mean airtime, s (at most 3.75)": one_frame.airtime,
        "117 B to a peer, 30% loss: confirmed, %": 100 * one_frame.confirmed,
        "SHORT_FAST, 577 B, no loss: median to confirmed, s (at most 1.2)": fast.confirm_median,
        "SHORT_FAST, 577 B, no loss: longest to confirmed, s (at most 1.5)": fast.confirm_longest,
    }


def _cast(loss: float, least: float, most: float) -> dict[str, float]:
    figures, name = to_everyone(577, loss), f"577 B to {LISTENERS} listeners, {loss:.0%} loss"
    return {
        f"{name}: all have it, %{_at('least', least)}": 100 * figures.played,
        f"{name}: mean airtime / blind burst{_at('most', most)}": figures.airtime / blind(577),
        f"{name}: confirmed, %": 100 * figures.confirmed,
        f"{name}: median until all have it, s": figures.median,
        f"{name}: 90th percentile, s": figures.tail,
    }


def _at(which: str, bound: float | None) -> str:
    return "" if bound is None else f" (at {which} {bound:g})"
