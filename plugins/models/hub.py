"""Pulling model files from the hub: what is missing comes, and what has come stays.

The law of this module: a file gets its name only when it is whole and is what the hub says it is.
Until then it is a part beside its place, which the next pull goes on with, however this one ends.

huggingface_hub keeps nothing of a download that was cut, and tells of one every 10 MiB: too little
for thin lines. So its client is asked here, directly: its endpoint, token, offline mode, timeouts,
proxies and certificates count, and the plain road that the hub offers to every client.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import FileIO
from pathlib import Path
from typing import Protocol, TypeAlias, cast
from urllib.parse import urlsplit

from ...core.errors import ModelError
from .catalogue import REPOSITORY, REVISION
from .disk import PART, hash_file, lock, mega, telling
from .record import Entry
from .store import Part, Store
from .variables import see_variables, those_set
from .where import VARIABLE

LOCK = "pull.lock"
WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new attempt, since a connection last brought something."""

_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may do better soon."""

_SHA256 = re.compile(r'"?([0-9a-f]{64})"?')
_COUNT = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes (?:(?P<first>[0-9]+)-[0-9]+|\*)/(?P<total>[0-9]+)")
_IMPORT = "`focal models import FOLDER` takes the files from a folder or a USB stick"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another process pulls into this folder, and is waited for."""

    folder: Path


@dataclass(frozen=True, slots=True)
class Downloading:
    """A file is on its way.

    Args:
        file: its name.
        done: bytes of it that are here.
        total: bytes of it.
        kept: bytes of it that an earlier pull had brought: a rate counts only what came since.
    """

    file: str
    done: int
    total: int
    kept: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A connection was cut, and is taken up again.

    Args:
        file: the name of the file.
        reason: what happened.
        wait: seconds until then.
    """

    file: str
    reason: str
    wait: float


@dataclass(frozen=True, slots=True)
class Checking:
    """A file has come and is hashed.

    Args:
        file: its name.
        done: bytes of it that were hashed.
        total: bytes of it.
    """

    file: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Pulled:
    """A file is in its place, whole and checked."""

    file: str
    size: int


Progress: TypeAlias = Waiting | Downloading | Cut | Checking | Pulled


def untold(progress: Progress) -> None:
    """Be told of a pull, and do nothing."""


def free_space(folder: Path) -> int:
    """Return the bytes that may still be written to a folder's disk. Raises OSError."""
    return shutil.disk_usage(folder).free


def pull(
    store: Store,
    files: Iterable[str],
    *,
    repository: str = REPOSITORY,
    revision: str = REVISION,
    tell: Callable[[Progress], None] = untold,
    endpoint: str | None = None,
    free: Callable[[Path], int] = free_space,
    waits: Sequence[float] = WAITS,
) -> tuple[str, ...]:
    """Download the files that are missing; return their names. It blocks.

    Args:
        store: where they go, to the shelf ``published``; it knows their sizes.
        files: names in the catalogue.
        repository: on the hub.
        revision: the commit, 40 hex digits.
        tell: told how it goes, often enough for a progress bar.
        endpoint: the address of the hub; None: what huggingface_hub says (``HF_ENDPOINT``).
        free: returns the bytes that may still be written to a folder's disk.
        waits: see ``WAITS``.

    Raises:
        ModelError: a file cannot be had, is not what it should be, or cannot be written; says
            which, why and what to do. What has come of it stays, unless it is wrong.
    """
    wanted = tuple(dict.fromkeys(files))
    if not _missing(store, wanted):
        return ()
    see_variables(os.environ, endpoint)
    with _alone(store, tell):
        missing = _missing(store, wanted)  # another pull may have brought them meanwhile
        ways = [_Way(name, store.sizes[name], part_path(store, name, revision)) for name in missing]
        _see_room(store.folder, ways, free)
        with _quiet():
            _fetch(store, ways, _Origin(repository, revision, endpoint), tell, waits)
    return missing


def part_path(store: Store, name: str, revision: str = REVISION) -> Path:
    """Return where a published file is while it comes."""
    return store.path(name).with_name(f"{name}.{revision[:8]}{PART}")


def kept(store: Store, name: str) -> int:
    """Return how many bytes of a file are here that an earlier pull brought."""
    return _Way(name, store.sizes[name], part_path(store, name)).here


@dataclass(frozen=True, slots=True)
class _Way:
    """A file that is missing: its name, its bytes when it is whole, and where it grows."""

    name: str
    size: int
    part: Path

    @property
    def here(self) -> int:
        """Bytes that are here."""
        try:
            return min(self.part.stat().st_size, self.size)
        except FileNotFoundError:
            return 0

    def drop(self) -> None:
        """Remove what is here: it is wrong."""
        with telling(f"{self.part} cannot be removed"):
            self.part.unlink(missing_ok=True)


