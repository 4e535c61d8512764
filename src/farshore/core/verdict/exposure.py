"""How much could be lost, and why so much."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.verdict.copying import buckets_are, is_silent
from farshore.core.verdict.snapshot import Objectives, Reason, Snapshot
from farshore.core.words import counted, duration_text

NEAR_SHARE = 0.5
"""Exposure above this share of the objective is AT RISK already."""


def exposure(s: Snapshot, o: Objectives) -> Iterator[Reason]:
    seconds = s.exposure_s
    if s.standstill and any(item.level == "NOT SAFE" for item in s.left_open):
        return  # what a switch has left says the same, with the same remedy
    if s.standstill and (seconds is None or seconds > o.rpo_s):
        yield Reason(
            "nothing-copied",
            "NOT SAFE",
            f"What is written at {s.source} now is nowhere else, because nothing is copied before "
            f"the switch is final: {s.standstill}.",
        )
    elif seconds is None:
        yield Reason(
            "nothing-known",
            "NOT SAFE",
            f"Nothing is known of what {s.target} has: start `farshore run`, or copy with "
            "`farshore backfill` and then `farshore verify`.",
        )
    elif seconds > o.rpo_s:
        yield Reason(
            "exposure",
            "NOT SAFE",
            f"{_loss(s, seconds)}, more than {o.rpo_s:g} s: {_why_late(s)}.",
        )
    elif seconds > o.rpo_s * NEAR_SHARE:
        yield Reason(
            "exposure",
            "AT RISK",
            f"{_loss(s, seconds)}, near the limit of {o.rpo_s:g} s: {_why_late(s)}.",
        )


def _loss(s: Snapshot, exposure: float) -> str:
    return f"Up to {duration_text(exposure)} of changes at {s.source} may not be on {s.target}"


def _why_late(s: Snapshot) -> str:
    """What to do about it, in words that say enough where this reason is told alone."""
    if s.target_answers is False or s.source_answers is False:
        return f"{s.target if s.target_answers is False else s.source} does not answer"
    if s.standstill:
        return s.standstill
    if s.paused_by:
        return "go on with `farshore resume`"
    if s.stopped_at is not None or is_silent(s):
        return "start `farshore run`"
    if s.unserved:
        return f"{buckets_are(s.unserved)} not replicated, see below"
    if s.waiting:
        wait = counted(s.waiting, "key waits", "keys wait")
        return f"{wait}, see `farshore backlog list`"
    if s.feeds_late_s and s.exposure_s is not None and s.exposure_s < 2 * s.feeds_late_s:
        return (
            f"hints of these feeds may be {duration_text(s.feeds_late_s)} late, which counts as "
            "exposure: set objectives.rpo well above it, or use a feed that keeps the order"
        )
    return "wait for the scan under way, or see what else `farshore status` says"
