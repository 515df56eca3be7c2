"""Whether strangers may listen on a link, as far as its URL tells.

The law of this module: it is a guess from a text, on the safe side; nothing is asked or looked up.
Who knows better says ``public`` in the link's table.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, parse_qs

HOMELY = (".local", ".lan", ".home.arpa", ".internal", ".localhost")
"""Ends of names that no public name has."""

HOSTLESS = frozenset({"file", "lora+ble", "lora+sim", "mem", "qr"})
"""Schemes of links that lead to no host, whatever stands in a host's place."""

ADMITTED = frozenset({"user", "cert"})
"""Options of a link by which it says who it is."""

_NEAR = tuple(map(ip_network, ("224.0.0.0/24", "239.0.0.0/8")))
"""Groups whose packets stay on one network, or in one organisation."""

_NEAR_SCOPES = 8
"""Scopes of IPv6 groups up to this one (organisation) stay inside, likewise."""


def is_public(url: SplitResult) -> bool:
    """Tell whether a link leads to a host that anybody reaches, and logs in nowhere."""
    host = url.hostname
    if host is None or url.scheme in HOSTLESS:
        return False
    return not is_near(host) and not _logs_in(url)


def is_near(host: str) -> bool:
    """Tell whether a host's name or number is of this machine or of a private network."""
    name = host.rstrip(".").lower()
    try:
        address = ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(HOMELY)
    return _is_near(address)


def _is_near(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return _is_near(address.ipv4_mapped)
    if address.is_multicast:
        return _is_near_group(address)
    return not address.is_global


def _is_near_group(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        return address.packed[1] & 0xF <= _NEAR_SCOPES
    return any(address in network for network in _NEAR)


def _logs_in(url: SplitResult) -> bool:
    return bool(url.username) or not ADMITTED.isdisjoint(parse_qs(url.query))
