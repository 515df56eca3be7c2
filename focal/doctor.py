"""``focal doctor``: looks at everything that focal stands on, and asks the plugins for the rest.

The law of this module: it gathers facts and leaves everything as it was; what they mean is said in
focal/checks.py. Whatever does not work is a finding, so that one fault does not hide the others.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from . import checks
from .airtime import spent
from .app import App
from .checks import Clock, FocalCodec, Folder, Package, Quality, Station
from .config import file, hidden
from .core.checkup import check_up, keeps_log
from .core.clocks import synchronised
from .core.codec import CodecSpec
from .core.errors import FocalError, SettingsError, SpoolError
from .core.link import LinkContext, Transport
from .core.tinyvoice import CODECS as TINYVOICE
from .core.tinyvoice import read_packet
from .filesystem import MOUNTS, Mount, mount_of
from .home import Home
from .inventory import inventory
from .plugins.findings import Finding
from .plugins.manager import Plugins
from .plugins.models import Models, Store
from .plugins.models.catalogue import QUALITIES, SIZES
from .plugins.models.store import SHELVES
from .plugins.roster import Roster
from .radios import ports
from .serving import real_time
from .settings import Settings
from .transports.lora.link import LoraLink, address_of
from .where import home_folder

NAME = "focal-voice"
TRIED = 0.1  # seconds of silence that each quality encodes and decodes
LIMIT = 5.0  # seconds that trying a plugin may take
PATIENCE = 30.0  # seconds that a plugin may take to look at what it needs


@dataclass(frozen=True, slots=True)
class Patient:
    """What to look at.

    Args:
        home: from ``--home``.
        environment: of the process.
        roster: the plugins that there are.
        commands: the names of focal's own commands.
        limit: seconds that trying a plugin may take.
        patience: seconds that each plugin may take to look at what it needs.
        clock: the wall clock.
    """

    home: Path | None
    environment: Mapping[str, str]
    roster: Roster
    commands: Collection[str] = ()
    limit: float = LIMIT
    patience: float = PATIENCE
    clock: Callable[[], float] = time.time


async def examine(patient: Patient, show: Callable[[Finding], None]) -> list[Finding]:
    """Look at everything, in a worker thread; return what was found.

    Args:
        patient: what to look at.
        show: is given each finding as soon as it is known.
    """
    findings: list[Finding] = []
    rest = look(patient)
    while (finding := await asyncio.to_thread(next, rest, None)) is not None:
        show(finding)
        findings.append(finding)
    return findings


def look(patient: Patient) -> Iterator[Finding]:
    """Look at one thing after another; blocks, for seconds where plugins take them.

    A plugin from outside is tried in a child process first; only those that are good there are
    asked in this one.
    """
    yield from _python()
    yield from checks.packages(needed())
    folder = home_folder(patient.home, patient.environment)
    yield from _home(folder, patient.clock)
    settings = yield from _configuration(patient)
    models = Models.here(settings.models)
    tried = inventory(patient.roster, models, patient.commands, patient.limit)
    good = {one.name: patient.roster.usable[one.name] for one in tried if one.state == "good"}
    plugins = Plugins(Roster(good), models=lambda: models)
    app = App(settings, plugins, folder)
    yield from _links(app)
    yield _ledger(app)
    yield from checks.radios(_version("meshtastic"), ports())
    yield from _stations(app, patient.patience)
    yield from _qualities(plugins.codecs(), models)
    yield from checks.plugins(tried)
    for one in tried:
        if one.name in good and "focal_doctor" in one.hooks:
            alone = Plugins(Roster({one.name: good[one.name]}))
            yield from _asked(one.name, alone, patient.patience)


def needed() -> list[Package]:
    """Return every package that focal and its extras ask for, with what is installed of each."""
    asked = [Package.parse(requirement) for requirement in _requirements()]
    return [replace(one, version=_version(one.name)) for one in asked if one.name != NAME]


def _python() -> Iterator[Finding]:
    where = f"{platform.python_implementation()}, {platform.system()} {platform.machine()}"
    yield checks.python(sys.version_info[:3], where)
    version = _version(NAME)
    yield Finding("focal", "good", version or "a checkout that is not installed")


def _requirements() -> list[str]:
    with suppress(metadata.PackageNotFoundError):
        return metadata.requires(NAME) or []
    return _of_checkout(Path(__file__).parent.parent / "pyproject.toml")


def _of_checkout(file: Path) -> list[str]:
    """Return what the project's own file asks for, where focal runs without being installed."""
    import tomllib

    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    extras: Mapping[str, list[str]] = project["optional-dependencies"]
    wanted = [f'{one}; extra == "{extra}"' for extra, those in extras.items() for one in those]
    return [*project["dependencies"], *wanted]


