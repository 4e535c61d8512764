"""What runs say for people: the plan before, each step once, the end and what follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.cli.console import Console
from farshore.core.words import at_text, counted, duration_text

if TYPE_CHECKING:
    from farshore.core.runbook import Plan, Run


def say_plan(console: Console, planned: Run) -> None:
    """The steps, what may be lost, and what is set aside."""
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


SYNC_FIRST = (
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


class Steps:
    """Tells each step once, when it is made: among the results, or as progress with --json."""

    def __init__(self, console: Console) -> None:
        self._say = console.note if console.as_json else console.say
        self._told: set[str] = set()

    def __call__(self, text: str) -> None:
        """`STEP: what became of it`, as a runner tells it."""
        self._told.add(text.partition(":")[0])
        self._say(f"  {text}")

    def rest(self, ended: Run) -> None:
        """The steps that were made before, by another process."""
        for record in ended.steps:
            if record.id not in self._told:
                took = max(record.ended_at - record.began_at, 0.0)
                note = f", {record.note}" if record.note else ""
                self(f"{record.id}: {record.outcome or 'under way'} before, {took:.2f} s{note}")


def say_end(console: Console, ended: Run) -> None:
    """What has come of a run, and what follows; `Steps` has told the rest."""
    plan = ended.plan
    match ended.state:
        case "done" if plan.verb == "rollback":
            console.say(f"Done: {plan.target} is primary again, as before the switchover.")
        case "done":
            console.say(f"Done: {plan.target} is primary. Then: `farshore commit`.")
        case "planned":
            who = "Somebody else" if ended.two_persons else "Then"
            console.say(f"Planned as {ended.id}. {who}: `farshore approve {ended.id}`.")
        case "aborted":
            console.say(f"Aborted: {_why_aborted(ended)}. {plan.source} is primary, as before.")
        case _:
            console.say(f"{ended.id} is {ended.state}. `farshore resume {ended.id}` goes on.")


def _why_aborted(ended: Run) -> str:
    """Why, without the note of the step that failed: it stands beside that step."""
    failed = [record.id for record in ended.steps if record.outcome == "failed"]
    short = (f"{name} failed" for name in failed if ended.aborted.startswith(f"{name} failed: "))
    return next(short, ended.aborted)
