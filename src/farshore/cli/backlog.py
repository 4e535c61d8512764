"""`farshore backlog`: what waits, why, what never will be replicated, and "try it again now".

It reads and writes the state file itself, whether `farshore run` is at work or not.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.core.words import counted

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.journal.backlog import Backlog, BacklogSummary, Work
    from farshore.journal.ledger import Name

LIMIT = 1_000

Result = TypeVar("Result")

app = typer.Typer(
    help="Show what is known and not yet on the target, or never will be; or try it again.",
    no_args_is_help=True,
)

PrefixOption = Annotated[str, typer.Option(help="Only keys that begin with this.")]


@app.command("list")
def list_(
    context: typer.Context,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what failed, not what waits for its turn.")
    ] = False,
    prefix: PrefixOption = "",
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most so many keys, the oldest first.")
    ] = LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List the keys that wait, with the reason, the cause and the next attempt."""

    async def look(backlog: Backlog) -> tuple[BacklogSummary, list[Work]]:
        return backlog.summary(_now()), backlog.rows(failed=failed, prefix=prefix, limit=limit)

    path = _state_file(context)
    console = Console(as_json=as_json)
    summary, rows = _with_backlog(path, look)
    _show(console, rows)
    doubt = _doubt(load_config(context), path)
    if doubt:
        console.say(doubt)
    if summary.count or path.exists():
        console.say(_sentence(summary, len(rows)))
    console.document(
        {
            "state_file": str(path),
            "doubt": doubt,
            "count": summary.count,
            "bytes": summary.bytes,
            "watched": summary.watched,
            "oldest_since": _moment(summary.oldest_since),
            "held": summary.held,
            "failed": dict(summary.failed),
            "causes": dict(summary.causes),
            "rows": [_document(work) for work in rows],
        }
    )


LimitOption = Annotated[
    int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest first.")
]


