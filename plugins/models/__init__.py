"""What the plugins of neural codecs share: the model files that are here, and the sessions on them.

The law of this package: a file is opened when it is first needed, by one session for all that want
it, and what it holds is believed only once it was looked at.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from .sessions import Sessions
from .settings import ModelSettings
from .store import Store
from .where import models_folder

__all__ = ["ModelSettings", "Models", "Sessions", "Store"]


@dataclass(frozen=True, slots=True)
class Models:
    """The models of one program; ``focal_codecs`` is given them.

    Args:
        folder: where the files are kept; it need not exist.
        settings: how sessions on them are run.
    """

    folder: Path
    settings: ModelSettings = field(default_factory=ModelSettings)
    store: Store = field(init=False)
    sessions: Sessions = field(init=False)

    @classmethod
    def here(cls, settings: ModelSettings | None = None) -> Models:
        """Return the models where the settings, the environment or the system's custom say."""
        settings = settings or ModelSettings()
        return cls(models_folder(settings.dir, os.environ), settings)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", Store(self.folder))
        object.__setattr__(self, "sessions", Sessions(self.settings))
