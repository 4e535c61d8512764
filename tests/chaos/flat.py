"""Whether a figure stays flat: by the slope of its second half. Pure.

The slope is the median of those between any two samples (Theil and Sen): one odd minute does
not bend it. Flat is what would grow, over the second half, by no more than is allowed: a share
of its median there, or so much in its own unit, whichever is more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Any, NamedTuple

SAMPLES_MIN = 4
"""Fewer in the second half say nothing: that is not flat."""


class Allowed(NamedTuple):
    """What a figure may grow by: a share of its median, or `by` in its own unit."""

    unit: str
    share: float
    by: float


ALLOWED: Mapping[str, Allowed] = {
    "memory": Allowed("MiB", 0.05, 4.0),
    "open files": Allowed("", 0.05, 10.0),
    "state folder": Allowed("KiB", 0.05, 256.0),
    "backlog": Allowed("keys", 0.0, 10.0),
    "lag p50": Allowed("ms", 0.5, 20.0),
    "lag p99": Allowed("ms", 0.5, 200.0),
}
"""A lag is what the machine was busy with, too: it is allowed more. A sweep has some 35 files
more open, for half a minute: of two halves, one may have more of those (5.5 files, measured)."""


class Sample(NamedTuple):
    """All figures at one moment: `at` in seconds since the run began."""

    at: float
    figures: Mapping[str, float]


class Finding(NamedTuple):
    """One figure: at its start (after the warm-up) and end, and what it would grow by over the
    second half, against what it may."""

    name: str
    unit: str
    start: float
    end: float
    growth: float
    allowed: float
    samples: int

    @property
    def is_flat(self) -> bool:
        return self.samples >= SAMPLES_MIN and self.growth <= self.allowed

    def to_json(self) -> dict[str, Any]:
        return {**self._asdict(), "flat": self.is_flat}


def findings(samples: Sequence[Sample]) -> list[Finding]:
    """Of all figures; samples of the warm-up are none of these."""
    return [_finding(name, allowed, samples) for name, allowed in ALLOWED.items()]


def _finding(name: str, allowed: Allowed, samples: Sequence[Sample]) -> Finding:
    points = [(one.at, one.figures[name]) for one in samples if name in one.figures]
    half = points[len(points) // 2 :]
    if len(half) < 2:
        return Finding(name, allowed.unit, 0.0, 0.0, 0.0, 0.0, len(half))
    growth = slope(half) * (half[-1][0] - half[0][0])
    may = max(allowed.share * median(value for _, value in half), allowed.by)
    ends = points[0][1], points[-1][1]
    return Finding(name, allowed.unit, *ends, round(growth, 3), round(may, 3), len(half))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between any two points of different times."""
    return median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2))


def table(samples: Sequence[Sample]) -> list[str]:
    """For people: a line for each sample."""
    names = list(ALLOWED)
    units = [f"{name}, {ALLOWED[name].unit}".rstrip(", ") for name in names]
    told = ["   minute  " + "  ".join(f"{unit:>17}" for unit in units)]
    for one in samples:
        row = [f"{one.figures[name]:17.1f}" if name in one.figures else " " * 17 for name in names]
        told.append(f"{one.at / 60:9.1f}  " + "  ".join(row))
    return told


def verdicts(found: Sequence[Finding]) -> list[str]:
    """For people: a sentence for each figure."""
    return [_verdict(one) for one in found]


def _verdict(one: Finding) -> str:
    unit = f" {one.unit}".rstrip()
    if one.samples < SAMPLES_MIN:
        return f"NOT FLAT {one.name}: {one.samples} samples in the second half say nothing"
    return (
        f"{'flat    ' if one.is_flat else 'NOT FLAT'} {one.name}: {one.start:.1f}{unit} at the "
        f"start, {one.end:.1f}{unit} at the end; by the slope of the second half "
        f"{one.growth:+.1f}{unit}, allowed {one.allowed:.1f}{unit}"
    )
