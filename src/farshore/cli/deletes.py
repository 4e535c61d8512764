"""`farshore deletes`: what the delete guard holds back, and what becomes of it.

It reads and writes the state file itself, whether `farshore run` is at work or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from farshore.cli.console import Console, JsonOption, YesOption, run
from farshore.cli.pause import state_file, who
from farshore.core.words import counted
from farshore.errors import Refused, UsageError

if TYPE_CHECKING:
    from farshore.journal.deletes import HeldDelete, Verdict, WaitingDeletes

LINES_MAX = 20
"""Deletes that are shown one by one before somebody is asked; `--json` has them all."""

Word = Literal["released", "discarded"]

WHAT = {
    "released": "These objects will be hidden on the target by their delete markers",
    "discarded": "The target keeps these objects, and their delete markers are not replicated",
}

DONE = {
    "released": "released: a daemon that is at work takes them up at once, else the next one does",
    "discarded": "discarded: the target keeps the objects; a later write to a key goes on as usual",
}

app = typer.Typer()

PrefixOption = Annotated[str, typer.Option(help="Only keys that begin with this.")]


@app.callback(invoke_without_command=True)
def list_(
    context: typer.Context,
    as_json: JsonOption = False,
) -> None:
    """Show the deletes that the delete guard holds, and decide about them.

    The guard holds every delete once more objects would be hidden than [daemon] allows:
    an accident on the source must not empty the target. It holds until somebody decides.
    """
    if context.invoked_subcommand is not None:
        return
    console = Console(as_json=as_json)
    with _waiting(state_file(context)) as waiting:
        rows = waiting.rows()
        discarded, released = waiting.count("discarded"), waiting.count("released")
    _show(console, rows, len(rows))
    console.say(f"{_deletes(len(rows))} held." if rows else "The delete guard holds nothing.")
    if released:
        console.say(f"{_deletes(released)} released and not written yet.")
    if discarded:
        console.say(f"{_deletes(discarded)} discarded: the target keeps the objects.")
    if rows:
        console.say("Decide with `farshore deletes release` or `farshore deletes discard`.")
    console.document(
        {
            "count": len(rows),
            "since": _moment(min((row.held_at for row in rows), default=None)),
            "released": released,
            "discarded": discarded,
            "rows": [_document(row) for row in rows],
        }
    )


@app.command()
def release(
    context: typer.Context,
    prefix: PrefixOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let exactly the deletes that are shown through to the target."""
    _decide(context, "released", prefix, Console(as_json=as_json), yes=yes)


@app.command()
def discard(
    context: typer.Context,
    prefix: PrefixOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Never replicate the delete markers that are shown: the target keeps the objects.

    A later write to such a key is replicated as usual, with the marker beneath it.
    """
    _decide(context, "discarded", prefix, Console(as_json=as_json), yes=yes)


def _decide(
    context: typer.Context, word: Word, prefix: str, console: Console, *, yes: bool
) -> None:
    from farshore.clock import SystemClock
    from farshore.journal.deletes import Verdict

    path = state_file(context)
    with _waiting(path) as waiting:
        rows = waiting.rows(prefix=prefix)
        if rows and not yes:
            _ask(console, word, rows)
        verdict = Verdict(word, *who(), SystemClock().now(), prefix)
        decided = waiting.decide(rows, verdict) if rows else []
    if decided:
        run(_make_due(path, decided, verdict))
    gone = len(rows) - len(decided)
    console.say(f"{_deletes(len(decided))} {DONE[word]}." if rows else "Nothing is held there.")
    if gone:
        console.say(f"{_deletes(gone)} changed meanwhile and were left alone.")
    console.document(
        {
            word: len(decided),
            "changed_meanwhile": gone,
            "prefix": prefix,
            "by": verdict.by,
            "host": verdict.host,
            "at": _moment(verdict.at),
            "rows": [_document(row) for row in decided],
        }
    )


def _ask(console: Console, word: Word, rows: list[HeldDelete]) -> None:
    """Show, and go on only after a yes. `UsageError`, `Refused`."""
    if not console.can_ask:
        raise UsageError(
            f"{_deletes(len(rows))} would be {word}, and nobody is there to be asked.",
            hint="Look at `farshore deletes`, then add --yes.",
        )
    _show(console, rows[:LINES_MAX], len(rows))
    if not console.ask(f"{WHAT[word]}: {len(rows):,} in all. Go on?"):
        raise Refused("Nothing was decided.", hint="The deletes stay held.")


async def _make_due(path: Path, decided: list[HeldDelete], verdict: Verdict) -> None:
    """The daemon looks at these keys now.

    They wait from the decision on: until then they were not owed, and a time before it
    would take back what the watermark has said.
    """
    from farshore.feed.hint import Hint
    from farshore.journal.backlog import ASKED
    from farshore.journal.backlog_sqlite import SqliteBacklog

    backlog = SqliteBacklog(path)
    try:
        hints = [Hint(row.bucket, row.key, verdict.at) for row in decided]
        await backlog.note(hints, now=verdict.at, priority=ASKED)
    finally:
        await backlog.aclose()


@contextmanager
def _waiting(path: Path) -> Iterator[WaitingDeletes]:
    """The deletes in the state file; none where there is no file yet."""
    from farshore.journal.deletes import WaitingDeletes
    from farshore.journal.statefile import IN_MEMORY

    waiting = WaitingDeletes(path if path.exists() else IN_MEMORY)
    try:
        yield waiting
    finally:
        waiting.close()


def _show(console: Console, rows: list[HeldDelete], count: int) -> None:
    if rows:
        cells = [(_moment(row.held_at), f"{row.bucket}/{row.key}") for row in rows]
        console.table(("HELD SINCE", "KEY"), cells)
    if count > len(rows):
        console.say(f"… and {count - len(rows):,} more: `farshore deletes` lists them all.")


def _deletes(count: int) -> str:
    return counted(count, "delete")


def _document(row: HeldDelete) -> dict[str, Any]:
    names = {name: _whole(getattr(row, name)) for name in ("bucket", "key", "version_id")}
    return {**names, "held_since": _moment(row.held_at)}


def _whole(text: str) -> str:
    """What is no Unicode as escapes: JSON wants text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _moment(seconds: float | None) -> str | None:
    from farshore.control.status import moment_text

    return None if seconds is None else moment_text(seconds)
