"""``mqtt:`` and ``mqtts:``: how links over brokers are written, and how they are opened.

The law of this module: settings only, and no password in anything that is shown. ``client``, and
with it the ``paho`` library, is imported when a link is opened, not before.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import SplitResult, unquote

from ...core.envelope import MAX_ENVELOPE
from ...core.errors import TransportUnavailable
from ...core.link import Limits, LinkContext, TransportSpec
from ...core.message import MAX_LIFETIME
from ...core.url import Options, authority, written
from .link import LARGEST, RECEIVE, MqttLink, status_note
from .past import Past
from .reasons import why_tls
from .session import Account, Place, Version
from .topics import Room

if TYPE_CHECKING:
    from .client import PahoSession

PORT, TLS_PORT = 1883, 8883
MAX_SECRET = 4096
"""Bytes of a file with a password."""

_HOW = "mqtt://HOST[:PORT]/[PREFIX/]ROOM?user=NAME&password_file=FILE"
_HOW_TLS = "mqtts://HOST[:PORT]/[PREFIX/]ROOM?ca=FILE&user=NAME&password_file=FILE"
_OURSELVES = ("127.0.0.1", "::1")

_log = logging.getLogger("focal.mqtt")


_TEXTS = (
    "user",
    "password_file",
    "password_env",
    "ca",
    "cert",
    "key",
    "key_password_file",
    "key_password_env",
)


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """What may stand in the query of an MQTT link.

    Args:
        user: the login's name, if the broker wants one.
        password_file: the file whose first line is the password.
        password_env: the environment variable that has the password.
        ca: PEM file of the authority that signs the broker's certificate; without it those that
            this system trusts.
        cert: PEM file of our certificate, if the broker wants one.
        key: PEM file of its key; without it the key is in ``cert``.
        key_password_file: the file whose first line is the key's password.
        key_password_env: the environment variable that has the key's password.
        session: seconds for which the broker keeps what arrives while this home is away, 0 to
            604800 (7 days); with MQTT 3.1.1 the broker decides how long, and 0 is not at all.
        presence: publish that this node is there, for others to see.
        version: of MQTT: ``5``, ``3.1.1``, or ``auto``: 5, and 3.1.1 where the broker refuses it.
    """

    user: str | None = None
    password_file: str | None = None
    password_env: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    key_password_file: str | None = None
    key_password_env: str | None = None
    session: int = MAX_LIFETIME
    presence: bool = True
    version: Literal["auto", "5", "3.1.1"] = "auto"

    @classmethod
    def read(cls, options: Options) -> MqttOptions:
        """Return what a URL's query says. Raises ValueError."""
        version = options.text("version", "auto", choices=("auto", "5", "3.1.1"))
        texts = {name: options.text(name, None) for name in _TEXTS}
        return replace(
            cls(**cast("dict[str, Any]", texts)),
            session=options.integer("session", MAX_LIFETIME, least=0, most=MAX_LIFETIME),
            presence=options.flag("presence", True),
            version=cast("Literal['auto', '5', '3.1.1']", version),
        )


@dataclass(frozen=True, slots=True)
class MqttTransport:
    """Settings of a link over a room on a broker.

    Args:
        place: where the broker listens.
        room: the room.
        options: how to log in, and what the broker keeps.
        password: of ``options.user``, where the URL has it.
        past: of the connections before.
    """

    place: Place
    room: Room
    options: MqttOptions = field(default_factory=MqttOptions)
    password: str | None = field(default=None, repr=False)
    past: Past = field(default_factory=Past, compare=False, repr=False)

    def __post_init__(self) -> None:
        options = self.options
        _at_most_one(password=self.password, **_some(options, "password_file", "password_env"))
        _at_most_one(**_some(options, "key_password_file", "key_password_env"))
        if not self.place.tls and (named := _some(options, "ca", "cert", "key")):
            raise ValueError(f"{next(iter(named))} is for mqtts://, and this is mqtt://")
        if options.key and not options.cert:
            raise ValueError("a key without its certificate: add cert=FILE")
        secret = self.password or options.password_file or options.password_env
        if secret and not options.user:
            raise ValueError("a password without a user: add user=NAME")

    @classmethod
    def from_url(cls, url: SplitResult) -> MqttTransport:
        """Read ``mqtt://HOST[:PORT]/[PREFIX/]ROOM``, or ``mqtts:``. Raises ValueError."""
        tls = url.scheme == "mqtts"
        with written(_HOW_TLS if tls else _HOW):
            place = Place(*authority(url, TLS_PORT if tls else PORT), tls)
            if url.fragment:
                raise ValueError("what follows # belongs to no room: # is written %23")
            options = MqttOptions.read(Options(url, *MqttOptions.__dataclass_fields__))
            user, password = _login(url)
            if user and options.user:
                raise ValueError("the user is given twice")
            options = replace(options, user=user) if user else options
            return cls(place, Room.from_path(url.path), options, password)

    @property
    def key(self) -> str:
        host = "localhost" if self.place.host in _OURSELVES else self.place.host
        return f"mqtt:{Place(host, self.place.port)}/{self.room.root}"

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[MqttLink]:
        session = await context.runtime.run_blocking(_library)
        secrets = await context.runtime.run_blocking(self._secrets)
        link = await self._connect(session, secrets, context)
        try:
            yield link
        finally:
            await link.aclose()

    async def _connect(
        self, session: type[PahoSession], secrets: Secrets, context: LinkContext
    ) -> MqttLink:
        """Return an open link, of the newest version that the broker takes."""
        *newer, oldest = self._versions()
        for version in newer:
            try:
                return await self._begin(session, self._account(secrets, context, version), context)
            except _OlderWanted as refusal:
                _log.info("%s; trying MQTT 3.1.1", refusal)
        return await self._begin(session, self._account(secrets, context, oldest), context)

    async def _begin(
        self, session: type[PahoSession], account: Account, context: LinkContext
    ) -> MqttLink:
        presence = self.options.presence
        link = MqttLink(self.room, account, context, self.past, presence=presence)
        try:
            await link.begin(session(account, link.hear))
        except BaseException as error:
            older_wanted = account.version == "5" and link.unanswered
            await link.aclose()
            if older_wanted and isinstance(error, TransportUnavailable):
                raise _OlderWanted(str(error)) from error
            raise
        return link

    def _versions(self) -> tuple[Version, ...]:
        return ("5", "3.1.1") if self.options.version == "auto" else (self.options.version,)

    def _account(self, secrets: Secrets, context: LinkContext, version: Version) -> Account:
        gone = status_note(self.room, context, online=False) if self.options.presence else None
        return Account(
            self.place,
            version,
            self._client_id(context.origin),
            self.options.user,
            secrets.password,
            secrets.tls,
            will=gone,
            keep=self.options.session,
            window=RECEIVE,
            size=LARGEST,
        )

    def _client_id(self, origin: int) -> str:
        """Return what tells this node's link from all others, in what every broker takes."""
        return f"focal{origin:08x}{blake2b(self.key.encode(), digest_size=4).hexdigest()}"

    def _secrets(self) -> Secrets:
        """Read what is in files and variables; it blocks. Raises TransportUnavailable."""
        options = self.options
        password = self.password or _secret(options.password_file, options.password_env)
        return Secrets(password, self._tls() if self.place.tls else None)

    def _tls(self) -> ssl.SSLContext:
        options = self.options
        try:
            context = ssl.create_default_context(cafile=_path(options.ca))
        except (OSError, ssl.SSLError) as error:
            raise TransportUnavailable(f"ca={options.ca}: {_unread(error)}") from error
        if options.cert is not None:
            secret = _secret(options.key_password_file, options.key_password_env)
            try:
                context.load_cert_chain(
                    _path(options.cert) or "", _path(options.key), password=lambda: secret or ""
                )
            except (OSError, ssl.SSLError) as error:
                which = f"cert={options.cert}" + (f", key={options.key}" if options.key else "")
                raise TransportUnavailable(f"{which}: {_unread(error)}") from error
        return context


