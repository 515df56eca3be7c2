"""A hub on loopback that speaks what huggingface_hub's client asks for, and fails as it is told.

The law of this module: what it serves is counted, and nothing here waits for the clock.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from focal.plugins.models.catalogue import REPOSITORY, REVISION

_PATH = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>[^/?]+)")
_RANGE = re.compile(r"bytes=(\d+)-")
_PIECE = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request for a file is answered; as it stands: rightly.

    Args:
        status: of the hub's own response; 302 leads to where the bytes are.
        code: the header ``X-Error-Code``.
        commit: the header ``X-Repo-Commit``; None: none.
        size: what ``X-Linked-Size`` announces; None: the truth.
        etag: what ``X-Linked-Etag`` announces; None: the SHA-256 of the file.
        body: bytes that are served instead of the file's.
        length: what ``Content-Length`` announces; None: the truth.
        silent: no sizes are announced at all, and the end of the connection is that of the file.
        ranges: whether a part of a file can be asked for.
        shift: how much further on a part begins than was asked for, by its own account.
        cut: bytes after which the connection is cut.
        hold: bytes after which nothing comes until the hub is told to ``go``.
    """

    status: int = 302
    code: str | None = None
    commit: str | None = REVISION
    size: int | None = None
    etag: str | None = None
    body: bytes | None = None
    length: int | None = None
    silent: bool = False
    ranges: bool = True
    shift: int = 0
    cut: int | None = None
    hold: int | None = None


RIGHTLY = Answer()


@dataclass(slots=True)
class Request:
    """What was asked, and what went out.

    Args:
        path: from the slash on.
        headers: lower-case names.
        served: bytes of a file.
    """

    path: str
    headers: Mapping[str, str]
    served: int = 0

    @property
    def start(self) -> int:
        """The byte from which on it was asked for."""
        found = _RANGE.fullmatch(self.headers.get("range", ""))
        return int(found[1]) if found else 0


@dataclass(slots=True)
class Hub:
    """What the hub has, and what it has served.

    Args:
        files: by name.
        usual: how requests are answered.
        next: how the next ones are answered, each once.
        asked: of the hub.
        fetched: of the place where the bytes are, which is another host.
        go: set, what is held goes on.
    """

    files: dict[str, bytes]
    usual: Answer = RIGHTLY
    next: deque[Answer] = field(default_factory=deque[Answer])
    asked: list[Request] = field(default_factory=list[Request])
    fetched: list[Request] = field(default_factory=list[Request])
    go: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def served(self) -> int:
        """Bytes of files that went out."""
        return sum(request.served for request in self.fetched)

    def answers(self, *answers: Answer) -> None:
        """Say how the next requests are answered, each once."""
        self.next.extend(answers)


@contextmanager
def serving(files: Mapping[str, bytes]) -> Generator[Hub]:
    """Serve a hub for the time of the context."""
    hub = Hub(dict(files))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = False  # so that none is left at the end
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    promised: list[tuple[str, Answer]] = []

    class Handler(BaseHTTPRequestHandler):
        """Answers one request; the next one comes over a connection of its own."""

        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            with suppress(ConnectionError):  # the client has gone
                if self.path.startswith("/cdn/"):
                    self._bytes(int(self.path.removeprefix("/cdn/")))
                else:
                    self._hub()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _request(self) -> Request:
            headers = {name.lower(): value for name, value in self.headers.items()}
            return Request(self.path, headers)

        def _hub(self) -> None:
            hub.asked.append(self._request())
            answer = hub.next.popleft() if hub.next else hub.usual
            found = _PATH.fullmatch(self.path)
            name = found["name"] if found else ""
            if found is None or found["repository"] != REPOSITORY or name not in hub.files:
                answer = Answer(status=404, code="EntryNotFound")
            data = hub.files.get(name, b"")
            headers: dict[str, object] = {}
            if answer.commit is not None:
                headers["X-Repo-Commit"] = answer.commit
            if answer.code is not None:
                headers["X-Error-Code"] = answer.code
            if answer.status == 302:
                promised.append((name, answer))
                sha256 = hashlib.sha256(data).hexdigest()
                headers["X-Linked-Etag"] = f'"{answer.etag or sha256}"'
                headers["Location"] = f"http://localhost:{hub.port}/cdn/{len(promised) - 1}"
                if not answer.silent:
                    headers["X-Linked-Size"] = answer.size or len(data)
            self._say(answer.status, {**headers, "Content-Length": 0})

        def _bytes(self, promise: int) -> None:
            name, answer = promised[promise]
            request = self._request()
            hub.fetched.append(request)
            data = hub.files[name] if answer.body is None else answer.body
            headers: dict[str, object] = {"ETag": '"not-a-hash"'}
            if answer.ranges and request.start:
                self._rest(data, request, answer, headers)
            else:
                request.headers = {}
                self._send(200, headers, data, request, answer)

        def _rest(
            self, data: bytes, request: Request, answer: Answer, headers: dict[str, object]
        ) -> None:
            start, end = request.start, len(data)
            if start >= end:
                return self._say(416, {"Content-Range": f"bytes */{end}", "Content-Length": 0})
            headers["Content-Range"] = f"bytes {start + answer.shift}-{end - 1}/{end}"
            self._send(206, headers, data[start:], request, answer)

        def _send(
            self,
            status: int,
            headers: dict[str, object],
            data: bytes,
            request: Request,
            answer: Answer,
        ) -> None:
            if not answer.silent:
                headers["Content-Length"] = answer.length or len(data)
            self._say(status, headers)
            for piece in self._pieces(data, answer):
                self.wfile.write(piece)
                request.served += len(piece)

        def _pieces(self, data: bytes, answer: Answer) -> Generator[bytes]:
            hold = len(data) if answer.hold is None else answer.hold
            data = data[: answer.cut]
            for at in range(0, min(hold, len(data)), _PIECE):
                yield data[at : min(at + _PIECE, hold)]
            if hold < len(data):
                hub.go.wait()
                yield data[hold:]

        def _say(self, status: int, headers: Mapping[str, object]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.send_header("Connection", "close")
            self.end_headers()

    return Handler
