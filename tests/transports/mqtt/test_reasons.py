"""Whatever goes wrong is said in one line."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from focal.transports.mqtt.reasons import blame, failed, lost, reason, refused
from focal.transports.mqtt.session import Ended, NotMqtt, Place

PLACE = Place("hill.example", 1883)

ERRORS: list[Exception | None] = [
    None,
    socket.gaierror(-2, "Name or service not known"),
    ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    BrokenPipeError(),
    TimeoutError("timed out"),
    OSError(errno.ENETUNREACH, "Network is unreachable"),
    OSError("of no kind"),
    UnicodeError("label too long"),
    NotMqtt("malformed"),
    ssl.SSLError(1, "[SSL] something"),
    ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    ssl.SSLCertVerificationError(1, "certificate verify failed"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("tls", [False, True])
def test_every_error_is_one_line_that_names_the_broker(error: Exception | None, tls: bool) -> None:
    place = Place("hill.example", 1883, tls)
    for line in (
        failed(place, Ended(error=error), None),
        lost(place, Ended(error=error, connected=True), "focal00"),
    ):
        assert "hill.example" in line and "\n" not in line and line == line.strip()


@pytest.mark.parametrize("code", range(0x80, 0xA5))
def test_every_reason_is_words(code: int) -> None:
    lines = [
        failed(PLACE, Ended(code, "closed on Sundays"), "ada"),
        lost(PLACE, Ended(code, "closed on Sundays", connected=True), "focal00"),
        refused(code, "closed on Sundays", "focal/lobby/00000001")[0],
    ]
    for line in lines:
        assert "\n" not in line and len(line) < 300


def test_what_nobody_knows_keeps_its_number() -> None:
    assert "reason code 199" in reason(199)


def test_what_is_no_mqtt_after_a_message_of_ours_is_laid_to_its_size() -> None:
    ended = Ended(error=NotMqtt("malformed"), connected=True)
    said = lost(PLACE, ended, "focal00", 3000)
    assert "(3000 bytes)" in said and said.endswith("has it a limit for sizes?")
    assert lost(PLACE, ended, "focal00") == "the broker at hill.example:1883 sent what is no MQTT"
    reset = Ended(error=ConnectionResetError(), connected=True)
    assert lost(PLACE, reset, "focal00", 3000) == lost(PLACE, reset, "focal00")


def test_no_network_is_said_as_the_system_says_it() -> None:
    said = blame(PLACE, OSError(errno.ENETUNREACH, "Network is unreachable"))
    assert said == "hill.example:1883: Network is unreachable"
