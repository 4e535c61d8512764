"""`farshore drill`: rehearse a switch; `farshore report`: what a drill or a run was like."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from farshore.cli.console import Console, JsonOption, load_config, print_json, run, visible
from farshore.cli.orders import (
    ByOption,
    ConfirmOption,
    WhyOption,
    author,
    reason,
    require_named,
)
from farshore.cli.run_orders import ApprovedByOption, OverrideOption
from farshore.cli.runs import override
from farshore.core.words import counted
from farshore.errors import StateError, UsageError

if TYPE_CHECKING:
    from farshore.control.runs import Runs
    from farshore.core.drill import Drill
    from farshore.core.runbook import Run
    from farshore.drill.account import Account
    from farshore.drill.hall import Ask, Hall, Script

Result = TypeVar("Result")

FORMATS = ("md", "json", "html")
SILENCE_S = 60.0
"""Who reads records asks a site that does not answer once, not for every drill."""

SHOWN_MAX = 50
"""Drills that `drill list` shows, the newest first."""

app = typer.Typer()

DrillArgument = Annotated[str, typer.Argument(metavar="RUN", help="The drill's id.")]


@app.callback(invoke_without_command=True)
def drill(
    context: typer.Context,
    level: Annotated[str, typer.Option(help="plan, isolated or live.")] = "plan",
    hypothesis: Annotated[
        str, typer.Option(help="What you expect; the report holds it against what happened.")
    ] = "",
    abort_if: Annotated[
        list[str],
        typer.Option(
            "--abort-if",
            metavar="MEASURE>NUMBER",
            help="Call it off, between two steps, when this is exceeded: frozen_s, failed_probes, "
            "outage_s, drill_s. May be repeated.",
        ),
    ] = [],  # noqa: B006  Typer copies it
    soak: Annotated[
        float, typer.Option(min=0.0, help="live: seconds at the other site before the way back.")
    ] = 60.0,
    why: WhyOption = "",
    by: ByOption = "",
    approved_by: ApprovedByOption = "",
    confirm: ConfirmOption = "",
    override_: OverrideOption = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Only purge what killed drills left, on both sides.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rehearse a switch, and keep the report in both control buckets.

    plan: walks through switchover and failover as they would be now, and tries names, keys,
    the switch and the control buckets; changes nothing. isolated: scratch objects in the real
    buckets, a test switch, production untouched, everything purged afterwards. live:
    switchover, soak, failback, as approved runs, with a client that measures the outage.
    Exit code 0 when the drill passed, 4 when it did not.
    """
    if context.invoked_subcommand is not None:
        return
    console = Console(as_json=as_json)
    if clean:
        _clean(context, console, author(by))
        return
    script = _script(level)
    ask = _ask(
        console, level, author(by), why, approved_by, hypothesis, abort_if, soak, override_ or []
    )
    ended = _in_hall(context, console, lambda hall: _held(hall, console, ask, script, confirm))
    _say(console, ended)
    console.document(ended.to_json())
    if not ended.passed:
        raise typer.Exit(4)


def _script(level: str) -> Script:
    from farshore.drill.isolated import isolated
    from farshore.drill.live import live
    from farshore.drill.tabletop import tabletop

    scripts: dict[str, Script] = {"plan": tabletop, "isolated": isolated, "live": live}
    if level not in scripts:
        raise UsageError(f"There is no level {level}.", hint="One of plan, isolated, live.")
    return scripts[level]


def _ask(
    console: Console,
    level: str,
    by: str,
    why: str,
    approved_by: str,
    hypothesis: str,
    criteria: list[str],
    soak: float,
    overrides: list[str],
) -> Ask:
    from typing import cast

    from farshore.core.drill import Level, abort_if
    from farshore.drill.hall import Ask

    live = level == "live"
    return Ask(
        cast(Level, level),
        by,
        reason(console, why) if live else why or "a rehearsal",
        (approved_by or by) if live else approved_by,
        hypothesis,
        tuple(abort_if(text) for text in criteria),
        soak,
        tuple(override(text) for text in overrides),
    )


async def _held(hall: Hall, console: Console, ask: Ask, script: Script, confirm: str) -> Drill:
    if ask.level == "live":
        from farshore.runbook.preflight import EXPOSURE_MAX_S

        there, home = hall.config.pair.target, hall.config.pair.source
        question = (
            f"{there} will be primary for {ask.soak_s:g} s, then {home} again. Your word counts "
            f"for both ways: each begins with at most {EXPOSURE_MAX_S:g} s of changes still on "
            "their way, and clients move when all of them are there."
        )
        require_named(console, there, confirm, question)
    return await hall.hold(ask, script)


def _clean(context: typer.Context, console: Console, by: str) -> None:
    found = _in_hall(context, console, lambda hall: hall.clean_up(by))
    what = counted(found.purged, "scratch version or marker", "scratch versions and markers")
    left = ", ".join(found.silent)
    if left:
        console.say(f"Purged: {what}. {left} does not answer: what stands there, stands still.")
        console.say(f"Call `farshore drill --clean` again when {left} is back.")
    else:
        console.say(f"Purged: {what}; nothing is left.")
    console.document(
        {
            "purged": found.purged,
            "left": None if left else 0,
            "ended": found.ended,
            "silent": found.silent,
        }
    )
    if left:
        raise typer.Exit(1)


