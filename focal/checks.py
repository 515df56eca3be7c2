"""What ``focal doctor`` thinks of what it found: facts in, findings out.

The law of this module: it looks at nothing itself; focal/doctor.py does that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .core.checkup import Checkup
from .core.message import origin_text
from .filesystem import Mount
from .plugins.findings import Finding
from .results import Plugin, Spent

PYTHON = (3, 11)
SPARE = 64 << 20  # bytes: four times what SQLite's log may take
EARLIEST = 1_735_689_600.0  # 2025-01-01: this program did not exist before
LATEST = 4_102_444_800.0  # 2100-01-01
SLACK = 60.0  # seconds that clocks are set back while all is well
NUMBERED = 10_000  # seconds by which numbers run ahead when a full outbox was given them at once
DEVELOPMENT = frozenset({"all", "check", "docs", "test"})


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution that focal needs, or an extra of it.

    Args:
        name: of the distribution.
        least: the lowest version that will do, empty for any.
        extra: the extra that it belongs to; None: focal needs it.
        version: what is installed; None: it is not.
    """

    name: str
    least: str = ""
    extra: str | None = None
    version: str | None = None

    @classmethod
    def parse(cls, requirement: str) -> Package:
        """Read a requirement as metadata has it: ``sounddevice>=0.4.6; extra == "mic"``."""
        name = re.match(r"[\w.-]+", requirement)
        least = re.search(r">=\s*([\d.]+)", requirement.partition(";")[0])
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        return cls(
            name[0] if name else requirement, least[1] if least else "", extra[1] if extra else None
        )

    @property
    def good(self) -> bool:
        """Whether it is there, and new enough."""
        return self.version is not None and _numbers(self.version) >= _numbers(self.least)

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class Folder:
    """The home's folder, or where there is none yet, the folder in which it would be made.

    Args:
        path: of the home.
        exists: whether it is there.
        folder: whether what is there is a folder.
        writable: whether we can write in it.
        owner: whose it is where it is not ours, else None.
        free: bytes left on its disk.
        mount: what it is on; None where that cannot be told.
        locks: whether a lock keeps another one out; None where that was not tried.
        log: whether SQLite can keep its write-ahead log; None where that was not tried.
    """

    path: str
    exists: bool = True
    folder: bool = True
    writable: bool = True
    owner: str | None = None
    free: int = 1 << 40
    mount: Mount | None = None
    locks: bool | None = None
    log: bool | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock.

    Args:
        now: Unix seconds.
        synchronised: whether a time server sets it; None where that cannot be told.
    """

    now: float
    synchronised: bool | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """A quality that was tried.

    Args:
        name: what ``--quality`` calls it.
        why_not: what its plugin says of why it cannot encode here; None: nothing.
        failure: what went wrong when it was tried all the same; None: nothing.
        bug: whether that is its plugin's doing, and no line for users that says what to do.
        why_silent: what its plugin says of why it cannot decode here; None: nothing.
    """

    name: str
    why_not: str | None = None
    failure: str | None = None
    why_silent: str | None = None
    bug: bool = False

    @property
    def can(self) -> str | None:
        """What it can do here, in a word or two; None: nothing."""
        if self.failure is not None:
            return None
        words = {(True, True): "", (True, False): "sends only", (False, True): "receives only"}
        return words.get((self.why_not is None, self.why_silent is None))


@dataclass(frozen=True, slots=True)
class FocalCodec:
    """What there is of FocalCodec.

    Args:
        runtime: onnxruntime's version; None: it is not installed.
        folder: where the model files are kept.
        sizes: bytes of each model file that is there.
        tried: its qualities, the published ones first.
    """

    runtime: str | None
    folder: str
    sizes: Sequence[int]
    tried: Sequence[Quality]


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port on USB.

    Args:
        device: its file.
        description: what its driver says it is.
        usable: whether we may read and write it.
        group: whose members may; None where there is no such thing.
        holder: the process that has it, ``meshtastic (4711)``; None: none that can be told.
    """

    device: str
    description: str = ""
    usable: bool = True
    group: str | None = None
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """A node of Meshtastic's that a configured link leads to.

    Args:
        link: the link's name.
        trouble: why it cannot be used; None: it can.
        elsewhere: whether another process of this home has it, so that it was not asked.
        node: its address.
        firmware: its version; empty: it did not say.
        region: and preset, and the channel that the link uses.
        duty: share of the time that it may send.
        battery: 0 to 100; above: on external power; None: it did not say.
        used: share of the last hour that it has sent; None: it did not say.
    """

    link: str
    trouble: str | None = None
    elsewhere: bool = False
    node: str = ""
    firmware: str = ""
    region: str = ""
    preset: str = ""
    channel: str = ""
    duty: float = 1.0
    battery: int | None = None
    used: float | None = None


