"""`farshore sync PREFIX`: what is below it goes first, and the command waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.backfill import INTERRUPTED, orderly_stop
from farshore.cli.backfill import line as copying_line
from farshore.cli.console import Console, JsonOption, run
from farshore.cli.direction import load_facing
from farshore.cli.progress import human_seconds, shown
from farshore.core.words import counted
from farshore.errors import Refused, StateError, UsageError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.control.machine import Process
    from farshore.engine.asked import Progress
    from farshore.engine.reconcile import Scan
    from farshore.engine.tally import Tally
    from farshore.journal.backlog import Backlog

POLL_S = 0.25
LINES_MAX = 20
FAILED = 1


@dataclass(frozen=True, slots=True)
class Left:
    """One key or version that is not on the target, and why."""

    bucket: str
    key: str
    reason: str
    cause: str
    explanation: str

    def to_json(self) -> dict[str, str]:
        """A flat object; what is no Unicode in a key as escapes."""
        names = ("bucket", "key", "reason", "cause", "explanation")
        return {name: _whole(getattr(self, name)) for name in names}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `by`: who copied. `found`: keys that differed at the start.

    `ended`: "done", "timeout" or "interrupted". `waiting`: keys that were not tried yet.
    """

    by: str
    keys: int
    found: int
    waiting: int
    left: Sequence[Left]
    ended: str

    @property
    def code(self) -> int:
        """The command's exit code."""
        if self.ended == "interrupted":
            return INTERRUPTED
        return FAILED if self.left or self.waiting or self.ended == "timeout" else 0


