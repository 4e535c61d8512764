"""`farshore status`: are we safe? One screen, from the buckets alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, run, visible
from farshore.cli.direction import load_facing
from farshore.cli.progress import human_bytes
from farshore.core.words import counted
from farshore.errors import UsageError

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
    from farshore.core.verdict import Snapshot, Verdict

AT_RISK = 3
NOT_SAFE = 4
CODES = {"SAFE": 0, "AT RISK": AT_RISK, "NOT SAFE": NOT_SAFE}

WATCH_EVERY_S = 2.0
CLEAR = "\x1b[H\x1b[2J"

Row = tuple[str, str]


def status(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether we are safe if the source goes down now, and why.

    Works without the daemon, and with either site gone. Exit code 0 SAFE, 3 AT RISK,
    4 NOT SAFE.
    """
    if watch and as_json:
        raise UsageError(
            "--json prints one document, and --watch never ends.",
            hint="Run `farshore status --json` again and again, or read the metrics.",
        )
    config = load_facing(context)
    console = Console(as_json=as_json)
    word = run(_watch(config, console) if watch else _once(config, console))
    if CODES[word]:
        raise typer.Exit(CODES[word])


async def _watch(config: Config, console: Console) -> str:
    """Until somebody presses Ctrl-C."""
    while True:
        await _once(config, console, clear=sys.stdout.isatty())
        await asyncio.sleep(WATCH_EVERY_S)


async def _once(config: Config, console: Console, *, clear: bool = False) -> str:
    """Look, judge, show; answers the verdict's word."""
    from farshore.clock import SystemClock
    from farshore.control.standing import snapshot_of, stand
    from farshore.core.verdict import judge

    standing = await stand(config, SystemClock())
    snapshot = snapshot_of(config, standing)
    verdict = judge(snapshot, config.objectives)
    if clear:
        sys.stdout.write(CLEAR)
    for line in screen(config, standing, snapshot, verdict):
        console.say(line)
    console.document(document(config, standing, snapshot, verdict))
    return verdict.word


def document(
    config: Config, standing: Standing, snapshot: Snapshot, verdict: Verdict
) -> dict[str, Any]:
    """The command's one JSON document. Times are ISO 8601 UTC; null is "not known"."""
    from farshore.control.status import moment_text

    mark = snapshot.watermark
    return {
        "pair": config.pair.name,
        "verdict": verdict.word,
        "reasons": [reason._asdict() for reason in verdict.reasons],
        "at": moment_text(standing.now),
        "watermark": None if mark is None else moment_text(mark),
        "exposure_s": None if snapshot.exposure_s is None else round(snapshot.exposure_s, 3),
        "objectives": asdict(config.objectives),
        "source": {"name": snapshot.source, **standing.source._asdict()},
        "target": {"name": snapshot.target, **standing.target._asdict()},
        "report": standing.report.to_json() if standing.report else None,
        "report_is_local": standing.local,
        "report_age_s": _age(snapshot.now, snapshot.reported_at),
        "last_verify": standing.proof.to_json() if standing.proof else None,
        "doctor": _checkup_document(standing),
        "drill": {
            "any": snapshot.drilled,
            "passed_at": None if snapshot.drilled_at is None else moment_text(snapshot.drilled_at),
        },
        "fences": [{**fence._asdict(), "at": moment_text(fence.at)} for fence in snapshot.fences],
        "cannot_fence": [one._asdict() for one in snapshot.cannot_fence],
        "roles": standing.seen.view.to_json() if standing.seen.view else None,
        "trouble": standing.trouble,
    }


def _checkup_document(standing: Standing) -> dict[str, Any] | None:
    from farshore.control.status import moment_text

    found = standing.checkup
    if found is None:
        return None
    wrong = [one._asdict() for one in found.wrong]
    return {
        "at": moment_text(found.at),
        "wrong": wrong,
        "unknown": [*found.unknown],
        "ok": found.ok,
    }


def _age(now: float, at: float | None) -> float | None:
    return None if at is None else round(max(now - at, 0.0), 3)


def screen(
    config: Config, standing: Standing, snapshot: Snapshot, verdict: Verdict
) -> Iterator[str]:
    """The lines for people: the verdict, why, and the facts."""
    yield f"{verdict.word}: {_headline(config, snapshot, verdict)}"
    for reason in verdict.reasons:
        sign = "!" if reason.level == "NOT SAFE" else "-"
        yield f"  {sign} {reason.text}"
    yield ""
    rows = [*_facts(config, standing, snapshot)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name.ljust(width)}  {value}"


def _headline(config: Config, s: Snapshot, verdict: Verdict) -> str:
    from farshore.core.verdict import at_text

    pair = f"{config.pair.source} -> {config.pair.target}"
    if s.watermark is None:
        return f"{pair}: what {s.target} has is not known."
    after = "after that, unknown" if not s.source_answers else "newer changes may be missing"
    if verdict.word == "SAFE":
        return f"{pair}: everything up to {at_text(s.watermark)} is on {s.target}."
    return f"{pair}: everything up to {at_text(s.watermark)} is on {s.target}; {after}."


def _facts(config: Config, standing: Standing, s: Snapshot) -> Iterator[Row]:
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
    from farshore.core.verdict import duration_text

    limit = duration_text(config.objectives.rpo_s)
    if s.exposure_s is None:
        return f"not known (objective: {limit})"
    return f"{duration_text(s.exposure_s)} of changes at most (objective: {limit})"


def _moment(seconds: float) -> str:
    """UTC, and the same on this machine's clock where that is another."""
    from datetime import datetime

    from farshore.core.verdict import at_text

    here = datetime.fromtimestamp(seconds).astimezone()
    hint = f" ({here:%H:%M:%S %Z})" if here.utcoffset() else ""
    return at_text(seconds) + hint


def _report_facts(report: StatusReport | None, now: float) -> Iterator[Row]:
    from farshore.core.verdict import duration_text

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
    from farshore.core.verdict import duration_text

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


def _left_out(state: LeftOutState, command: str, one: str, many: str) -> str:
    """How many, the newest by name, and what lists the others."""
    last = state.latest[0] if state.latest else None
    name = f", the last {last.bucket}/{last.key} version {last.version_id}" if last else ""
    others = f"; `farshore backlog {command}` lists them" if state.total > 1 else ""
    return f"{counted(state.total, one, many)}{visible(name)}{others}"


def _verified(standing: Standing, now: float) -> str:
    from farshore.core.verdict import duration_text

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
    from farshore.core.verdict import duration_text

    found = standing.checkup
    if found is None:
        return "never, or not recorded" if standing.target.answers else "not known"
    told = f"{len(found.wrong)} not ok, {len(found.unknown)} not told, {found.ok} ok"
    return f"{duration_text(max(now - found.at, 0.0))} ago: {told}"


def _drilled(s: Snapshot) -> str:
    from farshore.core.verdict import duration_text

    if s.drilled_at is not None:
        return f"passed {duration_text(max(s.now - s.drilled_at, 0.0))} ago"
    if not s.target_answers:
        return "not known"
    return "none has passed" if s.drilled else "never"


def _daemon(standing: Standing, now: float) -> str:
    from farshore.core.verdict import duration_text

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