def python(version: Sequence[int], where: str) -> Finding:
    """Judge the interpreter; ``where`` is what it runs on."""
    said = ".".join(map(str, version[:3]))
    if tuple(version[:2]) >= PYTHON:
        return Finding("python", "good", f"{said} on {where}")
    wanted = ".".join(map(str, PYTHON))
    return Finding("python", "bad", f"{said} on {where}", f"use Python {wanted} or newer")


def packages(needed: Iterable[Package]) -> Iterator[Finding]:
    """Judge what focal needs and what its extras need, those for developers left out."""
    extras: dict[str, list[Package]] = {}
    base: list[Package] = []
    for package in needed:
        if package.extra is None:
            base.append(package)
        elif package.extra not in DEVELOPMENT:
            extras.setdefault(package.extra, []).append(package)
    if base:
        yield from _base(base)
    for extra, those in extras.items():
        yield _extra(extra, those)


def _base(needed: list[Package]) -> Iterator[Finding]:
    there = ", ".join(str(package) for package in needed if package.good)
    if there:
        yield Finding("packages", "good", there)
    for package in needed:
        if not package.good:
            yield Finding(
                f"package {package.name}",
                "bad",
                f"{package.version} is too old" if package.version else "is not installed",
                f"pip install '{package.name}>={package.least}'",
            )


def _extra(extra: str, needed: list[Package]) -> Finding:
    if all(package.good for package in needed):
        return Finding(f"extra {extra}", "good", ", ".join(map(str, needed)))
    lacking = ", ".join(package.name for package in needed if not package.good)
    advice = f"pip install 'focal-voice[{extra}]' if you want it"
    return Finding(f"extra {extra}", "absent", f"without {lacking}", advice)


def home(found: Folder) -> Iterator[Finding]:
    """Judge the home and what it is on."""
    yield _folder(found)
    if found.mount is not None or found.locks is not None:
        yield _disk(found)


def _folder(found: Folder) -> Finding:
    move = "use another --home"
    if found.exists and not found.folder:
        return Finding("home", "bad", f"{found.path} is a file", f"move it away, or {move}")
    if not found.writable:
        detail = f"{found.path} cannot be {'written' if found.exists else 'made'}"
        return Finding("home", "bad", detail, f"make it yours, or {move}")
    if found.owner is not None:
        detail = f"{found.path} belongs to {found.owner}, who could not use what you write there"
        return Finding("home", "bad", detail, f"be {found.owner}, or {move}")
    if found.free < SPARE:
        detail = f"{found.path} has {_size(found.free)} left"
        return Finding("home", "bad", detail, f"free some space, or {move}")
    if not found.exists:
        detail = f"{found.path} is not there yet"
        return Finding("home", "absent", detail, "nothing to do: what needs it makes it")
    return Finding("home", "good", f"{found.path}, {_size(found.free)} free")


