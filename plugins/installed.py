"""What is installed beside focal: entry points of group ``focal``, and single files of a folder.

The law of this module: nothing is imported, and each list is read once. The folders of the search
path are looked through by hand, because ``importlib.metadata`` alone takes longer to import than
``focal --help`` may take.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .builtins import OURS, Known

GROUP = "focal"

_METADATA = re.compile(
    r"(?P<name>.+?)(-(?P<version>[^-]+)(-py[0-9.]+)?)?\.(dist|egg)-info", re.IGNORECASE
)


def entry_points(path: Iterable[str]) -> list[Known]:
    """Return the plugins that distributions on a search path declare, by name.

    A distribution that is found twice counts once, the first time, as it is when it is imported.
    """
    found: dict[str, list[Known]] = {}
    for folder in dict.fromkeys(path):
        for entry, name, version in _distributions(folder):
            if name not in found and name != OURS:
                found[name] = list(_declared(entry, name, version))
    return sorted((one for some in found.values() for one in some), key=_order)


def single_files(folder: Path) -> list[Known]:
    """Return the plugins that are files of a folder, ``transport.hum.py``, by name.

    A file whose name begins with ``_`` or ``.`` is none: something that a plugin reads.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".py"))
    except OSError:  # no such folder, or none that may be read: no plugins
        return []
    return [
        Known(name.removesuffix(".py"), _module_name(folder / name), file=folder / name)
        for name in names
        if name[0] not in "_."
    ]


def normal(name: str) -> str:
    """Return a distribution's name as all its spellings have it: lower case, with ``-``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _order(one: Known) -> tuple[str, str]:
    return one.name, one.distribution or ""


def _distributions(folder: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield the metadata folders in a folder of the search path, each with name and version."""
    try:
        names = os.listdir(folder or ".")
    except OSError:  # an archive, or no longer there: nothing of ours is in it
        return
    for name in names:
        if name.endswith(("-info", "-INFO")) and (match := _METADATA.fullmatch(name)):
            yield os.path.join(folder, name), normal(match["name"]), match["version"]


def _declared(folder: str, distribution: str, version: str | None) -> Iterator[Known]:
    """Yield what stands under ``[focal]`` in a distribution's entry points."""
    try:
        with open(os.path.join(folder, "entry_points.txt"), encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):  # most have none
        return
    if f"[{GROUP}]" not in text:
        return
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group == GROUP and line and line[0] not in "#;" and "=" in line:
            name, _, value = line.partition("=")
            module = value.partition("[")[0].strip()  # after it: extras, of which nothing is left
            yield Known(name.strip(), module, distribution, version)


def _module_name(file: Path) -> str:
    """Return a module name for a single file, that no file of another home has too."""
    from hashlib import blake2b

    digest = blake2b(os.fsencode(file.absolute()), digest_size=4).hexdigest()
    return f"focal_plugin_{re.sub(r'[^0-9A-Za-z]', '_', file.stem)}_{digest}"
