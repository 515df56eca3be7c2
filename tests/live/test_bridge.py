"""Bridges over a real broker, LoRa and UDP: killed, flooded, lied to, and nothing is lost or twice.

The law of this module: chance decides by a seed, and what is done to whom depends on what has
arrived, not on time. Each test has a slice that runs always; the whole of it is a soak.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import pytest

from focal import testing
from focal.core.clocks import Moment, moment
from focal.core.envelope import Envelope
from focal.core.events import State
from focal.core.ledger import Ledger, Promise
from focal.core.message import Kind, Message, MessageId, origin_text
from focal.home import Home
from tests.broker import HOST, Broker, broker, password_file
from tests.certificates import Authority, Certificate
from tests.deadline import ROOT, Deadline, Process
from tests.live.bridges import Hill, heard, room, told
from tests.live.lab import Lab, serving
from tests.live.pair import free_ports, spool, udp
from tests.needs import needs
from tests.transports.mqtt.outsider import outsider

ENDLESS = ("max_queued_messages 0",)
"""Mosquitto drops what it has to keep beyond 1,000 messages, unless it is told not to."""


# Killed


@dataclass
class Trial:
    """A bridge between two rooms, in bad times.

    Args:
        hill: the homes: ``a`` speaks into the room *here*, ``b`` listens to the room *there*.
        made: the broker.
        chance: decides everything.
        stack: ends whatever still runs.
    """

    hill: Hill
    made: Broker
    chance: random.Random
    stack: ExitStack

    def __post_init__(self) -> None:
        self.here, self.there = room(self.made, "here"), room(self.made, "there")
        self.listener = self.stack.enter_context(self.hill.listening("b", self.there))
        self.speaker = self.stack.enter_context(self.hill.listening("a", self.here))
        self.start()

    def start(self) -> None:
        """Start a bridge."""
        self.bridge = self.stack.enter_context(self.hill.bridging(self.here, self.there))

    def kill(self) -> None:
        """Kill the bridge, and start it again."""
        self.bridge.signal(signal.SIGKILL)
        assert self.bridge.wait() == -signal.SIGKILL
        self.start()

    def suffer(self, messages: int, blows: list[Callable[[], None]]) -> int:
        """Say so much, and deal each blow when some of it has arrived; return how much was said."""
        self.chance.shuffle(blows)
        each = messages // len(blows)
        for n, blow in enumerate(blows):
            self.hill.queue("a", self.here, each)
            self.arrived(n * each + self.chance.randrange(each))
            blow()
        return each * len(blows)

    def arrived(self, count: int) -> None:
        """Wait until so many messages have arrived."""
        self.hill.deadline.until(
            f"{count} have arrived", lambda: len(heard(self.listener)) >= count
        )

    def end(self) -> None:
        """End all three in order."""
        self.hill.ends(self.bridge)
        for listener in (self.speaker, self.listener):
            self.hill.ends(listener, signal.SIGINT, 130)


def bad_times(folder: Path, messages: int, kills: int, restarts: int, seed: int) -> None:
    hill, chance = Hill(folder, Deadline(60 + messages / 5 + 10 * kills)), random.Random(seed)
    with broker(folder / "broker", *ENDLESS, persistence=True) as made, ExitStack() as stack:
        trial = Trial(hill, made, chance, stack)
        said = trial.suffer(messages, [trial.kill] * kills + [made.restart] * restarts)
        trial.arrived(said)
        hill.deadline.until("nothing is left", lambda: hill.idle("a") and hill.idle("bridge"))
        trial.end()
        told = heard(trial.listener)
    sent = hill.held("bridge")
    assert len(sent) == said and set(sent.values()) == {1}
    assert hill.held("b") == sent
    assert told == {str(id): 1 for id in sent}
    hill.check_said()


@pytest.mark.parametrize("seed", [6])
def test_a_bridge_and_its_broker_come_and_go(tmp_path: Path, seed: int) -> None:
    bad_times(tmp_path, 400, kills=5, restarts=2, seed=seed)


@pytest.mark.soak
def test_a_bridge_is_killed_twenty_times(tmp_path: Path) -> None:
    bad_times(tmp_path, 2_000, kills=20, restarts=5, seed=6)


# Forgotten


@pytest.mark.parametrize("bridged", [False, True])
def test_what_a_killed_broker_had_not_saved_is_sent_again(tmp_path: Path, bridged: bool) -> None:
    hill = Hill(tmp_path, Deadline(120))
    with broker(tmp_path / "broker", *ENDLESS) as made, ExitStack() as stack:
        here, there = room(made, "here"), room(made, "there" if bridged else "here")
        with hill.listening("b", there) as listener:
            hill.ends(listener, signal.SIGINT, 130)
        speaker = stack.enter_context(hill.listening("a", here))
        bridges = [stack.enter_context(hill.bridging(here, there))] if bridged else []
        ids = hill.queue("a", here, 40, to="b")
        hill.deadline.until("the broker has it all", partial(_all_sent, hill, ids, bridges))
        made.kill()
        made.start()
        listener = stack.enter_context(hill.listening("b", there))
        hill.deadline.until("all is confirmed", partial(hill.confirmed, "a", ids, "b"))
        assert hill.idle("a")
        for bridge in bridges:
            hill.ends(bridge)
        for each in (speaker, listener):
            hill.ends(each, signal.SIGINT, 130)
    assert hill.held("b") == dict.fromkeys(ids, 1)
    assert heard(listener) == {str(id): 1 for id in ids}
    hill.check_said()


def _all_sent(hill: Hill, ids: list[MessageId], bridges: list[Process]) -> bool:
    """Tell whether the broker has acknowledged all messages to whoever brought them last."""
    if bridges:
        return len(told(bridges[0], "sent")) == len(ids)
    with spool(hill.home("a")) as ours:
        states = [leg.state for id in ids for leg in ours.outbox.find(id)]
        return all(state is State.SENT for state in states)


# Over the air

AIR = """
preset = "SHORT_FAST"
hop_limit = 0
loss = 0.2
seed = 4
[nodes.a]
number = "!0000a001"
[nodes.x]
number = "!0000a002"
[nodes.y]
number = "!0000a003"
"""


def radio(lab: Lab, node: str) -> str:
    return f"lora://127.0.0.1:{lab.port(node)}"


def test_a_ring_from_lora_over_mqtt_to_udp_and_back(tmp_path: Path) -> None:
    hill = Hill(tmp_path, Deadline(120))
    ours, theirs = free_ports(2)
    with (
        broker(tmp_path / "broker") as made,
        serving(AIR, tmp_path, hill.deadline, ports=3, speed=1) as lab,
        ExitStack() as stack,
    ):
        hall = room(made, "hill")
        bridges = [
            stack.enter_context(hill.bridging(radio(lab, "x"), hall, home="x")),
            stack.enter_context(hill.bridging(radio(lab, "y"), hall, home="y")),
            stack.enter_context(hill.bridging(hall, udp(theirs, ours), home="z")),
        ]
        listeners = [
            stack.enter_context(hill.listening("a", radio(lab, "a"))),
            stack.enter_context(hill.listening("b", udp(ours, theirs))),
            stack.enter_context(hill.listening("m", hall)),
        ]
        a, b = (origin_text(hill.origin(home)) for home in ("a", "b"))
        up = [hill.says("a", f"up {n}", radio(lab, "a")) for n in range(2)]
        down = [hill.says("b", f"down {n}", udp(ours, theirs)) for n in range(2)]
        assert hill.says("a", "to you", radio(lab, "a"), "--to", b)["by"] == b
        assert hill.says("b", "and back", udp(ours, theirs), "--to", a)["by"] == a
        homes = ("a", "b", "m", "x", "y", "z")
        hill.deadline.until("nothing is left", lambda: all(map(hill.idle, homes)))
        for bridge in bridges:
            hill.ends(bridge)
        for listener in listeners:
            hill.ends(listener, signal.SIGINT, 130)
    to_all = {one["id"] for one in up + down}
    for home in homes:
        held = {str(id): times for id, times in hill.held(home).items()}
        assert set(held.values()) == {1}
        own = {one["id"] for one in {"a": up, "b": down}.get(home, [])}
        assert to_all - own <= set(held) and len(held) <= len(to_all) - len(own) + 1
    hill.check_said()


LEFT = 4.0
"""Seconds of airtime that are left in the hour; a message takes 0.7, and polls and repairs."""

FLOOD = 550
"""A hundred times what goes into that."""

AGO = 1_800.0
"""Seconds since the rest of it was used."""


def test_a_flood_keeps_within_the_ledger_and_what_gives_way_is_counted(tmp_path: Path) -> None:
    hill = Hill(tmp_path, Deadline(150))
    with (
        broker(tmp_path / "broker", *ENDLESS) as made,
        serving(AIR.replace("SHORT", "LONG"), tmp_path, hill.deadline, speed=1) as lab,
        ExitStack() as stack,
    ):
        hall, config = room(made, "hill"), tmp_path / "gateway.toml"
        config.write_text(
            f"[links]\nradio.url = '{radio(lab, 'x')}'\nhill.url = '{hall}'\n"
            "[[bridge]]\nfrom = 'hill'\nto = 'radio'\nqueue = 20\nfull = 'oldest'\n"
        )
        bridge = stack.enter_context(
            hill.bridging("--config", str(config), "--metrics", "0", "--drain", "0.5")
        )
        listener = stack.enter_context(hill.listening("a", radio(lab, "a")))
        stack.enter_context(hill.listening("s", hall))
        hill.queue("s", hall, 1)
        hill.deadline.until("one is heard", lambda: heard(listener))
        allowed, used = use_up(hill.home("bridge"), LEFT)
        hill.queue("s", hall, FLOOD)
        hill.deadline.until("all has come", lambda: len(told(bridge, "passed")) > FLOOD)
        hill.deadline.until("the hour is used up", partial(is_spent, hill.home("bridge")))
        page = metrics(bridge)
        hill.ends(bridge)
        hill.ends(listener, signal.SIGINT, 130)
        dead = [json.loads(line) for line in hill.says_of("bridge", "outbox", "dead")]
        waiting = [json.loads(line) for line in hill.says_of("bridge", "outbox", "list")]
        spent = [json.loads(line) for line in hill.says_of("bridge", "airtime", "--ledger")]
    assert spent[0]["seconds"] <= spent[0]["limit"] == allowed
    assert on_air(lab) <= spent[0]["seconds"] - used + 0.001
    assert {one["reason"] for one in dead} == {
        "20 messages waited for radio already: the oldest gave way"
    }
    assert len(dead) == page["focal_bridge_gave_way_messages_total", "oldest"]
    assert len(dead) == page["focal_bridge_dead_letters", None]
    assert len(waiting) <= 20 and FLOOD - 20 < len(dead) + len(waiting) <= FLOOD
    newest = [one["id"] for one in told(bridge, "passed") if one["kind"] == "text"][-20:]
    assert {one["id"] for one in waiting} <= set(newest)
    hill.check_said()


def use_up(home: Path, left: float) -> tuple[float, float]:
    """Write down that a home's radio was on air for long a while ago.

    Returns:
        How long it may be in an hour, and how long that was.
    """

    def then() -> Moment:
        now = moment()
        return replace(now, awake=now.awake - AGO, unix=now.unix - AGO)

    path = Home.open(home).ledger_path
    with closing(Ledger.open(path, moment)) as ledger, closing(Ledger.open(path, then)) as past:
        [key] = ledger.radios()
        allowed = ledger.allowed(key)
        assert allowed is not None
        seconds = allowed - ledger.hour(key).used(ledger.now()) - left
        promise = past.promise(key, seconds, allowed)
        assert isinstance(promise, Promise)
        past.spend(promise, seconds)
        past.release(promise)
        return allowed, seconds


def is_spent(home: Path) -> bool:
    """Tell whether what is next waits until more than this hour's airtime is free."""
    with spool(home) as ours:
        soon = time.time() + AGO / 2
        return any(leg.until is not None and leg.until > soon for leg in ours.outbox.legs())


