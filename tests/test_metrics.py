"""A bridge's numbers: what its node tells and its spool holds, asked for by real HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from focal.core.arrival import Arrival
from focal.core.bridge import Full, Gate, Known, Passing, Router, Sight
from focal.core.clocks import moment
from focal.core.draft import Draft
from focal.core.errors import SettingsError
from focal.core.events import LinkState, NodeEvent, Passed, Progress, Received, State, Trouble
from focal.core.ledger import Ledger, Promise
from focal.core.message import Kind, Message, MessageId
from focal.core.runtime import run_virtual
from focal.core.spool import Spool
from focal.core.transit import Transit
from focal.meter import METRICS, REASONS, reason_of
from focal.metrics import Meter, serving
from focal.transports.memory import Conditions, MemoryTransport, Mesh
from tests.core.spooling import EPOCH, HILL, ROOM, Clock, message, put
from tests.core.world import World, all_to_all, received
from tests.deadline import ROOT, environment

LINKS = {HILL.name: HILL.link, ROOM.name: ROOM.link}
Series = dict[tuple[str, ...], float]
Shown = dict[str, Series]
ID = MessageId(7, 1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Generator[Spool]:
    with Spool.open(tmp_path / "spool.db", durability="process", unix=clock) as spool:
        yield spool


@pytest.fixture
def meter(spool: Spool, clock: Clock) -> Meter:
    return Meter(LINKS, spool, unix=clock)


@dataclass(frozen=True)
class Told:
    """What was answered."""

    status: int
    kind: str
    body: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.kind == "application/json"
        found: dict[str, Any] = json.loads(self.body)
        return found


def ask(port: int, path: str, method: str = "GET") -> Told:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    with closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        kind = response.getheader("Content-Type") or ""
        return Told(response.status, kind, response.read().decode())


@asynccontextmanager
async def asking(meter: Meter) -> AsyncGenerator[Callable[[str], Any]]:
    """Serve a meter; give what asks for a page and waits for it."""
    async with asyncio.timeout(20), serving(meter, "127.0.0.1", 0) as port:
        yield lambda path: asyncio.to_thread(ask, port, path)


def asked(meter: Meter, path: str) -> Told:
    """Return one page of a meter."""

    async def main() -> Told:
        async with asking(meter) as page:
            told: Told = await page(path)
            return told

    return asyncio.run(main())


def read(page: str) -> Shown:
    """Read Prometheus' text: each of our metrics without its prefix, and its series by labels."""
    found: Shown = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            series = found.setdefault(sample.name.removeprefix("focal_bridge_"), {})
            labels = _in_order(sample.name, sample.labels)
            assert labels not in series, "the same series twice"
            series[labels] = sample.value
    return found


def _in_order(name: str, labels: dict[str, str]) -> tuple[str, ...]:
    """Return the values of labels; an empty one is as one that is not there."""
    names = next((metric.labels for metric in METRICS if metric.name == name), tuple(labels))
    assert set(labels) <= set(names)
    return tuple(labels.get(one, "") for one in names)


