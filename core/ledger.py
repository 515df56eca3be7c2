"""What the radios of a home have sent, kept for an hour and shared by its processes.

The law of this module: a transmission is written down before its frame is given to the radio, and
is moved later, never earlier. What is doubtful (a clock that somebody set, a reboot) counts as sent
as late as it can have been: silence rather than excess.

A burst asks for all its airtime at once (``promise``), spends it frame by frame (``spend``) and
gives back what it did not need (``release``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pkgutil import get_data

from .clocks import Moment
from .database import Database, Durability, Schema
from .hour import HOUR, Hour, Sent

VERSION = 1
_FOCA = 0x666F6361  # "foca", the file's application id

HELD = 120.0
"""Seconds after which a promise is void that nobody spends of: its process has ended."""

DOUBT = 60.0
"""Seconds that a trusted wall clock may have been wrong by, before a reboot or after it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Airtime that is kept for a burst."""

    id: int
    radio: str


@dataclass(frozen=True, slots=True)
class Later:
    """There is no airtime now.

    Args:
        at: seconds since boot when there may be; None: never, it is longer than an hour's limit.
    """

    at: float | None


@cache
def schema() -> Schema:
    """Return what a ledger of our version holds."""
    script = get_data("focal.core", "ledger.sql")
    assert script is not None  # it is beside this file
    return Schema("focal ledger", _FOCA, VERSION, script.decode())


class Ledger:
    """An open ledger. It blocks, and is used by one thread at a time, not always the same one.

    Args:
        database: the file.
        clocks: tells what the clocks say now.
    """

    def __init__(self, database: Database, clocks: Callable[[], Moment]) -> None:
        self._database = database
        self._clocks = clocks

    @classmethod
    def open(
        cls, path: Path, clocks: Callable[[], Moment], *, durability: Durability = "power"
    ) -> Ledger:
        """Open a ledger; make it if there is none. Raises SpoolError."""
        return cls(Database.open(path, schema(), durability=durability), clocks)

    @classmethod
    def look(cls, path: Path, clocks: Callable[[], Moment]) -> Ledger:
        """Open a ledger that is there to read it only. Raises SpoolError."""
        return cls(Database.look(path, schema()), clocks)

    @classmethod
    def in_memory(cls, clocks: Callable[[], Moment]) -> Ledger:
        """Return a ledger that is gone when it is closed."""
        return cls.open(Path(":memory:"), clocks, durability="process")

    def close(self) -> None:
        """Close the file. Again: nothing happens."""
        self._database.close()

    def now(self) -> float:
        """Return the seconds since boot, in which this ledger's answers are."""
        return self._clocks().awake

    def moment(self) -> Moment:
        """Return what the clocks say now."""
        return self._clocks()

    def radios(self) -> list[str]:
        """Return the radios that have sent in the last hour or are about to, in order."""
        now = self._clocks()
        rows = self._database.rows("SELECT radio FROM sent UNION SELECT radio FROM promised")
        hours = {radio: self._hour(radio, now) for (radio,) in rows}
        return sorted(
            radio for radio, hour in hours.items() if hour.used(now.awake) + hour.promised
        )

    def allowed(self, radio: str) -> float | None:
        """Return the seconds in an hour that it was last asked with; None: it never was."""
        rows = self._database.rows("SELECT seconds FROM allowed WHERE radio = ?", radio)
        return float(rows[0][0]) if rows else None

    def hour(self, radio: str) -> Hour:
        """Return what a radio has sent, on the clock of ``now``. Raises SpoolError."""
        return self._hour(radio, self._clocks())

    def promise(self, radio: str, seconds: float, limit: float) -> Promise | Later:
        """Keep airtime for a burst, if all of it can go out now.

        Args:
            radio: its key.
            seconds: of all its frames together.
            limit: seconds that this radio may send in an hour.

        Raises:
            SpoolError: the ledger cannot be written: then nothing may be sent.
        """
        now = self._clocks()
        with self._database.transaction():
            self._forget(now)
            self._database.run(
                "INSERT INTO allowed VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET seconds = excluded.seconds",
                radio, limit,
            )  # fmt: skip
            at = self._hour(radio, now).earliest(seconds, now.awake, limit)
            if at is None or at > now.awake:
                return Later(at)
            id = self._database.insert(
                "INSERT INTO promised (radio, boot, until, seconds) VALUES (?, ?, ?, ?)",
                radio, now.boot, now.awake + HELD, seconds,
            )  # fmt: skip
            return Promise(id, radio)

    def spend(self, promise: Promise, seconds: float, within: float | None = None) -> int | None:
        """Write a frame down that is about to be given to the radio; return its entry.

        Args:
            promise: the burst's.
            seconds: that the frame holds the channel.
            within: seconds from now after which it is out at the latest, what waits in the radio
                before it included; None: it goes out at once.

        Returns:
            None: the promise is void, or smaller than that. The frame must not go out.

        Raises:
            SpoolError: the ledger cannot be written: the frame must not go out.
        """
        now = self._clocks()
        ends = seconds if within is None else max(seconds, within)
        with self._database.transaction():
            if not self._database.run(
                "UPDATE promised SET seconds = seconds - ?, until = ? WHERE id = ? AND boot = ?"
                " AND until > ? AND seconds > ? - 1e-6",
                seconds, now.awake + HELD, promise.id, now.boot, now.awake, seconds,
            ):  # fmt: skip
                return None
            return self._database.insert(
                "INSERT INTO sent (radio, boot, ended, unix, trusted, seconds)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                promise.radio, now.boot, now.awake + ends, now.unix + ends, now.trusted, seconds,
            )  # fmt: skip

    def moved(self, entry: int, within: float = 0.0) -> None:
        """A frame goes out later than was written down: ``within`` seconds from now.

        Raises:
            SpoolError: the ledger cannot be written.
        """
        now = self._clocks()
        with self._database.transaction():
            self._database.run(
                "UPDATE sent SET ended = ?, unix = ?, trusted = ?"
                " WHERE id = ? AND boot = ? AND ended < ?",
                now.awake + within, now.unix + within, now.trusted,
                entry, now.boot, now.awake + within,
            )  # fmt: skip

    def release(self, promise: Promise) -> None:
        """Give back what is left of a promise. Again: nothing happens. Raises SpoolError."""
        with self._database.transaction():
            self._database.run("DELETE FROM promised WHERE id = ?", promise.id)

    def _hour(self, radio: str, now: Moment) -> Hour:
        sent = self._database.rows(
            "SELECT boot, ended, unix, trusted, seconds FROM sent WHERE radio = ?", radio
        )
        ((promised,),) = self._database.rows(
            "SELECT total(seconds) FROM promised WHERE radio = ? AND boot = ? AND until > ?",
            radio, now.boot, now.awake,
        )  # fmt: skip
        return Hour((_on_this_scale(*row, now=now) for row in sent), max(0.0, promised))

    def _forget(self, now: Moment) -> None:
        """Delete what has left the hour of every radio, and promises of before this boot."""
        self._database.run(
            "DELETE FROM sent WHERE boot = ? AND ended <= ?", now.boot, now.awake - HOUR
        )
        before = self._database.rows(
            "SELECT id, boot, ended, unix, trusted, seconds FROM sent WHERE boot <> ?", now.boot
        )
        for id, *row in before:
            if _on_this_scale(*row, now=now).end <= now.awake - HOUR:
                self._database.run("DELETE FROM sent WHERE id = ?", id)
        self._database.run(
            "DELETE FROM promised WHERE boot <> ? OR until <= ?", now.boot, now.awake
        )
        self._database.run(
            "DELETE FROM allowed WHERE radio NOT IN"
            " (SELECT radio FROM sent UNION SELECT radio FROM promised)"
        )


def _on_this_scale(
    boot: str, ended: float, unix: float, trusted: int, seconds: float, *, now: Moment
) -> Sent:
    """Return an entry in seconds since this boot; before it, as late as it can have been."""
    if boot == now.boot:
        return Sent(ended, seconds)
    if not (trusted and now.trusted):
        return Sent(0.0, seconds)
    return Sent(min(0.0, now.awake - (now.unix - unix) + DOUBT), seconds)
