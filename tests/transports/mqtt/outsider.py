"""Somebody else on the broker: what any MQTT tool can do, and servers that are no brokers.

The law of this module: nothing of focal's transport is used, so that what is seen is what is there.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.broker import HOST, Broker

PATIENCE = 10.0


class Outsider:
    """A client of a broker; made by ``outsider``."""

    def __init__(
        self, broker: Broker, user: str | None = None, password: str | None = None
    ) -> None:
        self.seen: list[MQTTMessage] = []
        self._news = threading.Condition()
        self._granted = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._saw
        self._client.on_subscribe = self._grant
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.connect(HOST, broker.port)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish something, and wait until the broker has it."""
        self._client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE)

    def publish_later(self, topic: str, payload: bytes) -> None:
        """Publish something by QoS 1, and wait for nothing."""
        self._client.publish(topic, payload, 1)

    def watch(self, topics: str) -> None:
        """See from now on what is published there, and what is retained."""
        self._granted.clear()
        self._client.subscribe(topics, 1)
        assert self._granted.wait(PATIENCE), "no subscription"

    def sees(self, topic: str, count: int = 1) -> MQTTMessage:
        """Wait for the nth message on a topic."""

        def there() -> list[MQTTMessage]:
            return [message for message in self.seen if message.topic == topic]

        with self._news:
            assert self._news.wait_for(lambda: len(there()) >= count, PATIENCE), self.seen
            return there()[count - 1]

    def has_seen(self, count: int, patience: float = PATIENCE) -> None:
        """Wait until so much was seen."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.seen) >= count, patience), len(self.seen)

    def close(self) -> None:
        """Take leave."""
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_message = self._client.on_subscribe = (
            None  # so that it ends with its sockets
        )

    def _saw(self, client: Client, data: Any, message: MQTTMessage) -> None:
        with self._news:
            self.seen.append(message)
            self._news.notify_all()

    def _grant(self, *_: Any) -> None:
        self._granted.set()


@contextmanager
def outsider(
    broker: Broker, user: str | None = None, password: str | None = None
) -> Generator[Outsider]:
    """Connect somebody to a broker for the time of the context."""
    client = Outsider(broker, user, password)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def refusing_5(broker: Broker) -> Generator[int]:
    """Pass connections on to a broker, but refuse MQTT 5 as one does that does not know it.

    Gives its port.
    """

    def serve(here: socket.socket) -> None:
        head = here.recv(4096)  # its length, "MQTT", the version, and more
        if head[head.index(b"MQTT") + 4] == 5:
            here.sendall(b"\x20\x02\x00\x01")
            return
        with socket.create_connection((HOST, broker.port), PATIENCE) as there:
            there.sendall(head)
            back = threading.Thread(target=_pass_on, args=(there, here))
            back.start()
            _pass_on(here, there)
            back.join()

    with _served(serve) as port:
        yield port


@contextmanager
def saying(data: bytes) -> Generator[int]:
    """Say something to whoever connects and says something, and hang up; gives the port."""

    def serve(here: socket.socket) -> None:
        here.recv(4096)
        here.sendall(data)

    with _served(serve) as port:
        yield port


@contextmanager
def _served(serve: Callable[[socket.socket], None]) -> Generator[int]:
    """Serve connections, one after the other, for the time of the context; gives the port."""
    server = socket.create_server((HOST, 0))

    def accept() -> None:
        with suppress(OSError):  # it was closed, or who was there went
            while True:
                here, _ = server.accept()
                with here, suppress(ConnectionError):
                    here.settimeout(PATIENCE)
                    serve(here)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # one of both went
        while data := source.recv(4096):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