def _disk(found: Folder) -> Finding:
    """Say what cannot be done on the file system of the home."""
    mount = found.mount
    kind = f"{mount.kind} at {mount.point}" if mount else "of a kind that cannot be told"
    slow = "" if found.log is not False else "; no write-ahead log, so SQLite is slower, as safe"
    if mount and mount.read_only:
        detail = f"{kind} is read-only: nothing can be accepted, sent or received"
        return Finding("file system", "bad", detail, "mount it writable, or use another --home")
    if found.locks is False:
        detail = f"{kind}: locks do not hold, so two processes would open one link{slow}"
        return Finding("file system", "bad", detail, "use a --home on a local disk")
    if mount and mount.network:
        detail = (
            f"{kind} is a network file system: locks and SQLite's log do not hold between"
            f" machines, and perhaps not between processes{slow}"
        )
        return Finding("file system", "bad", detail, "use a --home on a local disk")
    if mount and mount.memory:
        advice = "use another --home for what must survive a restart of the machine"
        return Finding("file system", "good", f"{kind} is memory{slow}", advice)
    return Finding("file system", "good", f"{kind}{slow}")


def spool(path: str, found: Checkup | None) -> Finding:
    """Judge the spool; None: there is none."""
    if found is None:
        return Finding("spool", "absent", f"{path} is not there yet", "nothing to do")
    if found.damage is not None:
        advice = "move it away (focal makes a new one), or restore it from a copy"
        return Finding("spool", "bad", f"{path} is damaged: {found.damage}", advice)
    held = f"{found.waiting} waiting, {found.received} received"
    who = origin_text(found.origin)
    return Finding("spool", "good", f"version {found.version}, node {who}, {held}")


def ledger(path: str, found: Sequence[Spent] | None) -> Finding:
    """Judge the airtime ledger; None: there is none."""
    if found is None:
        return Finding("ledger", "absent", f"{path} is not there yet", "nothing to do")
    said = [f"{one.radio} {one.seconds:.1f} s" for one in found]
    return Finding("ledger", "good", f"air in the last hour: {', '.join(said) or 'none'}")


def clock(found: Clock, spool: Checkup | None) -> Iterator[Finding]:
    """Judge the clock by itself and by what was written down before."""
    said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found.now))
    set_it = "set the clock: lifetimes and message numbers follow it"
    last = max(spool.newest - SLACK, spool.sequence - NUMBERED) if spool else 0.0
    if not EARLIEST <= found.now < LATEST:
        yield Finding("clock", "bad", f"{said} cannot be", set_it)
    elif found.now < last:
        before = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(last))
        yield Finding("clock", "bad", f"{said} is before the last message, {before}", set_it)
    else:
        yield Finding("clock", "good", said)
    yield _time_server(found.synchronised)


def _time_server(synchronised: bool | None) -> Finding:
    if synchronised:
        return Finding("time server", "good", "the clock is synchronised")
    detail = "the clock is not synchronised"
    if synchronised is None:
        detail = "whether the clock is synchronised cannot be told here"
    advice = "compare it with another one from time to time"
    return Finding("time server", "absent", detail, advice)


def qualities(tried: Sequence[Quality]) -> Iterator[Finding]:
    """Judge what can be encoded and decoded here."""
    work = [_able(one) for one in tried if one.can is not None]
    if work:
        yield Finding("qualities", "good", ", ".join(work))
    else:
        yield Finding("qualities", "bad", "none works: nothing can be said or heard", _REINSTALL)
    for one in tried:
        if one.failure is not None:
            advice = "update or remove its plugin" if one.bug else "do as it says"
            yield Finding(f"quality {one.name}", "bad", one.failure, advice)
        elif one.can is None:
            advice = one.why_not or one.why_silent or ""
            yield Finding(f"quality {one.name}", "absent", "cannot be used here", advice)


def _able(quality: Quality) -> str:
    return f"{quality.name} ({quality.can})" if quality.can else quality.name


