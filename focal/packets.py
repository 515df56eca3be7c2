"""The codec side alone, on files: encode, decode and look into packets.

The law of this module: a file is written whole or not at all, ``-`` is stdin or stdout, and
nothing else is opened but the home's spool (a new message needs an id).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .core.envelope import Envelope
from .core.errors import CodecError, FocalError, FrameError, SettingsError, SinkError, SourceError
from .core.framing.split import MAX_DATAGRAM, cut_for
from .core.link import Limits
from .core.message import (
    MAX_MESSAGE,
    MAX_PAYLOAD,
    Kind,
    Message,
    Speech,
    lifetime_for,
    origin_text,
)
from .core.packets import Opened, open_packet
from .core.tinyvoice import BITS, CODECS, MAX_PACKET, packet_of, seconds_of
from .fit import Fit, Space, choose_to_fit, message_head, payload_size, refused
from .results import Decoded, Encoded, Info
from .serving import real_time
from .settings import nearest
from .sinks._disk import write_whole
from .sinks.wav import Wav
from .speech import choose, decode, encode, sound_in

if TYPE_CHECKING:
    from .app import App
    from .core.codec import CodecSpec
    from .plugins.choice import Choice

MAX_FILE = 4 * MAX_MESSAGE
"""Bytes; a longer file is no packet and is refused unread."""

TINYVOICE = Limits("message", MAX_PACKET, codecs=frozenset(CODECS))
"""What can be said to who speaks TinyVoice."""

ORDINARY = Limits("datagram", MAX_DATAGRAM)
"""A link on which a message is cut as on every one whose packets are not smaller than a symbol."""

TINYVOICE_ROOM = (MAX_PACKET - 1) // 2 * BITS // 8
"""Bytes of a payload whose tokens, at two bytes each, fill the longest TinyVoice packet."""


async def encode_file(
    app: App,
    file: str,
    out: str,
    form: str,
    raw: int | None,
    chose: Callable[[Choice], None],
    fit: Fit | None = None,
) -> Encoded:
    """Encode a sound file into a packet file.

    Args:
        app: settings, plugins and home.
        file: what to encode; ``-`` is standard input.
        out: where to write; ``-`` is standard output.
        form: ``focal`` or ``tinyvoice``.
        raw: standard input has bare samples at this rate.
        chose: is given the quality that it was encoded with.
        fit: how many frames of a datagram link the message may make; None: any number.

    Raises:
        FocalError: no sound, no such quality, too long, or the file cannot be written.
    """
    sound = await sound_in(app.source(file, raw))
    choice = _choose_for(form, app, sound.seconds)
    if fit is not None:
        choice = _choose_to_fit(fit, app, sound.seconds, choice)
    room = TINYVOICE_ROOM if form == "tinyvoice" else MAX_PAYLOAD
    with real_time() as runtime:
        (speech,) = await runtime.run_blocking(
            lambda: encode(app.plugins, choice.spec, sound, room, parts=1)
        )
    message = Message(
        app.new_id(),
        Kind.VOICE,
        speech.payload,
        speech.codec,
        sent_at=int(time.time()),
        lifetime=lifetime_for(app.settings.defaults.lifetime),
        sender=app.settings.defaults.name,
    )
    data = packet_of(message) if form == "tinyvoice" else Envelope(message.to_bytes()).to_bytes()
    write(out, [data])
    chose(choice)
    return _encoded(choice.spec, speech, data, out)


def _encoded(spec: CodecSpec, speech: Speech, data: bytes, out: str) -> Encoded:
    """Return what a packet file holds for who reads it: TinyVoice's has no id of ours."""
    opened = open_packet(data)
    message = opened.message
    return Encoded(
        id=message.id,
        codec=spec.name,
        seconds=speech.seconds if opened.form == "envelope" else spec.seconds(message.payload),
        payload_bytes=len(message.payload),
        message_bytes=len(message.to_bytes()),
        out=out,
        form=opened.form,
        file_bytes=len(data),
    )


def decode_packet(app: App, file: str, out: str, quality: str | None) -> Decoded:
    """Decode a packet file of any known form into a WAV file.

    Raises:
        FocalError: no packet, damaged, nothing decodes it, or the file cannot be written.
    """
    opened = opened_file(file, quality)
    message = opened.message
    try:
        spec, clip = decode(app.plugins, message)
    except CodecError as error:
        raise type(error)(f"{file}: {error}") from error
    write(out, Wav(clip))
    size = len(message.payload)
    return Decoded(message.id, spec.name, clip.seconds, size, out, opened.guessed)


def describe(app: App, file: str, quality: str | None) -> Info:
    """Return what is in a packet file; a missing or damaged codec is no error here.

    Raises:
        FocalError: no packet, or damaged.
    """
    opened = opened_file(file, quality)
    message = opened.message
    spec = app.plugins.codec_by_id(message.codec) if message.kind is Kind.VOICE else None
    data = message.to_bytes()
    return Info(
        form=opened.form,
        id=message.id,
        kind=message.kind.name.lower(),
        codec=spec.name if spec else CODECS.get(message.codec),
        codec_id=message.codec,
        guessed=opened.guessed,
        seconds=_seconds(message, spec),
        payload_bytes=len(message.payload),
        message_bytes=len(data),
        frames=cut_for(len(data), MAX_DATAGRAM).k if len(data) <= MAX_DATAGRAM else None,
        sent_at=message.sent_at,
        clock_trusted=message.clock_trusted,
        lifetime=message.lifetime,
        origin=origin_text(message.id.origin),
        destination=None if message.destination is None else origin_text(message.destination),
        sender=message.sender,
        series=f"{message.series.index + 1}/{message.series.count}" if message.series else None,
        hops=opened.hops,
        text=message.payload.decode(errors="replace") if message.kind is Kind.TEXT else None,
    )


