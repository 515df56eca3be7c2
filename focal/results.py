"""What the functions of ``focal.app`` give: one frozen value for each kind of result.

The law of this module: the field names are those of the JSON objects in docs/events.md; what an
``Air`` has stands there among the fields of what it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

from .core.message import MessageId
from .plugins.report import Added


@dataclass(frozen=True, slots=True)
class Encoded:
    """``focal encode`` wrote a packet.

    Args:
        id: the message in it.
        codec: the quality's name.
        seconds: how long it sounds.
        payload_bytes: of the codec, its header included.
        message_bytes: of the message, head and check included.
        out: the file.
        form: what the file holds, as ``focal info`` names it.
        file_bytes: of the file.
    """

    id: MessageId
    codec: str
    seconds: float
    payload_bytes: int
    message_bytes: int
    out: str
    form: str
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """``focal decode`` wrote a WAV file; ``guessed``: the quality is a guess from the length."""

    id: MessageId
    codec: str
    seconds: float
    payload_bytes: int
    out: str
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Info:
    """What is in a packet; None where the packet does not say, or nothing here can tell.

    Args:
        form: envelope, message, frame, tinyvoice or tinyvoice-headerless.
        id: origin and sequence.
        kind: voice, text, data, receipt or sealed.
        codec: the quality's name; ``codec_id`` is what stands on the wire.
        guessed: the codec is a guess from the length (headerless TinyVoice).
        seconds: how long it sounds.
        frames: of data, when it goes over a datagram link of ordinary MTU; None if it is too long.
        sent_at: Unix seconds by the author's clock, 0 if unknown.
        lifetime: seconds.
        destination: an origin as people see it; None is everyone.
        sender: the author's display name.
        series: the place in a long recording, ``2/5``.
        hops: bridges passed.
        text: what a text message says.
    """

    form: str
    id: MessageId
    kind: str
    codec: str | None
    codec_id: int
    guessed: bool
    seconds: float | None
    payload_bytes: int
    message_bytes: int
    frames: int | None
    sent_at: int
    clock_trusted: bool
    lifetime: int
    origin: str
    destination: str | None
    sender: str | None
    series: str | None
    hops: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Air:
    """What a burst means for the hour of a radio.

    Args:
        airtime: seconds that its frames hold the channel.
        airtime_confirmed: with one confirmation, what it comes to if nothing is lost; None where
            nothing comes back.
        airtime_share: of the air that an hour allows; above 1 it can never go out.
        per_hour: how many such messages an hour allows.
        earliest: when it could begin, Unix seconds; None: never, it is longer than the limit.
        reason: why it could not begin now, where that is known.
    """

    airtime: float
    airtime_confirmed: float | None
    airtime_share: float
    per_hour: int
    earliest: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Saving:
    """What would make a message fewer frames: one of the last three.

    Args:
        frames: how many it would be.
        codec: at this quality.
        seconds: if it were so much shorter.
        bytes: if it had so many bytes less.
        missing: the quality cannot be used here, its models are missing.
    """

    frames: int
    codec: str | None = None
    seconds: float | None = None
    bytes: int | None = None
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """What a message would cost on a link, for ``focal send --dry-run``.

    Args:
        link: the link's name.
        codec: the quality's name; None for text.
        seconds: how long it sounds, 0 for text.
        payload_bytes: of all messages of the series, as the next two.
        message_bytes: heads and checks included.
        frames: packets of the first burst.
        packet_bytes: the bytes of those packets, without what the link adds to them.
        messages: how many messages it makes.
        parity: how many of the frames are sent beyond what the message takes.
        saves: what would make it fewer frames.
        air: what that means for the hour; None where air costs nothing.
    """

    link: str
    codec: str | None
    seconds: float
    payload_bytes: int
    message_bytes: int
    frames: int
    packet_bytes: int
    messages: int = 1
    parity: int = 0
    saves: tuple[Saving, ...] = ()
    air: Air | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a message would cost on LoRa, for ``focal airtime``.

    Args:
        region: of the band plan.
        preset: how the radios are set.
        codec: the quality's name; None for a payload of so many bytes.
        seconds: how long it sounds; None for a payload of so many bytes.
        payload_bytes: codec header included.
        message_bytes: head and check included.
        frames: packets of the first burst; None where it is too long for one message.
        parity: how many of them are sent beyond what the message takes.
        packet_bytes: the bytes of those packets, without what the mesh adds to them.
        air_bytes: their bytes over the air, all that the mesh adds included.
        saves: what would make it fewer frames.
        missing: why this quality cannot be used here, and what to do.
        air: what that means for the hour; None where ``frames`` is.
    """

    region: str
    preset: str
    codec: str | None
    seconds: float | None
    payload_bytes: int
    message_bytes: int
    frames: int | None
    parity: int
    packet_bytes: int | None
    air_bytes: int | None
    saves: tuple[Saving, ...]
    missing: str | None
    air: Air | None


