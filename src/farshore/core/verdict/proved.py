"""What was proved: that the sides agree, and that a switch would work.

"Replicated" is what the watermark says; "verified" is what reading both sides has shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.rehearsed import told_by_checkup, told_by_drills
from farshore.core.verdict.snapshot import Objectives, Reason, Snapshot
from farshore.core.words import at_text, counted, duration_text


def verified(s: Snapshot, o: Objectives) -> Iterator[Reason]:
    if s.verified_at is None:
        if s.target_answers is False or s.standstill:
            return  # its record cannot be had, or there is nothing to prove yet
        yield Reason(
            "never-verified",
            "AT RISK",
            "What is replicated has never been verified: run `farshore verify`.",
        )
        return
    age = s.now - s.verified_at
    if s.differences:
        yield Reason(
            "differences",
            "NOT SAFE",
            f"The last verify, of {at_text(s.verified_at)}, found "
            f"{counted(s.differences, 'difference')}: "
            "run `farshore repair`, then `farshore verify`.",
        )
    if not s.verified_versions and s.scan_versions:
        yield Reason(
            "verified-nothing",
            "AT RISK",
            f"The last verify, of {at_text(s.verified_at)}, found nothing to compare, and there "
            f"are {counted(s.scan_versions, 'version')} at {s.source} now: run `farshore verify`.",
        )
    if age > o.verify_max_age_s:
        yield Reason(
            "verify-old",
            "AT RISK",
            f"The last verify was {duration_text(age)} ago, more than "
            f"{duration_text(o.verify_max_age_s)}: run `farshore verify`.",
        )


def rehearsed(s: Snapshot, o: Objectives) -> Iterator[Reason]:
    """Both sites keep these records: with one silent, that there are none is not known."""
    all_read = s.target_answers is not False and s.source_answers is not False
    for told in told_by_checkup(
        s.checkup, s.target, s.now, o.doctor_max_age_s, wanted=s.checkup_wanted and all_read
    ):
        yield Reason(*told)
    if s.drilled_at is not None or (all_read and (s.drilled or o.drill_wanted)):
        for told in told_by_drills(s.drilled_at, s.now, o.drill_max_age_s):
            yield Reason(*told)