class _OlderWanted(TransportUnavailable):
    """The broker does not speak MQTT 5, or does not say."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is read when a link is opened."""

    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)


def _login(url: SplitResult) -> tuple[str | None, str | None]:
    """Return user and password of a URL, and say what is better."""
    user, password = url.username, url.password
    if password:
        _log.warning(
            "a password in a link can be seen in the list of processes and in the shell's history: "
            "use password_file=FILE or password_env=NAME"
        )
    return (unquote(user) if user else None), (unquote(password) if password else None)


def _some(options: MqttOptions, *names: str) -> dict[str, str]:
    """Return those of the options that are given."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _at_most_one(**given: str | None) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)} say the same: one is enough")


def _secret(file: str | None, variable: str | None) -> str | None:
    """Return a password out of a file or a variable. Raises TransportUnavailable."""
    if file is not None:
        return _first_line(Path(file).expanduser())
    if variable is not None:
        if not (value := os.environ.get(variable)):
            raise TransportUnavailable(f"the environment has no {variable}, which has the password")
        return value
    return None


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            line = file.read(MAX_SECRET).split(b"\n")[0].rstrip(b"\r").decode()
    except OSError as error:
        raise TransportUnavailable(f"the password in {path}: {_unread(error)}") from error
    except UnicodeDecodeError as error:
        raise TransportUnavailable(f"the password in {path} is no UTF-8") from error
    if not line:
        raise TransportUnavailable(f"the password in {path} is missing: its first line is empty")
    return line


def _path(option: str | None) -> str | None:
    return None if option is None else str(Path(option).expanduser())


def _unread(error: OSError) -> str:
    """Say why a file of ours is of no use (an SSLError is an OSError)."""
    match error:
        case ssl.SSLError() if "KEY_VALUES_MISMATCH" in why_tls(error):
            return "the key does not belong to the certificate"
        case ssl.SSLError() if "NO_CERTIFICATE" in why_tls(error):
            return "there is no certificate in it"
        case ssl.SSLError() if "PEM lib" in str(error):
            return "no certificate and key in PEM, or the key wants another password"
        case ssl.SSLError():
            return f"OpenSSL does not take it ({why_tls(error) or error})"
        case _:
            return f"it cannot be read: {error.strerror or error}"


def _library() -> type[PahoSession]:
    """Load what talks to brokers. Raises TransportUnavailable."""
    try:
        from .client import PahoSession
    except ImportError as error:
        raise TransportUnavailable(
            f"MQTT needs the paho library ({error}): pip install 'focal-voice[mqtt]'"
        ) from error
    return PahoSession


SPECS = (
    TransportSpec(
        "mqtt",
        "a room on an MQTT broker",
        MqttTransport.from_url,
        default="mqtt://localhost/lobby",
        settings=MqttOptions,
        limits=Limits("message", MAX_ENVELOPE),
    ),
    TransportSpec(
        "mqtts",
        "a room on an MQTT broker, by TLS",
        MqttTransport.from_url,
        settings=MqttOptions,
        limits=Limits("message", MAX_ENVELOPE),
    ),
)
