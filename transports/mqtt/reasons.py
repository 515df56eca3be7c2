"""What went wrong, said in one line with what to do.

The law of this module: no line has a password in it, and each names the broker.
"""

from __future__ import annotations

import socket
import ssl

from .session import Ended, NotMqtt, Place

UNSUPPORTED = 0x84
NOT_AUTHORIZED = 0x87
TAKEN_OVER = 0x8E
TOO_LARGE = 0x95
QUOTA = 0x97

NO_REASON = (None, 0x81, 0x82, TOO_LARGE, 0x99)
"""How a connection ends of which one may think that a message of ours broke it."""

SOON = 15.0
LATER = 60.0
"""Seconds after which a broker that refused a message may take it."""

PUT_OFF = 600.0
"""Seconds until a message is tried again for which the broker seems to break connections off."""

_REASONS = {
    0x80: "it gives no reason",
    0x81: "it takes a packet of ours for malformed",
    0x82: "it takes a packet of ours for an error",
    0x83: "for a reason of its own",
    UNSUPPORTED: "it does not speak this version of MQTT",
    0x85: "it does not take our client id",
    0x86: "user name or password is wrong",
    NOT_AUTHORIZED: "this login is not allowed to",
    0x88: "it is not available now",
    0x89: "it is busy",
    0x8A: "this client is banned",
    0x8B: "it is shutting down",
    0x8C: "it wants another way to log in",
    0x8D: "it heard nothing from us for too long",
    0x90: "it does not take such topics",
    0x93: "we sent more at once than it takes",
    TOO_LARGE: "it is too large for it",
    0x96: "we send too often",
    QUOTA: "a quota is used up",
    0x98: "its operator ended the connection",
    0x99: "it does not take such payloads",
    0x9A: "it keeps no retained messages: add presence=0",
    0x9B: "it has no QoS 1, without which nothing is confirmed",
    0x9C: "it wants us to use another server",
    0x9D: "it has moved",
    0x9F: "we connect too often",
    0xA0: "the connection was open as long as it may be",
    0xA2: "it has no wildcard subscriptions, which rooms need",
}
"""Reason codes of MQTT 5; those of 3.1.1 come as these."""

_CERTIFICATE = {
    9: "is not valid yet: look at this machine's clock",
    10: "has expired: have the broker's renewed, or look at this machine's clock",
    18: "is signed by itself: name it by ca=FILE",
    19: "is signed by somebody unknown here: name the CA's certificate by ca=FILE",
    20: "is signed by somebody unknown here: name the CA's certificate by ca=FILE",
    21: "is signed by somebody unknown here: name the CA's certificate by ca=FILE",
    62: "is for another name than this",
    64: "is for another address than this",
}
"""OpenSSL's verify errors (X509_V_ERR_*)."""


def reason(code: int, said: str = "") -> str:
    """Return a broker's reason in words; what it said itself goes with it."""
    words = _REASONS.get(code, f"reason code {code}")
    return f"{words} (it says: {said})" if said else words


def refused(code: int, said: str, topic: str) -> tuple[str, float | None]:
    """Return why the broker did not take a message, and after how many seconds it may.

    None: trying again is no use before somebody has changed something.
    """
    words = f"the broker did not take it on {topic}: {reason(code, said)}"
    if code in (0x80, 0x83):
        return words, SOON
    if code == QUOTA:
        return words, LATER
    if code == NOT_AUTHORIZED:
        return f"{words}: have its access list changed", None
    return words, None


def put_off(size: int) -> str:
    """Say why a message waits that seems to break connections."""
    return (
        f"the connection to the broker ended each time that this was sent ({size} bytes): "
        "has it a limit for sizes?"
    )


def usurped(place: Place, client: str) -> str:
    """Say that somebody else is there in our name."""
    return (
        f"another client was at {place} with our id {client} and took over what was for us: "
        "is a copy of this home in use elsewhere?"
    )


def not_granted(code: int, topics: str) -> str:
    """Say that a broker lets us read no such topics."""
    return f"the broker refuses the subscription to {topics}: {reason(code)}"