def on_air(lab: Lab) -> float:
    """Return how long the bridge's node was on the air, at the least: it tells milliseconds."""
    sent = [one for one in lab.events if one["event"] == "on-air" and one["node"] == "x"]
    return sum(float(one["seconds"]) - 0.0005 for one in sent)


def metrics(bridge: Process) -> dict[tuple[str, str | None], float]:
    """Return what a bridge counts for its link *radio*, by name and policy."""
    url = bridge.line("metrics at ", "err").split()[-1]
    with urlopen(url, timeout=20) as page:
        lines = page.read().decode().splitlines()
    found = [re.fullmatch(r"(\w+){(.*)} (\S+)", line) for line in lines]
    radio = [one.groups() for one in found if one and 'link="radio"' in one[2]]
    policy = re.compile(r'policy="(\w+)"')
    return {
        (name, said[1] if (said := policy.search(labels)) else None): float(value)
        for name, labels, value in radio
    }


# Slow, and for long

SLOW = "rate = '6/min'\nqueue = 20\nfull = 'wait'\n"
"""A message in ten seconds. It fills up at once, and its source must not be held back for it."""


def fast_and_slow(folder: Path, made: Broker, name: str, slow: str | None) -> str:
    """Write what joins a room with one that is fast and perhaps one that is slow."""
    links = {where: room(made, f"{name}-{where}") for where in ("from", "fast", "slow")}
    lines = ["[links]", *(f"{where}.url = '{url}'" for where, url in links.items())]
    lines += ["[[bridge]]", "from = 'from'", "to = 'fast'"]
    if slow is not None:
        lines += ["[[bridge]]", "from = 'from'", "to = 'slow'", slow]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    return str(path)


