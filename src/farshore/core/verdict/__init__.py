"""Are we safe if the source goes down now? SAFE, AT RISK or NOT SAFE, each with reasons.

Judged from one immutable snapshot. What is not known is never SAFE. "Replicated" (the
watermark says so) and "verified" (both sides were read) are two things, and both are wanted.

    NOT SAFE   a switch now would lose more than the objective allows, or nobody can tell
    AT RISK    nothing is lost as far as we know, but something that keeps it so does not work
    SAFE       neither

One module for each concern: `reach`, `exposure`, `proved`, `owed`, `copying`, `source`,
`switched`; `snapshot` has the values that go in and come out.
"""

from __future__ import annotations

from farshore.core.verdict.copying import HEARTBEAT_AGE_MAX_S, REPORT_AGE_MAX_S, daemon, feeds
from farshore.core.verdict.exposure import NEAR_SHARE, exposure
from farshore.core.verdict.owed import owed
from farshore.core.verdict.proved import rehearsed, verified
from farshore.core.verdict.reach import CLOCKS_APART_MAX_S, clocks, reach
from farshore.core.verdict.snapshot import (
    Check,
    Level,
    Objectives,
    Reason,
    Snapshot,
    Verdict,
    Word,
)
from farshore.core.verdict.source import emptied, scan
from farshore.core.verdict.switched import conflicts, fences, left_open
from farshore.core.words import at_text, duration_text

__all__ = [
    "CLOCKS_APART_MAX_S",
    "HEARTBEAT_AGE_MAX_S",
    "NEAR_SHARE",
    "REPORT_AGE_MAX_S",
    "Level",
    "Objectives",
    "Reason",
    "Snapshot",
    "Verdict",
    "Word",
    "at_text",
    "duration_text",
    "judge",
]


CHECKS: tuple[Check, ...] = (
    reach,
    exposure,
    conflicts,
    left_open,
    verified,
    owed,
    daemon,
    feeds,
    scan,
    emptied,
    fences,
    rehearsed,
    clocks,
)
"""Every one looks at the whole snapshot; the order is that of the screen."""


def judge(snapshot: Snapshot, objectives: Objectives) -> Verdict:
    """The verdict: as bad as its worst reason."""
    found = [r for check in CHECKS for r in check(snapshot, objectives)]
    found.sort(key=lambda reason: reason.level == "AT RISK")
    return Verdict(found[0].level if found else "SAFE", tuple(found))
