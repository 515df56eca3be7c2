"""The sinks' turns: what is in the inbox goes to every sink, each message once.

The law of this module: a turn is written down before a sink speaks and after a sink has written,
so that a crash makes no message heard twice and leaves none unwritten.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from .errors import CodecError, SinkError, SpoolError
from .events import Received
from .hub import Arrival, Hub
from .inbox import Delivered, Entry, Outcome, Turn, TurnState
from .link import Address
from .message import Event, Kind, Message, MessageId
from .ports import Delivery, Sink
from .rack import Rack

if TYPE_CHECKING:
    from .audio import Clip

BATCH = 16

HELD = 60.0
"""Seconds of sound, at most, that are held beside the newest for sinks which come to them later."""

LATELY = 1000
"""Messages that are known to have been told of, when another process's arrival is heard late."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds until a sink is served again when the spool could not be written: doubled each time."""

_Key: TypeAlias = tuple[MessageId, int]


@dataclass(slots=True)
class _Decoded:
    """A message made audible, or why not."""

    message: Message
    quality: str | None = None
    seconds: float = 0.0
    clip: Clip | None = None
    problem: str | None = None


@dataclass(slots=True)
class _Told:
    """A message that is told of once the sinks that write have had it."""

    left: set[str]
    message: Message
    link: str
    peer: Address | None
    at: float
    files: dict[str, str] = field(default_factory=lambda: {})
    problem: str | None = None

    def had(self, sink: str, file: str | None, problem: str | None) -> None:
        """Take what a sink made of it."""
        self.left.discard(sink)
        if file is not None:
            self.files[sink] = file
        self.problem = self.problem or problem