def no_broker(place: Place) -> str:
    """Say that somebody is there who does not speak MQTT."""
    return f"{place} does not answer as a broker does: is it the right port?"


def failed(place: Place, ended: Ended, user: str | None) -> str:
    """Say why no connection came about."""
    if ended.code in (0x86, NOT_AUTHORIZED):
        return _no_entry(place, ended, user)
    if ended.code is not None:
        return f"the broker at {place} does not take us: {reason(ended.code, ended.said)}"
    if isinstance(ended.error, NotMqtt):
        return no_broker(place)
    if ended.error is not None and not isinstance(ended.error, ConnectionResetError):
        return blame(place, ended.error)
    if place.tls:
        return f"{place} closed the connection before it had answered: does this port speak TLS?"
    return (
        f"{place} closed the connection before it had answered: "
        "is it a broker? If this port wants TLS, write mqtts://"
    )


def lost(place: Place, ended: Ended, client: str, size: int | None = None) -> str:
    """Say why a connection ended that had been good.

    Args:
        place: the broker's.
        ended: how it ended.
        client: our client id.
        size: bytes of the first message of ours that the broker had not acknowledged.
    """
    if ended.code == TAKEN_OVER:
        return (
            f"the broker at {place} gave our session to another client with our id {client}: "
            "is a copy of this home in use elsewhere?"
        )
    if ended.code is not None:
        return f"the broker at {place} ended the connection: {reason(ended.code, ended.said)}"
    if isinstance(ended.error, NotMqtt) and size is not None:
        # Mosquitto 2.0 acknowledges what is beyond its message_size_limit with a reason code that
        # acknowledgements do not have (0x95 in a PUBACK).
        return (
            f"the broker at {place} answered what was sent ({size} bytes) with what is no MQTT, "
            "which ended the connection: has it a limit for sizes?"
        )
    if ended.error is not None:
        return blame(place, ended.error)
    return f"the broker at {place} went away"


def blame(place: Place, error: Exception) -> str:
    """Say what an error on the way to a broker means."""
    match error:
        case NotMqtt():
            return f"the broker at {place} sent what is no MQTT"
        case ssl.SSLCertVerificationError():
            code, said = getattr(error, "verify_code", 0), getattr(error, "verify_message", error)
            return f"the certificate of {place} {_CERTIFICATE.get(code, f'is not good: {said}')}"
        case ssl.SSLError():
            return _by_tls(place, error)
        case socket.gaierror() | UnicodeError():
            return f"no host {place.host!r} was found: check the name and the network"
        case ConnectionRefusedError():
            return f"nobody listens at {place}: is the broker running?"
        case TimeoutError():
            return f"{place} does not answer: check the address, the network and its firewall"
        case ConnectionError():
            return f"the broker at {place} broke the connection off"
        case OSError() if error.strerror:
            return f"{place}: {error.strerror}"
        case _:
            return f"the broker at {place}: {error or type(error).__name__}"


def _no_entry(place: Place, ended: Ended, user: str | None) -> str:
    if user is None:
        wants = "wants a login: add user=NAME and password_file=FILE"
        return f"the broker at {place} does not let anybody in, or {wants}"
    return f"the broker at {place} does not take user {user!r} with this password"


def why_tls(error: ssl.SSLError) -> str:
    """Return OpenSSL's word for it (``KEY_VALUES_MISMATCH``); empty where it has none."""
    return getattr(error, "reason", None) or ""


def _by_tls(place: Place, error: ssl.SSLError) -> str:
    why = why_tls(error).lower()
    if "alert" in why and ("cert" in why or "unknown_ca" in why or "handshake" in why):
        said = why.partition("alert_")[2].replace("_", " ")
        return f"the broker at {place} does not take our certificate ({said}): see cert= and key="
    if isinstance(error, ssl.SSLEOFError) or "eof" in why:
        wants = "is that its TLS port, or does it want a certificate: see cert= and key="
        return f"{place} hung up while TLS began: {wants}"
    if "wrong_version" in why:
        return f"{place} does not speak TLS: name the broker's TLS port, or write mqtt://"
    return f"TLS with {place} failed: {why.replace('_', ' ') or error}"
