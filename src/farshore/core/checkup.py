"""What a check-up finds, and what follows from it. Pure.

    ok               it was tried, or read, and it is as a failover needs it
    not ok           it is not, and here is what to do
    could not tell   nobody can say: it could not be asked, or there was nothing to look at

"could not tell" is never taken for "ok", and nothing at all is never taken for all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

State = Literal["ok", "not ok", "could not tell"]

OK, NOT_OK, UNKNOWN = 0, 4, 3
"""How the command ends."""


class Finding(NamedTuple):
    """One check at one site ("" for the pair). `evidence`: what was seen; `remedy`: what to do,
    "" where there is nothing to do.

    `counts`: False for what no server can be asked: it is said, and changes no outcome.
    """

    name: str
    state: State
    evidence: str
    remedy: str = ""
    site: str = ""
    counts: bool = True


class Wrong(NamedTuple):
    """A finding that was not ok, as it is kept. `site` "" is the pair."""

    name: str
    site: str
    evidence: str
    remedy: str


class Checkup(NamedTuple):
    """The last check-up as it is kept in the control buckets. `at`: Unix seconds."""

    at: float
    wrong: tuple[Wrong, ...] = ()
    unknown: tuple[str, ...] = ()
    ok: int = 0


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when all is ok, 4 when something is not, 3 when something could not be told."""
    states = {finding.state for finding in findings if finding.counts}
    if "not ok" in states:
        return NOT_OK
    return OK if states == {"ok"} else UNKNOWN


def checkup_of(findings: Sequence[Finding], at: float) -> Checkup:
    """What is kept of a check-up."""
    counted = [finding for finding in findings if finding.counts]
    return Checkup(
        at,
        tuple(Wrong(f.name, f.site, f.evidence, f.remedy) for f in counted if f.state == "not ok"),
        tuple(_placed(f) for f in counted if f.state == "could not tell"),
        sum(f.state == "ok" for f in counted),
    )


def _placed(finding: Finding) -> str:
    return f"{finding.name} at {finding.site}" if finding.site else finding.name


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; among equals as they came."""
    rank: dict[State, int] = {"not ok": 0, "could not tell": 1, "ok": 2}
    return sorted(findings, key=lambda finding: rank[finding.state])


class Sighting(NamedTuple):
    """One thing that was looked at: its state, and what was seen (a clause, no full stop)."""

    state: State
    seen: str = ""


SEEN_MAX = 3
"""How many things that are wrong a line names."""


def summed(
    name: str,
    sightings: Sequence[Sighting],
    *,
    well: str,
    remedy: str,
    nothing: str = "there was nothing to look at",
    site: str = "",
) -> Finding:
    """Many sightings as one line: as bad as the worst. None at all is "could not tell"."""
    if not sightings:
        return Finding(name, "could not tell", nothing, "", site)
    for state in ("not ok", "could not tell"):
        seen = [sighting.seen for sighting in sightings if sighting.state == state]
        if seen:
            more = f" and {len(seen) - SEEN_MAX:,} more" if len(seen) > SEEN_MAX else ""
            told: State = "not ok" if state == "not ok" else "could not tell"
            return Finding(name, told, "; ".join(seen[:SEEN_MAX]) + more, remedy, site)
    return Finding(name, "ok", well, "", site)
