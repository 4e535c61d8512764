"""The facts behind a verdict, for people: one row each, a name and a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from farshore.cli.console import visible
from farshore.cli.progress import human_bytes
from farshore.core.verdict import Snapshot, at_text, duration_text
from farshore.core.words import counted

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.control.standing import Reached, Standing
    from farshore.control.status import (
        FeedReport,
        LeftOutState,
        LimitState,
        StatusReport,
        SweepState,
    )
    from farshore.control.view import View

Row = tuple[str, str]


def facts(config: Config, standing: Standing, s: Snapshot) -> Iterator[Row]:
    yield "exposure", _exposure(config, s)
    if s.watermark is not None:
        yield "watermark", _moment(s.watermark)
    yield from _report_facts(standing.report, s.now)
    yield "last verify", _verified(standing, s.now)
    yield "doctor", _doctor(standing, s.now)
    yield "last drill", _drilled(s)
    yield "daemon", _daemon(standing, s.now)
    yield s.source, _reached(standing.source)
    yield s.target, _reached(standing.target)
    if standing.seen.view is not None:
        yield "roles", standing.seen.view.line
        yield from _held(standing.seen.view, standing.now)
    yield from _fences(s)
    if standing.trouble:
        yield "trouble", standing.trouble


def _held(view: View, now: float) -> Iterator[Row]:
    """Where clients are sent, and whether their writes wait."""
    from farshore.control.view import clients_text, freeze_text

    if words := clients_text(view.record):
        yield "clients", words
    if words := freeze_text(view.record, now):
        yield "freeze", words


def _fences(s: Snapshot) -> Iterator[Row]:
    for fence in s.fences:
        gone = f", but not in {', '.join(fence.gone)}" if fence.gone else ""
        since = f"since {_moment(fence.at)}, by {fence.by}: {fence.why}"
        yield f"fence {fence.site}", f"{fence.state}{gone}, {since}"


def _exposure(config: Config, s: Snapshot) -> str:
    limit = duration_text(config.objectives.rpo_s)
    if s.exposure_s is None:
        return f"not known (objective: {limit})"
    return f"{duration_text(s.exposure_s)} of changes at most (objective: {limit})"


def _moment(seconds: float) -> str:
    """UTC, and the same on this machine's clock where that is another."""
    from datetime import datetime

    here = datetime.fromtimestamp(seconds).astimezone()
    hint = f" ({here:%H:%M:%S %Z})" if here.utcoffset() else ""
    return at_text(seconds) + hint


def _report_facts(report: StatusReport | None, now: float) -> Iterator[Row]:
    if report is None:
        return
    backlog = report.backlog
    waits = f"{counted(backlog.count, 'key')}, about {human_bytes(backlog.bytes)}"
    if backlog.oldest_since is not None:
        waits += f", the oldest for {duration_text(max(now - backlog.oldest_since, 0.0))}"
    yield "backlog", waits if backlog.count else "nothing waits"
    yield "not replicated", _owed(report)
    if report.expired.total:
        yield "expired", _left_out(report.expired, "expired", *GONE)
    if report.cancelled.total:
        yield "cancelled", _left_out(report.cancelled, "cancelled", *CANCELLED)
    if report.late.total:
        yield "taken back", _left_out(report.late, "late", *LATE)
    if report.deletes_held:
        yield "deletes held", f"{report.deletes_held:,}"
    yield "in work", counted(report.in_flight, "key")
    rate = f"{report.versions_per_s:.1f} versions/s, {human_bytes(report.bytes_per_s)}/s"
    yield "rate", rate
    for site, limit in sorted(report.limits.items()):
        if words := _limit(limit):
            yield "limit", f"{site}: {words}"
    if report.scan is not None:
        age = duration_text(max(now - report.scan.finished_at, 0.0))
        seen = f"{counted(report.scan.keys, 'key')}, {counted(report.scan.versions, 'version')}"
        yield "last scan", f"{age} ago: {seen} on the source"
    if report.sweep is not None:
        yield "sweep", _swept(report.sweep, now)
    if report.heartbeat_at is not None:
        yield "heartbeat", f"{duration_text(max(now - report.heartbeat_at, 0.0))} old"
    for name, feed in sorted(report.feeds.items()):
        yield "feed", f"{name}: {_feed(feed)}"


