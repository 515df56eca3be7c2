"""File systems are told by the kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.filesystem import MOUNTS, Mount, mount_of
from tests.needs import needs

LIST = r"""
rootfs / rootfs rw 0 0
/dev/vda / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw,nosuid 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sda1 /media/my\040stick vfat rw 0 0
/dev/loop0 /media/disc iso9660 ro,relatime 0 0
me@far: /home/ada/far fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "mount"),
    [
        ("/", Mount("/", "ext4")),
        ("/var/lib", Mount("/", "ext4")),
        ("/homes", Mount("/", "ext4")),
        ("/home", Mount("/home", "nfs4")),
        ("/home/ada/x", Mount("/home", "nfs4")),
        ("/home/ada/far/x", Mount("/home/ada/far", "fuse.sshfs")),
        ("/media/my stick/focal", Mount("/media/my stick", "vfat")),
        ("/media/disc", Mount("/media/disc", "iso9660", read_only=True)),
        ("/run/user", Mount("/run", "tmpfs")),
    ],
)
def test_the_innermost_and_last_mount_counts(folder: str, mount: Mount) -> None:
    assert mount_of(Path(folder), LIST) == mount


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_what_other_machines_see_too_is_a_network_file_system(kind: str) -> None:
    assert Mount("/", kind).network


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "vfat", "tmpfs", "overlay", "fuseblk"])
def test_what_this_machine_alone_sees_is_none(kind: str) -> None:
    assert not Mount("/", kind).network


def test_memory_is_told() -> None:
    assert Mount("/run", "tmpfs").memory and not Mount("/", "ext4").memory


@given(st.text())
def test_any_text_is_a_list_of_mounts_or_none(text: str) -> None:
    found = mount_of(Path("/home/ada"), text)
    assert found is None or found.point in text or "\\" in text


def test_this_machine_is_on_something() -> None:
    needs(str(MOUNTS), MOUNTS.exists())
    assert mount_of(Path("/"), MOUNTS.read_text()) is not None
