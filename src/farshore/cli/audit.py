"""`farshore audit`: who did what, and whether that log is still what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.core.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farshore.config import Config
    from farshore.control.inspection import Inspection, SiteLog
    from farshore.core.chain import Entry, Place, Unreadable
    from farshore.core.intents import Answer

NOT_SAFE = 4

LIMIT = 50

app = typer.Typer(
    help="Who changed roles, fences, freezes and the switch: the audit log in both control "
    "buckets.",
    no_args_is_help=True,
)


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most so many entries, the newest.")
    ] = LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List who did what, when and why, the oldest first; works with one side gone.

    What was meant and what came of it are two entries: on the screen, one line where it was
    done as it was meant; --json has both.
    Also shown: what was begun and has no result, with what has answered it since, and records
    that lost against a later epoch.
    """
    console = Console(as_json=as_json)
    found = run(_inspected(load_config(context), with_ends=True))
    entries, answers = found.entries(), found.answered()
    shown = entries[-limit:]
    if shown:
        console.table(
            ("NUMBER", "AT", "WHO", "ACTION", "OUTCOME", "WHERE", "WHAT"),
            [_row(entry, sites, answers) for entry, sites in _folded(shown)],
        )
    console.say(_count(len(entries), len(shown)))
    _say_the_rest(console, found)
    console.document(
        {
            "pair": found.view.pair,
            "count": len(entries),
            "entries": [_document(entry, sites) for entry, sites in shown],
            "without_result": [entry.place[0] for entry in found.open_intents()],
            "answered_later": [
                {"number": place[0], "side": place[1], **answer._asdict()}
                for place, answer in answers.items()
            ],
            "lost": [{"site": site, "record": lost.to_json()} for site, lost in found.lost()],
            "not_read": {log.site: log.trouble for log in found.logs if log.trouble},
        }
    )


@app.command()
def verify(context: typer.Context, as_json: JsonOption = False) -> None:
    """Check that no entry was changed, taken out or moved; works with one side gone.

    Each entry holds the digest of the one before, and the control record that of the entry
    which announced it. Exit code 4 when something is not as it was written.
    """
    console = Console(as_json=as_json)
    found = run(_inspected(load_config(context)))
    for log in found.logs:
        console.say(_verified(log))
    problems = found.problems
    for problem in found.view.conflicts:
        console.say(problem)
    if problems:
        console.say("Older versions of every object are in the control buckets: look at them.")
    console.document(
        {
            "pair": found.view.pair,
            "whole": not problems,
            "problems": list(problems),
            "sites": {log.site: _site(log) for log in found.logs},
        }
    )
    if problems:
        raise typer.Exit(NOT_SAFE)


async def _inspected(config: Config, *, with_ends: bool = False) -> Inspection:
    from farshore.clock import SystemClock
    from farshore.control.inspection import inspect, with_runs
    from farshore.control.record import open_plane

    async with open_plane(config, SystemClock()) as plane:
        found = await inspect(plane.both)
        return await with_runs(plane.both, found) if with_ends else found


def _folded(
    shown: Sequence[tuple[Entry | Unreadable, tuple[str, ...]]],
) -> list[tuple[Entry | Unreadable, tuple[str, ...]]]:
    """Without the intents that were carried out as they were meant."""
    from farshore.core.chain import Entry

    done = {
        entry.draft.token
        for entry, _ in shown
        if isinstance(entry, Entry) and entry.draft.outcome == "ok"
    }
    return [
        (entry, sites)
        for entry, sites in shown
        if not (isinstance(entry, Entry) and _is_intent(entry) and entry.draft.token in done)
    ]


def _is_intent(entry: Entry) -> bool:
    return entry.draft.kind == "intent"


def _row(
    entry: Entry | Unreadable, sites: tuple[str, ...], answers: Mapping[Place, Answer]
) -> tuple[object, ...]:
    from farshore.core.chain import Entry
    from farshore.core.document import moment_text

    where = " ".join(sites)
    if not isinstance(entry, Entry):
        return entry.sequence, "", "", "", "DAMAGED", where, entry.why
    draft = entry.draft
    answer = answers.get(entry.place)
    outcome = draft.outcome or ("interrupted" if answer else draft.kind)
    more = f" ({answer.text})" if answer else ""
    return (
        entry.sequence,
        moment_text(draft.at),
        draft.actor,
        draft.action,
        outcome,
        where,
        draft.what.removeprefix(f"{draft.action}: ") + more,
    )


def _document(entry: Entry | Unreadable, sites: tuple[str, ...]) -> dict[str, Any]:
    from farshore.core.chain import Entry

    if isinstance(entry, Entry):
        return {**entry.to_json(), "sites": list(sites)}
    return {
        "sequence": entry.sequence,
        "side": entry.side,
        "unreadable": entry.why,
        "sites": list(sites),
    }


def _count(known: int, shown: int) -> str:
    if not known:
        return "Nothing was recorded yet."
    more = f"; the newest {shown:,} are shown" if shown < known else ""
    return f"{counted(known, 'entry', 'entries')}{more}."


def _say_the_rest(console: Console, found: Inspection) -> None:
    from farshore.control.inspection import lost_text
    from farshore.core.document import moment_text

    for log in found.logs:
        if log.trouble:
            console.say(f"{log.site} could not be read: {log.trouble}")
    for entry in found.open_intents():
        draft = entry.draft
        console.say(
            f"No result: number {entry.sequence}, {draft.action} by {draft.actor} at "
            f"{moment_text(draft.at)}. They were interrupted, or are at work."
        )
    for site, record in found.lost():
        console.say(f"Lost: {lost_text(site, record)}")


def _verified(log: SiteLog) -> str:
    from farshore.control.inspection import finding_text

    if log.trouble:
        return f"{log.site} could not be read: {log.trouble}"
    if log.finding is not None:
        return finding_text(log.site, log.finding)
    if log.unreadable:
        return " ".join(log.unreadable)
    return f"{log.site}: {counted(len(log.entries), 'entry', 'entries')}, all as they were written."


def _site(log: SiteLog) -> dict[str, Any]:
    return {
        "read": not log.trouble,
        "trouble": log.trouble,
        "entries": len(log.entries),
        "finding": log.finding._asdict() if log.finding else None,
    }
