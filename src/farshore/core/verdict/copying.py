"""Who copies: the daemon, and the feeds that tell it of changes."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.core.verdict.snapshot import Objectives, Reason, Snapshot
from farshore.core.words import at_text, counted, duration_text

REPORT_AGE_MAX_S = 30.0
"""A daemon that runs reports far more often than this."""

HEARTBEAT_AGE_MAX_S = 30.0
"""A feed that works brings a heartbeat far more often than this."""

NAMES_MAX = 5
"""More buckets are counted, not named."""


def daemon(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    if s.standstill:
        return  # it stands by, as it must, and what it said was of the other direction
    if s.reported_at is None:
        yield Reason(
            "never-reported",
            "AT RISK",
            "`farshore run` has never reported for this pair: start it.",
        )
    elif s.stopped_at is not None:
        yield Reason(
            "daemon-stopped",
            "AT RISK",
            f"`farshore run` was stopped at {at_text(s.stopped_at)}, and nothing has been "
            "replicated since: start it again.",
        )
    elif is_silent(s):
        yield Reason(
            "daemon-silent",
            "AT RISK",
            f"`farshore run` has not reported since {at_text(s.reported_at)}: "
            "see whether it runs, and its log.",
        )
    if s.other_scope:
        yield Reason(
            "other-scope",
            "AT RISK",
            "The `farshore run` that reports for this pair has other buckets or rules than "
            "farshore.toml: start it again if the file was changed; if it is another pair, give "
            "one of the two a [pair] name of its own.",
        )
    if s.paused_by:
        yield Reason(
            "paused",
            "AT RISK",
            f"Replication is paused by {s.paused_by}: go on with `farshore resume`.",
        )
    if s.heartbeat_age_s is not None and s.heartbeat_age_s > HEARTBEAT_AGE_MAX_S:
        yield Reason(
            "heartbeat-silent",
            "AT RISK",
            f"No heartbeat has come through for {duration_text(s.heartbeat_age_s)}, so changes "
            "are learnt from scans only: see to the feed (webhook, queue or filer).",
        )


def is_silent(s: Snapshot) -> bool:
    """Whether nobody has reported for too long."""
    return s.reported_at is None or s.now - s.reported_at > REPORT_AGE_MAX_S


def feeds(s: Snapshot, _: Objectives) -> Iterator[Reason]:
    for feed, count in sorted(s.unread.items()):
        yield Reason(
            "unreadable",
            "AT RISK",
            f"{counted(count, 'message')} of {feed} could not be read or never came, so changes "
            "may be unknown until a scan has ended: wait for it, and see who sends them "
            "(docs/troubleshooting.md).",
        )
    for text in s.notices:
        yield Reason("notice", "AT RISK", text)
    if s.unheard:
        yield Reason(
            "bucket-unheard",
            "AT RISK",
            f"No heartbeat comes of {_names(s.unheard)}, so the pair's changes are counted from "
            f"scans only: let a feed tell of {_names(s.unheard)}, too.",
        )
    for sentence in s.vanished:
        yield Reason(
            "bucket-vanished",
            "AT RISK",
            f"{sentence}: bring it back; if it was meant to go, `farshore apply --forget BUCKET`.",
        )
    if s.unserved:
        yield Reason(
            "bucket-unserved",
            "AT RISK",
            f"{buckets_are(s.unserved)} at {s.source} and of a pattern, but not replicated: run "
            f"`farshore apply`, which makes what is missing at {s.target}.",
        )


def _names(buckets: tuple[str, ...]) -> str:
    more = f" and {len(buckets) - NAMES_MAX:,} more" if len(buckets) > NAMES_MAX else ""
    return ", ".join(buckets[:NAMES_MAX]) + more


def buckets_are(buckets: tuple[str, ...]) -> str:
    """ "Bucket a is", "Buckets a, b are": some are named."""
    return f"Buckets {_names(buckets)} are" if len(buckets) > 1 else f"Bucket {buckets[0]} is"
