"""What comes with focal: the names of its own plugins and the modules behind them.

The law of this module: nothing is imported here. A built-in is known by name, as a plugin from
outside is known by its metadata, and its module is imported when it is first needed.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("transport", "codec", "source", "sink", "command", "hooks")


@dataclass(frozen=True, slots=True)
class Known:
    """A plugin of which only the name is known so far.

    Args:
        name: ``kind.name``, the kind one of ``KINDS``; as an entry point of group ``focal`` has it.
        module: the module that has its hooks.
    """

    name: str
    module: str

    @property
    def kind(self) -> str:
        """What it adds: ``transport`` of ``transport.udp``."""
        return self.name.partition(".")[0]


BUILTINS = (
    Known("transport.mem", "focal.transports.memory"),
    Known("transport.udp", "focal.transports.udp"),
    Known("transport.file", "focal.transports.folder"),
    Known("codec.c2", "focal.plugins.codecs.codec2"),
    Known("source.file", "focal.plugins.sources.files"),
    Known("source.mic", "focal.plugins.sources.microphone"),
    Known("sink.wav", "focal.sinks.wav"),
    Known("sink.jsonl", "focal.sinks.jsonl"),
    Known("sink.speaker", "focal.sinks.speaker"),
    Known("hooks.choice", "focal.plugins.choice"),
)
