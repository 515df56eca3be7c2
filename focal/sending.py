"""``focal send``: capture, encode, commit, and wait for what was asked for.

The law of this module: what becomes of a message, the spool's journal says, whichever process
carries it; so waiting is the same whether this process has the link or another one.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from .airtime import ledger_of
from .core.clocks import moment
from .core.draft import Draft, messages_of, price_of, room
from .core.errors import FocalError, SettingsError, TooLong
from .core.events import LinkState, Progress, State
from .core.ledger import Ledger
from .core.link import Limits, LinkContext, Spelling
from .core.message import Kind, Message, MessageId
from .core.node import folder_name
from .cost import Budget, Note, air_of, fewer_bytes, other_qualities, shorter
from .fit import Fit, Space, choose_to_fit, message_head, refused
from .outlook import asked_first, outlook
from .plugins.sources.microphone import MicrophoneSource
from .results import Price, Saving
from .seen import remember
from .serving import Doors, Lookout, linger, make_node, opening, real_time
from .speech import MAX_PARTS, Recording, check_length, choose, encode, sound_in
from .watch import Watch

if TYPE_CHECKING:
    from .app import App
    from .core.audio import Clip
    from .core.codec import CodecSpec
    from .core.hub import Subscription
    from .core.leg import Weight
    from .core.link import Address, Transport
    from .core.node import Node
    from .core.runtime import Runtime
    from .core.spool import Spool
    from .plugins.choice import Choice

LOOK_EVERY = 0.05
"""Seconds between two looks at the journal."""

Ask: TypeAlias = Callable[[str], Awaitable[bool]]
"""Asks a question that is answered with yes or no."""

OPENING = 15.0
"""Seconds in which a link can be opened again and again until a sender without ``--timeout`` ends;
what it said stays in the outbox."""

KEEPING = 30.0
"""Seconds that what is to be sent may take to be read and encoded, once its sender is interrupted;
a second interrupt ends that at once."""

UNKNOWN = Limits("datagram", 231)
"""What is assumed of a link that is not open here: what the thinnest radio carries."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent: one of the first three.

    Args:
        file: a sound file; ``-`` is standard input.
        record: seconds from the microphone; 0 until Enter.
        text: a text.
        raw: standard input has bare samples at this rate.
        to: an origin, a known name or a link's address; None is everyone.
        timeout: seconds to wait; None is the message's lifetime.
        fit: what its burst may take at most; None: whatever it takes.
    """

    file: str | None = None
    record: float | None = None
    text: str | None = None
    raw: int | None = None
    to: str | None = None
    timeout: float | None = None
    fit: Fit | None = None


async def send(
    app: App,
    order: Order,
    tell: Callable[[Progress], None],
    say: Callable[[str], None],
    chose: Callable[[Choice], None],
    ask: Ask | None = None,
) -> None:
    """Send what was ordered on the settings' links, and wait for what they ask for.

    Args:
        app: settings, plugins and home.
        order: what is to be sent.
        tell: is given every event of the messages.
        say: is given a line on how far the work is.
        chose: is given the quality that speech is encoded with, once.
        ask: asks the user whether what waits out of courtesy is to be sent all the same; None:
            there is nobody to ask, so it waits.

    Raises:
        FocalError: there is no sound, what a link needs is not installed, or what was waited for
            did not happen. A link that cannot be opened is waited for, a while, or as long as the
            order says.
    """
    links, wait = app.links(), app.settings.defaults.wait
    _check_spelling(app, order.to, links)
    async with AsyncExitStack() as stack:
        runtime = stack.enter_context(real_time())
        owned = stack.enter_context(app.home.owning(links if wait != "queued" else {}))
        elsewhere = [name for name in links if name not in owned.names]
        node = make_node(app, links, elsewhere, stack.enter_context(app.spool()), runtime)
        doors, news = Doors(app, node, say), node.events()
        if wait != "queued":
            try:
                with opening(owned.names, say):
                    await stack.enter_async_context(node)
            except asyncio.CancelledError:
                await _keep(app, order, runtime, tell, say, chose)
                raise
        journal = stack.enter_context(app.spool())
        limits = _limits(links, node.limits)
        draft = await _drafted(app, order, limits, runtime, say, chose)
        mark = journal.outbox.last_event()
        queued = await _commit(node, draft, runtime, tell)
        ids = [one.id for one in queued]
        watch = Watch(ids, links, wait)
        for one in queued:
            watch.saw(one)
        if watch.settled:
            return
        say(f"waiting until it is {wait}")
        events = _journal(journal, mark, Lookout(node, journal, owned), doors, news)
        if order.timeout is None and not elsewhere:
            events = while_open(events, doors, ids)
        keys = {name: transport.key for name, transport in links.items()}
        courtesy = _Courtesy(ids, keys, journal, ask)
        try:
            await _follow(events, watch, order.timeout or draft.lifetime, tell, courtesy, journal)
        except asyncio.CancelledError:
            say(_left(watch.missing()))
            raise
        finally:
            await courtesy.aclose()
        await node.settle(linger(node))


async def price(app: App, order: Order, chose: Callable[[Choice], None]) -> list[Price]:
    """Return what sending this would cost on each link; the links are opened, nothing is sent.

    Args:
        app: settings, plugins and home.
        order: what would be sent.
        chose: is given the quality that speech is encoded with, once.

    Raises:
        FocalError: as ``send``.
    """
    links = app.links()
    _check_spelling(app, order.to, links)
    async with AsyncExitStack() as stack:
        runtime = stack.enter_context(real_time())
        origin = stack.enter_context(app.spool()).origin
        limits = {
            name: await _look(app, stack, name, transport, origin, runtime)
            for name, transport in links.items()
        }
        draft = await _drafted(app, order, limits, runtime, lambda _: None, chose)
        messages = _would_be(app, draft, origin)
        ledger = stack.enter_context(ledger_of(app))
        spool = stack.enter_context(app.spool())
        asking = asked_first(spool, draft.to, [link.key for link in links.values()])
        prices: list[Price] = []
        for name, transport in links.items():
            budget = Budget.kept(limits[name], ledger, moment())
            price = _price(app, name, limits[name], draft, messages, budget)
            waiting = spool.outbox.weights(transport.key).waiting
            seen = price, draft, messages, limits[name], ledger, runtime, waiting, asking
            prices.append(_foreseen(*seen))
        return prices


async def _look(
    app: App, stack: AsyncExitStack, name: str, link: Transport, origin: int, runtime: Runtime
) -> Limits:
    """Open a link and return what it carries. Raises TransportUnavailable."""
    folder = app.home.links / folder_name(name)
    context = LinkContext(origin, app.settings.defaults.name, folder, runtime)
    limits = (await stack.enter_async_context(link.open(context))).limits
    remember(app.home.links, name, limits)
    return limits


def _check_spelling(app: App, to: str | None, links: Mapping[str, Transport]) -> None:
    """Raise SettingsError if no link has such addresses, and nobody is known by that name."""
    if to is None:
        return
    wrong = [link.misspelled(to) if isinstance(link, Spelling) else None for link in links.values()]
    if not wrong or not all(wrong):
        return
    with app.spool() as spool:
        if not spool.peers.origins_named(to):
            raise SettingsError(f"--to: {wrong[0]}")


def _limits(links: Iterable[str], known: Mapping[str, Limits]) -> dict[str, Limits]:
    return {name: known.get(name, UNKNOWN) for name in links}


async def _commit(
    node: Node, draft: Draft, runtime: Runtime, tell: Callable[[Progress], None]
) -> list[Progress]:
    """Put what is said into the outbox, and tell that it is there. Raises as ``Node.send``."""
    ids = await node.send(draft)
    queued = [Progress(State.QUEUED, id, None, None, runtime.unix()) for id in ids]
    for each in queued:
        tell(each)
    return queued


async def _keep(
    app: App,
    order: Order,
    runtime: Runtime,
    tell: Callable[[Progress], None],
    say: Callable[[str], None],
    chose: Callable[[Choice], None],
) -> None:
    """Put what is at hand into the outbox, for who was interrupted before any link was open.

    The one node is closing by then: another commits it, with no link of its own.
    """
    if not _at_hand(app, order):
        say("nothing was recorded")
        return
    links = app.links()
    try:
        with app.spool() as spool:
            node = make_node(app, links, list(links), spool, runtime)
            async with asyncio.timeout(KEEPING):
                draft = await _drafted(app, order, _limits(links, {}), runtime, say, chose)
            queued = await _commit(node, draft, runtime, tell)
        say(_left([one.id for one in queued]))
    except TimeoutError:
        say(f"nothing was queued: what is to be sent did not come to an end in {KEEPING:.0f} s")
    except FocalError as error:
        say(f"nothing was queued: {error}")


def _at_hand(app: App, order: Order) -> bool:
    """Whether what is to be sent is there already, and need not be recorded first."""
    if order.record is not None:
        return False
    if order.text is not None:
        return True
    return not isinstance(app.source(order.file or "-", order.raw), MicrophoneSource)


# What is said ------------------------------------------------------------------------------------


async def _drafted(
    app: App,
    order: Order,
    limits: Mapping[str, Limits],
    runtime: Runtime,
    say: Callable[[str], None],
    chose: Callable[[Choice], None],
) -> Draft:
    """Return what is said, with as much parity as fits where it must fit. Raises FocalError."""
    draft = await _draft(app, order, limits, runtime, say, chose)
    return _fitted(app, order.fit, limits, draft) if order.fit else draft


async def _draft(
    app: App,
    order: Order,
    limits: Mapping[str, Limits],
    runtime: Runtime,
    say: Callable[[str], None],
    chose: Callable[[Choice], None],
) -> Draft:
    lifetime, most = app.settings.defaults.lifetime, room(list(limits.values()))
    if order.text is not None:
        draft = Draft.text(order.text, to=order.to, lifetime=lifetime)
        if not 0 < len(draft.parts[0]) <= most:
            raise TooLong(f"a text has 1 to {most} bytes on these links: say it in several")
        return draft
    sound = await _capture(app, order, say)
    choice = _choose(app, order, limits, sound.seconds)
    spec = choice.spec
    parts = 1 if order.fit else MAX_PARTS
    check_length(spec, sound.seconds, most, parts)
    chose(choice)
    say(f"encoding {sound.seconds:.1f} s")
    speech = await runtime.run_blocking(lambda: encode(app.plugins, spec, sound, most, parts))
    return Draft.voice(speech, to=order.to, lifetime=lifetime)


def _choose(app: App, order: Order, limits: Mapping[str, Limits], seconds: float) -> Choice:
    """Choose a quality: as the settings say, and one that fits where it must. Raises TooLong."""
    quality = app.settings.defaults.quality
    if order.fit is None or quality != "auto":
        return choose(app.plugins, quality, seconds, limits)
    space = _space(app, order.fit, limits, Draft(Kind.VOICE, (b"",), to=order.to))
    return choose_to_fit(space, app.plugins.codecs(), seconds)


def _space(app: App, fit: Fit, limits: Mapping[str, Limits], draft: Draft) -> Space:
    """Return where messages of a draft are to fit.

    Raises:
        SettingsError: airtime is to fit on a link that is not open here.
    """
    unknown = [name for name, limit in limits.items() if limit is UNKNOWN]
    if fit.airtime and unknown:
        raise SettingsError(
            f"the link {unknown[0]} is not open here, so what air costs on it is not known: say "
            "--fit in frames"
        )
    head = message_head(draft.kind, 1 if draft.to else None, app.settings.defaults.name)
    return Space(fit, limits, head, draft.to is None)


def _fitted(app: App, fit: Fit, limits: Mapping[str, Limits], draft: Draft) -> Draft:
    """Return a draft with as much parity as fits.

    Raises:
        TooLong: it does not fit even without; says how much would.
    """
    space, size = _space(app, fit, limits, draft), sum(map(len, draft.parts))
    parity = space.parity(size) if len(draft.parts) == 1 else None
    if parity is not None:
        return replace(draft, parity=parity)
    spec = app.plugins.codec_by_id(draft.codec) if draft.codec else None
    if spec is not None:
        raise refused(space, [spec], sum(map(spec.seconds, draft.parts)))
    raise TooLong(f"a text of {size} bytes does not fit {fit}: say it in several")


async def _capture(app: App, order: Order, say: Callable[[str], None]) -> Clip | Recording:
    if order.record is None:
        source = app.source(order.file or "-", order.raw)
    else:
        source = MicrophoneSource(order.record or None)
    if isinstance(source, MicrophoneSource) and source.endless:
        return await _until_enter(source, say)
    if order.record:
        say(f"recording for {order.record:g} s")
    return await sound_in(source)


async def _until_enter(source: MicrophoneSource, say: Callable[[str], None]) -> Clip | Recording:
    if sys.stdin is None or not sys.stdin.isatty():
        raise SettingsError("standard input has no Enter key: say how long, --record SECONDS")
    say("recording: press Enter to end")
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, source.stop)
    try:
        return await sound_in(source)
    finally:
        loop.remove_reader(sys.stdin)
        sys.stdin.readline()


# What becomes of it ------------------------------------------------------------------------------


class _Courtesy:
    """Asks the user, once for each link, whether messages that wait for others wait on.

    What they agree to is written into the outbox, so that it holds whichever process has the link.

    Args:
        ids: the messages of one order.
        keys: the links' keys by their names.
        spool: this command's own connection.
        ask: asks a question; None: there is nobody to ask.
    """

    def __init__(
        self, ids: Iterable[MessageId], keys: Mapping[str, str], spool: Spool, ask: Ask | None
    ) -> None:
        self._ids = tuple(ids)
        self._keys = keys
        self._spool = spool
        self._ask = ask
        self._asking: dict[str, asyncio.Task[None]] = {}

    def saw(self, event: Progress) -> None:
        """Take an event; ask if it says that a message waits and need not."""
        link = event.link
        if self._ask is None or link is None or link not in self._keys:
            return
        if event.ask and link not in self._asking:
            asking = self._answer(self._ask, link)
            self._asking[link] = asyncio.create_task(asking, name=f"ask about {link}")
        elif event.state is not State.QUEUED and link in self._asking:
            self._asking[link].cancel()  # it goes out by itself

    async def _answer(self, ask: Ask, link: str) -> None:
        if await ask(f"{link}: send it now all the same?"):
            for id in self._ids:
                self._spool.outbox.agree(id, self._keys[link])

    async def aclose(self) -> None:
        """Ask no more. Raises SpoolError: what was agreed to could not be written."""
        for asking in self._asking.values():
            asking.cancel()
        for ended in await asyncio.gather(*self._asking.values(), return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def _follow(
    events: AsyncIterator[Progress | None],
    watch: Watch,
    seconds: float,
    tell: Callable[[Progress], None],
    courtesy: _Courtesy,
    spool: Spool,
) -> None:
    """Tell what happens to messages until what is waited for has happened.

    Raises:
        FocalError: it did not, and never will, or not in time.
    """
    try:
        async with asyncio.timeout(seconds):
            while not watch.settled:
                event = await anext(events)
                if event is not None and watch.saw(event):
                    tell(event)
                    courtesy.saw(event)
    except TimeoutError:
        unsent = _unsent(spool, watch.missing())
        for id in watch.missing():
            reason = _why_unknown(unsent.get(id), seconds)
            tell(Progress(State.UNKNOWN, id, None, None, time.time(), reason))
        raise FocalError(_too_late(watch, seconds, unsent)) from None
    if failure := watch.failure():
        raise FocalError(f"{failure}: see focal outbox dead")


def _unsent(spool: Spool, ids: Iterable[MessageId]) -> dict[MessageId, str]:
    """Return those messages of which nothing went out, and why each waits, empty if unknown."""
    found = {id: spool.outbox.find(id) for id in ids}
    return {
        id: next((leg.reason for leg in legs if leg.reason), "")
        for id, legs in found.items()
        if legs and not any(leg.sent for leg in legs)
    }


def _why_unknown(wait: str | None, seconds: float) -> str:
    """Say what is known of a message when nobody waits for it any more."""
    if wait is None:
        return f"nothing was heard of it for {seconds:g} s"
    why = f" ({wait})" if wait else ""
    return f"it never went out in {seconds:g} s{why}; it stays in the outbox"


def _too_late(watch: Watch, seconds: float, unsent: Mapping[MessageId, str]) -> str:
    id, *more = watch.missing()
    others = f" and {len(more)} more" if more else ""
    if id not in unsent:
        return (
            f"message {id}{others} not {watch.wait} within {seconds:g} s, so its state is unknown: "
            f"it stays in the outbox (focal outbox show {id})"
        )
    why = f": {unsent[id]}" if unsent[id] else ""
    return (
        f"message {id}{others} did not go out within {seconds:g} s{why}; it stays in the outbox "
        f"and goes out when it can (focal outbox drop {id} takes it out)"
    )


def _left(ids: Sequence[MessageId]) -> str:
    id, *more = ids
    which = f"message {id} and {len(more)} more stay" if more else f"message {id} stays"
    return f"{which} in the outbox, to go out when this home next sends or listens there"


async def _journal(
    spool: Spool, mark: int, lookout: Lookout, doors: Doors, news: Subscription
) -> AsyncIterator[Progress | None]:
    """Yield what happens to messages, from a row of the journal on, and keep looking out.

    None is yielded at the end of each look.
    """
    while True:
        while len(news.mailbox):
            if isinstance(event := await news.mailbox.get(), LinkState):
                doors.saw(event)
        for row, progress in spool.outbox.events_after(mark):
            mark = row
            yield progress
        yield None
        await asyncio.sleep(LOOK_EVERY)
        lookout.look()


async def while_open(
    events: AsyncIterator[Progress | None], doors: Doors, ids: Sequence[MessageId]
) -> AsyncIterator[Progress | None]:
    """Yield events as long as a link was open, or may soon be.

    Raises:
        FocalError: none could be opened; the messages stay in the outbox.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + OPENING
    async for event in events:
        if doors.shut and clock() >= until:
            why = "; ".join(doors.down.values())
            raise FocalError(
                f"{why}; message {ids[0]} stays in the outbox and goes when a focal process can "
                "open the link; --timeout waits for that"
            )
        yield event