def focalcodec(found: FocalCodec) -> Finding:
    """Judge what FocalCodec has and lacks here, all of its qualities together."""
    count, size = len(found.sizes), _size(sum(found.sizes))
    files = f"{count} model file{'s' * (count > 1)}, {size}" if count else "no model files"
    runtime = f"onnxruntime {found.runtime}" if found.runtime else "without onnxruntime"
    work = [_able(one) for one in found.tried if one.can is not None]
    detail = "; ".join(
        [runtime, *([", ".join(work)] if work else []), f"{files} in {found.folder}"]
    )
    failed = [one for one in found.tried if one.failure is not None]
    if failed and not work:
        return Finding("focalcodec", "bad", detail, f"do as is said of {failed[0].name}")
    lacking = () if failed or any(one.can == "" for one in found.tried) else found.tried
    advice = next(filter(None, (one.why_not or one.why_silent for one in lacking)), "")
    return Finding("focalcodec", "good" if work else "absent", detail, advice)


def radios(library: str | None, ports: Sequence[Port] | None) -> Iterator[Finding]:
    """Judge what there is to reach a radio with.

    Args:
        library: meshtastic's version; None: it is not installed.
        ports: the serial ports on USB; None: that cannot be told here.
    """
    install = "pip install 'focal-voice[lora]' if you want to send by LoRa"
    if ports is None:
        yield Finding("radios", "absent", "serial ports cannot be told without pyserial", install)
    elif not ports:
        detail = "no serial port on USB"
        yield Finding("radios", "absent", detail, "plug one in, or name one: lora://HOST")
    elif library is None:
        there = ", ".join(port.device for port in ports)
        yield Finding("radios", "absent", f"{there}; meshtastic is not installed", install)
    else:
        yield Finding("radios", "good", f"meshtastic {library}; {len(ports)} serial on USB")
    for port in ports or ():
        yield _port(port)


def _port(port: Port) -> Finding:
    name, detail = f"port {Path(port.device).name}", f"{port.device} {port.description}".strip()
    if port.holder is not None:
        free = "end that program before focal opens this port: a port has one user"
        return Finding(name, "absent", f"{detail}: {port.holder} has it", free)
    if not port.usable:
        join = f"sudo usermod -aG {port.group} $USER, then log in again"
        advice = join if port.group not in (None, "root") else "change the permissions of the port"
        return Finding(name, "absent", f"{detail}: no permission", advice)
    return Finding(name, "good", detail)


def station(found: Station) -> Finding:
    """Judge a node that was asked what it is."""
    name = f"radio {found.link}"
    if found.elsewhere:
        return Finding(name, "good", "another process of this home uses it: it was not asked")
    if found.trouble is not None:
        return Finding(name, "bad", found.trouble, "correct the link, or see to the node")
    said = [
        f"{found.node}, firmware {found.firmware or 'unknown'}",
        f"{found.preset} in {found.region}, channel {found.channel}",
        f"duty cycle {100 * found.duty:g} %",
        *([] if found.used is None else [f"{100 * found.used:.1f} % of the last hour sent"]),
        *([] if found.battery is None else [_battery(found.battery)]),
    ]
    return Finding(name, "good", "; ".join(said))


def _battery(level: int) -> str:
    return f"battery {level} %" if level <= 100 else "external power"


def plugins(tried: Iterable[Plugin]) -> Iterator[Finding]:
    """Judge the plugins after each was tried: those that are good together, the rest by name."""
    there = list(tried)
    good = ", ".join(one.name for one in there if one.state == "good")
    yield Finding("plugins", "good", good)
    for one in there:
        if one.state == "disabled":
            yield Finding(f"plugin {one.name}", "absent", one.reason or one.state)
        elif one.state == "bad":
            advice = f"update or remove it, or set FOCAL_PLUGINS_DISABLED={one.name}"
            yield Finding(f"plugin {one.name}", "bad", one.reason or one.state, advice)


_REINSTALL = "pip install --force-reinstall focal-voice"


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with."""
    start = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, start[0].split("."))) if start else ()


def _size(count: int) -> str:
    for unit, power in (("GB", 3), ("MB", 2)):
        if count >= 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count / 1000:.0f} kB"
