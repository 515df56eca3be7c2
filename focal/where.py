"""Where the home is, told without looking at the disk and without importing what a home needs.

The law of this module: it costs next to nothing, because ``focal --help`` asks it for the folder of
the single-file plugins.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

PLUGINS = "plugins"
"""The folder of a home that single-file plugins are in."""


def home_folder(path: Path | None, env: Mapping[str, str]) -> Path:
    """Return where the home is, or will be.

    Args:
        path: from ``--home``; None: ``FOCAL_HOME``, else the user's data folder.
        env: the environment.
    """
    if path is None and not env.get("FOCAL_HOME"):
        return _data_folder(env)
    return (path or Path(env["FOCAL_HOME"])).expanduser().absolute()


def _data_folder(env: Mapping[str, str]) -> Path:
    """Return focal's part of the user's data folder."""
    if sys.platform == "linux" and not env.get("ANDROID_DATA"):
        # What platformdirs says there; its import takes longer than all else that --help does.
        return Path(env.get("XDG_DATA_HOME", "").strip() or "~/.local/share").expanduser() / "focal"
    from platformdirs import user_data_path

    return user_data_path("focal", appauthor=False)
