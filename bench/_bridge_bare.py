"""Bare paho that passes messages from one room of a broker to another: the reference for bridges.

``python -m bench._bridge_bare PORT FROM TO``. The law of this module: it is what somebody writes
who needs no promise; it imports nothing of focal.
"""

from __future__ import annotations

import sys
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main(port: int, source: str, target: str) -> None:
    """Subscribe with QoS 1, publish with QoS 1, until killed."""
    client: Any = mqtt.Client(
        CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False
    )
    client.max_inflight_messages_set(100)

    def connected(client: Any, *_: object) -> None:
        client.subscribe(f"focal/{source}/+", qos=1)

    def subscribed(*_: object) -> None:
        print("ready", flush=True)

    def arrived(client: Any, _: object, message: Any) -> None:
        author = message.topic.rpartition("/")[2]
        client.publish(f"focal/{target}/{author}", message.payload, qos=1)

    client.on_connect, client.on_subscribe, client.on_message = connected, subscribed, arrived
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
