"""Whether strangers listen: what a link's URL tells."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from focal.public import is_public

NEAR = [
    "mqtt://localhost/lobby",
    "mqtt://localhost./lobby",
    "mqtt://hill/lobby",
    "mqtt://hill.local/lobby",
    "mqtt://HILL.LAN/lobby",
    "mqtt://hill.home.arpa/lobby",
    "mqtt://127.0.0.1/lobby",
    "mqtt://[::1]:1883/lobby",
    "mqtt://[fe80::1%25eth0]/lobby",
    "mqtt://[fd00::7]/lobby",
    "mqtt://[::ffff:10.0.0.7]/lobby",
    "udp://10.1.2.3:5000",
    "udp://172.16.0.1:5000",
    "udp://192.168.1.7:5000",
    "udp://169.254.0.7:5000",
    "udp://100.64.0.7:5000",  # shared address space: networks over networks have it
    "udp://239.1.2.3:5000",
    "udp://[ff02::1]:5000",
    "udp://255.255.255.255:5000",
    "lora:",
    "lora:///dev/ttyUSB0",
    "lora+ble://a.b.c",
    "lora+sim://a.b.c",
    "mem://a.b.c",
    "file:/media/stick",
]
FAR = [
    "mqtt://broker.example/lobby",
    "mqtts://broker.example:8883/lobby?ca=file",
    "mqtt://8.8.8.8/lobby",
    "mqtt://[2606:4700::1111]/lobby",
    "mqtt://[::ffff:8.8.8.8]/lobby",
    "mqtt://broker.lanai/lobby",
    "udp://224.1.2.3:5000",
    "udp://[ff0e::1]:5000",
    "lora://radio.example",
    "ws://rooms.example/lobby",
]
ADMITTED = [
    "mqtt://ada@broker.example/lobby",
    "mqtt://ada:secret@broker.example/lobby",
    "mqtts://broker.example/lobby?user=ada&password_file=secret",
    "mqtts://broker.example/lobby?cert=ada.pem",
]


@pytest.mark.parametrize("url", NEAR)
def test_a_private_network_is_not_public(url: str) -> None:
    assert not is_public(urlsplit(url))


@pytest.mark.parametrize("url", FAR)
def test_what_anybody_reaches_is_public(url: str) -> None:
    assert is_public(urlsplit(url))


@pytest.mark.parametrize("url", ADMITTED)
def test_where_one_logs_in_strangers_do_not_listen(url: str) -> None:
    assert not is_public(urlsplit(url))