@dataclass(frozen=True, slots=True)
class Airtime:
    """What one packet of Meshtastic's costs, for ``focal airtime --frame-bytes``.

    Args:
        region: of the band plan.
        preset: how the radios are set.
        bandwidth_khz: of the channel.
        spreading_factor: 7 to 12.
        coding_rate: the denominator of 4/5 to 4/8.
        frame_bytes: of payload, on the port of private applications.
        direct: encrypted for one node.
        signed: by firmware that signs what is for everyone, where the signature fits.
        air_bytes: over the air, all that the mesh adds included.
        airtime_ms: that it holds the channel, sent once.
        symbol_ms: of one symbol.
        slot_ms: of a contention slot.
        duty: share of the time that the region allows.
        share: of the air that an hour allows.
    """

    region: str
    preset: str
    bandwidth_khz: float
    spreading_factor: int
    coding_rate: int
    frame_bytes: int
    direct: bool
    signed: bool
    air_bytes: int
    airtime_ms: int
    symbol_ms: float
    slot_ms: int
    duty: float
    share: float


@dataclass(frozen=True, slots=True)
class Freed:
    """Air that is free again: ``seconds`` of it from ``at`` on, Unix seconds."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What a radio has sent in the last hour, for ``focal airtime --ledger``.

    Args:
        radio: its key: node and sub-band.
        seconds: of air, sent.
        promised: seconds of air of bursts on their way that are not sent yet.
        limit: seconds that an hour allows, as last reckoned; None where nobody asked since.
        share: of the limit, sent and promised together.
        frees: when that leaves the hour, what was sent within a minute together.
    """

    radio: str
    seconds: float
    promised: float
    limit: float | None
    share: float | None
    frees: tuple[Freed, ...]


@dataclass(frozen=True, slots=True)
class OnPreset:
    """What the message of ``focal demo`` costs with a preset, if nothing is lost.

    Args:
        preset: how the radios are set.
        frames: packets.
        airtime: seconds that they hold the channel.
        airtime_share: of the air that an hour allows.
        per_hour: how many such messages an hour allows.
    """

    preset: str
    frames: int
    airtime: float
    airtime_share: float
    per_hour: int


@dataclass(frozen=True, slots=True)
class Demo:
    """How ``focal demo`` went.

    Args:
        delivered: whether the far end confirmed it.
        codec: the quality's name.
        seconds: how long it sounds.
        payload_bytes: of the codec.
        message_bytes: of the message.
        region: of the band plan.
        preset: how the simulated radios are set.
        loss: share of the frames that the simulated air loses.
        frames: all that went on the air, controls and repairs included.
        frames_lost: how many of them the simulated air lost.
        frames_repaired: frames of speech that were lost and made good by others.
        packet_bytes: the bytes of all frames, without what the mesh adds to them.
        airtime: seconds that all frames held the channel.
        airtime_share: of the air that an hour allows, what the node that spoke has sent.
        air_seconds: from the first frame to the confirmation, simulated.
        presets: what the message costs with each preset of the region, the fastest first.
        out: the WAV file.
    """

    delivered: bool
    codec: str
    seconds: float
    payload_bytes: int
    message_bytes: int
    region: str
    preset: str
    loss: float
    frames: int
    frames_lost: int
    frames_repaired: int
    packet_bytes: int
    airtime: float
    airtime_share: float
    air_seconds: float
    presets: tuple[OnPreset, ...]
    out: str


@dataclass(frozen=True, slots=True)
class Station:
    """How a node of a scenario fared, for ``focal lab run``.

    Args:
        name: what the scenario calls it.
        number: of the node, as Meshtastic writes it.
        messages: that it was given to send.
        delivered: how many of them were confirmed.
        unknown: nobody confirmed them, however often asked.
        expired: their lifetime ended before they went out.
        refused: they could not go out.
        waiting: nothing had become of them when the time was over.
        latency_median: seconds from the outbox of a message that it sent to the inbox of a node
            that it was for; None where none arrived, as the next two.
        latency_p90: of nine in ten at most.
        latency_max: of the slowest.
        received: messages that came into its inbox.
        packets: that it sent, confirmations, repairs and relays included.
        airtime: seconds that those held the channel.
        duty: share of the time that it sent.
        airtime_hour: the most seconds that it sent in any hour.
        limit: the seconds that its region allows in an hour.
        share: of the limit that it sent in that hour.
        collided: packets in its hearing that it missed because it heard or said another one.
        lost: packets in its hearing that the path lost.
    """

    name: str
    number: str
    messages: int
    delivered: int
    unknown: int
    expired: int
    refused: int
    waiting: int
    latency_median: float | None
    latency_p90: float | None
    latency_max: float | None
    received: int
    packets: int
    airtime: float
    duty: float
    airtime_hour: float
    limit: float
    share: float
    collided: int
    lost: int


