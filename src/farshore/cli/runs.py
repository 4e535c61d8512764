"""Runbooks on the command line: plan, approve, run, resume, abort; switchover and failover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.cli.orders import (
    ByOption,
    ConfirmOption,
    WhyOption,
    author,
    reason,
    require_named,
)
from farshore.core.words import at_text, counted, duration_text
from farshore.errors import UsageError

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.core.runbook import Override, Plan, Run, Verb
    from farshore.runbook.desk import Desk, Wish

EXITS = {"done": 0, "planned": 0, "approved": 0, "declined": 0, "aborted": 1, "failed": 1}
"""How a run's state ends a command; anything else is 6: not known."""

WRITES = ("allow", "hold")

ToOption = Annotated[str, typer.Option("--to", help="The site that shall be primary.")]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override", metavar="RULE=REASON", help="Set one safety rule aside; may be repeated."
    ),
]
TwoOption = Annotated[
    bool, typer.Option("--two-persons", help="Somebody else must approve; only plan for now.")
]
ApprovedByOption = Annotated[
    str, typer.Option("--approved-by", help="Who approved it, where that is somebody else.")
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id; the open one without.")
]


def switchover(
    context: typer.Context,
    to: ToOption = "",
    why: WhyOption = "",
    by: ByOption = "",
    approved_by: ApprovedByOption = "",
    confirm: ConfirmOption = "",
    override: OverrideOption = None,
    two_persons: TwoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the other site primary while both are up: nothing is lost.

    Freezes writes, waits until the other side has everything and proves it, fences the old
    side, sends clients over, tries the app's own path there, lets writes go on. Until it
    fences, a failure takes everything back. `farshore commit` follows.
    """
    words = _Words(to, why, by, approved_by, confirm, tuple(override or ()), two_persons)
    _do(context, "switchover", words, hold=False, as_json=as_json)


def failover(
    context: typer.Context,
    to: ToOption,
    writes: Annotated[
        str, typer.Option(help="allow: clients write there at once; hold: they read only.")
    ] = "allow",
    why: WhyOption = "",
    by: ByOption = "",
    approved_by: ApprovedByOption = "",
    confirm: ConfirmOption = "",
    override: OverrideOption = None,
    two_persons: TwoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a site primary though the other is down or given up: shows what may be lost.

    Records that the old site is given up, fences it (now, or as soon as it answers), sends
    clients over, tries the app's own path there. It needs the surviving site alone.
    """
    if writes not in WRITES:
        raise UsageError(f"--writes {writes} is not offered.", hint="One of allow, hold.")
    words = _Words(to, why, by, approved_by, confirm, tuple(override or ()), two_persons)
    _do(context, "failover", words, hold=writes == "hold", as_json=as_json)


def failback(
    context: typer.Context,
    why: WhyOption = "",
    by: ByOption = "",
    approved_by: ApprovedByOption = "",
    confirm: ConfirmOption = "",
    override: OverrideOption = None,
    two_persons: TwoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the configured source primary again: a switchover in the other direction.

    Refused until the pair is protected the other way round: `farshore reprotect`.
    """
    home = load_config(context).pair.source
    words = _Words(home, why, by, approved_by, confirm, tuple(override or ()), two_persons)
    _do(context, "failback", words, hold=False, as_json=as_json)


def rollback(
    context: typer.Context,
    why: WhyOption = "",
    by: ByOption = "",
    approved_by: ApprovedByOption = "",
    confirm: ConfirmOption = "",
    override: OverrideOption = None,
    two_persons: TwoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go back after a switchover, before the commit, while nothing was written at the new site.

    Refused when anything was: then commit, reprotect and failback keep what was written.
    """
    words = _Words("", why, by, approved_by, confirm, tuple(override or ()), two_persons)
    _do(context, "rollback", words, hold=False, as_json=as_json)


PLANNED = ("switchover", "failover", "failback", "rollback")


def plan(
    context: typer.Context,
    verb: Annotated[
        str,
        typer.Argument(metavar="RUNBOOK", help="One of switchover, failover, failback, rollback."),
    ],
    to: ToOption = "",
    writes: Annotated[
        str, typer.Option(help="After a failover: allow, or hold: clients read only.")
    ] = "allow",
    why: WhyOption = "",
    by: ByOption = "",
    override: OverrideOption = None,
    two_persons: TwoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Plan a run and keep it, without making it; `farshore approve` and `resume` follow.

    When it begins, it is planned again: what has changed meanwhile is refused.
    """
    if verb not in PLANNED or writes not in WRITES:
        raise UsageError(
            f"There is no runbook {verb} with --writes {writes}.",
            hint=f"One of {', '.join(PLANNED)}; --writes {' or '.join(WRITES)}.",
        )
    home = load_config(context).pair.source if verb == "failback" else ""
    words = _Words(to or home, why, by, "", "", tuple(override or ()), two_persons, only_plan=True)
    hold = verb == "failover" and writes == "hold"
    _do(context, cast("Verb", verb), words, hold=hold, as_json=as_json)


class _Words:
    """What the person said on the command line."""

    def __init__(
        self,
        to: str,
        why: str,
        by: str,
        approved_by: str,
        confirm: str,
        override: tuple[str, ...],
        two_persons: bool,
        *,
        only_plan: bool = False,
    ) -> None:
        self.only_plan = only_plan or two_persons
        self.to = to
        self.why = why
        self.by = author(by)
        self.approved_by = approved_by or self.by
        self.confirm = confirm
        self.override = override
        self.two_persons = two_persons


def _do(context: typer.Context, verb: Verb, words: _Words, *, hold: bool, as_json: bool) -> None:
    config = load_config(context)
    console = Console(as_json=as_json)
    ended = run(_plan_and_go(config, console, verb, words, hold=hold))
    _say_end(console, ended)
    console.document(ended.to_json())
    if code := EXITS.get(ended.state, 6):
        raise typer.Exit(code)


async def _plan_and_go(
    config: Config, console: Console, verb: Verb, words: _Words, *, hold: bool
) -> Run:
    from farshore.clock import SystemClock
    from farshore.runbook.desk import open_desk

    async with open_desk(config, SystemClock(), console.note) as desk:
        wish = await _wish(config, desk, console, verb, words, hold=hold)
        planned = await desk.plan(wish)
        _say_plan(console, planned)
        if await desk.may_sync(planned):
            console.say(_SYNC.format(source=planned.plan.source))
        if not words.only_plan:
            require_named(console, wish.to, words.confirm, f"{wish.to} will be primary.")
        await desk.keep(planned)
        if words.only_plan:
            return planned
        await desk.approve(planned.id, words.approved_by, agreed=True, why=wish.why)
        return await desk.go(planned.id, words.by)


async def _wish(
    config: Config, desk: Desk, console: Console, verb: Verb, words: _Words, *, hold: bool
) -> Wish:
    from farshore.runbook.desk import Wish

    to = words.to or await desk.other_site()
    config.site(to)
    return Wish(
        verb,
        to,
        words.by,
        reason(console, words.why),
        hold,
        tuple(override(text) for text in words.override),
        words.two_persons,
    )


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

    ended = _at_desk(context, console, say)
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

    ended = _at_desk(context, console, go)
    _say_end(console, ended)
    console.document(ended.to_json())
    if code := EXITS.get(ended.state, 6):
        raise typer.Exit(code)


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

    ended = _at_desk(context, console, end)
    console.say(f"{ended.id} is {ended.state}: {ended.aborted}.")
    console.document(ended.to_json())


def runs(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the runs, the newest first, from whichever control bucket answers."""
    console = Console(as_json=as_json)

    async def listed(desk: Desk) -> list[Run]:
        return [await desk.runs.load(name) for name in reversed(await desk.runs.ids())]

    found = _at_desk(context, console, listed)
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


def _at_desk(context: typer.Context, console: Console, work: Any) -> Any:
    """Run one piece of work at the desk of the configured pair."""
    from farshore.clock import SystemClock
    from farshore.runbook.desk import open_desk

    config = load_config(context)

    async def at_desk() -> Any:
        async with open_desk(config, SystemClock(), console.note) as desk:
            return await work(desk)

    return run(at_desk())


# -- words ---------------------------------------------------------------------------


def _say_plan(console: Console, planned: Run) -> None:
    plan = planned.plan
    console.say(f"{plan.verb}: {plan.source} → {plan.target} (plan {plan.digest})")
    for number, step in enumerate(plan.steps, 1):
        console.say(f"{number:3}. {step.what}")
    for line in _loss(plan):
        console.say(line)
    if plan.verb == "failover":
        how = "hold: clients read only" if plan.writes == "hold" else "clients write there at once"
        console.say(f"Writes at {plan.target}: {how}.")
    for one in plan.overrides:
        console.say(f"Set aside: {one.rule} ({one.reason}).")


_SYNC = (
    "{source} still answers: what matters most can be copied first, by `farshore sync PREFIX`; "
    "then run this again. What matters are the seconds: nobody has to."
)


def _loss(plan: Plan) -> list[str]:
    """What may be lost, and what is known to be missing."""
    shown, failover = plan.shown, plan.verb == "failover"
    if shown.watermark is None:
        if failover:
            said = f"What may be lost with {plan.source} is NOT KNOWN"
            return [f"{said}: no daemon has told a watermark."]
        return [f"How far {plan.target} is behind is not known: no daemon has told a watermark."]
    lines = [f"Everything up to {at_text(shown.watermark)} is at {plan.target}."]
    if failover:
        since = duration_text(shown.exposure_s or 0.0)
        lines.append(
            f"What was written at {plan.source} in the {since} since may be missing there."
        )
    if shown.missing_versions:
        known = counted(shown.missing_versions, "key")
        size = f"about {shown.missing_bytes or 0:,} bytes"
        lines.append(f"Known to be missing: {known}, {size}{':' if shown.known_missing else '.'}")
        lines += [f"  {name}" for name in shown.known_missing]
        if 0 < len(shown.known_missing) < shown.missing_versions:
            lines.append("  and more: `farshore backlog list`")
    return lines


def _say_end(console: Console, ended: Run) -> None:
    plan = ended.plan
    for record in ended.steps:
        took = max(record.ended_at - record.began_at, 0.0)
        note = f"  {record.note}" if record.note else ""
        console.say(f"  {record.id:<10} {record.outcome or 'under way':<9} {took:6.2f} s{note}")
    match ended.state:
        case "done" if plan.verb == "rollback":
            console.say(f"Done: {plan.target} is primary again, as before the switchover.")
        case "done":
            console.say(f"Done: {plan.target} is primary. Then: `farshore commit`.")
        case "planned":
            who = "Somebody else" if ended.two_persons else "Then"
            console.say(f"Planned as {ended.id}. {who}: `farshore approve {ended.id}`.")
        case "aborted":
            console.say(f"Aborted: {ended.aborted}. {plan.source} is primary, as before.")
        case _:
            console.say(f"{ended.id} is {ended.state}. `farshore resume {ended.id}` goes on.")
