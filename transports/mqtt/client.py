"""A connection by ``paho-mqtt``. Only here is it imported.

The law of this module: paho has a thread of its own, and all that it learns crosses to the event
loop at one point, `PahoSession._post`. Nothing is called from that thread but what posts.

paho makes one connection and no second one: who opens links opens them again, with a pause. What it
tells only to a logger (why reading failed) is taken from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from .session import (
    FAILED,
    Account,
    Acknowledged,
    Arrived,
    Connected,
    Ended,
    Event,
    Filter,
    Granted,
    Note,
    NotMqtt,
)

Hear: TypeAlias = Callable[[Event], None]
Given: TypeAlias = Properties | None

KEEPALIVE = 30
"""Seconds of silence after which either side asks whether the other is still there."""

DIAL = 10.0
"""Seconds that connecting may take, and as many a handshake."""

TURN = 5.0
"""Seconds of a turn of paho's loop in which nothing happens."""

CLOSING = 2.0
"""Seconds that taking leave may take."""

BEHIND = 4096
"""Events that may wait for the event loop; beyond, what comes by QoS 0 is dropped."""

SLOW = 256
"""Events that may wait for the event loop; beyond, less is read."""

HOLD = 0.2
"""Seconds that reading is held back at once: each message is read in the end."""

_log = logging.getLogger("focal.mqtt")


