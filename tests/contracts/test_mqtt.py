"""MQTT keeps the contract of message links, over a real broker on the loopback interface."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar, Literal

from focal.core.link import Link, Transport
from focal.testing import TransportContract, free_ports
from focal.transports.mqtt.session import Place
from focal.transports.mqtt.settings import MqttOptions, MqttTransport
from focal.transports.mqtt.topics import Room
from tests.broker import HOST, broker


class TestMqtt5(TransportContract):
    kind = "message"
    version: ClassVar[Literal["auto", "5", "3.1.1"]] = "5"
    lines: tuple[str, ...] = ()

    def around(self) -> AbstractAsyncContextManager[object]:
        return self._broker()

    @asynccontextmanager
    async def _broker(self) -> AsyncGenerator[None]:
        with broker(self.scratch / "broker", *self.lines) as self.broker:
            yield

    def pair(self) -> tuple[Transport, Transport]:
        room = self._room(self.broker.port)
        return room, room

    def dead(self) -> Transport:
        return self._room(*free_ports(1))

    async def kill(self, link: Link) -> None:
        self.broker.kill()

    def _room(self, port: int) -> MqttTransport:
        options = MqttOptions(version=self.version)
        return MqttTransport(Place(HOST, port), Room("a room"), options)


class TestMqtt311(TestMqtt5):
    version = "3.1.1"
    lines = ("max_inflight_messages 100",)  # MQTT 5 asks for it; 20 is what Mosquitto has