def _missing(store: Store, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if store.look(name)[0] != "good")


@contextmanager
def _alone(store: Store, tell: Callable[[Progress], None]) -> Generator[None]:
    """Be the only pull into a folder for the time of the context; wait for another one."""
    doing = f"nothing can be written to {store.folder} ({VARIABLE} names another folder)"
    with ExitStack() as stack:
        with telling(doing):
            store.path("").mkdir(parents=True, exist_ok=True)
            ours = stack.enter_context(lock(store.folder / LOCK, wait=False))
        if not ours:
            tell(Waiting(store.folder))
            with telling(doing):
                stack.enter_context(lock(store.folder / LOCK))
        yield


def _see_room(folder: Path, ways: Iterable[_Way], free: Callable[[Path], int]) -> None:
    with telling(f"{folder} cannot be read"):
        need = sum(way.size - way.here for way in ways)
        room = free(folder)
    if need > room:
        raise ModelError(
            f"no room in {folder}: {mega(need)} are to come and {mega(room)} are free; "
            f"free some space, or name another folder with {VARIABLE}"
        )


def _fetch(
    store: Store,
    ways: Iterable[_Way],
    origin: _Origin,
    tell: Callable[[Progress], None],
    waits: Sequence[float],
) -> None:
    patience: Sequence[float] = ()  # what never began is not waited for
    for way in ways:
        announced = _Download(way, origin, tell).run(patience, waits)
        _take(store, way, origin, announced, tell)
        tell(Pulled(way.name, way.size))
        patience = waits


@contextmanager
def _quiet() -> Generator[None]:
    """Have huggingface_hub say nothing by itself for the time of the context."""
    logger = logging.getLogger("huggingface_hub")
    _load()  # which sets the logger's level
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _load() -> None:
    try:
        with warnings.catch_warnings(action="ignore"):
            import_module("huggingface_hub.utils.logging")
    except ImportError as error:
        raise ModelError(
            "huggingface_hub is missing, which downloads models: "
            f"pip install 'focal-voice[focalcodec]', or {_IMPORT}"
        ) from error
    except ValueError as error:  # a variable that should be a number and is none
        raise ModelError(
            f"huggingface_hub cannot be loaded ({_line(error)}): look at the variables HF_…"
        ) from error


def _line(error: Exception) -> str:
    """Say an error within a line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text)


# What is asked --------------------------------------------------------------------------------


class _Response(Protocol):
    """What we use of the client's response: httpx's, from huggingface_hub 2 on httpx2's."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def history(self) -> Sequence[_Response]: ...
    def iter_bytes(self) -> Iterator[bytes]: ...


class _Client(Protocol):
    """What we use of the client."""

    def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], timeout: float
    ) -> AbstractContextManager[_Response]: ...


class _Broken(Exception):
    """A connection that failed, or a hub that is not well; says why."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where files come from: a commit of a repository on a hub."""

    repository: str
    revision: str
    endpoint: str | None

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}"

    def url(self, name: str) -> str:
        """Return the address of a file."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repository, name, revision=self.revision, endpoint=self.endpoint)

    @property
    def host(self) -> str:
        """The hub, for messages."""
        return urlsplit(self.url("_")).netloc.rpartition("@")[2]  # before it may be a password

    @contextmanager
    def asked(self, name: str, start: int) -> Generator[_Response]:
        """Ask for a file from a byte on, for the time of the context.

        Raises:
            _Broken: the hub cannot be reached, or the connection ended on the way.
            ModelError: offline mode is on, or the client cannot work as it is told to.
        """
        from huggingface_hub.errors import OfflineModeIsEnabled

        broken = _client_errors()
        with ExitStack() as stack:
            try:
                response = stack.enter_context(self._stream(name, start))
            except OfflineModeIsEnabled as error:
                raise ModelError(
                    f"{name} is missing and nothing is downloaded in offline mode: "
                    f"unset HF_HUB_OFFLINE, or {_IMPORT}"
                ) from error
            except broken as error:
                raise _Broken(_line(error)) from error
            except (ValueError, OSError) as error:
                raise _misled(error) from error
            try:
                yield response
            except broken as error:
                raise _Broken(_line(error)) from error

    def _stream(self, name: str, start: int) -> AbstractContextManager[_Response]:
        """Return a request for a file from a byte on; entering it sends it."""
        from huggingface_hub import constants, get_session

        misled: tuple[type[Exception], ...] = (ImportError, ValueError, OSError, *_client_errors())
        try:
            client = cast("_Client", get_session())
            headers = _headers() | ({"range": f"bytes={start}-"} if start else {})
            timeout = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
            return client.stream("GET", self.url(name), headers=headers, timeout=timeout)
        except misled as error:
            raise _misled(error) from error


def _misled(error: Exception) -> ModelError:
    """Return what to say of a client that cannot work as something outside tells it to."""
    return ModelError(f"nothing can be downloaded: {_line(error)}; look at {those_set(os.environ)}")


def _headers() -> dict[str, str]:
    """Return what goes with every request; huggingface_hub's own headers come with telemetry."""
    from huggingface_hub import constants, get_token

    headers = {"user-agent": "focal", "accept-encoding": "identity"}
    if not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN and (token := get_token()):
        if not (token.isascii() and token.isprintable()):
            raise ModelError(
                "the token has letters that no token has: look at HF_TOKEN, or log in again with "
                "`hf auth login`"
            )
        headers["authorization"] = f"Bearer {token}"
    return headers


