"""The public API as a user writes it: checked by mypy and pyright, never run."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import assert_type
from urllib.parse import urlsplit

from focal import (
    Clip,
    Draft,
    FocalError,
    Home,
    Kind,
    Message,
    MessageId,
    Node,
    Plugins,
    Progress,
    Received,
    Speech,
    State,
    __version__,
    real_runtime,
)


async def say_and_hear(text: str) -> MessageId:
    home = Home.open(Path("home"))
    plugins = Plugins()
    url = urlsplit("udp://127.0.0.1:5001?listen=5000")
    links = {"hill": plugins.transport(url.scheme).from_url(url)}
    with ThreadPoolExecutor() as executor, home.spool() as spool:
        runtime = real_runtime(executor)
        async with (
            plugins.sink("wav:in") as sink,
            Node(
                links=links, spool=spool, codecs=plugins, runtime=runtime, folder=home.links,
                sinks=[sink], name="Ada", hooks=plugins,
            ) as node,
        ):  # fmt: skip
            events = node.events()
            (id,) = await node.send(Draft.text(text, to="Bo"), links=["hill"])
            async for event in events:
                if isinstance(event, Progress) and event.state is State.DELIVERED:
                    return assert_type(event.id, MessageId)
                if isinstance(event, Received):
                    assert_type(event.message, Message)
                    assert_type(event.file, str | None)
    return id


def encode(clip: Clip, plugins: Plugins) -> Message:
    assert_type(clip.seconds, float)
    spec = plugins.codec("c2-1300")
    with spec.load() as codec:
        speech = Speech(spec.wire_id, codec.encode(clip), clip.seconds)
    message = Message(MessageId(1, 1), Kind.VOICE, speech.payload, speech.codec)
    return assert_type(Message.from_bytes(message.to_bytes()), Message)


def main() -> None:
    try:
        asyncio.run(say_and_hear("on my way"))
    except FocalError as error:
        print(f"{__version__}: {error}")
