"""What comes with focal: the names of its own plugins and the modules behind them.

The law of this module: nothing is imported here. A built-in is known by name, as a plugin from
outside is known by its metadata, and its module is imported when it is first needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KINDS = ("transport", "codec", "source", "sink", "command", "hooks")
OURS = "focal-voice"
"""The distribution that the built-ins come with; nobody else's is called so."""


@dataclass(frozen=True, slots=True)
class Known:
    """A plugin of which only the name is known so far.

    Args:
        name: ``kind.name``, the kind one of ``KINDS``; as an entry point of group ``focal`` has it.
        module: the module that has its hooks.
        distribution: what installed it; None for what nothing installed.
        version: of the distribution, where that is known.
        file: the file of a single-file plugin; its module is made of it.
    """

    name: str
    module: str
    distribution: str | None = None
    version: str | None = None
    file: Path | None = None

    @property
    def kind(self) -> str:
        """What it adds: ``transport`` of ``transport.udp``."""
        return self.name.partition(".")[0]

    @property
    def ours(self) -> bool:
        """Whether it comes with focal."""
        return self.distribution == OURS

    @property
    def whence(self) -> str:
        """Where it comes from, for people: ``focal-hum 1.0``, a file, or at least a module."""
        if self.file is not None:
            return str(self.file)
        return (
            f"{self.distribution} {self.version or ''}".strip()
            if self.distribution
            else (self.module)
        )


BUILTINS = (
    Known("transport.mem", "focal.transports.memory", OURS),
    Known("transport.udp", "focal.transports.udp", OURS),
    Known("transport.file", "focal.transports.folder", OURS),
    Known("transport.lora", "focal.transports.lora", OURS),
    Known("transport.mqtt", "focal.transports.mqtt", OURS),
    Known("codec.c2", "focal.plugins.codecs.codec2", OURS),
    Known("codec.focalcodec", "focal.plugins.codecs.focalcodec", OURS),
    Known("source.file", "focal.plugins.sources.files", OURS),
    Known("source.mic", "focal.plugins.sources.microphone", OURS),
    Known("sink.wav", "focal.sinks.wav", OURS),
    Known("sink.jsonl", "focal.sinks.jsonl", OURS),
    Known("sink.speaker", "focal.sinks.speaker", OURS),
    Known("hooks.choice", "focal.plugins.choice", OURS),
)
