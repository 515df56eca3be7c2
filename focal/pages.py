"""A few small pages over HTTP, for whoever watches a process.

The law of this module: a client costs little, whatever it does. It may ask once, in few bytes and
little time; of too many clients the one that has been here longest goes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from .core.errors import SettingsError

PATIENCE = 5.0
"""Seconds that a client may take altogether."""

MAX_REQUEST = 8192
"""Bytes of a request, all its headers included."""

MAX_CLIENTS = 16

_log = logging.getLogger("focal.pages")

_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]\r\n")


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


Answer: TypeAlias = Callable[[str], Awaitable[Page | None]]
"""Gives the page at a path (``/health``, without what follows a ``?``); None: there is none."""


@asynccontextmanager
async def serving_pages(
    answer: Answer, host: str, port: int, *, patience: float = PATIENCE
) -> AsyncGenerator[int]:
    """Answer GET and HEAD for the time of the context; give the port.

    Args:
        answer: gives the pages.
        host: the name or address to listen on.
        port: 0 is any that is free.
        patience: seconds that a client may take, from its first byte, or none, to our last.

    Raises:
        SettingsError: nothing can listen there.
    """
    clients = _Clients(answer, patience)
    try:
        server = await asyncio.start_server(
            clients.came, host, port, limit=MAX_REQUEST, backlog=MAX_CLIENTS
        )
    except (OSError, OverflowError, UnicodeError) as error:  # UnicodeError: no host is called so
        why = getattr(error, "strerror", None) or error
        raise SettingsError(f"cannot listen on {host}:{port}: {why}; take another port") from error
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await clients.aclose()
        await server.wait_closed()


class _Clients:
    """Those that are connected, in the order in which they came."""

    def __init__(self, answer: Answer, patience: float) -> None:
        self._answer = answer
        self._patience = patience
        self._talks: dict[asyncio.Task[None], None] = {}

    def came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one more."""
        if len(self._talks) >= MAX_CLIENTS:
            longest = next(iter(self._talks))
            del self._talks[longest]
            longest.cancel()
        talk = asyncio.create_task(self._talk(reader, writer), name="page")
        self._talks[talk] = None
        talk.add_done_callback(lambda talk: self._ended(talk, writer))

    def _ended(self, talk: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()  # whatever is still unsent; also if the talk never began
        self._talks.pop(talk, None)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and answer it. Who is slow or goes away gets nothing."""
        with suppress(TimeoutError, OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(self._patience):
                writer.write(await _response(self._answer, reader))
                writer.close()
                await writer.wait_closed()

    async def aclose(self) -> None:
        """Hang up on everybody."""
        talks = list(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _response(answer: Answer, reader: asyncio.StreamReader) -> bytes:
    try:
        request = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return _bytes_of(_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
    found = _REQUEST.match(request)
    if found is None:
        return _bytes_of(_error(HTTPStatus.BAD_REQUEST))
    method, target = found[1], found[2].decode("ascii")
    if method not in (b"GET", b"HEAD"):
        return _bytes_of(_error(HTTPStatus.METHOD_NOT_ALLOWED))
    page = await _page(answer, target.partition("?")[0])
    return _bytes_of(page, with_body=method == b"GET")


async def _page(answer: Answer, path: str) -> Page:
    try:
        return await answer(path) or _error(HTTPStatus.NOT_FOUND)
    except Exception:  # a page that fails must not end what it is about
        _log.exception("the page %s failed", path)
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR)


def _error(status: HTTPStatus) -> Page:
    return Page(f"{status.phrase}\n".encode(), status)


def _bytes_of(page: Page, *, with_body: bool = True) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    head = "\r\n".join([*lines, "", ""]).encode("ascii")
    return head + page.body if with_body else head
