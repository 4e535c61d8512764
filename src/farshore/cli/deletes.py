"""`farshore deletes`: what the delete guard holds back, and what becomes of it.

It reads and writes the target's control bucket, from any machine that has the credentials,
whether `farshore run` is at work or not.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from farshore.cli.console import Console, JsonOption, YesOption, run
from farshore.cli.direction import load_facing
from farshore.cli.pause import who
from farshore.core.words import counted
from farshore.errors import Refused, UsageError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.control.held import HeldDocuments
    from farshore.journal.deletes import HeldDelete, StandingDelete, Verdict

LINES_MAX = 20
"""Deletes that are shown one by one before somebody is asked; `--json` has them all."""

Word = Literal["released", "discarded"]

WHAT = {
    "released": "These objects will be hidden on the target by their delete markers",
    "discarded": "The target keeps these objects, and their delete markers are not replicated",
}

DONE = {
    "released": "released: a daemon that is at work takes them up within seconds, else the next "
    "one does",
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
    standing = run(_standing(load_facing(context)))
    rows = _held(standing, "")
    discarded = sum(row.decision == "discarded" for row in standing)
    released = sum(row.decision == "released" for row in standing)
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
    console = Console(as_json=as_json)
    run(_decide(load_facing(context), "released", prefix, console, yes=yes))


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
    console = Console(as_json=as_json)
    run(_decide(load_facing(context), "discarded", prefix, console, yes=yes))


async def _standing(config: Config) -> list[StandingDelete]:
    async with _documents(config) as documents:
        shown = await documents.read()
    return sorted(shown.rows.values())


def _held(standing: list[StandingDelete], prefix: str) -> list[HeldDelete]:
    return [r.held() for r in standing if r.decision == "held" and r.key.startswith(prefix)]


async def _decide(config: Config, word: Word, prefix: str, console: Console, *, yes: bool) -> None:
    from farshore.clock import SystemClock
    from farshore.journal.deletes import Verdict

    async with _documents(config) as documents:
        shown = await documents.read()
        rows = _held(sorted(shown.rows.values()), prefix)
        if rows and not yes:
            _ask(console, word, rows)
        verdict = Verdict(word, *who(), SystemClock().now(), prefix)
        decided = await documents.decide(shown, rows, verdict) if rows else []
    _tell(console, word, rows, decided, verdict)


def _tell(
    console: Console,
    word: Word,
    rows: list[HeldDelete],
    decided: list[HeldDelete],
    verdict: Verdict,
) -> None:
    gone = len(rows) - len(decided)
    console.say(f"{_deletes(len(decided))} {DONE[word]}." if rows else "Nothing is held there.")
    if gone:
        console.say(f"{_deletes(gone)} changed meanwhile and were left alone.")
    console.document(
        {
            word: len(decided),
            "changed_meanwhile": gone,
            "prefix": verdict.prefix,
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


@contextlib.asynccontextmanager
async def _documents(config: Config) -> AsyncIterator[HeldDocuments]:
    """The pair's held deletes on the target. Raises `Unreachable`, `Denied`, `StateError`."""
    from farshore.control.contact import make_contact
    from farshore.control.recorded import require_capabilities
    from farshore.control.sites import open_store
    from farshore.engine.run import held_documents
    from farshore.s3.wrap import Retrying

    async with contextlib.aclosing(open_store(config, config.pair.target, "replicator")) as store:
        patient = Retrying(store)
        await make_contact(patient, config.target, "replicator")
        able = await require_capabilities(patient, config.target)
        yield held_documents(config, store, able)


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