# What it costs -----------------------------------------------------------------------------------


def _would_be(app: App, draft: Draft, origin: int) -> list[Message]:
    """Return the messages of a draft under ids that are not drawn: they are only weighed."""
    ids = [MessageId(origin, 1 + index) for index in range(len(draft.parts))]
    destination = origin if draft.to else None
    name = app.settings.defaults.name
    return messages_of(draft, ids, sent_at=time.time(), destination=destination, sender=name)


def _foreseen(
    price: Price,
    draft: Draft,
    messages: Sequence[Message],
    limits: Limits,
    ledger: Ledger | None,
    runtime: Runtime,
    waiting: Sequence[Weight],
    asking: Address | None,
) -> Price:
    """Return a price with the moment at which the scheduler would begin, where there is one."""
    if price.air is None or limits.radio is None:
        return price
    to_all, parity = draft.to is None, draft.parity
    lengths = [len(message.to_bytes()) for message in messages]
    costs = [price_of(length, limits, to_all=to_all, parity=parity) for length in lengths]
    bursts = [cost.airtime or 0.0 for cost in costs]
    with nullcontext(ledger) if ledger else closing(Ledger.in_memory(moment)) as spent:
        when = outlook(limits, spent, runtime, waiting, bursts, draft.lifetime, asking)
    return replace(price, air=replace(price.air, earliest=when.at, reason=when.reason))


