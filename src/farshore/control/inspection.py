"""The audit logs of both sites read whole, and held against the records and each other.

Nothing is written. One site suffices: of the other one it is said that it was not asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from farshore.control import history
from farshore.control.audit import Stored
from farshore.control.both import BothSides
from farshore.control.runs import Runs
from farshore.control.view import Shown, View, place_text, said
from farshore.core.chain import BEGINNING, Entry, Finding, Place, verify
from farshore.core.intents import Answer, answered, run_of, without_result
from farshore.core.record import ControlRecord
from farshore.errors import FarshoreError, Unreachable

RUNS_MAX = 50
"""The newest runs that are asked for how they ended."""

LOOKS_MAX = 2
"""An entry may be on its way from one site to the other: what seems wrong is read again."""


@dataclass(frozen=True, slots=True)
class SiteLog:
    """One site's log. `trouble`: why it could not be read; then nothing else is known.

    `lost`: records that lost there. `unreadable`: what of the history cannot be read.
    `finding`: the first place where the log is not what was written.
    """

    site: str
    entries: tuple[Stored, ...] = ()
    lost: tuple[ControlRecord, ...] = ()
    unreadable: tuple[str, ...] = ()
    trouble: str = ""
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """Both logs, and what is wrong with them. `logs` in the order of the sites' names. `over`:
    runs that left intents without a result and are over, with how they ended."""

    view: View
    logs: tuple[SiteLog, ...]
    over: Mapping[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, a sentence each; none: all that could be read is as it was written."""
        found = [finding_text(log.site, log.finding) for log in self.logs if log.finding]
        found += [text for log in self.logs for text in log.unreadable]
        return (*found, *self.view.conflicts)

    def entries(self) -> list[tuple[Stored, tuple[str, ...]]]:
        """Every entry once, in order, with the sites that have it."""
        merged: dict[tuple[Place, str], tuple[Stored, tuple[str, ...]]] = {}
        for log in self.logs:
            for entry in log.entries:
                key = (entry.place, entry.digest if isinstance(entry, Entry) else log.site)
                held = merged[key][1] if key in merged else ()
                merged[key] = (entry, (*held, log.site))
        return [merged[key] for key in sorted(merged)]

    def open_intents(self) -> list[Entry]:
        """Intents that nothing has answered: somebody was interrupted, or is at work."""
        whole, settled = self._whole(), self.answered()
        return [entry for entry in without_result(whole) if entry.place not in settled]

    def answered(self) -> dict[Place, Answer]:
        """Intents without a result of their own that something later has answered."""
        return answered(self._whole(), self.over)

    def _whole(self) -> list[Entry]:
        return [entry for entry, _ in self.entries() if isinstance(entry, Entry)]

    def lost(self) -> list[tuple[str, ControlRecord]]:
        """(site, record) of every record that lost."""
        return [(log.site, record) for log in self.logs for record in log.lost]


async def inspect(both: BothSides) -> Inspection:
    """Read everything. `Unreachable` when no site answers."""
    for _ in range(LOOKS_MAX):
        found = await _inspect_once(both)
        if not found.problems:
            break
    return found


async def with_runs(both: BothSides, found: Inspection) -> Inspection:
    """The same, with the ends of those runs that left something open: their own documents say so.
    A run that cannot be read leaves its intents open."""
    runs, over = Runs(both), dict[str, str]()
    names = {run_of(entry) for entry in found.open_intents()} - {""}
    for name in sorted(names)[-RUNS_MAX:]:
        with contextlib.suppress(FarshoreError):
            run = await runs.load(name)
            if not run.is_open:
                over[name] = run.state
    return replace(found, over=over)


async def _inspect_once(both: BothSides) -> Inspection:
    view = await both.look()
    if all(shown.state == "unreachable" for shown in view.shown):
        why = "; ".join(f"{shown.site}: {shown.trouble}" for shown in view.shown)
        raise Unreachable(f"No audit log can be read: {why}")
    logs = await asyncio.gather(*(_read(both, shown, view) for shown in view.shown))
    return Inspection(view, tuple(_compared(list(logs))))


async def _read(both: BothSides, shown: Shown, view: View) -> SiteLog:
    if shown.state == "unreachable":
        return SiteLog(shown.site, trouble=shown.trouble)
    ledger = both.ledgers[shown.site]
    try:
        entries = await both.log(shown.site).everything(view.record.audit_head)
        lost, unreadable = await history.kept(ledger)
    except FarshoreError as error:
        return SiteLog(shown.site, trouble=error.message)
    # A site that is behind lacks what came later: only its own record vouches for its log.
    own = shown.record.audit_head if shown.record else BEGINNING
    finding = verify(entries, own, *(record.audit_head for record in lost))
    return SiteLog(shown.site, tuple(entries), tuple(lost), tuple(unreadable), finding=finding)


def _compared(logs: list[SiteLog]) -> Iterator[SiteLog]:
    """The logs, with what one has and the other lacks or has otherwise."""
    held = {log.site: {entry.place: entry for entry in log.entries} for log in logs}
    for log, other in zip(logs, reversed(logs), strict=True):
        if log.trouble or other.trouble or log.finding:
            yield log
            continue
        finding = _apart(log.site, held[log.site], other, held[other.site])
        yield SiteLog(log.site, log.entries, log.lost, log.unreadable, finding=finding)


def _apart(
    site: str, ours: Mapping[Place, Stored], other: SiteLog, theirs: Mapping[Place, Stored]
) -> Finding | None:
    for place in sorted(theirs):
        if place not in ours:
            return Finding("missing", *place, f"{other.site} has it and {site} has not")
        if ours[place] != theirs[place] and not other.finding:
            return Finding("changed", *place, f"{other.site} has it with another content")
    return None


def finding_text(site: str, finding: Finding) -> str:
    """For people: "west: audit entry 12 is missing (number 13 follows it)."."""
    was = {"changed": "was changed", "missing": "is missing", "reordered": "was moved"}
    by = f" (numbered by {finding.side})" if finding.side else ""
    return f"{site}: audit entry {finding.sequence}{by} {was[finding.kind]}: {finding.why}."


def lost_text(site: str, record: ControlRecord) -> str:
    """For people: a record that lost."""
    return (
        f"{place_text(record)} at {site}, by {said(record)}: {record.phase}, primary "
        f"{record.primary}; it lost against a later epoch and is kept in the history."
    )