@dataclass
class Turns:
    """Gives messages to sinks.

    Args:
        hub: the node's.
        rack: its codecs.
        sinks: each has a turn with every message.
        elsewhere: the keys of sinks that another process of this home gives their turns.
    """

    hub: Hub
    rack: Rack
    sinks: Sequence[Sink]
    elsewhere: set[str] = field(default_factory=lambda: set[str]())
    _wake: dict[str, asyncio.Event] = field(default_factory=lambda: {})
    _decoded: OrderedDict[_Key, asyncio.Task[_Decoded]] = field(
        default_factory=lambda: OrderedDict()
    )
    _open: dict[_Key, _Told] = field(default_factory=lambda: {})
    _last: OrderedDict[_Key, None] = field(default_factory=lambda: OrderedDict())
    _keys: dict[str, str] = field(default_factory=lambda: {})

    def __post_init__(self) -> None:
        self._writing = frozenset(sink.key for sink in self.sinks if not sink.speaks)
        self._wake = {sink.key: asyncio.Event() for sink in self.sinks}

    async def run(self) -> None:
        """Serve every sink until cancelled."""
        async with asyncio.TaskGroup() as group:
            for sink in self.sinks:
                group.create_task(self._serve(sink), name=f"sink {sink.key}")

    def stop(self) -> None:
        """Give up what is being decoded, so that nobody waits for it at the end."""
        for task in self._decoded.values():
            task.cancel()

    async def aclose(self) -> None:
        """Give up what is being decoded and wait until that is known."""
        self.stop()
        await asyncio.gather(*self._decoded.values(), return_exceptions=True)

    def arrived(self, message: Message, delivered: Delivered, arrival: Arrival) -> None:
        """A fresh message is in the inbox, with a pending turn for each sink."""
        at = self.hub.runtime.unix()
        told = _Told(set(self._writing), message, arrival.link, arrival.peer, at)
        self._keys[arrival.link] = arrival.key
        if told.left:
            self._open[message.id, delivered.twin] = told
        self.look()

    def expect(self, entry: Entry) -> None:
        """Another process put a message into the inbox: tell of it once our sinks had it."""
        key, message = (entry.id, entry.twin), Message.from_bytes(entry.message)
        if key not in self._open and key not in self._last:
            told = _Told(set(self._writing), message, entry.link, entry.peer, entry.at)
            self._open[key] = told
        self.look()

    def take(self, sink: str) -> None:
        """Give the turns of a sink that another process of this home gave until now."""
        self.elsewhere.discard(sink)
        self.look()

    def look(self) -> None:
        """There may be turns in the inbox."""
        for event in self._wake.values():
            event.set()

    async def tell(self, message: Message, delivered: Delivered, arrival: Arrival) -> None:
        """Tell of a message that no sink writes."""
        decoded = await self._decode_once((message.id, delivered.twin), message)
        self._publish(
            decoded,
            _Told(set(), message, arrival.link, arrival.peer, self.hub.runtime.unix()),
            delivered.twin,
        )

    @property
    def writes(self) -> bool:
        """Whether some sink writes; then messages are told of when it has."""
        return bool(self._writing)

    async def _serve(self, sink: Sink) -> None:
        work, pause = self._tell_cut_off if sink.speaks else self._take_turns, FIRST_PAUSE
        while True:
            try:
                await work(sink)
                work, pause = self._take_turns, FIRST_PAUSE
            except SpoolError as error:  # what a sink has written, it finds when it comes again
                self.hub.trouble(sink.key, error)
                await self.hub.runtime.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _tell_cut_off(self, sink: Sink) -> None:
        """Tell of what the end of a former process cut off; it is not spoken again."""
        inbox = self.hub.desk.spool.inbox
        for turn in await self.hub.desk.do(lambda: inbox.cut_off([sink.key])):
            self.hub.trouble(turn.sink, f"message {turn.id} was cut off; `focal inbox play` has it")

    async def _take_turns(self, sink: Sink) -> None:
        """Give a sink what is pending; where nothing is, wait for it."""
        wake = self._wake[sink.key]
        wake.clear()
        turns = await self._pending(sink)
        for turn in turns:
            await self._take_turn(sink, turn)
        if not turns:
            await self._see_others(sink)
            await wake.wait()

    async def _pending(self, sink: Sink) -> list[Turn]:
        """Return the next turns that are ours to give."""
        if sink.key in self.elsewhere:
            return []
        inbox = self.hub.desk.spool.inbox
        return await self.hub.desk.do(lambda: inbox.turns([sink.key], limit=BATCH))

    async def _see_others(self, sink: Sink) -> None:
        """Tell of messages that this sink had from another process."""
        for key, told in [*self._open.items()]:
            if sink.key not in told.left:
                continue
            entry = await self._entry(*key)
            outcomes = entry.outcomes if entry else [Outcome(sink.key, TurnState.DONE, None, None)]
            for outcome in outcomes:
                if outcome.sink == sink.key and outcome.state is not TurnState.PENDING:
                    told.had(sink.key, outcome.file, outcome.problem)
            self._publish_whole(await self._decode_once(key, told.message), told, key)

    async def _entry(self, id: MessageId, twin: int) -> Entry | None:
        inbox = self.hub.desk.spool.inbox
        found = await self.hub.desk.do(lambda: inbox.find(id))
        return next((entry for entry in found if entry.twin == twin), None)

    async def _take_turn(self, sink: Sink, turn: Turn) -> None:
        inbox, mark = self.hub.desk.spool.inbox, self.hub.runtime.mark
        message = Message.from_bytes(turn.message)
        decoded = await self._decode_once((turn.id, turn.twin), message)
        if sink.speaks and not turn.replayed and decoded.clip is not None:
            began = await self.hub.desk.do(lambda: inbox.begin_turn(turn.id, turn.twin, sink.key))
            mark("turn-begun")
            if not began:
                return
        told = None if sink.speaks else await self._told_of(turn, message)
        file, problem = await self._give(sink, turn, decoded)
        mark("sink-done")
        await self.hub.desk.do(
            lambda: inbox.end_turn(turn.id, turn.twin, sink.key, file=file, problem=problem)
        )
        mark("turn-ended")
        if problem is None and decoded.clip is not None:
            self.hub.hooks.played(message, sink.key)
            await self._played(sink, turn, message)
        if told is not None:
            told.had(sink.key, file, problem)
            self._publish_whole(decoded, told, (turn.id, turn.twin))

    async def _give(
        self, sink: Sink, turn: Turn, decoded: _Decoded
    ) -> tuple[str | None, str | None]:
        """Give a message to a sink; return the file it wrote and what went wrong."""
        if sink.speaks and (turn.replayed or decoded.clip is None):
            return None, decoded.problem
        delivery = Delivery(
            decoded.message,
            decoded.clip,
            decoded.quality,
            decoded.seconds,
            turn.link,
            turn.peer,
            turn.at,
            turn.replayed,
            turn.twin,
        )
        try:
            return await sink.accept(delivery), decoded.problem
        except SinkError as error:
            self.hub.trouble(sink.key, error)
            return None, str(error)

    async def _played(self, sink: Sink, turn: Turn, message: Message) -> None:
        """Tell the author that it was heard, where that costs no airtime."""
        key = self._keys.get(turn.link)
        if not sink.speaks or key is None or message.kind is not Kind.VOICE or self.hub.dear(key):
            return
        at = self.hub.runtime.unix()
        await self.hub.desk.do(
            lambda: self.hub.put_receipt(message, Event.PLAYED, turn.link, key, at)
        )

    async def _told_of(self, turn: Turn, message: Message) -> _Told:
        """Return what is to be told of a message that a sink is about to have."""
        key = turn.id, turn.twin
        if key not in self._open:  # it came before this process did, or by another one
            told = _Told(set(), message, turn.link, turn.peer, turn.at)
            if (entry := await self._entry(*key)) is not None:
                self._read(told, entry)
            self._open.setdefault(key, told)
        return self._open[key]

    def _read(self, told: _Told, entry: Entry) -> None:
        """Take what our sinks have made of a message so far."""
        for outcome in entry.outcomes:
            if outcome.sink in self._writing:
                told.left.add(outcome.sink)
                if outcome.state is not TurnState.PENDING:
                    told.had(outcome.sink, outcome.file, outcome.problem)

    def _publish_whole(self, decoded: _Decoded, told: _Told, key: _Key) -> None:
        """Tell of a message once every sink that writes has had it."""
        if not told.left and self._open.pop(key, None) is not None:
            self._last[key] = None
            while len(self._last) > LATELY:
                self._last.popitem(last=False)
            self._publish(decoded, told, key[1])

    def _publish(self, decoded: _Decoded, told: _Told, twin: int) -> None:
        self.hub.publish(
            Received(
                told.message,
                decoded.quality,
                decoded.seconds,
                told.link,
                told.peer,
                told.at,
                next((told.files[sink.key] for sink in self.sinks if sink.key in told.files), None),
                told.problem or decoded.problem,
                twin,
            )
        )

    # Decoding

    async def _decode_once(self, key: _Key, message: Message) -> _Decoded:
        """Decode a message once for all sinks that ask for it about the same time."""
        task = self._decoded.get(key)
        if task is None:
            task = asyncio.create_task(self._decode(message), name=f"decode {key[0]}")
            self._forget()
            self._decoded[key] = task
        return await asyncio.shield(task)

    def _forget(self) -> None:
        """Let go of the oldest sound where it is much; who asks for it late decodes it again."""
        ready = [key for key, task in self._decoded.items() if task.done()]
        held = sum(_sounding(self._decoded[key]) for key in ready)
        for key in ready:
            if held <= HELD and len(self._decoded) < 2 * BATCH:
                return
            held -= _sounding(self._decoded.pop(key))

    async def _decode(self, message: Message) -> _Decoded:
        if message.kind is not Kind.VOICE:
            return _Decoded(message)
        return await self.hub.runtime.run_blocking(lambda: self._sound(message))

    def _sound(self, message: Message) -> _Decoded:
        decoded = _Decoded(message)
        try:
            spec = self.rack.spec(message.codec)
            decoded.quality = spec.name
            decoded.seconds = spec.seconds(message.payload)
            clip = self.rack.decode(message.codec, message.payload)
            decoded.clip = self.hub.hooks.decoded(message, clip)
        except CodecError as error:
            decoded.problem = str(error)
        return decoded


def _sounding(task: asyncio.Task[_Decoded]) -> float:
    """Return the seconds of sound that a task which is done holds."""
    if task.cancelled() or task.exception() is not None:
        return 0.0
    decoded = task.result()
    return decoded.seconds if decoded.clip is not None else 0.0
