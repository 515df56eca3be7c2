"""A folder keeps the contract of message links; its waiting is virtual, its files are real."""

from __future__ import annotations

import shutil

from focal.core.link import Link, Transport
from focal.testing import TransportContract
from focal.transports.folder import FolderTransport


class TestFolder(TransportContract):
    kind = "message"
    virtual = True
    patience = 3600.0
    many = 100
    growth = 150_000  # names of files, and acks that near does not read

    def pair(self) -> tuple[Transport, Transport]:
        shared = FolderTransport(self.scratch / "stick", make=True)
        return shared, shared

    def dead(self) -> Transport:
        return FolderTransport(self.scratch / "no" / "such" / "folder")

    async def kill(self, link: Link) -> None:
        shutil.rmtree(self.scratch / "stick")
