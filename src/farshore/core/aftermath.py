"""What a switch leaves to be done, one line each with its remedy, until it is closed. Pure.

    flip ──> run finished? ──> committed? ──> copied the other way? ──> proved ──> nothing open
              fence of the old side, rules set aside, divergent versions: open all the while

What is a risk by itself has a level and counts for the verdict; the rest is only told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from farshore.core.record import ControlRecord
from farshore.core.roles import PHASES, Phase
from farshore.core.runbook import Run
from farshore.core.words import at_text, counted

AFTER_FLIP: frozenset[Phase] = frozenset({"switched", "committed", "reprotecting"})
"""From the flip until the pair is protected again."""

HALF_WAY: frozenset[Phase] = frozenset({"frozen", "drained", "fenced", "given_up", "unknown"})
"""Phases that only a run under way should be in."""


STANDSTILL: dict[Phase, str] = {
    "given_up": "see `farshore runs`; the failover goes on with `farshore resume`",
    "switched": "`farshore commit`, then `farshore reprotect`",
    "committed": "`farshore reprotect`",
    "unknown": "see `farshore runs`, and `farshore resume` looks what stands",
}
"""Phases in which nothing is copied whoever runs, and what ends them."""


class Open(NamedTuple):
    """One thing to be done. `name` stays the same while numbers change; `level` is None for what
    is no risk; `text`: one sentence with its remedy."""

    name: str
    level: Literal["AT RISK", "NOT SAFE"] | None
    text: str


@dataclass(frozen=True, slots=True)
class SeenRuns:
    """`open`: the run that is not over; `flipped`: the last one that began to move clients."""

    open: Run | None = None
    flipped: Run | None = None


@dataclass(frozen=True, slots=True)
class Proved:
    """The last full verify the way the pair runs now. `divergent`: versions at the other side
    that nobody of ours wrote. Unix seconds."""

    began_at: float
    divergent: int = 0


NO_RUNS = SeenRuns()


def left_open(
    record: ControlRecord, other: str, runs: SeenRuns = NO_RUNS, proved: Proved | None = None
) -> tuple[Open, ...]:
    """Everything that is open. `other`: the site that is not primary."""
    after = record.phase in AFTER_FLIP
    return (
        *_run(runs.open),
        *_half_way(record, other, runs.open),
        *_roles(record, other, runs.flipped),
        *_fences(record, other),
        *(_divergent(record, other, runs.flipped, proved) if after else ()),
        *(_set_aside(runs.flipped) if after else ()),
    )


def _run(run: Run | None) -> Iterator[Open]:
    if run is None:
        return
    name = f"The {run.plan.verb} to {run.plan.target}, {run.id},"
    at = run.next_step()
    step = at.id if at else "its end"
    record = run.record_of(step)
    note = f" ({record.note.rstrip('.')})" if record and record.note else ""
    match run.state:
        case "failed":
            rest = f"failed at {step}{note}: `farshore resume {run.id}` goes on"
            yield Open(
                "run-failed", "AT RISK", f"{name} {rest}, `farshore abort {run.id}` ends it."
            )
        case "unknown":
            rest = f"does not know what became of {step}{note}: `farshore resume {run.id}`"
            yield Open("run-unknown", "AT RISK", f"{name} {rest} looks before it does anything.")
        case "running":
            rest = f"is at {step}, or was killed there: if nobody runs it any more,"
            yield Open("run-under-way", "AT RISK", f"{name} {rest} `farshore resume {run.id}`.")
        case "approved":
            rest = f"is approved and was not begun: `farshore resume {run.id}` begins it"
            yield Open("run-waits", None, f"{name} {rest}, `farshore abort {run.id}` ends it.")
        case _:
            rest = f"by {run.asked_by}, waits for a word: `farshore approve {run.id}`"
            yield Open("run-waits", None, f"{name} {rest}, or `farshore decline {run.id}`.")


def _half_way(record: ControlRecord, other: str, run: Run | None) -> Iterator[Open]:
    if run is not None:
        return
    if record.phase in HALF_WAY:
        text = (
            f"{record.primary} was left {record.phase.replace('_', ' ')} ({PHASES[record.phase]}), "
            f"and no run is open: see `farshore runs`; `farshore failover --to {other}` goes on "
            "from here."
        )
        yield Open("left-half-way", "AT RISK", text)
    if record.switch.under_way:
        wanted, by = record.switch.wanted, record.switch.by
        text = (
            f"A flip to {wanted} by {by} was begun and is not finished: `farshore switch show` "
            f"says how far it came, `farshore switch set {wanted}` goes on."
        )
        yield Open("flip-unfinished", "AT RISK", text)


def _roles(record: ControlRecord, other: str, flipped: Run | None) -> Iterator[Open]:
    primary = record.primary
    match record.phase:
        case "switched":
            at = record.switch.at
            since = f" since {at_text(at)}" if at else ""
            back = flipped is not None and flipped.plan.verb in ("switchover", "failback")
            way = ", or `farshore rollback` while nothing was written there" if back else ""
            text = (
                f"{primary} is primary{since}, not yet for good, and nothing is copied from it: "
                f"`farshore commit`{way}."
            )
            yield Open("uncommitted", "AT RISK", text)
        case "committed":
            text = (
                f"{primary} is primary and unprotected, nothing is copied to {other}: "
                f"`farshore reprotect`, once {other} answers."
            )
            yield Open("unprotected", "NOT SAFE", text)
        case "reprotecting":
            text = (
                f"{primary} is being copied to {other}, and nobody has proved yet that all of it "
                "is there: `farshore reprotect` again, when nothing waits."
            )
            yield Open("unproved", "AT RISK", text)


def _fences(record: ControlRecord, other: str) -> Iterator[Open]:
    """A fence that waits or does not bite has a reason of its own: `core.fenced`."""
    primary = record.primary
    fence = record.fence_of(other)
    if fence is not None and fence.state == "standing" and record.phase in AFTER_FLIP:
        text = (
            f"{other} is fenced, so that no client writes there: leave it so until the failback "
            f"takes the fence away; by hand, `farshore unfence {other}`."
        )
        yield Open("old-side-fenced", None, text)
    fence = record.fence_of(primary)
    if fence is not None and (record.phase == "protected" or record.phase in AFTER_FLIP):
        text = (
            f"{primary} is primary and fenced (by {fence.by}: {fence.why.rstrip('.')}), so clients "
            f"only read: `farshore unfence {primary}` lets them write."
        )
        yield Open("primary-fenced", "AT RISK", text)


def _divergent(
    record: ControlRecord, other: str, flipped: Run | None, proved: Proved | None
) -> Iterator[Open]:
    looked = proved is not None and proved.began_at > record.switch.at
    if looked and proved is not None and proved.divergent:
        versions = counted(proved.divergent, "version")
        text = (
            f"By the last verify {other} has {versions} that {record.primary} never got, and "
            "nobody has decided about: `farshore divergent list`, then keep or adopt."
        )
        yield Open("divergent", "AT RISK", text)
    elif not looked and flipped is not None and flipped.plan.verb == "failover":
        first = "`farshore commit`, then " if record.phase == "switched" else ""
        text = (
            f"Whether {other} has versions that {record.primary} never got was not looked at "
            f"since the failover: {first}`farshore divergent list`, once {other} answers."
        )
        yield Open("divergent-unknown", None, text)


def _set_aside(flipped: Run | None) -> Iterator[Open]:
    if flipped is None:
        return
    for one in flipped.plan.overrides:
        text = (
            f"The rule {one.rule} was set aside in {flipped.id} ({one.reason.rstrip('.')}): undo "
            "what is done by hand in its place, when the pair is protected again."
        )
        yield Open("set-aside", None, text)
