"""Runbooks on the command line: plan, approve, run, resume, abort; switchover and failover."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.cli.orders import ByOption, WhyOption, author, reason, require_named
from farshore.cli.run_orders import Words, ordered
from farshore.cli.run_words import SYNC_FIRST, Steps, say_end, say_plan
from farshore.errors import UsageError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.core.runbook import Override, Run, Verb
    from farshore.runbook.desk import Desk, Wish

EXITS = {"done": 0, "planned": 0, "approved": 0, "declined": 0, "aborted": 1, "failed": 1}
"""How a run's state ends a command; anything else is 6: not known."""

WRITES = ("allow", "hold")

SHOWN_MAX = 50
"""Runs that `farshore runs` shows."""

ToOption = Annotated[str, typer.Option("--to", help="The site that shall be primary.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id; the open one without.")
]


@ordered()
def switchover(context: typer.Context, words: Words, to: ToOption = "") -> None:
    """Make the other site primary while both are up: nothing is lost.

    Freezes writes, waits until the other side has everything and proves it, fences the old
    side, sends clients over, tries the app's own path there, lets writes go on. Until it
    fences, a failure takes everything back. `farshore commit` follows.
    """
    _do(context, "switchover", words, to=to)


@ordered()
def failover(
    context: typer.Context,
    words: Words,
    to: ToOption,
    writes: Annotated[
        str, typer.Option(help="allow: clients write there at once; hold: they read only.")
    ] = "allow",
) -> None:
    """Make a site primary though the other is down or given up: shows what may be lost.

    Records that the old site is given up, fences it (now, or as soon as it answers), sends
    clients over, tries the app's own path there. It needs the surviving site alone.
    """
    if writes not in WRITES:
        raise UsageError(f"--writes {writes} is not offered.", hint="One of allow, hold.")
    _do(context, "failover", words, to=to, hold=writes == "hold")


@ordered()
def failback(context: typer.Context, words: Words) -> None:
    """Make the configured source primary again: a switchover in the other direction.

    Refused until the pair is protected the other way round: `farshore reprotect`.
    """
    _do(context, "failback", words, to=load_config(context).pair.source)


@ordered()
def rollback(context: typer.Context, words: Words) -> None:
    """Go back after a switchover, before the commit, while nothing was written at the new site.

    Refused when anything was: then commit, reprotect and failback keep what was written.
    """
    _do(context, "rollback", words)


PLANNED = ("switchover", "failover", "failback", "rollback")


@ordered(without=("approved_by", "confirm"))
def plan(
    context: typer.Context,
    words: Words,
    verb: Annotated[
        str,
        typer.Argument(metavar="RUNBOOK", help="One of switchover, failover, failback, rollback."),
    ],
    to: ToOption = "",
    writes: Annotated[
        str, typer.Option(help="After a failover: allow, or hold: clients read only.")
    ] = "allow",
) -> None:
    """Plan a run and keep it, without making it; `farshore approve` and `resume` follow.

    When it begins, it is planned again: what has changed meanwhile is refused.
    """
    if verb not in PLANNED or writes not in WRITES:
        raise UsageError(
            f"There is no runbook {verb} with --writes {writes}.",
            hint=f"One of {', '.join(PLANNED)}; --writes {' or '.join(WRITES)}.",
        )
    to = to or (load_config(context).pair.source if verb == "failback" else "")
    hold = verb == "failover" and writes == "hold"
    _do(context, cast("Verb", verb), replace(words, only_plan=True), to=to, hold=hold)


def _do(
    context: typer.Context, verb: Verb, words: Words, *, to: str = "", hold: bool = False
) -> None:
    config, console = load_config(context), Console(as_json=words.as_json)
    steps = Steps(console)
    ended = run(_plan_and_go(config, console, steps, verb, words, to=to, hold=hold))
    _end(console, steps, ended)


def _end(console: Console, steps: Steps, ended: Run) -> None:
    """Say what has come of it, and end the command as its state wants it."""
    steps.rest(ended)
    say_end(console, ended)
    console.document(ended.to_json())
    if code := EXITS.get(ended.state, 6):
        raise typer.Exit(code)


