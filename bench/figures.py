"""The named figures, their goals, and the samples that were taken."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

Samples = dict[str, list[float]]
"""By name: one value for each round."""


class Goal(NamedTuple):
    """`name` is the key in build/bench.json; the median is held against `limit`."""

    name: str
    what: str
    bound: Literal["at most", "at least", "under"]
    limit: float

    def is_met(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        if self.bound == "at least":
            return value >= self.limit
        return value < self.limit if self.bound == "under" else value <= self.limit


GOALS = (
    Goal("small_cpu_vs_rclone", "client CPU per 4 KiB object, farshore / rclone", "at most", 0.333),
    Goal("small_rate_vs_rclone", "4 KiB objects/s, farshore / rclone", "at least", 2.0),
    Goal("big_rate_vs_rclone", "MB/s of 8 × 128 MiB, farshore / rclone", "at least", 2.0),
    Goal("big_peak_rss_mib", "farshore's peak RSS at 8 × 128 MiB, MiB", "under", 100.0),
    Goal("align_versions_per_s", "versions listed and aligned per CPU second", "at least", 100_000),
    Goal("align_rss_growth", "peak RSS at 10⁶ versions / at 10⁴", "at most", 1.2),
    Goal("rtt80_objects_per_s", "4 KiB objects/s with 80 ms added to the link", "at least", 400),
    Goal("lag_p50_ms", "median lag at 50 writes/s, ms", "at most", 100),
    Goal("lag_p99_ms", "99th percentile of that lag, ms", "at most", 500),
    Goal("lag_p50_vs_filer_sync", "median lag, farshore / weed filer.sync", "at most", 1.0),
    Goal(
        "burst_drain_vs_backfill", "versions/s after 5,000 writes, run / backfill", "at least", 0.8
    ),
    Goal("flip_failed_requests", "requests of boto3 clients that failed in 20 flips", "at most", 0),
    Goal("flip_late_writes", "writes that the old site took after its fence", "at most", 0),
    Goal("flip_frozen_s_max", "longest time that writes were frozen in a flip, s", "under", 2.0),
    Goal("flip_ms_p50", "median of the flip alone, ms", "under", 50),
    Goal("sdk_follow_s_max", "last write of a live SDK client to the old site, s", "under", 1.0),
    Goal("switchover_frozen_s_max", "longest time of frozen writes, 10 switchovers", "under", 3.0),
    Goal("switchover_failed_requests", "requests of boto3 clients that failed then", "at most", 0),
    Goal("failover_act_verify_s_max", "from approval to clients that work, s", "under", 5.0),
    Goal("resume_s_max", "`farshore resume` of a killed run, to its end, s", "under", 2.0),
)


class Summary(NamedTuple):
    """Smallest, middle and largest of the samples."""

    low: float
    median: float
    high: float


def summarise(values: Sequence[float]) -> Summary:
    """Of at least one value."""
    return Summary(min(values), statistics.median(values), max(values))


def merge(groups: Iterable[Mapping[str, list[float]]]) -> Samples:
    """One mapping of all groups; a name in two groups is a defect."""
    merged: Samples = {}
    for group in groups:
        for name, values in group.items():
            if name in merged:
                raise ValueError(f"{name} was measured twice")
            merged[name] = values
    return merged
