"""Pages over HTTP on loopback: what a client does harms nobody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focal.core.errors import SettingsError
from focal.pages import MAX_CLIENTS, MAX_REQUEST, PATIENCE, Page, serving_pages

GET = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"
LONG = 20.0  # seconds in which everything in a test must have happened


async def answer(path: str) -> Page | None:
    if path == "/broken":
        raise OSError("the page is torn")
    return Page(b"well\n") if path == "/here" else None


@asynccontextmanager
async def pages(patience: float = PATIENCE) -> AsyncGenerator[int]:
    async with (
        asyncio.timeout(LONG),
        serving_pages(answer, "127.0.0.1", 0, patience=patience) as port,
    ):
        yield port


async def said_to(port: int, request: bytes) -> bytes:
    """Return all that is answered to some bytes, nothing if the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def run(main: Coroutine[object, object, None]) -> None:
    asyncio.run(main)


def test_a_page_is_given_once_and_the_connection_ends() -> None:
    async def main() -> None:
        async with pages() as port:
            whole = await said_to(port, GET)
            assert await said_to(port, GET.replace(b"/here", b"/here?x=1")) == whole
            assert await said_to(port, GET + GET) == whole
        head, _, body = whole.partition(b"\r\n\r\n")
        assert body == b"well\n"
        assert head.split(b"\r\n") == [
            b"HTTP/1.1 200 OK",
            b"Content-Type: text/plain; charset=utf-8",
            b"Content-Length: 5",
            b"Cache-Control: no-store",
            b"Connection: close",
        ]

    run(main())


def test_head_gives_the_same_without_the_page() -> None:
    async def main() -> None:
        async with pages() as port:
            whole = await said_to(port, GET)
            assert await said_to(port, GET.replace(b"GET", b"HEAD")) == whole[: -len("well\n")]

    run(main())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"GET /here/ HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"GET /../here HTTP/1.0\r\n\r\n", b"404 Not Found"),
        (b"POST /here HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", b"405 Method Not Allowed"),
        (b"DELETE /here HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"GET /here\r\n\r\n", b"400 Bad Request"),
        (b"GET http://x/here HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"GET /h\xc3\xa9re HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"GET /here HTTP/2.0\r\n\r\n", b"400 Bad Request"),
        (b"\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400 Bad Request"),
        (b"x" * (MAX_REQUEST + 5), b"431 Request Header Fields Too Large"),
        (GET[:-2] + b"A: " + b"x" * MAX_REQUEST + b"\r\n\r\n", b"431 "),
    ],
)
def test_all_else_is_refused_in_a_line(request_: bytes, status: bytes) -> None:
    async def main() -> None:
        async with pages() as port:
            assert (await said_to(port, request_)).startswith(b"HTTP/1.1 " + status)
            assert (await said_to(port, GET)).endswith(b"well\n")

    run(main())


@settings(max_examples=50)
@given(requests=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_garbage_harms_nobody(requests: list[bytes]) -> None:
    async def main() -> None:
        async with pages() as port:
            for request in requests:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                writer.close()
            assert (await said_to(port, GET)).endswith(b"well\n")

    run(main())


def test_who_is_slow_is_hung_up_on() -> None:
    async def main() -> None:
        async with pages(patience=0.05) as port:
            assert await said_to(port, b"") == b""
            assert await said_to(port, GET[:-1]) == b""
            assert (await said_to(port, GET)).endswith(b"well\n")

    run(main())


def test_of_too_many_the_one_that_has_been_here_longest_goes() -> None:
    async def main() -> None:
        async with pages() as port:
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CLIENTS)]
            for n in range(3):
                assert (await said_to(port, GET)).endswith(b"well\n")
                assert await _ended(silent[0][0]), n
            assert not silent[-1][0].at_eof()
            silent[-1][1].write(GET)
            assert (await silent[-1][0].read()).endswith(b"well\n")
            for _, writer in silent:
                writer.close()

    run(main())


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


def test_a_flood_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with pages() as port:
            found = await asyncio.gather(*(said_to(port, GET) for _ in range(5 * MAX_CLIENTS)))
            assert sum(one.endswith(b"well\n") for one in found) >= MAX_CLIENTS
            assert (await said_to(port, GET)).endswith(b"well\n")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_a_page_that_fails_is_logged_and_the_others_are_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with pages() as port:
            torn = await said_to(port, GET.replace(b"/here", b"/broken"))
            assert torn.startswith(b"HTTP/1.1 500 Internal Server Error")
            assert (await said_to(port, GET)).endswith(b"well\n")

    with caplog.at_level(logging.ERROR):
        run(main())
    assert [record.getMessage() for record in caplog.records] == ["the page /broken failed"]


def test_the_end_hangs_up_on_everybody() -> None:
    async def main() -> None:
        async with pages() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET[:5])
            await said_to(port, GET)
        assert await _ended(reader)
        writer.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)

    run(main())


def test_a_port_that_is_taken_is_told_in_a_line() -> None:
    async def main() -> None:
        async with pages() as port:
            with pytest.raises(SettingsError, match=rf"^cannot listen on 127.0.0.1:{port}: .+$"):
                async with serving_pages(answer, "127.0.0.1", port):
                    pass

    run(main())


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 1 << 17), ("a" * 70, 0)])
def test_what_is_no_place_to_listen_is_told_in_a_line(host: str, port: int) -> None:
    async def main() -> None:
        with pytest.raises(SettingsError, match=f"^cannot listen on {host}:{port}: .+$"):
            async with serving_pages(answer, host, port):
                pass

    run(main())
