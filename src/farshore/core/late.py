"""Late writes: requests whose answer was lost, and that arrive after all. Pure.

Who sends again after a lost answer has looked first, and nothing was there. The first
request may still be under way: in a socket, in a proxy, in a server that stood still. S3's
conditions stop most of them; not `If-None-Match: *` above a delete marker, nor `If-Match`
where an older content has come back, nor a marker above a marker. What arrives stands above
what is newer, and shows readers of the target something that is past. So the key is looked at
again, and again, until nothing can arrive any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from farshore.core.align import Alignment
from farshore.core.model import History, Version
from farshore.core.stamp import Stamp

LATE_MAX_S = 1_000.0
"""So long after it was sent a request may arrive. A server refuses a signature that is older
than 15 minutes (S3: RequestTimeTooSkewed); the rest is for clocks that differ, and for the time
that the server itself takes."""

LOOK_FIRST_S = 2.0
"""The key is looked at again so soon, and then each time when twice the time has passed."""


class Doubt(NamedTuple):
    """A write of a source entry to the target that nobody answered.

    `above`: the target's version id of what it was to stand on, "" for nothing.
    """

    version_id: str
    is_marker: bool
    above: str


def next_look_in(ages: Iterable[float], late_max_s: float = LATE_MAX_S) -> float:
    """In how many seconds the key is to be looked at again, given the age of at least one doubt."""
    return min(_next_in(age, late_max_s) for age in ages)


def _next_in(age: float, late_max_s: float) -> float:
    doubled = 2 * max(age, LOOK_FIRST_S / 2)
    return max(min(doubled, late_max_s) - age, 0.0)


def stray_markers(alignment: Alignment, doubts: Sequence[Doubt]) -> list[Version]:
    """Delete markers that the source does not have, the newest first: as many at most as there
    are doubts about markers. Nothing in a marker says whose it is."""
    ours = sum(doubt.is_marker for doubt in doubts)
    found = [entry for entry in reversed(alignment.foreign) if entry.is_marker]
    return found[:ours]


def doubtful_extras(alignment: Alignment, doubts: Sequence[Doubt]) -> list[Version]:
    """Replicas whose original is gone from the source, and that may have come late: their
    stamps tell."""
    return list(alignment.extra) if any(not doubt.is_marker for doubt in doubts) else []


def is_stray(entry: Version, mark: Stamp, target: History, doubts: Iterable[Doubt]) -> bool:
    """Whether a replica came late: it stands on something else than it was written for."""
    return any(
        not doubt.is_marker
        and doubt.version_id == mark.version_id
        and _stands_elsewhere(entry, target, doubt.above)
        for doubt in doubts
    )


def _stands_elsewhere(entry: Version, target: History, above: str) -> bool:
    """Where nobody knows what it was written for (the server told no id), no."""
    ids = [one.version_id for one in target]
    beneath = dict(pairwise([*ids, ""]))
    known = not above or above in ids
    return known and beneath[entry.version_id] != above