def sync(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(help='Keys that begin with this; "" for all.')],
    bucket: Annotated[
        str, typer.Option(help="Only this bucket of the source; else every one of the pair.")
    ] = "",
    timeout: Annotated[
        float, typer.Option(min=0.0, help="Seconds after which to wait no longer; 0: no end.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Bring one prefix into step now, ahead of all else, and wait until it is.

    Both sides are listed below the prefix; a running daemon takes what differs first. Where
    none runs, this command copies by itself. What is written after it began is not waited
    for. Exit code 1 when something is left, with the reason.
    """
    config = _narrowed(load_facing(context), bucket)
    console = Console(as_json=as_json)
    began = time.monotonic()
    outcome = run(_sync(config, console, prefix, timeout))
    _report(console, config, prefix, outcome, time.monotonic() - began)
    if outcome.code:
        raise typer.Exit(outcome.code)


def _narrowed(config: Config, bucket: str) -> Config:
    """The same pair with one bucket alone. `UsageError` when the pair does not have it."""
    from farshore.config.values import BucketMap

    if not bucket:
        return config
    targets = [found for entry in config.pair.buckets if (found := entry.target_of(bucket))]
    if not targets:
        raise UsageError(
            f"The pair {config.pair.name} does not replicate the bucket {bucket}.",
            hint="[[pair.buckets]] in the configuration names those that it does.",
        )
    one = (BucketMap(bucket, targets[0]),)
    return replace(config, pair=replace(config.pair, buckets=one))


async def _sync(config: Config, console: Console, prefix: str, seconds_max: float) -> Outcome:
    from farshore.engine.run import JOURNAL_FILE
    from farshore.journal.backlog_sqlite import SqliteBacklog

    backlog = SqliteBacklog(config.state_dir / JOURNAL_FILE)
    try:
        _refuse_pause(backlog)
        daemon = await _daemon(config)
        if daemon is None:
            return await _copy(config, console, prefix, seconds_max)
        return await _have_copied(config, console, prefix, seconds_max, backlog, daemon)
    finally:
        await backlog.aclose()


def _refuse_pause(backlog: Backlog) -> None:
    from farshore.journal.pause import paused

    pause = paused(backlog)
    if pause is not None:
        raise Refused(
            f"Replication is paused by {pause.who}.", hint="Go on with `farshore resume` first."
        )


async def _daemon(config: Config) -> Process | None:
    """The daemon that reads this state folder; None when nobody replicates.

    `Refused` when somebody else does: what is noted here would not reach them.
    """
    from farshore.clock import SystemClock
    from farshore.control.lease import holder
    from farshore.control.machine import LinuxMachine
    from farshore.control.sites import open_store
    from farshore.control.status import read_local
    from farshore.engine.run import lease_name
    from farshore.s3.wrap import Retrying

    store = open_store(config, config.pair.target, "replicator")
    try:
        bucket = config.target.control_bucket
        found = await holder(Retrying(store), bucket, lease_name(config), clock=SystemClock())
    finally:
        await store.aclose()
    if found is None:
        return None
    here = LinuxMachine().this_process()
    report = read_local(config.state_dir, config.pair.name)
    ours = report is not None and report.daemon.pid == found.pid
    if not ours or (found.host, found.machine) != (here.host, here.machine):
        raise Refused(
            f"Another farshore works on this pair (process {found.pid} on {found.host}), and it "
            f"does not read {config.state_dir}.",
            hint="Run this where `farshore run` runs, with its configuration; if that has just "
            "been started, or if it is a backfill, try again a little later.",
        )
    return found


async def _have_copied(
    config: Config,
    console: Console,
    prefix: str,
    seconds_max: float,
    backlog: Backlog,
    daemon: Process,
) -> Outcome:
    """Note what differs, and wait until the daemon has dealt with it."""
    from farshore.clock import SystemClock
    from farshore.engine.asked import Progress, ask, progress
    from farshore.engine.reconcile import Scan
    from farshore.engine.run import JOURNAL_FILE
    from farshore.engine.session import open_sides
    from farshore.journal.deletes import WaitingDeletes

    clock = SystemClock()
    tally, stands = Scan(clock.now()), Progress((), ())
    deletes = WaitingDeletes(config.state_dir / JOURNAL_FILE)
    ended = "done"
    try:
        async with shown(console, lambda s: _waiting_line(tally, stands, s)):
            async with asyncio.timeout(seconds_max or None):
                async with open_sides(config, retrying=True) as sides:
                    rules = config.pair.rules
                    asked = await ask(sides, rules, prefix, backlog, deletes, clock, tally)
                while (stands := progress(backlog, asked)).waiting:
                    _require_alive(daemon)
                    await asyncio.sleep(POLL_S)
    except TimeoutError:
        ended = "timeout"
    finally:
        deletes.close()
    left = [Left(w.bucket, w.key, w.reason, w.cause, w.explanation) for w in stands.left]
    return Outcome("daemon", tally.keys, tally.found, len(stands.waiting), left, ended)


def _require_alive(daemon: Process) -> None:
    from farshore.control.machine import LinuxMachine

    if LinuxMachine().is_gone(daemon):
        raise StateError(
            f"The daemon (process {daemon.pid}) ended meanwhile.",
            hint="Run the same command again: without a daemon it copies by itself.",
        )


def _waiting_line(tally: Scan, stands: Progress, seconds: float) -> str:
    if not tally.finished_at:
        listed = counted(tally.keys, "key")
        return f"listing: {listed}, {tally.found:,} differ · {human_seconds(seconds)}"
    words = sorted({work.cause for work in stands.waiting if work.cause})
    why = f" ({', '.join(words)})" if words else ""
    done = max(tally.found - len(stands.waiting) - len(stands.left), 0)
    return (
        f"{done:,} of {counted(tally.found, 'key')} · {len(stands.waiting):,} wait{why} · "
        f"{len(stands.left):,} put back · {human_seconds(seconds)}"
    )


async def _copy(config: Config, console: Console, prefix: str, seconds_max: float) -> Outcome:
    """No daemon: hold the lease and copy here."""
    from farshore.clock import SystemClock
    from farshore.core.plan import DeleteLimits
    from farshore.engine.backfill import Interrupted, Scope
    from farshore.engine.run import backfill_all
    from farshore.engine.tally import Tally

    tally, stop, late = Tally(), asyncio.Event(), asyncio.Event()
    limits = DeleteLimits(config.daemon.deletes_count, config.daemon.deletes_share)
    ended = "done"

    def time_is_up() -> None:
        late.set()
        stop.set()

    if seconds_max:
        asyncio.get_running_loop().call_later(seconds_max, time_is_up)
    with orderly_stop(console, stop):
        async with shown(console, lambda s: copying_line(tally, s)):
            try:
                await backfill_all(config, Scope(prefix, limits), tally, stop, SystemClock())
            except Interrupted:
                ended = "timeout" if late.is_set() else "interrupted"
    return Outcome("this command", tally.keys, tally.keys - tally.in_step, 0, _left(tally), ended)


def _left(tally: Tally) -> list[Left]:
    from farshore.engine.tally import NOT_OWED

    owed = [item for item in tally.not_copied if item.reason not in NOT_OWED]
    return [Left(i.bucket, i.key, i.reason, i.cause, i.explanation) for i in owed]


def _report(
    console: Console, config: Config, prefix: str, outcome: Outcome, seconds: float
) -> None:
    pair = f"{config.pair.source} -> {config.pair.target}"
    below = f'below "{prefix}"' if prefix else "in all"
    for item in outcome.left[:LINES_MAX]:
        console.say(f"  {item.bucket}/{item.key}: {item.reason} ({item.cause}): {item.explanation}")
    if len(outcome.left) > LINES_MAX:
        console.say("  … the others are listed by `farshore sync --json`.")
    console.say(_sentence(pair, below, outcome, seconds))
    console.document(
        {
            "prefix": prefix,
            "buckets": [entry.source for entry in config.pair.buckets],
            "by": outcome.by,
            "ended": outcome.ended,
            "keys": outcome.keys,
            "differed": outcome.found,
            "waiting": outcome.waiting,
            "left": [item.to_json() for item in outcome.left],
            "seconds": round(seconds, 3),
        }
    )


def _sentence(pair: str, below: str, outcome: Outcome, seconds: float) -> str:
    after = f"after {human_seconds(seconds)}"
    if outcome.ended != "done":
        why = "Time is up" if outcome.ended == "timeout" else "Interrupted"
        return f"{pair}: {why} {after}; what waits is done by the daemon, or by another sync."
    if outcome.left:
        return f"{pair}: {len(outcome.left):,} {below} could not be brought into step, {after}."
    return (
        f"{pair}: {counted(outcome.keys, 'key')} {below} "
        f"{'is' if outcome.keys == 1 else 'are'} in step; {outcome.found:,} differed before, "
        f"{after}."
    )


def _whole(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