async def _plan_and_go(
    config: Config,
    console: Console,
    steps: Steps,
    verb: Verb,
    words: Words,
    *,
    to: str,
    hold: bool,
) -> Run:
    from farshore.clock import SystemClock
    from farshore.runbook.desk import open_desk

    async with open_desk(config, SystemClock(), steps) as desk:
        wish = await _wish(config, desk, console, verb, words, to=to, hold=hold)
        planned = await desk.plan(wish)
        say_plan(console, planned)
        if await desk.may_sync(planned):
            console.say(SYNC_FIRST.format(source=planned.plan.source))
        if not words.only_plan:
            require_named(console, wish.to, words.confirm, f"{wish.to} will be primary.")
        await desk.keep(planned)
        if words.only_plan:
            return planned
        await desk.approve(planned.id, words.approved_by, agreed=True, why=wish.why)
        return await desk.go(planned.id, words.by)


async def _wish(
    config: Config, desk: Desk, console: Console, verb: Verb, words: Words, *, to: str, hold: bool
) -> Wish:
    from farshore.runbook.desk import Wish

    to = to or await desk.other_site()
    config.site(to)
    why = reason(console, words.why)
    overrides = tuple(override(text) for text in words.override)
    return Wish(verb, to, words.by, why, hold, overrides, words.two_persons)


def override(text: str) -> Override:
    """`RULE=REASON` as a value. `UsageError` without a reason."""
    from farshore.core.runbook import Override

    rule, equals, why = text.partition("=")
    if not equals:
        raise UsageError(f"--override {text} has no reason.", hint="Write RULE=REASON.")
    return Override(rule.strip(), why.strip())


# -- runs that are there -------------------------------------------------------------


def approve(
    context: typer.Context,
    run_id: RunArgument = "",
    by: ByOption = "",
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Agree to a planned run, as it is planned; `farshore resume` begins it."""
    _word(context, run_id, author(by), why, agreed=True, as_json=as_json)


def decline(
    context: typer.Context,
    run_id: RunArgument = "",
    by: ByOption = "",
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Decline a planned run: it is over."""
    _word(context, run_id, author(by), why, agreed=False, as_json=as_json)


def _word(
    context: typer.Context, run_id: str, by: str, why: str, *, agreed: bool, as_json: bool
) -> None:
    console = Console(as_json=as_json)

    async def say(desk: Desk) -> Run:
        return await desk.approve(await _named(desk, run_id), by, agreed=agreed, why=why)

    ended = _at_desk(context, Steps(console), say)
    console.say(f"{ended.id} is {ended.state}.")
    if agreed:
        console.say(f"Begin it with `farshore resume {ended.id}`.")
    console.document(ended.to_json())


def go_on(context: typer.Context, run_id: str, by: str, *, as_json: bool) -> None:
    """Begin an approved run, or go on with one that stopped, failed or was killed."""
    console = Console(as_json=as_json)
    actor = author(by)

    async def go(desk: Desk) -> Run:
        return await desk.go(run_id, actor)

    steps = Steps(console)
    _end(console, steps, _at_desk(context, steps, go))


def abort(
    context: typer.Context,
    run_id: RunArgument = "",
    why: WhyOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """End a run. Before the flip was begun, what it did is taken back; after it, nothing is."""
    console = Console(as_json=as_json)
    actor, cause = author(by), reason(console, why)

    async def end(desk: Desk) -> Run:
        return await desk.abort(await _named(desk, run_id), actor, cause)

    ended = _at_desk(context, Steps(console), end)
    console.say(f"{ended.id} is {ended.state}: {ended.aborted}.")
    console.document(ended.to_json())


def runs(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the last 50 runs, the newest first, from whichever control bucket answers."""
    console = Console(as_json=as_json)

    async def listed(desk: Desk) -> list[Run]:
        return (await desk.runs.newest(SHOWN_MAX))[::-1]

    found = _at_desk(context, Steps(console), listed)
    console.table(
        ("run", "state", "asked by", "steps"),
        [(r.id, r.state, r.asked_by, f"{_standing(r)} of {len(r.plan.steps)}") for r in found],
    )
    if not found:
        console.say("There was no run yet.")
    console.document({"runs": [one.to_json() for one in found]})


def _standing(found: Run) -> int:
    return sum(record.stands for record in found.steps)


async def _named(desk: Desk, run_id: str) -> str:
    """The run that is meant: the named one, or the only open one."""
    if run_id:
        return run_id
    open_ = await desk.runs.open_runs()
    if len(open_) != 1:
        raise UsageError("No run is open.", hint="`farshore runs` lists them all.")
    return open_[0].id


def _at_desk(context: typer.Context, steps: Steps, work: Any) -> Any:
    """Run one piece of work at the desk of the configured pair."""
    from farshore.clock import SystemClock
    from farshore.runbook.desk import open_desk

    config = load_config(context)

    async def at_desk() -> Any:
        async with open_desk(config, SystemClock(), steps) as desk:
            return await work(desk)

    return run(at_desk())
