"""The codec side alone, on files: encode, decode and look into packets.

The law of this module: a file is written whole or not at all, ``-`` is stdin or stdout, and
nothing else is opened but the home's spool (a new message needs an id).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .core.envelope import Envelope
from .core.errors import CodecError, FocalError, FrameError, SettingsError, SinkError, SourceError
from .core.framing.split import MAX_DATAGRAM, cut_for
from .core.message import MAX_MESSAGE, MAX_PAYLOAD, Kind, Message, lifetime_for, origin_text
from .core.packets import Opened, open_packet
from .core.tinyvoice import CODECS, packet_of, seconds_of
from .results import Decoded, Encoded, Info
from .settings import nearest
from .sinks._disk import write_whole
from .sinks.wav import wav_bytes
from .speech import choose, decode, encode, sound_in

if TYPE_CHECKING:
    from .app import App
    from .core.codec import CodecSpec

MAX_FILE = 4 * MAX_MESSAGE
"""Bytes; a longer file is no packet and is refused unread."""


async def encode_file(app: App, file: str, out: str, form: str, raw: int | None) -> Encoded:
    """Encode a sound file into a packet file of form ``focal`` or ``tinyvoice``.

    Raises:
        FocalError: no sound, no such quality, too long, or the file cannot be written.
    """
    sound = await sound_in(app.source(file, raw))
    spec = choose(app.plugins, app.settings.defaults.quality, sound.seconds, ())
    if form == "tinyvoice" and spec.wire_id not in CODECS:
        raise CodecError(_no_form(app, spec))
    (speech,) = encode(app.plugins, spec, sound, MAX_PAYLOAD, parts=1)
    message = Message(
        app.new_id(),
        Kind.VOICE,
        speech.payload,
        speech.codec,
        sent_at=int(time.time()),
        lifetime=lifetime_for(app.settings.defaults.lifetime),
        sender=app.settings.defaults.name,
    )
    data = message.to_bytes()
    write(out, packet_of(message) if form == "tinyvoice" else Envelope(data).to_bytes())
    return Encoded(message.id, spec.name, speech.seconds, len(speech.payload), len(data), out)


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
    write(out, wav_bytes(clip))
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


def write(out: str, data: bytes) -> None:
    """Write a file whole or not at all; ``-`` (stdout), a device or pipe is written to.

    Raises:
        SinkError: it cannot be written.
        BrokenPipeError: nobody reads standard output any more.
    """
    path = Path(out)
    if out == "-":
        _to_stdout(data)
    elif path.is_dir():
        raise SinkError(f"{path} is a folder: name a file")
    elif not path.exists() or path.is_file():
        write_whole(path, data)
    else:
        _to_device(path, data)


def _to_device(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror}") from error


def _to_stdout(data: bytes) -> None:
    """Write without a buffer, so that nothing of it is left for the end of the process."""
    if sys.stdout.isatty():
        raise SinkError("standard output is a terminal: send it to a file or program, or name one")
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(sys.stdout.fileno(), rest) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SinkError(f"standard output cannot be written: {error.strerror}") from error


def _no_form(app: App, spec: CodecSpec) -> str:
    """Say why a codec cannot make a TinyVoice packet, and what can be done here."""
    usable = [spec for spec in app.plugins.codecs() if not spec.why_not()]
    here = [spec.name for spec in usable if spec.wire_id in CODECS]
    no_form = f"TinyVoice has no form for {spec.name}"
    if here:
        return f"{no_form}: choose --quality {' or '.join(here)}"
    return f"{no_form}, only for FocalCodec, which this focal cannot encode yet: use --format focal"


def _seconds(message: Message, spec: CodecSpec | None) -> float | None:
    """Return how long a message sounds, None where that cannot be told here."""
    if message.kind is not Kind.VOICE:
        return None
    try:
        return spec.seconds(message.payload) if spec else seconds_of(message)
    except FocalError:  # an unknown or damaged payload has no length; the rest is still told
        return None