class Crowd:
    """Strangers on a broker: one speaks in one room, another hears what passes into the fast one.

    Args:
        made: the broker.
        stack: sends them home.
        deadline: until when all must have passed.
    """

    def __init__(self, made: Broker, stack: ExitStack, deadline: Deadline) -> None:
        self._near = stack.enter_context(outsider(made))
        self._far = stack.enter_context(outsider(made))
        self._deadline = deadline
        self._said = 0
        for name in ("one", "two"):
            self._far.watch(f"focal/{name}-fast/+")

    def says(self, name: str, count: int = 1) -> float:
        """Say so much in the room of that name; return the seconds until the fast one has it."""
        began = time.perf_counter()
        for n in range(self._said, self._said + count):
            said = Message(
                MessageId(0x51A7E51A, n + 1), Kind.DATA, bytes(300), sent_at=int(time.time())
            )
            self._near.publish_later(
                f"focal/{name}-from/51a7e51a", Envelope(said.to_bytes()).to_bytes()
            )
        self._said += count
        self._far.has_seen(self._said, self._deadline.left)
        return time.perf_counter() - began


def test_a_slow_leg_delays_no_fast_one(tmp_path: Path) -> None:
    hill = Hill(tmp_path, Deadline(90))
    with broker(tmp_path / "broker", *ENDLESS) as made, ExitStack() as stack:
        crowd, taken = Crowd(made, stack, hill.deadline), dict[str, list[float]]()
        bridges = [
            stack.enter_context(
                hill.bridging("--config", fast_and_slow(tmp_path, made, name, slow), home=name)
            )
            for name, slow in (("one", None), ("two", SLOW))
        ]
        for name in ("one", "two"):
            crowd.says(name, 60)
        for name in ["one", "two"] * 60:
            taken.setdefault(name, []).append(crowd.says(name))
        slow = [one["at"] for one in told(bridges[1], "sent") if one["link"] == "slow"]
        # Six in any minute, by when they went; it is told when the broker has them, a little later.
        assert len(slow) >= 6 and all(b - a > 55 for a, b in zip(slow, slow[6:], strict=False))
        assert not [line for bridge in bridges for line in bridge.err if "is down" in line]
        for bridge in bridges:
            hill.ends(bridge)
    alone, beside = (median(taken[name]) for name in ("one", "two"))
    print(f"{1000 * beside:.2f} ms beside a slow leg, else {1000 * alone:.2f} ms")
    assert beside < 2 * alone + 0.01, f"{beside:.4f} s beside a slow leg, else {alone:.4f} s"
    hill.check_said()


