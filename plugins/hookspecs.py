"""The hooks: every question that focal asks its plugins, and everything it shows them.

The law of this module: a hook's name, arguments and promises stand here and nowhere else;
``docs/hooks.md`` tells the same to people, and a test compares the two.

Three groups. *What exists*: every plugin is asked once, when something of that kind is first
needed. *Which one*: the first plugin with an answer decides. *What passes*: every plugin sees each
message (never each frame). Implementations are plain functions, not coroutines and not wrappers,
and may take fewer arguments than the hook has. A hook may gain arguments; that raises ``CONTRACT``
by one, and who takes fewer is called as before.

``Plugins`` (manager.py) is the only caller. It asks one implementation at a time and answers for
what happens when one fails; each docstring says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pluggy

from . import NAME

if TYPE_CHECKING:
    from ..core.audio import Clip
    from ..core.codec import CodecSpec
    from ..core.link import Limits, Transport, TransportSpec
    from ..core.message import Message
    from ..core.ports import SinkSpec, SourceSpec
    from .findings import Finding
    from .models import Models

hookspec = pluggy.HookspecMarker(NAME)


@runtime_checkable
class Command(Protocol):
    """A command of the command line: any ``click.Command`` is one. (click is not imported here.)"""

    name: str | None

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return one line for ``focal --help``."""
        ...


# What exists ----------------------------------------------------------------------------------


@hookspec
def focal_sources() -> list[SourceSpec]:
    """Return the kinds of source that this plugin adds.

    Called once, in the thread that first needs a source, before anything is recorded. It must not
    open a device or import a heavy library: ``SourceSpec.open`` is the place for that.
    An error is logged under the plugin's name and the plugin left out; who asks for a source of
    its name is told the error. Two that add one name have neither.
    """
    return []


@hookspec
def focal_codecs(models: Models) -> list[CodecSpec]:
    """Return the qualities that this plugin adds, installed or not (``CodecSpec.why_not``).

    Called once, in the thread that first needs a codec. It must not load a model or import a
    heavy library: ``CodecSpec.load`` is the place for that.
    An error is logged under the plugin's name and the plugin left out; who asks for a quality of
    its name is told the error. Two that add one name or wire id have neither.

    Args:
        models: the model files that are here and the sessions on them, shared by all neural
            codecs; others leave the argument away.
    """
    return []


@hookspec
def focal_transports() -> list[TransportSpec]:
    """Return the URL schemes that this plugin adds.

    Called once, in the thread that first needs a link. It must not touch the network or a device
    or import a heavy library: ``Transport.open`` is the place for that.
    An error is logged under the plugin's name and the plugin left out; who asks for a scheme of
    its name is told the error. Two that add one scheme have neither.
    """
    return []


@hookspec
def focal_sinks() -> list[SinkSpec]:
    """Return the kinds of sink that this plugin adds.

    Called once, in the thread that first needs a sink. It must not open a file or a device or
    import a heavy library: ``SinkSpec.open`` is the place for that.
    An error is logged under the plugin's name and the plugin left out; who asks for a sink of
    its name is told the error. Two that add one name have neither.
    """
    return []


@hookspec
def focal_commands() -> list[Command]:
    """Return the click command that this plugin adds under ``focal``, called as the plugin is.

    Called once by the command line, in the main thread and outside any event loop, when the
    command is used; ``focal --help`` lists it by the plugin's name alone.
    An error becomes a PluginError that names the plugin.
    """
    return []


@hookspec
def focal_doctor() -> list[Finding]:
    """Look at what this plugin needs (devices, libraries, models) and return what was found.

    Called by ``focal doctor`` each time it runs, in a worker thread; it may take a few seconds
    and open devices, and must leave them as they were.
    An error becomes a bad finding under the plugin's name and stops no other check.
    """
    return []


# Which one ------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def focal_choose_codec(
    available: list[CodecSpec], limits: Sequence[Limits], seconds: float
) -> str | None:
    """Return the name of the quality to encode with, or None to leave it to the next plugin.

    Called once for each message of quality ``auto``, after capture and before encoding, maybe in
    a worker thread. focal's own choice (plugins/choice.py) comes last.
    An error, or a name that is not available, is logged under the plugin's name and counts as None.

    Args:
        available: the codecs that can be loaded here now, at least one.
        limits: of every link that the message goes to, as they are now.
        seconds: how long the clip is.
    """
    return None


@hookspec(firstresult=True)
def focal_wrap_transport(name: str, transport: Transport) -> Transport | None:
    """Return a transport to use instead of a link's own, or None to leave it as it is.

    Called once for each link, before it is first opened, in the thread that builds the node.
    An error, or an answer that is no transport, is logged under the plugin's name and counts as
    None.

    Args:
        name: the link's name, as in ``--via``.
        transport: as its URL made it.
    """
    return None


# What passes ----------------------------------------------------------------------------------


@hookspec
def focal_captured(clip: Clip) -> Clip | None:
    """See a clip before it is encoded; return another one to have that encoded instead.

    Called once for each clip, after its source gave it, by the node in a worker thread. Each
    implementation is given the last one's result.
    An error or an answer that is no clip is logged under the plugin's name; the clip stays as it
    was before.
    """
    return None


@hookspec
def focal_encoded(message: Message) -> None:
    """See a message of our own, encoded and safe in the outbox.

    Called once for each message, by the node in the event loop's thread: return at once.
    An error is logged under the plugin's name and stops nothing.
    """


@hookspec
def focal_framed(message: Message, frames: Sequence[bytes]) -> None:
    """See that a message was cut for a datagram link.

    Called once for each message and datagram link, before its first burst, by the node in the
    event loop's thread: return at once.
    An error is logged under the plugin's name and stops nothing.

    Args:
        message: what was cut.
        frames: those of the first burst, as they go out (but for padding).
    """


@hookspec
def focal_sent(message: Message, link: str) -> None:
    """See that a message has gone out on a link.

    Called once for each message and link, by the node in the event loop's thread: return at once.
    An error is logged under the plugin's name and stops nothing.
    """


@hookspec
def focal_received(message: Message, link: str) -> None:
    """See a message that came in and is safe in the inbox, not yet decoded.

    Called once for each message, however often it comes, by the node in the event loop's thread:
    return at once. An error is logged under the plugin's name and stops nothing.
    """


@hookspec
def focal_decoded(message: Message, clip: Clip) -> Clip | None:
    """See the sound of a received message; return another clip to give the sinks that instead.

    Called once for each voice message, by the node in a worker thread. Each implementation is
    given the last one's result.
    An error or an answer that is no clip is logged under the plugin's name; the clip stays as it
    was before.
    """
    return None


@hookspec
def focal_played(message: Message, sink: str) -> None:
    """See that a sink took a message.

    Called once for each message and sink, by the node in the event loop's thread: return at once.
    Called again when somebody has the inbox play it again.
    An error is logged under the plugin's name and stops nothing.

    Args:
        message: what it took.
        sink: its key (``wav:in``).
    """