def _version(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _configuration(patient: Patient) -> Generator[Finding, None, Settings]:
    """Look at the configuration; where it is wrong, go on as if there were none."""
    where = file(patient.home, patient.environment)
    folders = [Path(where.path).parent]
    try:
        settings = Settings.read(folders, patient.environment)
    except SettingsError as error:
        yield Finding("configuration", "bad", str(error), f"correct it in {where.path}")
        return Settings()
    detail = where.path if where.exists else "no file: defaults"
    yield Finding("configuration", "good", detail)
    return settings


def _links(app: App) -> Iterator[Finding]:
    """Look whether every configured link is written as its transport wants it; open none."""
    for name in app.settings.links:
        one = replace(app, settings=app.settings.with_flags(via=(name,)))
        try:
            one.links()
            yield Finding(f"link {name}", "good", str(hidden("url", one.url(name))))
        except FocalError as error:
            advice = "correct it: focal config show tells where it is from"
            yield Finding(f"link {name}", "bad", str(error), advice)


def _ledger(app: App) -> Finding:
    path = Home(app.folder).ledger_path
    try:
        return checks.ledger(str(path), spent(app) if os.path.exists(path) else None)
    except SpoolError as error:
        advice = "stop every focal, and move it away: an hour later nothing of it counts"
        return Finding("ledger", "bad", str(error), advice)


def _stations(app: App, patience: float) -> Iterator[Finding]:
    """Ask the nodes that configured ``lora`` links lead to what they are."""
    for name in app.settings.links:
        with suppress(FocalError):  # how it is written was told before
            if urlsplit(app.url(name)).scheme.startswith("lora"):
                yield checks.station(_station(app, name, patience))


def _station(app: App, name: str, patience: float) -> Station:
    (transport,) = replace(app, settings=app.settings.with_flags(via=(name,))).links().values()
    try:
        with _free(app.folder, transport.key) as free:
            if not free:
                return Station(name, elsewhere=True)
            return asyncio.run(_opened(name, transport, app.folder, patience))
    except FocalError as error:
        return Station(name, str(error))
    except TimeoutError:
        return Station(name, f"it did not answer within {patience:.0f} s")


@contextmanager
def _free(folder: Path, key: str) -> Generator[bool]:
    """Own a link for the time of the context, if nobody does; where there is no home, nobody."""
    if not folder.is_dir():
        yield True
        return
    with Home(folder).lock(key) as free:
        yield free


async def _opened(name: str, transport: Transport, folder: Path, patience: float) -> Station:
    with real_time() as runtime:
        context = LinkContext(0, None, Home(folder).links, runtime)
        async with asyncio.timeout(patience), transport.open(context) as link:
            if not isinstance(link, LoraLink):
                return Station(name, "a plugin stands before it, and tells nothing of its node")
            info, channel = link.radio.info, link.channel
            return Station(
                name,
                node=address_of(info.number),
                firmware=info.firmware,
                region=info.air.region.name,
                preset=info.air.preset,
                channel=f"{channel.index} {channel.name}".strip(),
                duty=info.air.region.duty,
                battery=info.battery,
                used=info.used,
            )


def _home(folder: Path, clock: Callable[[], float]) -> Iterator[Finding]:
    yield from checks.home(_folder(folder))
    path, found = folder / "spool.db", None
    try:
        found = check_up(path) if os.path.exists(path) else None
        yield checks.spool(str(path), found)
    except SpoolError as error:
        yield Finding("spool", "bad", str(error))
    yield from checks.clock(Clock(clock(), synchronised()), found)


def _folder(path: Path) -> Folder:
    there = next(place for place in (path, *path.parents) if os.path.exists(place))
    found = Folder(
        str(path),
        exists=there == path,
        folder=there.is_dir(),
        writable=os.access(there, os.W_OK | os.X_OK),
        owner=_owner(there) if there == path else None,
        free=shutil.disk_usage(there).free,
        mount=_mount(there),
    )
    if found.exists and found.folder and found.writable:
        return replace(found, locks=_locks(path), log=keeps_log(path))
    return found


def _owner(folder: Path) -> str | None:
    """Return whose a folder is, None if it is ours or belongs to nobody that can be told."""
    if sys.platform == "win32" or folder.stat().st_uid == os.geteuid():
        return None
    try:
        return folder.owner()
    except KeyError:
        return f"user {folder.stat().st_uid}"


def _mount(folder: Path) -> Mount | None:
    if not MOUNTS.exists():
        return None
    return mount_of(folder.resolve(), MOUNTS.read_text(encoding="utf-8", errors="replace"))


def _locks(folder: Path) -> bool:
    """Try whether a lock keeps a second one out."""
    try:
        with TemporaryDirectory(dir=folder, prefix=".try-") as there:
            home = Home(Path(there))
            with home.lock("doctor") as one, home.lock("doctor") as other:
                return one and not other
    except (OSError, SpoolError):
        return False


def _qualities(codecs: Sequence[CodecSpec], models: Models) -> Iterator[Finding]:
    """Try every quality; what FocalCodec lacks is said once for all of its own."""
    own = {id for quality in QUALITIES for id in (quality.wire_id, quality.local_id)}
    tried = {spec.wire_id: _tried(spec) for spec in codecs}
    its = [quality for id, quality in tried.items() if id in own]
    silent = [quality for quality in its if quality.can is None and quality.failure is None]
    yield from checks.qualities([one for one in tried.values() if one not in silent])
    if its:
        sizes = _sizes(models.store)
        yield checks.focalcodec(FocalCodec(_runtime(), str(models.folder), sizes, its))


def _sizes(store: Store) -> list[int]:
    paths = [store.path(name, shelf) for shelf in SHELVES for name in SIZES]
    return [path.stat().st_size for path in paths if path.is_file()]


def _runtime() -> str | None:
    """Return the version of onnxruntime, whichever of its builds is installed."""
    if find_spec("onnxruntime") is None:
        return None
    builds = ("onnxruntime", "onnxruntime-gpu")
    return next(filter(None, map(_version, builds)), "of unknown version")


def _tried(spec: CodecSpec) -> Quality:
    """Encode and decode a little silence, where the codec's plugin sees nothing against it."""
    found = Quality(spec.name, spec.why_not(), why_silent=spec.why_silent())
    if found.can is None:
        return found
    try:
        _try(spec, sends=found.why_not is None, receives=found.why_silent is None)
    except FocalError as error:
        return replace(found, failure=str(error))
    except Exception as error:  # a plugin's bug, told as what it is: something here does not work
        return replace(found, failure=f"{type(error).__name__}: {error}", bug=True)
    return found


def _try(spec: CodecSpec, *, sends: bool, receives: bool) -> None:
    import numpy as np

    from .core.audio import Clip

    with spec.load() as codec:
        silence = np.zeros(round(TRIED * codec.rate), np.float32)
        payload = codec.encode(Clip(silence, codec.rate)) if sends else _made_elsewhere(spec)
        if receives and payload:
            codec.decode(payload)


def _made_elsewhere(spec: CodecSpec) -> bytes:
    """Return a payload that can be made without the encoder; empty where none is known."""
    if spec.wire_id not in TINYVOICE:
        return b""
    return read_packet(bytes((spec.wire_id,)) + bytes(8)).payload


def _asked(name: str, plugin: Plugins, patience: float) -> list[Finding]:
    """Return what a plugin finds; one that takes too long is left behind."""
    answer: Future[list[Finding]] = Future()

    def ask() -> None:
        try:
            answer.set_result(plugin.doctor())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(patience)
    except TimeoutError:
        detail = f"its focal_doctor takes longer than {patience:.0f} s"
        return [Finding(f"plugin {name}", "bad", detail, "update or remove this plugin")]