def opened_file(file: str, quality: str | None) -> Opened:
    """Read a packet file; ``quality`` says what a TinyVoice packet without header holds.

    Raises:
        SettingsError: that is no quality of TinyVoice's, or the packet itself names another.
        SourceError: there is no such file, or it cannot be read.
        FrameError: it is no packet, or it is damaged.
    """
    codec = next((number for number, name in CODECS.items() if name == quality), None)
    name, data = ("standard input", _from_stdin()) if file == "-" else (file, read(Path(file)))
    if len(data) > MAX_FILE:
        raise FrameError(f"{name} is no packet: it has more than {MAX_FILE} bytes")
    try:
        opened = open_packet(data, codec)
    except FrameError as error:
        raise FrameError(f"{name} is no packet that can be read: {error}") from error
    if quality is not None and opened.form != "tinyvoice-headerless":
        raise SettingsError(
            f"{name} says itself what it holds: leave --quality away, which is for TinyVoice "
            "packets without header"
        )
    if quality is not None and codec is None:
        near = nearest(quality, CODECS.values())
        raise SettingsError(f"a TinyVoice packet does not hold {quality!r}{near}")
    return opened


def read(path: Path) -> bytes:
    """Return a packet file's bytes, of a longer file its beginning. Raises SourceError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error


def _from_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError("standard input is no packet: pipe one into it, or name a file")
    try:
        return sys.stdin.buffer.read(MAX_FILE + 1)
    except OSError as error:
        raise SourceError(f"standard input cannot be read: {error.strerror}") from error


def write(out: str, blocks: Iterable[bytes]) -> None:
    """Write a file whole or not at all; ``-`` (stdout), a device or pipe is written to.

    Args:
        out: where to.
        blocks: the bytes, one block after another, as often as they are gone through.

    Raises:
        SinkError: it cannot be written.
        BrokenPipeError: nobody reads standard output any more.
    """
    path = Path(out)
    if out == "-":
        _to_stdout(blocks)
    elif path.is_dir():
        raise SinkError(f"{path} is a folder: name a file")
    elif not path.exists() or path.is_file():
        write_whole(path, blocks)
    else:
        _to_device(path, blocks)


def _to_device(path: Path, blocks: Iterable[bytes]) -> None:
    try:
        with path.open("wb") as file:
            file.writelines(blocks)
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror}") from error


def _to_stdout(blocks: Iterable[bytes]) -> None:
    """Write without a buffer, so that nothing of it is left for the end of the process."""
    if sys.stdout.isatty():
        raise SinkError("standard output is a terminal: send it to a file or program, or name one")
    try:
        for block in blocks:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(sys.stdout.fileno(), rest) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SinkError(f"standard output cannot be written: {error.strerror}") from error


def _choose_for(form: str, app: App, seconds: float) -> Choice:
    """Choose a quality that this form of packet can hold. Raises as ``choose``."""
    quality = app.settings.defaults.quality
    if form != "tinyvoice":
        return choose(app.plugins, quality, seconds, {})
    if quality == "auto" and not _usable(app):
        raise CodecError(f"TinyVoice has no form for what can be encoded here{_instead(app)}")
    choice = choose(app.plugins, quality, seconds, {"TinyVoice": TINYVOICE})
    if choice.spec.wire_id not in CODECS:
        raise CodecError(f"TinyVoice has no form for {choice.spec.name}{_instead(app)}")
    return choice


def _choose_to_fit(fit: Fit, app: App, seconds: float, choice: Choice) -> Choice:
    """Return the choice, or for ``auto`` the best that fits. Raises TooLong, SettingsError."""
    if fit.frames is None:
        raise SettingsError("a packet file has no airtime: --fit is here a number of frames")
    head = message_head(Kind.VOICE, None, app.settings.defaults.name)
    space = Space(fit, {"": ORDINARY}, head, to_all=False)
    if app.settings.defaults.quality == "auto":
        return choose_to_fit(space, app.plugins.codecs(), seconds)
    if not space.holds(payload_size(choice.spec, seconds)):
        raise refused(space, [choice.spec], seconds)
    return choice


def _usable(app: App) -> list[str]:
    """Return the qualities that TinyVoice knows and that can be encoded here."""
    ours = [spec for spec in app.plugins.codecs() if spec.wire_id in CODECS]
    return [spec.name for spec in ours if spec.why_not() is None]


def _instead(app: App) -> str:
    """Say what can be done where TinyVoice has no form for a quality."""
    if usable := _usable(app):
        return f": choose --quality {' or '.join(usable)}"
    ours = (spec for spec in app.plugins.codecs() if spec.wire_id in CODECS)
    why_not = next(filter(None, (spec.why_not() for spec in ours)), None)
    return f": use --format focal{f', or see to this: {why_not}' if why_not else ''}"


def _seconds(message: Message, spec: CodecSpec | None) -> float | None:
    """Return how long a message sounds, None where that cannot be told here."""
    if message.kind is not Kind.VOICE:
        return None
    try:
        return spec.seconds(message.payload) if spec else seconds_of(message)
    except FocalError:  # an unknown or damaged payload has no length; the rest is still told
        return None
