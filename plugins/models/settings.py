"""How the models of neural codecs are kept and run."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_THREADS = 256


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The models of neural codecs: where they are and how they are run.

    Args:
        dir: the folder that they are kept in; without it focal's part of the user's cache folder.
        threads: of the processor that one model uses; 0: one a core, at most 4.
        providers: onnxruntime's execution providers, the best first; only the CPU's is tested.
        idle: seconds after which a model that nobody uses leaves the memory; 0: it stays.
    """

    dir: str | None = None
    threads: int = field(default=0, metadata={"minimum": 0, "maximum": MAX_THREADS})
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    idle: float = field(default=600.0, metadata={"minimum": 0})
