"""What a bridge is made of: settings become gates, and stopping loses nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from focal.app import App
from focal.bridging import Plan, Stop, gently, plan
from focal.core.bridge import Full, Gate, Rate
from focal.core.errors import SettingsError
from focal.core.link import Link, LinkContext, Packet
from focal.core.message import Kind
from focal.core.runtime import run_virtual, virtual_runtime
from focal.crossing import Crossing
from focal.plugins.manager import Plugins
from focal.settings import Settings
from focal.transports.memory import Conditions, MemoryTransport, Mesh
from focal.valve import Valve, Valved

LINKS = """
[links.radio]
url = "mem://radio"
[links.hill]
url = "mem://hill?kind=message"
[links.room]
url = "mem://room?kind=message"
[links.web]
url = "mqtt://broker.example/lobby"
"""


def app(text: str = "") -> App:
    import tomllib

    settings = Settings.merge(tomllib.loads(LINKS + text), {}, "focal.toml")
    return App(settings, Plugins(), Path("home"))


def gates(made: Plan) -> dict[str, list[str]]:
    """Return which links lead to which, by name."""
    found: dict[str, list[str]] = {}
    for crossing in made.crossings:
        found.setdefault(crossing.to, []).extend(crossing.from_)
    return {to: sorted(sources) for to, sources in found.items()}


def refusal(text: str, *links: str) -> str:
    with pytest.raises(SettingsError) as caught:
        plan(app(text), links)
    return str(caught.value)


def test_links_are_joined_all_to_all() -> None:
    made = plan(app(), ["radio", "hill", "mem://other"])
    assert gates(made) == {
        "radio": ["hill", "mem://other"],
        "hill": ["mem://other", "radio"],
        "mem://other": ["hill", "radio"],
    }
    assert made.keys == {"radio": "mem:radio", "hill": "mem:hill", "mem://other": "mem:other"}
    assert all(gate.kinds is None and not gate.public for gate in made.gates)


def test_a_table_leads_from_some_to_others() -> None:
    made = plan(app("[[bridge]]\nfrom = ['radio', 'hill']\nto = 'room'"))
    assert gates(made) == {"room": ["hill", "radio"]}
    assert list(made.links) == ["radio", "hill", "room"]


def test_without_to_it_is_all_that_from_names() -> None:
    made = plan(app("[[bridge]]\nfrom = ['radio', 'hill']\n[[bridge]]\nto = 'room'"))
    assert gates(made) == {"radio": ["hill"], "hill": ["radio"], "room": ["hill", "radio"]}


def test_without_from_it_is_all_but_the_one_it_leads_to() -> None:
    made = plan(app("[[bridge]]\nto = ['radio', 'hill']"))
    assert gates(made) == {"radio": ["hill"], "hill": ["radio"]}


def test_links_on_the_command_line_replace_the_tables() -> None:
    made = plan(app("[[bridge]]\nfrom = ['radio']\nto = ['room']"), ["hill", "room"])
    assert gates(made) == {"hill": ["room"], "room": ["hill"]}


def test_everything_that_a_table_says_is_in_its_gate() -> None:
    text = """
    [[bridge]]
    from = "radio"
    to = "room"
    kinds = ["voice", "text"]
    codecs = ["c2-700c", 3]
    senders = ["~1a2b3c4d", "Anna"]
    size = 300
    rate = "20/h"
    airtime = 36
    lifetime = 600
    priority = -1
    queue = 200
    full = "oldest"
    """
    made = app(text)
    [gate] = plan(made).gates
    assert gate == Gate(
        "mem:room",
        "room",
        frozenset(["mem:radio"]),
        kinds=frozenset([Kind.VOICE, Kind.TEXT]),
        codecs=frozenset([made.plugins.codec("c2-700c").wire_id, 3]),
        senders=frozenset([0x1A2B3C4D, "Anna"]),
        size=300,
        rate=Rate(20, 3600.0),
        airtime=36.0,
        lifetime=600.0,
        priority=-1,
        queue=200,
        full=Full.OLDEST,
    )


def test_what_a_gate_says_is_shown_as_it_was_written() -> None:
    text = (
        "[[bridge]]\nfrom='radio'\nto='room'\nrate='5/s'\nsenders=['~1A2B3C4D', 'Bo']\ncodecs=[3]"
    )
    [crossing] = plan(app(text)).crossings
    assert crossing == Crossing(
        from_=("radio",),
        to="room",
        public=False,
        closed=False,
        kinds=None,
        codecs=(3,),
        senders=("Bo", "~1a2b3c4d"),
        size=None,
        rate="5/s",
        airtime=None,
        lifetime=None,
        priority=0,
        queue=5000,
        full="wait",
    )


def test_nothing_crosses_to_strangers_unless_it_is_named() -> None:
    made = plan(app(), ["radio", "web"])
    assert made.public == {"web"}
    assert [(gate.name, gate.closed) for gate in made.gates] == [("radio", False), ("web", True)]
    allowed = plan(app(), ["radio", "web"], ["voice", "text"])
    assert [gate.closed for gate in allowed.gates] == [False, False]
    assert {gate.kinds for gate in allowed.gates} == {frozenset([Kind.VOICE, Kind.TEXT])}


@pytest.mark.parametrize(("said", "public"), [("true", True), ("false", False)])
def test_who_knows_better_says_whether_a_link_is_public(said: str, public: bool) -> None:
    text = f"[links.club]\nurl='mqtt://club.example/lobby'\npublic={said}"
    assert plan(app(text), ["club", "radio"]).public == ({"club"} if public else set())
    near = f"[links.club]\nurl='mqtt://localhost/lobby'\npublic={said}"
    assert plan(app(near), ["club", "radio"]).public == ({"club"} if public else set())


def test_allow_is_the_last_word() -> None:
    text = "[[bridge]]\nfrom='radio'\nto='room'\nkinds=['text']"
    [gate] = plan(app(text), allow=["voice"]).gates
    assert gate.kinds == frozenset([Kind.VOICE])


@pytest.mark.parametrize(
    ("text", "links", "said"),
    [
        ("", (), "nothing to join: name two links or more"),
        ("", ("radio",), "a bridge joins two links or more, and only radio is named"),
        ("[[bridge]]\nkinds = 'text'", (), "two links or more, and no link is named"),
        ("", ("radio", "mem://radio"), "radio and mem://radio are the same link"),
        ("", ("radio", "hil"), "there is no link 'hil'; did you mean 'hill'?"),
        ("", ("radio", "mem://x?los=1"), "did you mean 'loss'?"),
        ("[[bridge]]\nfrom='room'\nto='room'\n[[bridge]]\nto='hill'", (), "[[bridge]] 1: it leads"),
        (
            "[[bridge]]\nfrom=['radio','hill']\ncodecs=['c2-700']",
            (),
            "[[bridge]] 1: codecs: there is no quality 'c2-700'",
        ),
    ],
)
def test_what_cannot_be_is_one_line(text: str, links: tuple[str, ...], said: str) -> None:
    line = refusal(text, *links)
    assert said in line and "\n" not in line


# stopping


def test_what_is_stopped_while_it_waits_comes_to_its_end() -> None:
    done: list[str] = []

    async def run(stop: Stop) -> None:
        await stop.wait()
        await asyncio.sleep(3)
        done.append("end")

    async def main() -> None:
        task = asyncio.create_task(gently(run, 5))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert done == ["end"]


@pytest.mark.parametrize("waits", [True, False])
def test_what_takes_too_long_or_never_waited_is_cancelled(waits: bool) -> None:
    async def run(stop: Stop) -> None:
        if waits:
            await stop.wait()
        await asyncio.get_running_loop().create_future()

    async def main() -> float:
        task = asyncio.create_task(gently(run, 5))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time()

    began_to_end = run_virtual(main())
    assert abs(began_to_end - (6.0 if waits else 1.0)) < 1e-6


def test_what_fails_fails_at_once() -> None:
    async def run(stop: Stop) -> None:
        raise SettingsError("no")

    with pytest.raises(SettingsError):
        run_virtual(gently(run, 5))


def room(kind: str) -> Mesh:
    return Mesh("room", Conditions(kind="message" if kind == "message" else "datagram"))


async def taken(kind: str, *, shut: bool) -> Packet | None:
    """Return what a link with a valve gives of a packet, None if it keeps it."""
    mesh, valve, runtime = room(kind), Valve(), virtual_runtime()
    context = LinkContext(1, None, Path("unused"), runtime)
    valved = Valved(MemoryTransport(mesh), "mem:room", valve)
    async with valved.open(context) as ours, MemoryTransport(mesh).open(context) as theirs:
        link: Link = ours
        if shut:
            valve.shut()
        await theirs.send(b"x")
        try:
            async with asyncio.timeout(10):
                return await link.receive()
        except TimeoutError:
            return None


@pytest.mark.parametrize("kind", ["message", "datagram"])
def test_an_open_valve_lets_everything_through(kind: str) -> None:
    assert run_virtual(taken(kind, shut=False)) is not None


def test_a_shut_valve_takes_no_messages_but_answers_still_come() -> None:
    assert run_virtual(taken("message", shut=True)) is None
    assert run_virtual(taken("datagram", shut=True)) is not None
