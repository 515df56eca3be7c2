"""Every exception that focal raises on purpose.

::

    FocalError                     one line for the user, shown without traceback
    ├── TransportError             a link
    │   ├── TransportUnavailable   could not be opened: no such device, port in use, host unknown
    │   ├── LinkLost               the world broke an open link; opening it again may help
    │   ├── LinkClosed             we closed it
    │   └── PacketTooBig           refused before sending; nothing went out
    ├── CodecError                 audio that cannot be encoded, a payload that cannot be decoded
    │   └── CodecMissing           nothing here decodes this codec id; the message is kept
    ├── FrameError                 bytes from outside that are not what they should be
    ├── SourceError                no audio: no such file, not audio, empty, no microphone
    ├── SinkError                  a message could not be written or played
    ├── SpoolError                 the outbox or inbox: disk full, read-only, of a newer version
    │   ├── OutboxFull             no more messages may wait to be sent
    │   └── Withdrawn              a message is not to be sent: dropped, ended, not addressed
    ├── PluginError                a plugin cannot be loaded or breaks its contract
    ├── ModelError                 model files that cannot be fetched, brought in or changed
    ├── SettingsError              the configuration or the command line asks for what cannot be
    └── TooLong                    a message that the wire or the link cannot carry

After a ``LinkLost`` or a ``SpoolError`` a node at work tells of it, waits and tries again.
Everything that is not a ``FocalError`` is a bug and keeps its traceback.
"""


class FocalError(Exception):
    """A failure that the user can understand and act on, said in one line."""


class TransportError(FocalError):
    """Something about a link."""


class TransportUnavailable(TransportError):
    """A link cannot be opened now: no such device, port in use, host unknown."""


class LinkLost(TransportError):
    """An open link broke: unplugged, disconnected, the far side went away."""


class LinkClosed(TransportError):
    """The link was used after we closed it."""


class PacketTooBig(TransportError):
    """More bytes than the link carries in one packet; nothing was sent."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"{size} bytes do not fit: this link carries at most {limit} in a packet")
        self.size = size
        self.limit = limit


class CodecError(FocalError):
    """Audio that cannot be encoded, or a payload that cannot be decoded."""


class CodecMissing(CodecError):
    """No decoder for this codec id is installed; the message itself is sound."""


class FrameError(FocalError):
    """Bytes from outside that are not what they should be."""


class SourceError(FocalError):
    """Audio could not be had: no such file, not audio, empty, no microphone."""


class SinkError(FocalError):
    """A received message could not be written or played."""


class SpoolError(FocalError):
    """The outbox or inbox cannot be used: disk full, read-only, of a newer version."""


class OutboxFull(SpoolError):
    """As many messages, or bytes of them, wait to be sent as may."""


class Withdrawn(SpoolError):
    """A message is not to be sent: it was dropped, it has ended, or it has no destination yet."""


class PluginError(FocalError):
    """A plugin cannot be loaded or breaks its contract."""


class ModelError(FocalError):
    """Model files cannot be fetched, brought in, slimmed or removed; those here are unharmed."""


class SettingsError(FocalError):
    """The configuration or the command line asks for what cannot be."""


class TooLong(FocalError):
    """A message that the wire or a link cannot carry, however it is cut."""