def _price(
    app: App, name: str, limits: Limits, draft: Draft, messages: Sequence[Message], budget: Budget
) -> Price:
    spec = app.plugins.codec_by_id(draft.codec) if draft.codec else None
    lengths = [len(message.to_bytes()) for message in messages]
    to_all, seconds = draft.to is None, sum(map(spec.seconds, draft.parts)) if spec else 0.0
    costs = [price_of(n, limits, to_all=to_all, parity=draft.parity) for n in lengths]
    return Price(
        link=name,
        codec=spec.name if spec else None,
        seconds=round(seconds, 3),
        payload_bytes=sum(map(len, draft.parts)),
        message_bytes=sum(lengths),
        frames=sum(cost.frames for cost in costs),
        packet_bytes=sum(cost.packet_bytes for cost in costs),
        messages=len(messages),
        parity=sum(cost.parity for cost in costs),
        saves=tuple(_savings(app, spec, seconds, limits, draft, lengths)),
        air=air_of(costs, budget),
    )


def _savings(
    app: App,
    spec: CodecSpec | None,
    seconds: float,
    limits: Limits,
    draft: Draft,
    lengths: Sequence[int],
) -> Iterator[Saving]:
    """Yield what would save a frame, where the message is a single one of frames."""
    if len(lengths) != 1 or limits.kind != "datagram":
        return
    (payload,), (length,) = draft.parts, lengths
    note = Note(limits, length - len(payload), draft.to is None, draft.parity)
    if spec is None:
        yield from fewer_bytes(note, len(payload))
        return
    frames = note.price(len(payload)).frames
    yield from shorter(note, spec, seconds, len(payload))
    yield from other_qualities(note, spec, app.plugins.codecs(), seconds, frames)
