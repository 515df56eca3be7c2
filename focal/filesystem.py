"""What kind of file system a folder is on: whether locks and logs hold there.

The law of this module: the kernel's list of mounts comes in as text; nothing is opened here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOUNTS = Path("/proc/self/mounts")

_NETWORK = frozenset(
    "9p afs afpfs ceph cifs davfs drvfs glusterfs gfs2 lustre ncpfs nfs nfs4 ocfs2 prl_fs smb2"
    " smb3 smbfs vboxsf webdav".split()
)
_FUSE = re.compile(r"fuse\.(sshfs|rclone|s3fs|gcsfuse|davfs2|glusterfs|vmhgfs-fuse|curlftpfs)")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system.

    Args:
        point: where it is mounted.
        kind: its type, as the kernel calls it (``ext4``, ``fuse.sshfs``).
        read_only: whether nothing can be written to it.
    """

    point: str
    kind: str
    read_only: bool = False

    @property
    def network(self) -> bool:
        """Whether other machines may see the same files, and not the same locks."""
        return self.kind in _NETWORK or _FUSE.fullmatch(self.kind) is not None

    @property
    def memory(self) -> bool:
        """Whether it is gone when the machine starts again."""
        return self.kind in ("tmpfs", "ramfs")


def mount_of(folder: Path, mounts: str) -> Mount | None:
    """Return what a folder is on; None where the list does not say.

    Args:
        folder: an absolute path without links in it.
        mounts: the text of ``/proc/self/mounts``, see proc(5).
    """
    inside = [m for m in _parsed(mounts) if PurePosixPath(folder).is_relative_to(m.point)]
    return max(reversed(inside), key=lambda mount: len(mount.point), default=None)


def _parsed(mounts: str) -> Iterator[Mount]:
    for line in mounts.splitlines():
        parts = line.split(" ")
        if len(parts) >= 4:
            yield Mount(_plain(parts[1]), parts[2], "ro" in parts[3].split(","))


def _plain(text: str) -> str:
    """Undo the kernel's escapes: a space is written as a backslash and 040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
