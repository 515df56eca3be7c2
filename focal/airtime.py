"""``focal airtime``: what packets and messages cost on LoRa, and what has been spent.

The law of this module: it reads settings, recordings and the ledger; it opens no link, encodes
nothing and sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .config import hidden
from .core.clocks import moment
from .core.errors import PacketTooBig, SettingsError, TooLong
from .core.hour import HOUR, Hour, Sent
from .core.ledger import Ledger
from .core.link import Address, Limits
from .core.message import Kind
from .cost import Budget, Note, air_of, fewer_bytes, other_qualities, shorter
from .fit import Fit, Space, message_head, payload_size, refused
from .home import Home
from .results import Airtime, Cost, Freed, Saving, Spent
from .speech import sound_in
from .transports.lora.plan import ALIASES, REGIONS, Air, air, length, max_payload, region_named
from .transports.lora.sim import Conditions, SimTransport

if TYPE_CHECKING:
    from .app import App
    from .core.codec import CodecSpec
    from .settings import Settings

TOGETHER = 60.0
"""Seconds within which what leaves the hour is told together."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A radio that need not be there.

    Args:
        air: its region and preset.
        direct: encrypted for one node.
        signed: its firmware signs what is for everyone.
    """

    air: Air
    direct: bool = False
    signed: bool = False

    def limits(self) -> Limits:
        """Return what a link over it would carry."""
        return _PlannedLimits(
            "datagram",
            max_payload(direct=self.direct),
            duty=self.air.region.duty,
            slot=self.air.slot,
            shared=True,
            plan=self,
        )

    def length(self, size: int) -> int:
        """Return the bytes over the air of a payload."""
        return length(size, direct=self.direct, signed=self.signed)


@dataclass(frozen=True, slots=True)
class _PlannedLimits(Limits):
    plan: Plan = field(kw_only=True)

    def airtime(self, n: int, to: Address | None, /) -> float:
        plan = self.plan
        return plan.air.airtime(n, direct=plan.direct, signed=plan.signed)


def place(
    settings: Settings,
    region: str | None,
    preset: str | None,
    coding_rate: int | None,
    seen: Callable[[str], Air | None],
) -> Air:
    """Return where and how is reckoned: what is said, else what is known of the configured links.

    Args:
        settings: with the links; of those over LoRa the first counts whose radio is known.
        region: as it was said; None: that link's.
        preset: as it was said; None: that link's where it is in the region, else the region's own.
        coding_rate: 5 to 8, where it is above the preset's own.
        seen: returns how the node behind a link was set when the link was last open.

    Raises:
        SettingsError: no region is said anywhere, or one of them is none.
    """
    known = next(filter(None, (_air_of(settings, word, seen) for word in _radios(settings))), None)
    try:
        if region is None and known is None:
            raise ValueError(_unknown(settings))
        there = known.region if known and region is None else region_named(region or "")
        if known and known.region is there and preset is None:
            return known.coded(coding_rate)
        return air(there.name, preset, coding_rate)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _unknown(settings: Settings) -> str:
    there = f"--region is one of {', '.join((*REGIONS, *ALIASES))}"
    for word in _radios(settings):
        name = hidden("link", word)
        return f"say where, until the link {name} has been open once and its node has said: {there}"
    return f"say where: {there}"


def _radios(settings: Settings) -> list[str]:
    """Return the links over LoRa that are configured, those that are used by default first."""
    words = dict.fromkeys((*settings.defaults.via, *settings.links))
    return [word for word in words if _address(settings, word).startswith("lora")]


def _address(settings: Settings, word: str) -> str:
    link = settings.links.get(word)
    if link is not None:
        return link.address(lambda scheme: f"{scheme}:")
    return word if ":" in word else f"{word}:"


def _air_of(settings: Settings, word: str, seen: Callable[[str], Air | None]) -> Air | None:
    """Return how the radio of a link is set: a simulated one's URL says it."""
    address = _address(settings, word)
    if not address.startswith("lora+sim:"):
        return seen(str(hidden("link", word)))
    try:
        link = SimTransport.from_url(urlsplit(address))
    except ValueError:  # whoever uses this link is told; here it only tells nothing
        return None
    return (link.conditions or Conditions()).air


# One packet ---------------------------------------------------------------------------------------


def packet(plan: Plan, size: int) -> Airtime:
    """Return what one packet of ``size`` bytes of payload costs.

    Raises:
        TooLong: no packet carries so many.
    """
    here, modem = plan.air, plan.air.modem
    try:
        seconds = modem.airtime(plan.length(size))
    except PacketTooBig as error:
        raise TooLong(str(error)) from error
    return Airtime(
        region=here.region.name,
        preset=here.preset,
        bandwidth_khz=modem.bandwidth / 1000,
        spreading_factor=modem.spreading_factor,
        coding_rate=modem.coding_rate,
        frame_bytes=size,
        direct=plan.direct,
        signed=plan.signed,
        air_bytes=plan.length(size),
        airtime_ms=round(1000 * seconds),
        symbol_ms=round(1000 * modem.symbol, 3),
        slot_ms=round(1000 * here.slot),
        duty=here.region.duty,
        share=seconds / (HOUR * here.region.duty),
    )


