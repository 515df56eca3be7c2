"""``focal plugins``: what is there, and whether it works.

The law of this module: a plugin from outside is imported in a child process and never here. What
two of them claim together is decided as it is when they are used (plugins/claims.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from .core.errors import SettingsError
from .plugins.builtins import OURS, Known
from .plugins.claims import Claim, Rank, settle
from .plugins.examine import examine
from .plugins.models import Models
from .plugins.report import Added, Report, State
from .plugins.roster import Roster
from .plugins.trial import try_all, try_one
from .results import Plugin
from .settings import nearest


def inventory(
    roster: Roster, models: Models, commands: Iterable[str], limit: float
) -> list[Plugin]:
    """Try every plugin and tell of each, by name; those that are left out are told of untried.

    Args:
        roster: who is there.
        models: what codecs are asked with.
        commands: the names of focal's own commands, which no plugin can have.
        limit: seconds that each child process may take.
    """
    reports = _settled(_tried(roster.usable.values(), models, limit), roster, commands)
    rows = [_row(roster.usable[report.name], report) for report in reports]
    return sorted([*rows, *_left_out(roster)], key=_order)


def show(
    roster: Roster, models: Models, name: str, commands: Iterable[str], limit: float
) -> list[Plugin]:
    """Try the plugin called ``name`` (or those) and tell all that is known of it.

    Those of the same kind are tried too: they may claim what it adds.

    Args:
        roster: who is there.
        models: what codecs are asked with.
        name: its name, its name without the kind, or its distribution's.
        commands: the names of focal's own commands.
        limit: seconds that each child process may take.

    Raises:
        SettingsError: there is none; names the nearest.
    """
    left_out = [row for row in _left_out(roster) if name in _names(row)]
    wanted = [one for one in roster.usable.values() if name in _names(one)]
    if not wanted and not left_out:
        known = [*roster.usable, *(one.known.name for one in roster.left_out)]
        raise SettingsError(f"there is no plugin {name!r}{nearest(name, known)}")
    kinds = {one.kind for one in wanted}
    rivals = [one for one in roster.usable.values() if one.kind in kinds and one not in wanted]
    tried = [try_one(one, models.folder, limit) for one in wanted]
    tried += _tried(rivals, models, limit)
    reports = _settled(tried, roster, commands)[: len(wanted)]
    return [_row(roster.usable[report.name], report) for report in reports] + left_out


def _order(row: Plugin) -> tuple[bool, str, str]:
    return row.distribution != OURS, row.name, row.distribution or row.file or ""


def _names(one: Known | Plugin) -> tuple[str, str, str | None]:
    return one.name, one.name.partition(".")[2], one.distribution


def _tried(plugins: Iterable[Known], models: Models, limit: float) -> list[Report]:
    """Try focal's own here, and the others in children."""
    there = list(plugins)
    outside = [one for one in there if not one.ours]
    own = [examine(one, models) for one in there if one.ours]
    return own + try_all(outside, models.folder, limit)


def _settled(reports: Sequence[Report], roster: Roster, commands: Iterable[str]) -> list[Report]:
    """Add to each report what the plugin may not add, because it is somebody else's."""
    claims = [
        Claim(report.name, _rank(roster, report, added), added.marks, added.name)
        for report in reports
        for added in report.adds
    ]
    ours = [Claim("focal", Rank.OURS, (f"the command {name!r}",), name) for name in commands]
    reasons: dict[str, str] = {}
    for claim, reason in settle([*ours, *claims]).lost:
        reasons.setdefault(claim.plugin, reason)
    return [
        replace(report, state="bad", reason=reasons[report.name])
        if report.name in reasons and report.state == "good"
        else report
        for report in reports
    ]


def _rank(roster: Roster, report: Report, added: Added) -> Rank:
    if roster.usable[report.name].ours:
        return Rank.OURS
    return Rank.NAMED if report.name == f"{added.kind}.{added.name}" else Rank.OTHER


def _left_out(roster: Roster) -> Iterator[Plugin]:
    for one in roster.left_out:
        state: State = "disabled" if one.wanted else "bad"
        file = str(one.known.file) if one.known.file else None
        yield _row(one.known, Report(one.known.name, state, one.reason, file=file))


def _row(one: Known, report: Report) -> Plugin:
    return Plugin(
        name=one.name,
        kind=one.kind,
        distribution=one.distribution,
        version=_version() if one.ours else one.version,
        file=report.file,
        state=report.state,
        reason=report.reason,
        hooks=report.hooks,
        adds=report.adds,
        import_ms=report.import_ms,
    )


def _version() -> str:
    from . import __version__

    return __version__
