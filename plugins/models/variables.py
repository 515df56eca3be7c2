"""What the environment says of downloads, looked at before a library trips over it.

The law of this module: what is wrong is told in one line that names the variable, and of an address
that may hold a password only what follows it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit

from ...core.errors import ModelError

ENDPOINT = "HF_ENDPOINT"
_TIMEOUT = "HF_HUB_DOWNLOAD_TIMEOUT"
_CERTIFICATES = "SSL_CERT_FILE"
_PROXIES = (
    ("http_proxy", "HTTP_PROXY"),
    ("https_proxy", "HTTPS_PROXY"),
    ("all_proxy", "ALL_PROXY"),
)
_SEARCHED = (
    ENDPOINT,
    _TIMEOUT,
    *(name for pair in _PROXIES for name in pair),
    _CERTIFICATES,
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
    "HF_HOME",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
)


def see_variables(env: Mapping[str, str], endpoint: str | None = None) -> None:
    """See that what downloads depend on can be what it should be.

    Args:
        env: the environment.
        endpoint: the address of the hub, where it is not the environment's.

    Raises:
        ModelError: something cannot.
    """
    if endpoint is not None:
        _see_address("the endpoint", endpoint, _HUB)
    elif ENDPOINT in env:
        _see_address(ENDPOINT, env[ENDPOINT], _HUB)
    for name, address in _proxies(env):
        _see_address(name, address, _PROXY)
        if address.lower().startswith("socks") and not find_spec("socksio"):
            raise ModelError(
                f"{name} names a SOCKS proxy, which takes one more package: pip install socksio"
            )
    if seconds := env.get(_TIMEOUT):
        _see_seconds(seconds)
    if path := env.get(_CERTIFICATES):
        _see_certificates(path)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an address is of, what one looks like, and how it may begin."""

    what: str
    like: str
    schemes: tuple[str, ...]


_HUB = _Kind("a hub", "https://huggingface.co", ("http", "https"))
_PROXY = _Kind("a proxy", "http://proxy.example:8080", ("http", "https", "socks5", "socks5h"))


def _proxies(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that name proxies, and their addresses, as the client reads them."""
    spared = env.get("no_proxy") or env.get("NO_PROXY") or ""
    if "*" in (host.strip() for host in spared.split(",")):
        return
    for lower, upper in _PROXIES:
        if name := next((name for name in (lower, upper) if env.get(name)), None):
            address = env[name]
            yield name, address if "://" in address else f"http://{address}"


def _see_address(name: str, address: str, kind: _Kind) -> None:
    """See that an address can be asked. Raises ModelError: it cannot."""
    if wrong := _wrong(address, kind.schemes):
        raise ModelError(
            f"{name} is {shown(address)!r}, which is no address of {kind.what}: {wrong}; "
            f"one looks like {kind.like}"
        )


def _wrong(address: str, schemes: tuple[str, ...]) -> str | None:
    """Return what is wrong with an address, if anything is."""
    if any(not letter.isprintable() or letter == " " for letter in address):
        return "it has a space or something invisible in it"
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").encode("idna")
    except ValueError:
        return "its host is no name"
    if parts.scheme not in schemes:
        return f"it does not begin with {' or '.join(f'{one}://' for one in schemes)}"
    if not host:
        return "it names no host"
    if not _port_is_right(parts):
        return "its port is no number from 1 to 65535"
    return "it has a ? or # in it" if parts.query or parts.fragment else None


def _port_is_right(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def shown(address: str) -> str:
    """Return an address as it may be shown: without user and password, however they are written."""
    scheme, _, rest = address.rpartition("@")[0].partition("://")
    if "@" in address:
        start = f"{scheme}://" if rest and scheme.isalnum() else ""
        address = f"{start}…@{address.rpartition('@')[2]}"
    return address.partition("?")[0]


def _see_seconds(seconds: str) -> None:
    if not re.fullmatch("[0-9]{1,6}", seconds) or not int(seconds):
        raise ModelError(f"{_TIMEOUT} is {seconds!r}, and no whole number from 1 to 999999")


def _see_certificates(path: str) -> None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise ModelError(f"{_CERTIFICATES} is {path!r}, which has no certificates in it") from error
    except OSError as error:
        raise ModelError(
            f"{_CERTIFICATES} is {path!r}, which cannot be read: {error.strerror}"
        ) from error


def those_set(env: Mapping[str, str]) -> str:
    """Return the names of the variables that are set, for who has to search among them."""
    return ", ".join(name for name in _SEARCHED if env.get(name)) or "the settings of the system"