def memory_grows(folder: Path, warm: int, messages: int) -> float:
    """Pass so many messages on; return by how many MB the bridge grew after the first of them."""
    needs("/proc", Path("/proc/self/status").exists())
    hill = Hill(folder, Deadline(90 + messages / 50))
    with broker(folder / "broker", *ENDLESS) as made, ExitStack() as stack:
        crowd = Crowd(made, stack, hill.deadline)
        config = fast_and_slow(folder, made, "one", SLOW.replace("wait", "oldest"))
        bridge = stack.enter_context(hill.bridging("--config", config, "--drain", "1"))
        crowd.says("one", warm)
        before = resident(bridge)
        for _ in range(0, messages, 1_000):
            crowd.says("one", 1_000)
        grew = resident(bridge) - before
        print(f"{before:.1f} MB, then {grew:+.1f} MB")
        assert not [line for line in bridge.err if "is down" in line]
        hill.ends(bridge)
    assert hill.waiting("bridge") <= 20
    hill.check_said()
    return grew


def resident(process: Process) -> float:
    """Return the MB of memory that a process has."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [kilobytes] = re.findall(r"^VmRSS:\s*(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) / 1024


def test_memory_stays_flat(tmp_path: Path) -> None:
    assert memory_grows(tmp_path, 1_000, 3_000) < 8


@pytest.mark.soak
def test_memory_stays_flat_for_long(tmp_path: Path) -> None:
    assert memory_grows(tmp_path, 5_000, 95_000) < 16


# Lied to, and left alone


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_strangers_publish_is_one_line_and_stops_nothing(tmp_path: Path, version: str) -> None:
    hill = Hill(tmp_path, Deadline(90))
    with broker(tmp_path / "broker", *ENDLESS) as made, ExitStack() as stack:
        wild = "%23+/%2B%23 %2F$".replace("/", "%2F").replace(" ", "%20")
        here, there = (f"{room(made, name)}?version={version}" for name in ("here", wild))
        bridge = stack.enter_context(hill.bridging(here, there))
        listener = stack.enter_context(hill.listening("b", there))
        speaker = stack.enter_context(hill.listening("a", here))
        stranger = stack.enter_context(outsider(made))
        ours = f"focal/here/{hill.origin('bridge'):08x}"
        for payload in (bytes(1 << 20), b"\x00garbage", b"\x84" * 5_000, b"", b"{}"):
            for topic in ("focal/here/0000beef", ours, "focal/here/0000beef/receipt"):
                stranger.publish(topic, payload)
            stranger.publish(f"{ours}/status", payload, retain=True)
            stranger.publish("focal/here/nobody/status", payload)
        other = Message(MessageId(0xBEEF, 1), Kind.TEXT, b"not mine", sent_at=int(time.time()))
        stranger.publish("focal/here/0000dead", Envelope(other.to_bytes()).to_bytes())
        ids = hill.queue("a", here, 5)
        hill.deadline.until("they have passed", lambda: len(heard(listener)) == len(ids))
        hill.ends(bridge)
        for each in (speaker, listener):
            hill.ends(each, signal.SIGINT, 130)
    assert set(heard(listener)) == {str(id) for id in ids}
    ignored = [line for line in bridge.err if "ignored" in line]
    assert 1 <= len(ignored) <= 3 and "(no. 1)" in ignored[0], bridge.err
    assert len(bridge.err) <= len(ignored) + 5 and max(map(len, bridge.err)) < 400, bridge.err
    hill.check_said()


def test_what_is_wrong_with_a_link_is_one_line_and_the_others_go_on(tmp_path: Path) -> None:
    hill, trusted = Hill(tmp_path, Deadline(120)), Authority(tmp_path / "trusted")
    unknown = Authority(tmp_path / "unknown")
    (tmp_path / "secret").write_text("wrong")
    tls = f"?ca={trusted.ca}"
    users = f"password_file {password_file(tmp_path, ada='right')}"
    with ExitStack() as stack:

        def run(name: str, *lines: str, **how: bool) -> Broker:
            return stack.enter_context(broker(tmp_path / name, *lines, **how))

        good, gone = run("good"), run("gone", persistence=True)
        locked = run("locked", users, anonymous=False)
        old = run("old", *certified(trusted.sign("old", expired=True)))
        alien = run("alien", *certified(unknown.sign("alien")))
        [nobody] = testing.free_ports(1)
        here, there, away = room(good, "here"), room(good, "there"), room(gone, "away")
        login = f"password_file={tmp_path / 'secret'}"
        bad = {
            f"mqtt://ada@{HOST}:{locked.port}/x?{login}": "user 'ada' with this password",
            f"mqtts://{HOST}:{old.port}/x{tls}": "has expired",
            f"mqtts://{HOST}:{alien.port}/x{tls}": "is signed by somebody unknown here",
            f"mqtt://{HOST}:{nobody}/x": "is the broker running?",
        }
        bridge = stack.enter_context(hill.bridging(here, there, away, *bad))
        listeners = [
            stack.enter_context(hill.listening(home, link))
            for home, link in (("b", there), ("c", away))
        ]
        speaker = stack.enter_context(hill.listening("a", here))
        gone.stop()
        bridge.line(f"{away} is down", "err")
        hill.queue("a", here, 30)
        hill.deadline.until("the others go on", lambda: len(heard(listeners[0])) == 30)
        hill.deadline.until("all were tried again", lambda: min(map(tries, (locked, old))) > 3)
        gone.start()
        hill.deadline.until("it goes on, too", lambda: len(heard(listeners[1])) == 30)
        hill.ends(bridge)
        for each in (speaker, *listeners):
            hill.ends(each, signal.SIGINT, 130)
    for link, why in bad.items():
        [line] = [line for line in bridge.err if f"{link} is down" in line]
        assert why in line
    down = [line for line in bridge.err if f"{away} is down" in line]
    assert len(down) == len(set(down)) <= 2, "it went, and then nobody was there"
    hill.check_said()


def certified(certificate: Certificate) -> tuple[str, str]:
    """Return the lines with which a broker has a certificate."""
    return f"certfile {certificate.cert}", f"keyfile {certificate.key}"


def tries(made: Broker) -> int:
    """Return how often somebody came to a broker."""
    return made.log.count("New connection")


# As the pages say it


def test_the_commands_of_the_pages_do_what_they_say(tmp_path: Path) -> None:
    hill = Hill(tmp_path, Deadline(120))
    shutil.copy(ROOT / "examples" / "hello.wav", tmp_path)
    port, serial = unused(1883), unused(4501)
    lobby, hall = ("mqtt", f"mqtt://{HOST}/hill")
    if port != 1883:
        lobby, hall = f"mqtt://{HOST}:{port}/lobby", f"mqtt://{HOST}:{port}/hill"
    near, far = free_ports(2)
    valley, there = udp(far, near), udp(near, far)
    hello = ["hello.wav", "--quality", "c2-700c", "--wait", "delivered", "--via"]
    with broker(tmp_path / "broker", port=port), ExitStack() as stack:
        listener = stack.enter_context(hill.listening("b", lobby))
        hill.says_of("a", "send", *hello, lobby)
        assert json.loads(listener.line('"received"'))["seconds"] > 4

        lab = stack.enter_context(serving(AIR, tmp_path, hill.deadline, first=serial, speed=1))
        bridge = stack.enter_context(hill.bridging(f"lora://{HOST}:{serial}", hall, valley))
        ends = [
            stack.enter_context(hill.listening(home, link))
            for home, link in (("c", there), ("d", hall))
        ]
        hill.says_of("a", "send", *hello, radio(lab, "x"))
        for end in ends:
            assert json.loads(end.line('"received"'))["seconds"] > 4
        hill.ends(bridge)
    hill.check_said()


def unused(port: int) -> int:
    """Return a TCP port if nobody has it, else one that nobody has."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return testing.free_ports(1)[0]
    return port