def shown(meter: Meter) -> Shown:
    told = asked(meter, "/metrics")
    assert (told.status, told.kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return read(told.body)


def tell(meter: Meter, *events: NodeEvent) -> None:
    for event in events:
        meter.event(event)


def up(link: str, at: float = EPOCH) -> LinkState:
    return LinkState(link, True, at)


def down(link: str, at: float = EPOCH) -> LinkState:
    return LinkState(link, False, at, "unplugged")


def positive(series: Series) -> Series:
    return {labels: value for labels, value in series.items() if value}


# Counting


def test_what_passes_is_counted_by_leg_and_reason(meter: Meter) -> None:
    one = Passed(message(1), 100, "hill", "!1", EPOCH, ("room",), {"attic": "x", "roof": "y"})
    two = replace(one, size=50, to=(), kept_back={"room": "text is not named"})
    tell(meter, one, one, two, replace(two, link="room", kept_back={"hill": "anything else"}))
    found = shown(meter)
    assert found["received_messages_total"] == {("hill",): 3, ("room",): 1}
    assert found["received_bytes_total"] == {("hill",): 250, ("room",): 50}
    assert found["passed_messages_total"] == {("hill", "room"): 2}
    assert found["passed_bytes_total"] == {("hill", "room"): 200}
    kept = found["kept_back_messages_total"]
    assert kept["hill", "room", "kind"] == 1
    assert kept["room", "hill", "other"] == 1
    assert kept["hill", "", "other"] == 4  # links that are not ours are one
    assert found["kept_back_bytes_total"]["hill", "room", "kind"] == 50


def test_what_became_of_messages_is_counted_once_each(meter: Meter) -> None:
    for state in State:
        tell(meter, Progress(state, ID, "hill", 5, EPOCH))
    gone = "200 messages waited for hill already: the largest gave way"
    heard = "it was heard there, so it is not sent there again"
    tell(
        meter,
        Progress(State.REFUSED, ID, "hill", None, EPOCH, gone),
        Progress(State.REFUSED, ID, "hill", None, EPOCH, "dropped from the outbox"),
        Progress(State.HEARD, ID, "hill", None, EPOCH, heard),
        Progress(State.DELIVERED, ID, None, 5, EPOCH),
        Progress(State.EXPIRED, ID, "a link of last year", None, EPOCH),
    )
    found = shown(meter)
    outcomes = {labels: value for labels, value in found["outcomes_total"].items() if value}
    assert outcomes == {
        ("hill", "sent"): 1,
        ("hill", "heard"): 1,
        ("hill", "elsewhere"): 1,
        ("hill", "delivered"): 1,
        ("hill", "played"): 1,
        ("hill", "refused"): 2,
        ("hill", "expired"): 1,
        ("hill", "unknown"): 1,
        ("", "delivered"): 1,
        ("", "expired"): 1,
    }
    assert positive(found["gave_way_messages_total"]) == {("hill", "largest"): 1}
    assert ("room", "sent") in found["outcomes_total"]  # from the start, so that rates are right


def test_links_go_up_and_down(meter: Meter) -> None:
    assert shown(meter)["link_up"] == {("hill",): 0, ("room",): 0}
    tell(meter, up("hill", EPOCH + 1), down("hill", EPOCH + 2), down("hill", EPOCH + 3))
    tell(meter, up("room", EPOCH + 4), up("attic", EPOCH + 5))
    found = shown(meter)
    assert found["link_up"] == {("hill",): 0, ("room",): 1}
    assert found["link_last_change_timestamp_seconds"] == {
        ("hill",): EPOCH + 2,
        ("room",): EPOCH + 4,
    }
    tell(meter, up("hill", EPOCH + 9))
    found = shown(meter)
    assert found["link_reconnects_total"] == {("hill",): 1, ("room",): 0}
    assert found["link_last_change_timestamp_seconds"]["hill",] == EPOCH + 9


def test_troubles_and_the_last_message_are_told(meter: Meter) -> None:
    tell(
        meter,
        Trouble("hill", "full", EPOCH),
        Trouble("wav:/srv/in", "disk full", EPOCH),
        Received(message(1), None, 0.0, "hill", "!1", EPOCH + 5),
        Received(message(2), None, 0.0, "hill", "!1", EPOCH + 3),
        Received(message(3), None, 0.0, "nowhere", "!1", EPOCH + 7),
    )
    found = shown(meter)
    assert positive(found["troubles_total"]) == {("hill",): 1, ("",): 1}
    assert found["last_received_timestamp_seconds"] == {("hill",): EPOCH + 5}
    assert positive(found["received_messages_total"]) == {}  # what is passed on counts there


# What is read


def test_what_waits_is_read_when_asked_for(meter: Meter, spool: Spool, clock: Clock) -> None:
    empty = shown(meter)
    assert empty["waiting_messages"] == empty["dead_letters"] == {("hill",): 0, ("room",): 0}
    assert empty["waiting_oldest_seconds"] == {("hill",): 0, ("room",): 0}
    size = len(message(1).to_bytes())
    put(spool, message(1), HILL, ROOM)
    clock.now += 30
    put(spool, message(2))
    spool.outbox.progress(message(2).id, HILL.link, State.UNKNOWN, at=clock.now, done=True)
    spool.inbox.deliver(
        message(5).to_bytes(), link="hill", peer=None, at=EPOCH, sinks=(), replayed=False
    )
    clock.now += 12
    found = shown(meter)
    assert found["waiting_messages"] == {("hill",): 1, ("room",): 1}
    assert found["waiting_bytes"] == {("hill",): size, ("room",): size}
    assert found["waiting_oldest_seconds"]["hill",] == 42
    assert found["dead_letters"] == {("hill",): 1, ("room",): 0}
    assert found["outbox_messages"][()] == found["inbox_messages"][()] == 1
    assert found["outbox_bytes"][()] == found["inbox_bytes"][()] == size
    assert found["storage_readable"][()] == 1


def test_a_clock_that_was_set_back_makes_nothing_negative(
    meter: Meter, spool: Spool, clock: Clock
) -> None:
    put(spool, message(1))
    clock.now -= 1000
    assert shown(meter)["waiting_oldest_seconds"]["hill",] == 0


def test_dead_letters_of_links_that_are_gone_count_without_a_name(
    spool: Spool, clock: Clock
) -> None:
    put(spool, message(1), HILL, ROOM)
    for leg in (HILL, ROOM):
        spool.outbox.progress(message(1).id, leg.link, State.REFUSED, at=EPOCH, done=True)
    found = shown(Meter({"hill": HILL.link}, spool, unix=clock))
    assert found["dead_letters"] == {("hill",): 1, ("",): 1}


def test_airtime_is_read_from_the_ledger(spool: Spool, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    meter = Meter(LINKS, spool, ledger=path)
    assert "airtime_spent_seconds" not in shown(meter)
    with closing(Ledger.open(path, moment)) as ledger:
        promise = ledger.promise("!1 869.4", 2.0, 36.0)
        assert isinstance(promise, Promise)
        ledger.spend(promise, 1.5)
    found = shown(meter)
    assert found["airtime_spent_seconds"] == {("!1 869.4",): 1.5}
    assert found["airtime_allowed_seconds"] == {("!1 869.4",): 36.0}


def test_what_cannot_be_read_is_told_and_hides_nothing_else(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("this is no database, whatever it is called" * 99)
    meter = Meter(LINKS, spool, ledger=tmp_path / "ledger.db")
    tell(meter, up("hill"), up("room"))
    found = shown(meter)
    assert found["storage_readable"][()] == 0
    assert found["waiting_messages"] == {("hill",): 0, ("room",): 0}
    told = asked(meter, "/health")
    assert (told.status, told.json["status"]) == (200, "degraded")
    assert told.json["storage_readable"] is False


def test_the_process_and_its_version_are_told(meter: Meter) -> None:
    from focal import __version__

    found = shown(meter)
    assert found["build_info"] == {(__version__,): 1}
    assert found["start_time_seconds"] == {(): EPOCH}
    if sys.platform == "linux":
        assert found["process_resident_memory_bytes"][()] > 1e6


def test_nothing_is_left_with_the_library(meter: Meter) -> None:
    shown(meter)
    assert not [one.name for one in REGISTRY.collect() if one.name.startswith("focal")]


# Health


def test_health_says_how_each_link_is(meter: Meter, spool: Spool, clock: Clock) -> None:
    put(spool, message(1), ROOM)
    clock.now += 4
    tell(meter, up("hill", EPOCH + 1), up("room", EPOCH + 2), down("room", EPOCH + 3))
    tell(meter, Received(message(9), None, 0.0, "hill", "!1", EPOCH + 2))
    told = asked(meter, "/health")
    assert told.status == 200
    assert told.json == {
        "status": "degraded",
        "at": EPOCH + 4,
        "started": EPOCH,
        "storage_readable": True,
        "links": {
            "hill": {
                "up": True,
                "since": EPOCH + 1,
                "waiting_messages": 0,
                "waiting_bytes": 0,
                "waiting_oldest_seconds": 0,
                "last_received": EPOCH + 2,
            },
            "room": {
                "up": False,
                "since": EPOCH + 3,
                "waiting_messages": 1,
                "waiting_bytes": len(message(1).to_bytes()),
                "waiting_oldest_seconds": 4,
                "last_received": None,
            },
        },
        "last_received": EPOCH + 2,
    }


def test_health_is_bad_when_every_link_is_down(meter: Meter) -> None:
    def status() -> tuple[int, str]:
        told = asked(meter, "/health")
        return told.status, told.json["status"]

    assert status() == (503, "down")
    tell(meter, up("hill"))
    assert status() == (200, "degraded")
    tell(meter, up("room"))
    assert status() == (200, "ok")
    tell(meter, down("hill"), down("room"))
    assert status() == (503, "down")


def test_it_is_ready_once_every_link_was_open(meter: Meter) -> None:
    tell(meter, up("hill"))
    told = asked(meter, "/ready")
    assert (told.status, told.json) == (503, {"ready": False, "unopened": ["room"]})
    tell(meter, down("hill"), up("room"))
    told = asked(meter, "/ready")
    assert (told.status, told.json) == (200, {"ready": True, "unopened": []})


# Serving


def test_there_is_nothing_else(meter: Meter) -> None:
    assert asked(meter, "/").status == 404
    assert asked(meter, "/metrics/").status == 404
    assert asked(meter, "/metrics?name=x").status == 200


def test_a_disk_that_is_slow_keeps_nobody_waiting_but_who_asked(spool: Spool) -> None:
    begun, may_go_on = Event(), Event()

    def slow() -> float:
        """Tell the time; in a worker thread only when it may."""
        if begins:
            begun.set()
            assert may_go_on.wait(20)
        return EPOCH

    begins = False
    meter = Meter(LINKS, spool, unix=slow)
    begins = True

    async def main() -> None:
        async with asking(meter) as page:
            scrape = asyncio.create_task(page("/metrics"))
            await asyncio.to_thread(begun.wait, 20)
            assert (await page("/ready")).status == 503  # the loop is free
            tell(meter, up("hill"), up("room"))  # and so is who counts
            assert (await page("/ready")).status == 200
            assert not scrape.done()
            may_go_on.set()
            assert read((await scrape).body)["link_up"] == {("hill",): 1, ("room",): 1}

    asyncio.run(main())


@pytest.mark.parametrize(("fresh", "second"), [(0.0, 1), (1e9, 0)])
def test_a_page_is_read_anew_only_after_a_while(
    fresh: float, second: float, spool: Spool, meter: Meter
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), serving(meter, "127.0.0.1", 0, fresh=fresh) as port:
            for waiting in (0, second):
                page = await asyncio.to_thread(ask, port, "/metrics")
                assert read(page.body)["waiting_messages"]["hill",] == waiting
                put(spool, message(1))

    asyncio.run(main())


def test_without_the_extra_one_line_names_it(tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('no such module')")
    program = (
        "import asyncio\n"
        "from focal.core.errors import SettingsError\n"
        "from focal.metrics import serving\n"
        "async def main():\n"
        "    async with serving(None, '127.0.0.1', 0): pass\n"
        "try:\n    asyncio.run(main())\nexcept SettingsError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{program}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=60,
    )
    line = "metrics need prometheus-client (no such module): pip install 'focal-voice[serve]'\n"
    assert done.stdout == line, done.stderr


def test_a_port_that_is_taken_is_told(meter: Meter) -> None:
    async def main() -> None:
        async with serving(meter, "127.0.0.1", 0) as port:
            with pytest.raises(SettingsError, match="cannot listen"):
                async with serving(meter, "127.0.0.1", port):
                    pass

    asyncio.run(main())


# No stranger makes a series


ANY = st.text(max_size=30)
SENDERS = st.none() | st.text(min_size=1, max_size=20)
MESSAGES = st.builds(Message, st.just(ID), st.just(Kind.TEXT), st.just(b"x"), sender=SENDERS)
NAMES = st.sampled_from(sorted(LINKS)) | ANY
REASON = ANY | st.sampled_from([f"{text} is not named" for text in ("text", "sender ~0000002a")])
EVENTS: st.SearchStrategy[NodeEvent] = st.one_of(
    st.builds(
        Passed,
        MESSAGES,
        st.integers(1, 65_535),
        NAMES,
        ANY,
        st.just(EPOCH),
        st.lists(NAMES, max_size=3).map(tuple),
        st.dictionaries(NAMES, REASON, max_size=3),
    ),
    st.builds(
        Progress, st.sampled_from(State), st.just(ID), NAMES, st.just(9), st.just(EPOCH), ANY
    ),
    st.builds(LinkState, NAMES, st.booleans(), st.just(EPOCH), ANY),
    st.builds(Trouble, ANY, ANY, st.just(EPOCH)),
    st.builds(Received, MESSAGES, st.none(), st.just(0.0), NAMES, ANY, st.just(EPOCH)),
)
WORDS = {
    "link": {*LINKS, ""},
    "source": {*LINKS, ""},
    "reason": {*REASONS, "other"},
    "policy": {"oldest", "newest", "largest"},
    "outcome": {
        *("sent", "heard", "elsewhere", "delivered", "played", "refused", "expired", "unknown"),
    },
}


def ours(page: str) -> Iterable[tuple[str, str]]:
    """Yield every label of our metrics, but the version."""
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name.startswith("focal_") and not sample.name.endswith("build_info"):
                yield from sample.labels.items()


@settings(max_examples=60)
@given(events=st.lists(EVENTS, max_size=30))
def test_a_label_is_never_anything_that_somebody_sent(events: list[NodeEvent]) -> None:
    with Spool.open(Path(":memory:"), durability="process", unix=Clock()) as spool:
        meter = Meter(LINKS, spool)
        tell(meter, *events)
        values = meter.read()
        labelled = {
            (name, value)
            for metric, series in values.items()
            for labels in series
            for name, value in zip(metric.labels, labels, strict=True)
            if name != "version"
        }
        assert all(value in WORDS[name] for name, value in labelled)


def test_a_page_has_no_word_of_a_stranger(meter: Meter) -> None:
    said = 'eve"} 1\nfocal_bridge_link_up{link="hill'
    one = Message(ID, Kind.TEXT, b"x", sender=said)
    tell(
        meter,
        Passed(one, 9, said, said, EPOCH, (said,), {said: said}),
        Trouble(said, said, EPOCH),
        LinkState(said, True, EPOCH, said),
        Progress(State.REFUSED, ID, said, 5, EPOCH, said),
    )
    page = asked(meter, "/metrics").body
    assert "eve" not in page and "eve" not in asked(meter, "/health").body
    assert all(value in WORDS[name] for name, value in ours(page))


@pytest.mark.parametrize("name", ['q"uo\\te', "two\nlines", '{a="b"}', "a,b # c", "\udcff", "ünï"])
def test_a_link_may_be_called_anything(name: str, spool: Spool) -> None:
    meter = Meter({name: HILL.link}, spool)
    tell(meter, up(name))
    ((label,),) = shown(meter)["link_up"]
    assert label == name.encode("utf-8", "backslashreplace").decode()
    assert asked(meter, "/health").json["links"][name]["up"] is True


# The page docs/metrics.md

PAGE = (ROOT / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(focal_bridge_\w+)` \| (counter|gauge) \|([^|]*)\| .+ \|$", re.MULTILINE)


def test_the_page_has_every_metric_and_no_other() -> None:
    rows = {(name, kind, tuple(re.findall(r"`(\w+)`", of))) for name, kind, of in ROW.findall(PAGE)}
    kinds = {True: "counter", False: "gauge"}
    assert rows == {(metric.name, kinds[metric.counts], metric.labels) for metric in METRICS}
    assert set(re.findall(r"focal_bridge_\w+", PAGE)) == {metric.name for metric in METRICS}


def test_the_page_has_every_word_that_is_a_label() -> None:
    told = set(re.findall(r"`(\w+)`", PAGE))
    assert WORDS["reason"] | WORDS["policy"] | WORDS["outcome"] <= told


# The sentences of bridges


def voice(**changes: Any) -> Message:
    return replace(Message(ID, Kind.VOICE, b"x", codec=1, sent_at=int(EPOCH)), **changes)


def kept_back(
    one: Message, known: Known | None = None, gate: Gate | None = None, **passing: Any
) -> set[str]:
    """Return the words for why a message does not go on from a to b."""
    gate = gate or Gate("b", "b", frozenset("a"))
    router = Router(3, [gate], {"a": "a", "b": "b"})
    told = router.decide(replace(Passing(one, 9, "a", 0, EPOCH), **passing), known or Known())
    return {reason_of(decision.why_not) for decision in told if decision.why_not is not None}


def gate(**rules: Any) -> Gate:
    return Gate("b", "b", frozenset("a"), **rules)


def test_each_reason_of_a_bridge_has_its_word(spool: Spool) -> None:
    one = voice()
    to = voice(destination=5)
    here, there = {"a": Sight(EPOCH, True)}, {"c": Sight(EPOCH, True)}
    found = {
        *kept_back(one, gate=gate(public=True)),
        *kept_back(one, gate=gate(kinds=frozenset([Kind.TEXT]))),
        *kept_back(one, gate=gate(codecs=frozenset([2]))),
        *kept_back(one, gate=gate(senders=frozenset([8]))),
        *kept_back(one, gate=gate(size=5)),
        *kept_back(one, hops=7),
        *kept_back(one, route=(3,)),
        *kept_back(one, at=EPOCH + 1e6),
        *kept_back(one, Known(back="a")),
        *kept_back(one, Known(back="b", spent=frozenset("b"))),
    }
    assert kept_back(to, Known(here)) == kept_back(to, Known(there)) == {"destination"}
    assert {*found, "destination", twin(spool)} == set(REASONS)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.VOICE])
def test_each_kind_that_is_not_named_has_the_same_word(kind: Kind) -> None:
    closed = gate(kinds=frozenset([Kind.VOICE]))
    assert reason_of(closed.why_not(Message(ID, kind, b"x"), 9) or "") == "kind"


def transit(spool: Spool, *gates: Gate) -> Transit:
    router = Router(spool.origin, gates, LINKS)
    return Transit(router, spool, lambda _, __: 0.0, lambda _: False, lambda _: ())


def twin(spool: Spool) -> str:
    """Return the word for other bytes under an id that is on its way already."""
    way = transit(spool, Gate(ROOM.link, "room", frozenset([HILL.link])))
    came = Arrival("hill", HILL.link, None)
    with spool.database.transaction():
        for text in ("one", "other"):
            two = message(1, text)
            passed = way.pass_on(two.to_bytes(), two, came, EPOCH).passed
    assert passed is not None
    return reason_of(passed.kept_back["room"])


@pytest.mark.parametrize("full", Full)
def test_what_gives_way_is_counted_by_its_policy(full: Full, spool: Spool, meter: Meter) -> None:
    hill = frozenset([HILL.link])
    way = transit(spool, Gate(ROOM.link, "room", hill, queue=1, full=full))
    came = Arrival("hill", HILL.link, None)
    with spool.database.transaction():
        for sequence in (1, 2, 3):
            one = message(sequence)
            tell(meter, *way.pass_on(one.to_bytes(), one, came, EPOCH).events)
    found = shown(meter)
    word = "oldest" if full is Full.WAIT else full.value
    assert positive(found["gave_way_messages_total"]) == {("room", word): 2}
    assert found["waiting_messages"]["room",] == 1
    assert positive(found["outcomes_total"]) == {}


# A bridge at work


def test_a_bridge_at_work_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    hill, hall = (Mesh(name, Conditions(kind="message", delay=0.01)) for name in ("hill", "hall"))

    async def main(meter: Meter) -> None:
        async with world.node("bridge", hill, hall, bridge=all_to_all) as bridge:
            events = bridge.events()
            async with world.node("a", hill) as a, world.node("b", hall) as b:
                theirs = b.events()
                for n in range(5):
                    await a.send(Draft(Kind.TEXT, (b"%d" % n,)))
                await received(theirs, 5)
                await asyncio.sleep(60)
        async for event in events:  # what was told until the node ended
            meter.event(event)

    with world.spool("bridge") as spool:
        keys = {mesh.name: MemoryTransport(mesh).key for mesh in (hill, hall)}
        meter = Meter(keys, spool, unix=Clock())
        run_virtual(main(meter))
        found = shown(meter)
    assert positive(found["received_messages_total"])["hill",] == 5
    assert found["passed_messages_total"]["hill", "hall"] == 5
    assert found["outcomes_total"]["hall", "sent"] == 5
    assert positive(found["waiting_messages"]) == positive(found["dead_letters"]) == {}
    assert found["inbox_messages"][()] == 5
