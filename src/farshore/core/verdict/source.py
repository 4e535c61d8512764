"""What the scans see at the source, and whether it is still what it was."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.verdict.snapshot import Objectives, Reason, Snapshot
from farshore.core.words import at_text, duration_text


def scan(s: Snapshot, o: Objectives) -> Iterator[Reason]:
    if s.scan_finished_at is None:
        if s.standstill:
            return  # nobody scans
        yield Reason(
            "no-scan",
            "AT RISK",
            "No scan of everything has ended yet: wait for it, or run `farshore verify`.",
        )
        return
    age = s.now - s.scan_finished_at
    if age > o.scan_max_age_s:
        yield Reason(
            "scan-old",
            "AT RISK",
            f"The last scan of everything ended {duration_text(age)} ago, more than "
            f"{duration_text(o.scan_max_age_s)}: see why `farshore run` ends none.",
        )
    if s.scan_versions == 0:
        yield Reason(
            "nothing-seen",
            "AT RISK",
            f"The last scan saw nothing at all at {s.source}: see whether the buckets are the "
            "right ones, and have not been emptied.",
        )


def emptied(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for one in s.shrunk:
        yield Reason(
            "source-shrunk",
            "AT RISK",
            f"{s.source}/{one.bucket} has lost {one.lost_percent} % of its keys "
            f"({one.left:,} of {one.before:,} are left), seen at {at_text(one.at)}: was it "
            f"emptied, or made anew? {s.target} keeps everything; find out what happened there.",
        )
    if s.unversioned:
        yield Reason(
            "source-unversioned",
            "AT RISK",
            f"Versioning is off at {s.source} for {', '.join(s.unversioned)}, so what is "
            "overwritten there before it is copied is lost: run `farshore apply`.",
        )
    if s.target_unversioned:
        yield Reason(
            "target-unversioned",
            "NOT SAFE",
            f"Versioning is off at {s.target} for {', '.join(s.target_unversioned)}, so each "
            "version that is copied there replaces the one before: find out who switched it off, "
            "and run `farshore apply`.",
        )