@dataclass(frozen=True, slots=True)
class Lab:
    """How all nodes of a scenario did, for ``focal lab run``.

    Args:
        seed: where all chance came from.
        seconds: that were simulated.
        region: of the band plan.
        preset: how the radios are set.
        messages: as for a `Station`, of all of them; what follows likewise.
        confirmed_median: seconds from the outbox of a message until its sender had it confirmed;
            None where none was, as the next two.
        confirmed_p90: of nine in ten at most.
        confirmed_max: of the slowest.
    """

    seed: int
    seconds: float
    region: str
    preset: str
    messages: int
    delivered: int
    unknown: int
    expired: int
    refused: int
    waiting: int
    latency_median: float | None
    latency_p90: float | None
    latency_max: float | None
    confirmed_median: float | None
    confirmed_p90: float | None
    confirmed_max: float | None
    received: int
    packets: int
    airtime: float
    collided: int
    lost: int


@dataclass(frozen=True, slots=True)
class PassedOn:
    """How a message came that this home passes on for somebody else.

    Args:
        author: who made it: an origin, as people see it.
        link: the name of the link that it came by; its key where the name is forgotten.
        hops: bridges that it has passed, this one included.
    """

    author: str
    link: str
    hops: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way over one link, as ``focal outbox list`` shows it.

    Args:
        id: the message.
        kind: voice, text, data, receipt or sealed.
        message_bytes: of the message.
        link: what the user calls the link.
        state: how far it is; one of the states of a message's events.
        attempts: bursts begun.
        at: when it was queued, Unix seconds.
        expires_at: Unix seconds; None where it does not expire.
        reason: why it waits, was refused, or is unknown.
        until: until when it waits at least, Unix seconds, where that is known.
        passed_on: how it came, where it is not ours.
    """

    id: MessageId
    kind: str
    message_bytes: int
    link: str
    state: str
    attempts: int
    at: float
    expires_at: float | None
    reason: str | None
    until: float | None
    passed_on: PassedOn | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A message in the inbox, as ``focal inbox list`` shows it.

    Args:
        id: the message.
        twin: 0, or 1 to 4 for other bytes under the same id.
        kind: voice, text, data, receipt or sealed.
        codec: the quality's name, None for what is not voice or not known here.
        seconds: how long it sounds, 0 where that is not known.
        payload_bytes: of the message's payload.
        origin: who made it, as people see it.
        sender: the author's display name.
        link: what brought it.
        at: when it came, Unix seconds.
        text: what a text message says.
        turns: what the sinks did with it: ``wav:in done``.
        problem: why it cannot be heard here now, and what to do.
    """

    id: MessageId
    twin: int
    kind: str
    codec: str | None
    seconds: float
    payload_bytes: int
    origin: str
    sender: str | None
    link: str
    at: float
    text: str | None
    turns: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin, as ``focal plugins`` lists it.

    Args:
        name: ``kind.name``.
        kind: what it adds: transport, codec, source, sink, command or hooks.
        distribution: what installed it; None for a single file.
        version: of the distribution.
        file: where its module stands, if it could be imported.
        state: good, bad or disabled.
        reason: why it is not good.
        hooks: those that it implements.
        adds: what it adds.
        import_ms: how long its import took; None where it was not measured.
    """

    name: str
    kind: str
    distribution: str | None
    version: str | None
    file: str | None
    state: str
    reason: str | None
    hooks: tuple[str, ...]
    adds: tuple[Added, ...]
    import_ms: float | None


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the model files are.

    Args:
        folder: it may not be there yet.
        files: how many of them are there.
        bytes: of all of them.
    """

    folder: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Lacking:
    """A model file that is missing; ``bytes`` to download, None for weights of one's own."""

    file: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Quality:
    """A quality of FocalCodec, and whether its models are here.

    Args:
        name: as in ``--quality``.
        shelf: published or local.
        send: whether what encodes is here.
        receive: whether what decodes is here.
        missing: the files that are not here, or have changed.
    """

    name: str
    shelf: str
    send: bool
    receive: bool
    missing: tuple[Lacking, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model file.

    Args:
        file: its name.
        shelf: published or local.
        state: good, changed (since it came in), missing (it had come in) or unknown (it was put
            there by hand and has not the published size).
        path: where it is.
        bytes: its size as it came in; None where that is not known, as the next three.
        sha256: as it came in.
        source: where it came from.
        at: when, Unix seconds.
        optimized_from: the SHA-256 of the file that ``focal models optimize`` made it from.
        forced: it counts as published though its size is another.
    """

    file: str
    shelf: str
    state: str
    path: str
    bytes: int | None = None
    sha256: str | None = None
    source: str | None = None
    at: float | None = None
    optimized_from: str | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Removed:
    """A model file that was removed; ``freed`` is 0 where the disk has it under another name."""

    file: str
    shelf: str
    bytes: int
    freed: int


@dataclass(frozen=True, slots=True)
class Optimized:
    """An encoder that was made smaller.

    Args:
        file: its name.
        shelf: published or local.
        bytes_before: its size.
        bytes: its size now.
        sha256: of the new file.
        optimized_from: the SHA-256 that it had before.
    """

    file: str
    shelf: str
    bytes_before: int
    bytes: int
    sha256: str
    optimized_from: str