def _client_errors() -> tuple[type[Exception], ...]:
    """Return what the client raises; its library is another one from huggingface_hub 2 on."""
    from huggingface_hub.errors import HfHubHTTPError

    root = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    invalid = cast("type[Exception]", import_module(root.__module__).InvalidURL)
    return root, invalid


# What the hub answers -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a request for a file, before its bytes.

    Args:
        way: the file.
        origin: that was asked.
        start: the byte from which on it was asked for.
        last: the response that has the bytes.
        hub: the hub's own response: the last, or the one that led there.
    """

    way: _Way
    origin: _Origin
    start: int
    last: _Response
    hub: _Response | None

    @classmethod
    def of(cls, response: _Response, way: _Way, origin: _Origin, start: int) -> _Answer:
        """Return what a response says."""
        chain = (response, *reversed(response.history))
        hub = next((one for one in chain if "x-repo-commit" in one.headers), None)
        return cls(way, origin, start, response, hub)

    @property
    def begins(self) -> int:
        """The place in the file of the first byte that comes."""
        return self.start if self.last.status_code == 206 else 0

    @property
    def sha256(self) -> str | None:
        """What the hub says of the file, if it does: of large ones the ETag is the SHA-256."""
        headers: Mapping[str, str] = self.hub.headers if self.hub else {}
        found = _SHA256.fullmatch(headers.get("x-linked-etag") or headers.get("etag") or "")
        return found[1] if found else None

    def judge(self) -> None:
        """See that what comes is the file.

        Raises:
            _Broken: the hub is not well now.
            ModelError: it is not, or the hub does not give it.
        """
        status = self.last.status_code
        if status in _PASSING:
            raise _Broken(f"it answers {status}")
        if status not in (200, 206, 416):
            raise ModelError(self._refusal())
        if not self._is_hubs():
            raise ModelError(
                f"{self.origin.host} does not answer as a hub does: "
                "is a login page in the way, or HF_ENDPOINT wrong?"
            )
        if status == 416:  # what is here is longer than what there is
            self.way.drop()
        if others := [size for size in self._sizes() if size != self.way.size]:
            raise ModelError(self._other_size(others[0]))
        if status == 416:
            raise ModelError(self._refusal())

    def _is_hubs(self) -> bool:
        """Tell whether a hub has answered, for our revision, from the byte that we asked for."""
        commit = self.hub.headers["x-repo-commit"] if self.hub else None
        first = (self._range or {}).get("first")
        in_place = self.last.status_code != 206 or first == str(self.start)
        return commit == self.origin.revision and in_place

    def _sizes(self) -> list[int]:
        """Return every size of the file that is announced."""
        said = [self.hub.headers.get("x-linked-size")] if self.hub else []
        if self.last.status_code in (206, 416):
            said += [(self._range or {}).get("total")]
        elif self.last.status_code == 200 and "content-encoding" not in self.last.headers:
            said += [self.last.headers.get("content-length")]
        return [int(size) for size in said if size and _COUNT.fullmatch(size)]

    @property
    def _range(self) -> Mapping[str, str | None] | None:
        found = _RANGE.fullmatch(self.last.headers.get("content-range", ""))
        return found.groupdict() if found else None

    def _other_size(self, size: int) -> str:
        return (
            f"{self.way.name} at {self.origin.host} is another file: it has {size:,} bytes, "
            f"the published one {self.way.size:,}; is HF_ENDPOINT wrong?"
        )

    def _refusal(self) -> str:
        host, code = self.origin.host, self.last.status_code
        match code:
            case 404:
                return f"{host} has no {self.way.name} of {self.origin}: is HF_ENDPOINT wrong?"
            case 401 | 403 if self.last.headers.get("x-error-code") == "GatedRepo":
                return (
                    f"{host} gives {self.origin.repository} only to those it has let in: "
                    "ask there for access, then log in with `hf auth login`"
                )
            case 401 | 403:
                return (
                    f"{host} refuses {self.origin.repository} ({code}): log in with "
                    "`hf auth login`, or remove a token that has expired (HF_TOKEN)"
                )
            case _:
                return f"{host} does not give {self.way.name} (it answers {code}): {_IMPORT}"


# The download ---------------------------------------------------------------------------------


class _Download:
    """A file on its way: what is here of it, and how the rest comes."""

    def __init__(self, way: _Way, origin: _Origin, tell: Callable[[Progress], None]) -> None:
        self._way = way
        self._origin = origin
        self._tell = tell
        self._kept = way.here

    def run(self, first: Sequence[float], waits: Sequence[float]) -> str | None:
        """Fetch what is missing; return the SHA-256 that the hub announced, if it did.

        A connection that is cut is taken up again, as long as one of the last brought something.

        Args:
            first: seconds to wait before new attempts while nothing has come.
            waits: as above, since a connection last brought something.

        Raises:
            ModelError: see ``pull``.
        """
        patience = iter(first)
        while True:
            before = self._way.here
            try:
                return self._attempt()
            except _Broken as error:
                if self._way.here > before:
                    patience = iter(waits)
                if (wait := next(patience, None)) is None:
                    raise ModelError(self._given_up(str(error))) from error
                self._tell(Cut(self._way.name, str(error), wait))
            time.sleep(wait)

    def _attempt(self) -> str | None:
        # The last byte is asked for again, for only an answer tells what the whole file is.
        start = min(self._way.here, self._way.size - 1)
        with self._origin.asked(self._way.name, start) as response:
            answer = _Answer.of(response, self._way, self._origin, start)
            answer.judge()
            self._receive(response, answer.begins)
        if self._way.here < self._way.size:
            raise _Broken("it ended early")
        return answer.sha256

    def _receive(self, response: _Response, here: int) -> None:
        way = self._way
        self._kept = min(self._kept, here)
        with self._writing():
            file = way.part.open(
                "ab", buffering=0
            )  # what is written is there, even if we are killed
        with file:
            with self._writing():
                file.truncate(here)
            self._tell(Downloading(way.name, here, way.size, self._kept))
            for data in response.iter_bytes():
                here += len(data)
                self._see_size(here)
                with self._writing():
                    _write(file, data)
                self._tell(Downloading(way.name, here, way.size, self._kept))
            with self._writing():
                os.fsync(file.fileno())

    def _writing(self) -> AbstractContextManager[None]:
        return telling(f"{self._way.part} cannot be written")

    def _see_size(self, here: int) -> None:
        if here > self._way.size:
            self._way.drop()
            raise ModelError(
                f"{self._way.name} from {self._origin.host} does not end after the "
                f"{self._way.size:,} bytes that were published, and was removed"
            )

    def _given_up(self, reason: str) -> str:
        way, host = self._way, self._origin.host
        if not way.here:
            return f"{way.name} cannot be had from {host}: {reason}; try again later, or {_IMPORT}"
        return (
            f"{way.name}: {way.here:,} of {way.size:,} bytes are here, "
            f"then {host} failed: {reason}; the same command goes on from there"
        )


def _write(file: FileIO, data: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part first."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _take(
    store: Store,
    way: _Way,
    origin: _Origin,
    announced: str | None,
    tell: Callable[[Progress], None],
) -> None:
    """Put a file that has come into its place, if it is what it should be."""
    sha256 = _hashed(way, tell)
    if announced not in (sha256, None):
        way.drop()
        raise ModelError(
            f"{way.name} from {origin.host} came damaged: its SHA-256 is not the one that was "
            "announced; it was removed, the same command fetches it afresh"
        )
    known = store.record("published").get(way.name)
    if known is not None and known.source == str(origin) and sha256 not in _hashes(known):
        way.drop()
        raise ModelError(
            f"{way.name} from {origin.host} is not the file that came from there before: its "
            "SHA-256 is another; it was removed, `focal models remove` forgets the one before"
        )
    store.take([Part(way.name, way.part, str(origin), sha256)])
    with telling(f"what is left of {way.name} cannot be removed"):
        for left in way.part.parent.glob(f"{way.name}.*{PART}"):  # of other revisions
            left.unlink(missing_ok=True)


def _hashed(way: _Way, tell: Callable[[Progress], None]) -> str:
    done = 0

    def passed(count: int) -> None:
        nonlocal done
        done += count
        tell(Checking(way.name, done, way.size))

    with telling(f"{way.part} cannot be read"):
        return hash_file(way.part, passed)[0]


def _hashes(entry: Entry) -> tuple[str | None, ...]:
    """Return the SHA-256 of a file as it came; a slimmed one has another by now."""
    return (entry.optimized_from,) if entry.optimized_from else (entry.sha256,)