@app.command()
def expired(
    context: typer.Context,
    prefix: PrefixOption = "",
    limit: LimitOption = LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List the versions that were purged on the source before they were copied.

    By a person or a lifecycle rule. They are on neither side, and nothing can bring them
    back; they are counted for ever, and the latest 100,000 are kept by name.
    """
    _show_left_out(context, "expired", prefix, limit, as_json=as_json)


@app.command()
def cancelled(
    context: typer.Context,
    prefix: PrefixOption = "",
    limit: LimitOption = LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List the deletes that waited until their rule no longer wanted them.

    The target keeps these objects. The latest 100,000 are kept by name.
    """
    _show_left_out(context, "cancelled", prefix, limit, as_json=as_json)


@app.command()
def late(
    context: typer.Context,
    prefix: PrefixOption = "",
    limit: LimitOption = LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List what arrived late at the target, and was taken back.

    A write of ours whose answer was lost may arrive after newer ones, and stand above them: a
    deleted object reappears, say. It is purged by its own version id, which is what is listed
    here; nothing else is on only one side because of it.
    """
    _show_left_out(context, "late", prefix, limit, as_json=as_json)


def _show_left_out(
    context: typer.Context, name: Name, prefix: str, limit: int, *, as_json: bool
) -> None:
    from farshore.cli.left_out import show

    path = _state_file(context)
    doubt = _doubt(load_config(context), path)
    show(Console(as_json=as_json), path, name, prefix, limit, doubt)


@app.command()
def retry(context: typer.Context, prefix: PrefixOption = "", as_json: JsonOption = False) -> None:
    """Try what failed again now, instead of when its pause ends.

    A daemon that is at work takes it up at once; else the next one does.
    """

    async def ask(backlog: Backlog) -> int:
        return await backlog.retry(prefix)

    path = _state_file(context)
    console = Console(as_json=as_json)
    count = _with_backlog(path, ask)
    said = (
        f"{_keys(count)} that failed will be tried again now." if count else "Nothing has failed."
    )
    console.say(said)
    console.document({"state_file": str(path), "retried": count})


def _state_file(context: typer.Context) -> Path:
    from farshore.engine.run import JOURNAL_FILE

    return load_config(context).state_dir / JOURNAL_FILE


def _doubt(config: Config, path: Path) -> str:
    """Why the state file may not say what waits; "" when the daemon at work keeps it."""
    from farshore.control.status import moment_text, read_local
    from farshore.core.verdict import REPORT_AGE_MAX_S

    ask = "`farshore status` asks the target."
    if not path.exists():
        return f"No `farshore run` has kept {path}: what waits is not known here; {ask}"
    report = read_local(config.state_dir, config.pair.name)
    if report is None:
        return f"The `farshore run` of this folder has not reported yet: more may wait; {ask}"
    age = _now() + (report.source_offset_s or 0.0) - report.written_at
    if report.stopped_at is None and age <= REPORT_AGE_MAX_S:
        return ""
    since = moment_text(report.written_at)
    return (
        f"No `farshore run` has replicated from this folder since {since}: this is how things "
        f"were then; {ask}"
    )


def _with_backlog(path: Path, work: Callable[[Backlog], Coroutine[Any, Any, Result]]) -> Result:
    """Run the work on the state file; on an empty one, put away again, where there is none."""
    from farshore.journal.backlog_sqlite import SqliteBacklog

    async def perform(file: Path) -> Result:
        backlog = SqliteBacklog(file)
        try:
            return await work(backlog)
        finally:
            await backlog.aclose()

    if path.exists():
        return run(perform(path))
    with tempfile.TemporaryDirectory(prefix="farshore-") as empty:
        return run(perform(Path(empty) / path.name))


def _show(console: Console, rows: list[Work]) -> None:
    if rows:
        console.table(
            ("CHANGED", "STATE", "TRIES", "NEXT TRY", "KEY", "WHY"),
            [
                (
                    _moment(work.since),
                    work.reason or "WAITS",
                    work.attempts,
                    _moment(work.due_at) or "when asked",
                    f"{work.bucket}/{work.key}",
                    f"{work.cause}: {work.explanation}" if work.cause else "",
                )
                for work in rows
            ],
        )


def _sentence(summary: BacklogSummary, shown: int) -> str:
    return " ".join([_waiting(summary, shown - min(summary.watched, shown)), *_watched(summary)])


def _watched(summary: BacklogSummary) -> list[str]:
    if not summary.watched:
        return []
    keys = "1 key is" if summary.watched == 1 else f"{summary.watched:,} keys are"
    return [f"{keys} in step, and looked at again: a write that was not answered may still arrive."]


def _waiting(summary: BacklogSummary, shown: int) -> str:
    if not summary.count:
        return "Nothing waits."
    parts = [f"{_keys(summary.count)} in the backlog"]
    parts += [f"{count:,} {reason}" for reason, count in sorted(summary.failed.items())]
    parts += [f"{shown:,} shown"] if shown < summary.count else []
    if summary.oldest_since is None:
        return f"{', '.join(parts)}; none keeps the watermark back."
    return f"{', '.join(parts)}; the oldest change is of {_moment(summary.oldest_since)}."


def _keys(count: int) -> str:
    return counted(count, "key")


def _document(work: Work) -> dict[str, Any]:
    names = {name: _whole(getattr(work, name)) for name in ("bucket", "key", "explanation")}
    return {
        **names,
        "since": _moment(work.since),
        "due_at": _moment(work.due_at),
        "reason": work.reason,
        "cause": work.cause,
        "attempts": work.attempts,
        "priority": work.priority,
        "size": work.size,
    }


def _whole(text: str) -> str:
    """What is no Unicode (an event may hold half a character) as escapes: JSON wants text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _moment(seconds: float | None) -> str | None:
    """ISO 8601, UTC; None for no time, or one that never comes."""
    if seconds is None or math.isinf(seconds):
        return None
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None  # beyond the calendar: an event may say anything
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _now() -> float:
    from farshore.clock import SystemClock

    return SystemClock().now()
