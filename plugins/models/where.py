"""Where the model files are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VARIABLE = "FOCAL_MODELS_DIR"
"""The variable that names the folder; it is the setting ``dir`` of the table models."""


def models_folder(chosen: str | None, environment: Mapping[str, str]) -> Path:
    """Return the folder of the model files; it need not exist.

    Args:
        chosen: what the settings say, if anything.
        environment: ``FOCAL_MODELS_DIR`` counts where the settings say nothing.
    """
    if named := chosen or environment.get(VARIABLE):
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("focal", appauthor=False) / "models"