class PahoSession:
    """A connection to a broker, once; made on the event loop that its events go to.

    Args:
        account: where, and how it introduces itself.
        hear: is given every event, on the event loop.
    """

    def __init__(self, account: Account, hear: Hear) -> None:
        self.dropped = 0
        self._account = account
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._paho: Client | None = self._listening(_client(account))
        self._thread = threading.Thread(
            target=self._run, args=(self._paho,), name=f"focal: MQTT {account.place}", daemon=True
        )
        self._gone = asyncio.Event()
        self._leaving = False
        self._posted = self._taken = 0
        self._mail: deque[Event] = deque()
        self._calling = False
        self._slowed = False
        self._flows = threading.Event()
        self._flows.set()
        self._connected = False
        self._code: int | None = None
        self._said = ""
        self._error: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def subscribe(self, filters: tuple[Filter, ...], /) -> None:
        if self._paho is not None and self._account.version == "5":
            asked = [(f.topics, SubscribeOptions(f.qos, noLocal=not f.own)) for f in filters]
            self._paho.subscribe(asked)
        elif self._paho is not None:
            self._paho.subscribe([(f.topics, int(f.qos)) for f in filters])

    def publish(self, note: Note, /) -> int:
        if self._paho is None:
            return 0
        properties = self._properties(PacketTypes.PUBLISH, note)
        sent = self._paho.publish(note.topic, note.payload, note.qos, note.retain, properties)
        return sent.mid

    def ack(self, number: int, /) -> None:
        if self._paho is not None:
            self._paho.ack(number, 1)

    def slow(self, on: bool, /) -> None:
        self._slowed = on
        if on:
            self._flows.clear()
        else:
            self._flows.set()

    async def aclose(self) -> None:
        self._leaving = True
        self.slow(False)
        if self._thread.ident is None:
            return
        if self._paho is not None:
            self._paho.disconnect()
        if not await self._goes() and not (self._hang_up() and await self._goes()):
            # Looking a name up cannot be interrupted: the thread ends when the system has.
            _log.debug("%s: still connecting; it is left alone", self._account.place)

    async def _goes(self) -> bool:
        """Wait for the thread to end, and say whether it did."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await self._gone.wait()
        if self._gone.is_set():
            self._thread.join()  # it has said its last word
        return self._gone.is_set()

    def _hang_up(self) -> bool:
        """Have a connection end that takes no leave; say whether there is one."""
        sock = cast("Any", self._paho.socket()) if self._paho is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):  # it just ended
                sock.shutdown(2)
        return sock is not None

    # In paho's thread

    def _run(self, paho: Client) -> None:
        try:
            self._connect(paho)
            self._serve(paho)
        except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
            self._error = error
        except Exception as error:  # whatever else paho raises, it raises for what it was sent
            _log.debug("%s: paho ended", self._account.place, exc_info=True)
            self._error = NotMqtt(f"{error!r}")
        self._post(Ended(self._code, self._said, self._error, self._connected))

    def _serve(self, paho: Client) -> None:
        while paho.socket() is not None:
            match paho.loop(TURN):
                case MQTTErrorCode.MQTT_ERR_SUCCESS:
                    pass
                case MQTTErrorCode.MQTT_ERR_PROTOCOL:
                    raise NotMqtt("it is malformed")
                case _:
                    return

    def _connect(self, paho: Client) -> None:
        place, clean = self._account.place, self._account.keep == 0
        if self._account.version == "5":
            said = self._properties(PacketTypes.CONNECT)
            paho.connect(place.host, place.port, KEEPALIVE, clean_start=clean, properties=said)
        else:
            paho.connect(place.host, place.port, KEEPALIVE)
        if self._leaving:
            paho.disconnect()

    def _post(self, event: Event) -> None:
        """Cross from paho's thread to the event loop: here and nowhere else."""
        self._posted += 1
        self._mail.append(event)
        if self._calling:
            return  # whoever empties the mail finds it: calling wakes the loop, which costs
        self._calling = True
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody wants to know
            self._loop.call_soon_threadsafe(self._empty)

    def _listening(self, paho: Client) -> Client:
        """Have paho call what is below, and wake its loop instead of writing from other threads."""
        paho.on_connect = self._on_connect
        paho.on_disconnect = self._on_disconnect
        paho.on_subscribe = self._on_subscribe
        paho.on_publish = self._on_publish
        paho.on_message = self._on_message
        paho.on_socket_register_write = _nothing
        paho.enable_logger(_Ear(self._on_trouble))
        return paho

    def _on_connect(
        self, client: Client, data: Any, flags: ConnectFlags, code: ReasonCode, given: Given
    ) -> None:
        if code.is_failure:
            self._code, self._said = code.value, _words(given)
            return
        self._connected = True
        self._post(
            Connected(
                flags.session_present,
                getattr(given, "ReceiveMaximum", 65_535),
                getattr(given, "MaximumPacketSize", None),
                getattr(given, "MaximumQoS", 2),
                bool(getattr(given, "RetainAvailable", True)),
            )
        )

    def _on_disconnect(
        self, client: Client, data: Any, flags: DisconnectFlags, code: ReasonCode, given: Given
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._code, self._said = code.value, _words(given)

    def _on_subscribe(
        self, client: Client, data: Any, mid: int, codes: list[ReasonCode], given: Given
    ) -> None:
        self._post(Granted(tuple(code.value for code in codes)))

    def _on_publish(
        self, client: Client, data: Any, mid: int, code: ReasonCode, given: Given
    ) -> None:
        self._post(Acknowledged(mid, code.value, _words(given) if code.value >= FAILED else ""))

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        if message.qos == 0 and self._posted - self._taken > BEHIND:
            self.dropped += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        number = message.mid if message.qos else 0
        self._post(Arrived(topic, bytes(message.payload), number, message.retain))
        self._hold_back()

    def _hold_back(self) -> None:
        """Read on a little later where the reader is behind, so that the broker has to wait.

        For a moment only: acknowledgements and keep-alive go by this thread, too.
        """
        if self._posted - self._taken > SLOW:
            self._flows.clear()
            self._loop.call_soon_threadsafe(self._caught_up)
        self._flows.wait(HOLD)

    def _on_trouble(self, error: Exception) -> None:
        self._error = error

    # On the event loop

    def _caught_up(self) -> None:
        if not self._slowed:
            self._flows.set()

    def _empty(self) -> None:
        """Take what was posted."""
        self._calling = False  # first: what is posted from now on may not be seen below
        while self._mail:
            self._take(self._mail.popleft())

    def _take(self, event: Event) -> None:
        self._taken += 1
        if isinstance(event, Ended):
            self._gone.set()
            self._paho = None  # it has sockets of its own, which end with it
        self._hear(event)

    def _properties(self, packet: int, note: Note | None = None) -> Any:
        """Return what MQTT 5 says beside a packet; of a note, or of the account."""
        if self._account.version != "5":
            return None
        return _of_note(packet, note) if note else _of_account(self._account)


class _TlsSocket(ssl.SSLSocket):
    """A socket that is closed when its handshake fails: paho leaves it open."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, or close."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class _Ear(logging.Logger):
    """What paho logs to: takes the errors that it tells nobody else, and writes nothing."""

    def __init__(self, told: Callable[[Exception], None]) -> None:
        super().__init__("focal.mqtt.paho", logging.ERROR)
        self._told = told

    def handle(self, record: logging.LogRecord) -> None:
        """Pass on the exception that a line is about."""
        for said in record.args if isinstance(record.args, tuple) else ():
            if isinstance(said, Exception):
                self._told(said)


def _client(account: Account) -> Client:
    """Return paho's client for an account, not connected."""
    version = MQTTProtocolVersion.MQTTv5 if account.version == "5" else MQTTProtocolVersion.MQTTv311
    client = Client(
        CallbackAPIVersion.VERSION2,
        account.client,
        clean_session=None if account.version == "5" else account.keep == 0,
        protocol=version,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = DIAL
    client.max_inflight_messages_set(0)  # whoever publishes keeps the broker's limit
    if account.user is not None:
        client.username_pw_set(account.user, account.password)
    if account.tls is not None:
        account.tls.sslsocket_class = _TlsSocket
        cast("Any", client).tls_set_context(account.tls)  # it has no type
    if (will := account.will) is not None:
        said = _of_note(PacketTypes.WILLMESSAGE, will) if account.version == "5" else None
        client.will_set(will.topic, will.payload, will.qos, will.retain, said)
    return client


def _of_account(account: Account) -> Any:
    properties = _empty(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = account.keep
    properties.ReceiveMaximum = account.window
    if account.size is not None:
        properties.MaximumPacketSize = account.size
    return properties


def _of_note(packet: int, note: Note) -> Any:
    return _properties_of(packet, note.content_type, note.expiry)


@lru_cache(maxsize=256)
def _properties_of(packet: int, content_type: str | None, expiry: int | None) -> Any:
    """Return properties that messages of one moment share: making them costs more than sending."""
    properties = _empty(packet)
    if content_type is not None:
        properties.ContentType = content_type
    if expiry is not None:
        properties.MessageExpiryInterval = expiry
    packed = properties.pack()
    object.__setattr__(properties, "pack", lambda: packed)  # paho's own refuses other names
    return properties


def _empty(packet: int) -> Any:
    """Return properties of a packet, none yet; paho's have no types."""
    return cast("Any", Properties)(packet)


def _words(given: Given) -> str:
    """Return what a broker says in words: at most one short line."""
    said = str(getattr(given, "ReasonString", ""))
    other = getattr(given, "ServerReference", None)
    text = f"{said} (go to {other})" if other else said
    return "".join(c if c.isprintable() else " " for c in text)[:200].strip()


def _nothing(client: Client, data: Any, sock: Any) -> None:
    """Do nothing."""