def _feed(feed: FeedReport) -> str:
    """ "up, 1,204 hints, 2 unreadable; denied 3"."""
    parts = ["up" if feed.up else "down", f"{feed.hints:,} hints"]
    if feed.foreign:
        parts.append(f"{feed.foreign:,} of other buckets")
    if feed.unreadable:
        parts.append(f"{feed.unreadable:,} unreadable")
    if feed.missed:
        parts.append(f"{feed.missed:,} heartbeats lost")
    told = ", ".join(parts)
    turned = [
        f"{word} {n:,}" for word, n in sorted(feed.requests.items()) if n and word != "accepted"
    ]
    words = [told, *([", ".join(turned)] if turned else [])]
    return "; ".join([*words, *([feed.last_error] if feed.last_error else [])])


def _owed(report: StatusReport) -> str:
    parts = []
    for reason, causes in sorted(report.not_replicated.items()):
        named = ", ".join(f"{cause or 'waiting'} {n:,}" for cause, n in sorted(causes.items()))
        if causes:
            parts.append(f"{reason} {sum(causes.values()):,} ({named})")
    return "; ".join(parts) or "none known"


def _swept(sweep: SweepState, now: float) -> str:
    """Tags and locks: the last comparison of all of them, and the one under way."""
    words = "tags and locks have not been compared yet"
    if sweep.finished_at is not None:
        age = duration_text(max(now - sweep.finished_at, 0.0))
        seen = counted(sweep.versions, "version")
        words = f"{age} ago: tags and locks of {seen}, {sweep.mended:,} mended"
        words += f", {sweep.left:,} differ still" if sweep.left else ""
        if sweep.accounts:
            words += f", {sweep.accounts:,} with grants to accounts that only the source knows"
    if sweep.began_at is not None:
        words += f"; under way, {sweep.compared:,} compared"
    return visible(f"{words} ({sweep.trouble})" if sweep.trouble else words)


def _limit(limit: LimitState) -> str:
    """ "200 requests/s, 1.0 MiB/s (00:00-06:00 UTC)"; "" where there is none."""
    rates = [f"{limit.requests_per_s:g} requests/s"] if limit.requests_per_s else []
    rates += [f"{human_bytes(limit.bytes_per_s)}/s"] if limit.bytes_per_s else []
    words = ", ".join(rates)
    if limit.window:
        return f"{words or 'none'} ({limit.window})"
    return words


GONE = (
    "version was gone before it was copied",
    "versions were gone before they were copied",
)
CANCELLED = (
    "waiting delete, by a change of rules",
    "waiting deletes, by a change of rules",
)
LATE = (
    "late write to the target, above newer ones",
    "late writes to the target, above newer ones",
)


def _left_out(state: LeftOutState, command: str, one: str, many: str) -> str:
    """How many, the newest by name, and what lists the others."""
    last = state.latest[0] if state.latest else None
    name = f", the last {last.bucket}/{last.key} version {last.version_id}" if last else ""
    others = f"; `farshore backlog {command}` lists them" if state.total > 1 else ""
    return f"{counted(state.total, one, many)}{visible(name)}{others}"


def _verified(standing: Standing, now: float) -> str:
    proof = standing.proof
    if proof is None:
        return "never, or not recorded" if standing.target.answers else "not known"
    depth = "bytes and metadata" if proof.deep else "order, sizes and ETags"
    age = duration_text(max(now - proof.began_at, 0.0))
    among = counted(proof.versions, "version")
    found = f"{counted(proof.differences, 'difference')} among {among}"
    if not proof.versions:
        found = "there was nothing to compare"
    return f"{age} ago, {depth}: {found}"


def _doctor(standing: Standing, now: float) -> str:
    found = standing.checkup
    if found is None:
        return "never, or not recorded" if standing.target.answers else "not known"
    told = f"{len(found.wrong)} not ok, {len(found.unknown)} not told, {found.ok} ok"
    return f"{duration_text(max(now - found.at, 0.0))} ago: {told}"


def _drilled(s: Snapshot) -> str:
    if s.drilled_at is not None:
        return f"passed {duration_text(max(s.now - s.drilled_at, 0.0))} ago"
    if not s.target_answers:
        return "not known"
    return "none has passed" if s.drilled else "never"


def _daemon(standing: Standing, now: float) -> str:
    report = standing.report
    if report is None:
        return "no report"
    who = f"process {report.daemon.pid} on {report.daemon.host}, farshore {report.daemon.version}"
    age = duration_text(max(now - report.written_at, 0.0))
    where = ", by this machine's own notes" if standing.local else ""
    paused = f"; paused by {report.paused_by}" if report.paused_by else ""
    told = "stopped" if report.stopped_at is not None else "reported"
    return f"{who}; {told} {age} ago{where}{paused}"


def _reached(reached: Reached) -> str:
    if not reached.answers:
        return f"does not answer: {reached.trouble}"
    offset = reached.offset_s or 0.0
    return "answers" if abs(offset) <= 1.0 else f"answers; its clock is {offset:+.0f} s off ours"