# -- what was held -------------------------------------------------------------------


@app.command("list")
def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the drills, the newest first, from whichever control bucket answers."""
    console = Console(as_json=as_json)

    async def listed(hall: Hall) -> list[Drill]:
        names = (await hall.cabinet.ids())[-SHOWN_MAX:]
        return [await hall.cabinet.load(name) for name in reversed(names)]

    found = _in_hall(context, console, listed, silence_s=SILENCE_S)
    console.table(
        ("drill", "level", "verdict", "steps", "findings"),
        [(d.id, d.level, d.verdict, len(d.steps), f"{len(d.open_findings)} open") for d in found],
    )
    if not found:
        console.say("There was no drill yet: `farshore drill --level plan`.")
    console.document({"drills": [one.to_json() for one in found]})


@app.command("finding")
def finding(
    context: typer.Context,
    drill_id: DrillArgument,
    add: Annotated[str, typer.Option("--add", help="What was found, and is to be done.")] = "",
    owner: Annotated[str, typer.Option(help="Who does it.")] = "",
    close: Annotated[int, typer.Option(min=0, help="The number of one that is done.")] = 0,
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Note what a drill has shown, with an owner; or close it when it is done."""
    if bool(add) == bool(close):
        raise UsageError(
            "Say what is to be done with the findings.",
            hint="--add TEXT --owner WHO, or --close NUMBER.",
        )
    console, actor = Console(as_json=as_json), author(by)

    async def noted(hall: Hall) -> Drill:
        found, now = await hall.cabinet.load(drill_id), hall.clock.now()
        found = found.noted(add, owner, actor, now) if add else found.closed(close, actor, now)
        await hall.keep(found)
        return found

    ended = _in_hall(context, console, noted)
    for note in ended.findings:
        state = f"closed by {note.closed_by}" if note.closed_at else "open"
        console.say(f"{note.number}. {note.text} ({note.owner}; {state})")
    console.document(ended.to_json())


def report(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A drill's or a run's id.")],
    format_: Annotated[str, typer.Option("--format", help="md, json or html.")] = "md",
    out: Annotated[
        Path | None, typer.Option(help="Write it into this file; else it is printed.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print or write the report of a drill or of a run: Markdown, JSON, or one HTML page."""
    if format_ not in FORMATS:
        raise UsageError(f"There is no format {format_}.", hint=f"One of {', '.join(FORMATS)}.")
    console = Console(as_json=as_json)
    account = _in_hall(context, console, lambda hall: _account(hall, run_id), silence_s=SILENCE_S)
    document = dict(account.document)
    if out is not None:
        _write(out, _rendered(account, format_))
        console.say(f"Written: {out}")
        console.document({"written": str(out), "report": document})
    elif as_json or format_ == "json":
        print_json(document)
    else:
        typer.echo(visible(_rendered(account, format_)), nl=False)


async def _account(hall: Hall, run_id: str) -> Account:
    """A drill's id has `-drill-` in it; any other is a run's."""
    from farshore.control.runs import Runs
    from farshore.drill.account import of_drill, of_run

    runs = Runs(hall.plane.both)
    if "-drill-" in run_id:
        drill = await hall.cabinet.load(run_id)
        made = [await _if_there(runs, name) for name in drill.runs]
        return of_drill(drill, [one for one in made if one is not None])
    found = await runs.load(run_id)
    return of_run(found, hall.config.objectives.rpo_s)


async def _if_there(runs: Runs, name: str) -> Run | None:
    """A drill's report is whole without its runs: they add what was found later."""
    try:
        return await runs.load(name)
    except UsageError:
        return None


def _rendered(account: Account, form: str) -> str:
    import json

    from farshore.drill import html, markdown

    if form == "json":
        return json.dumps(dict(account.document), indent=2, ensure_ascii=False) + "\n"
    return html.page(account) if form == "html" else markdown.page(account)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.", hint="Name another file by --out."
        ) from None


def _in_hall(
    context: typer.Context,
    console: Console,
    work: Callable[[Hall], Coroutine[Any, Any, Result]],
    *,
    silence_s: float = 0.0,
) -> Result:
    """Do one piece of work with the hall of the configured pair."""
    from farshore.clock import SystemClock
    from farshore.drill.hall import open_hall

    config = load_config(context)

    async def at_work() -> Result:
        clock = SystemClock()
        async with open_hall(config, clock, console.note, silence_s=silence_s) as hall:
            return await work(hall)

    return run(at_work())


def _say(console: Console, ended: Drill) -> None:
    from farshore.drill.account import of_drill

    account = of_drill(ended)
    for name, value in account.measures:
        console.say(f"{name}: {value}")
    for note in ended.open_findings:
        console.say(f"Finding {note.number}: {note.text} ({note.owner})")
    why = f": {ended.aborted}" if ended.aborted else ""
    console.say(f"The drill {ended.id} {_WORDS[ended.verdict]}{why}.")
    console.say(f"Its report: farshore report {ended.id} --format html --out drill.html")


_WORDS = {
    "passed": "has passed",
    "failed": "has FAILED",
    "aborted": "was called off",
    "unfinished": "is not finished",
}