# A message ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be reckoned.

    Args:
        plan: the radio.
        to_all: whether it is for everyone.
        fit: what it may take at most; None: whatever it takes.
    """

    plan: Plan
    to_all: bool
    fit: Fit | None = None


async def costs(app: App, question: Question, file: str) -> list[Cost]:
    """Return what the speech in a file costs at each quality that the settings allow.

    All that can be used here or pulled, or the one that was asked for; with ``fit`` those that fit.

    Raises:
        FocalError: there is no sound, no such quality, or nothing fits.
    """
    sound = await sound_in(app.source(file, None))
    quality = app.settings.defaults.quality
    every = app.plugins.codecs()
    asked = [app.plugins.codec(quality)] if quality != "auto" else list(filter(_told, every))
    with _budget(app, question.plan) as budget:
        rows = [_spoken(app, question, budget, spec, sound.seconds, every) for spec in asked]
    fit = question.fit
    if fit is None:
        return rows
    space = Space(fit, {"": question.plan.limits()}, _head(app, question), question.to_all)
    fitting = [row for row in rows if space.holds(row.payload_bytes)]
    if not fitting:
        raise refused(space, asked, sound.seconds)
    return fitting


def of_bytes(app: App, question: Question, size: int) -> Cost:
    """Return what a payload of ``size`` bytes costs.

    Raises:
        TooLong: one message cannot carry it, or it does not fit.
    """
    note = _note(app, question, size)
    with _budget(app, question.plan) as budget:
        cost = _cost(question, note, budget, size, tuple(fewer_bytes(note, size)))
    if cost.frames is None:
        raise TooLong(f"a payload of {size} bytes is too long for one message: cut it")
    return cost


def _told(spec: CodecSpec) -> bool:
    """Tell whether a quality is worth a row: it can be used here, or everybody could have it."""
    return spec.wire_id < 224 or spec.why_not() is None


def _spoken(
    app: App,
    question: Question,
    budget: Budget,
    spec: CodecSpec,
    seconds: float,
    every: list[CodecSpec],
) -> Cost:
    size = payload_size(spec, seconds)
    note = _note(app, question, size)
    frames = note.frames(size)
    saves: tuple[Saving, ...] = ()
    if frames is not None:
        others = other_qualities(note, spec, every, seconds, frames)
        saves = (*shorter(note, spec, seconds, size), *others)
    return _cost(question, note, budget, size, saves, spec, seconds)


def _note(app: App, question: Question, size: int) -> Note:
    """Return a message as it is planned; where it is to fit, with what parity is left for it."""
    limits, head = question.plan.limits(), _head(app, question)
    note = Note(limits, head, question.to_all)
    if question.fit is None:
        return note
    parity = Space(question.fit, {"": limits}, head, question.to_all).parity(size)
    return Note(limits, head, question.to_all, parity)


def _cost(
    question: Question,
    note: Note,
    budget: Budget,
    size: int,
    saves: tuple[Saving, ...],
    spec: CodecSpec | None = None,
    seconds: float | None = None,
) -> Cost:
    price = note.price(size) if note.frames(size) is not None else None
    each = price.packet_bytes // price.frames if price else 0
    return Cost(
        region=question.plan.air.region.name,
        preset=question.plan.air.preset,
        codec=spec.name if spec else None,
        seconds=seconds,
        payload_bytes=size,
        message_bytes=note.head + size,
        frames=price.frames if price else None,
        parity=price.parity if price else 0,
        packet_bytes=price.packet_bytes if price else None,
        air_bytes=price.frames * question.plan.length(each) if price else None,
        saves=saves,
        missing=spec.why_not() if spec else None,
        air=air_of([price], budget) if price else None,
    )


def _head(app: App, question: Question) -> int:
    """Return the bytes that a message of ours has beside its payload."""
    destination = None if question.to_all else 1
    return message_head(Kind.VOICE, destination, app.settings.defaults.name)


# What was spent -----------------------------------------------------------------------------------


@contextmanager
def _budget(app: App, plan: Plan) -> Generator[Budget]:
    """Give the hour of this home's radio on a region's band: of several the one used most."""
    with ledger_of(app) as ledger:
        region = plan.air.region
        here = f" {region.low:g}-{region.high:g}"  # so end the keys of Meshtastic's radios
        radios = [] if ledger is None else ledger.radios()
        hours = [ledger.hour(radio) for radio in radios if ledger and radio.endswith(here)]
        now = moment()
        fullest = max(hours, key=lambda hour: hour.used(now.awake), default=Hour(()))
        yield Budget.of(plan.limits(), fullest, now)


@contextmanager
def ledger_of(app: App) -> Generator[Ledger | None]:
    """Give the home's ledger to read it only; None: there is none. Raises SpoolError."""
    path = Home(app.folder).ledger_path
    if not path.exists():
        yield None
        return
    with closing(Ledger.look(path, moment)) as ledger:
        yield ledger


def spent(app: App) -> list[Spent]:
    """Return what each radio of this home has sent in the last hour. Raises SpoolError."""
    with ledger_of(app) as ledger:
        return [] if ledger is None else [_spent(ledger, radio) for radio in ledger.radios()]


def _spent(ledger: Ledger, radio: str) -> Spent:
    now, hour, limit = ledger.moment(), ledger.hour(radio), ledger.allowed(radio)
    used = hour.used(now.awake)
    return Spent(
        radio=radio,
        seconds=used,
        promised=hour.promised,
        limit=limit,
        share=(used + hour.promised) / limit if limit else None,
        frees=tuple(
            Freed(now.unix - now.awake + HOUR + end, seconds)
            for end, seconds in _together(hour.leaving(now.awake))
        ),
    )


def _together(leaving: list[Sent]) -> Iterator[tuple[float, float]]:
    """Yield when the last of what ended within a minute was over, and how long it was in all."""
    first: float | None = None
    last = seconds = 0.0
    for one in leaving:
        if first is not None and one.end > first + TOGETHER:
            yield last, seconds
            first, seconds = None, 0.0
        first = one.end if first is None else first
        last, seconds = one.end, seconds + one.seconds
    if first is not None:
        yield last, seconds
