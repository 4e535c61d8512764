"""The runbooks: which steps, in which order, and from which one on nothing is taken back.

switchover   preflight, freeze, drain, catch up, fence old, last look
             | flip, open new, probe, thaw, front
failback     as switchover, and clear
failover     preflight, give up, fence old (pending is enough) | flip, open new, probe, thaw, front
… held       preflight, give up, fence old, fence new | flip, thaw
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from farshore.core.roles import Phase
from farshore.core.runbook import Override, Plan, Shown, StepPlan, Verb
from farshore.errors import UsageError
from farshore.runbook.caught_up import CatchUp
from farshore.runbook.cleared import Cleared
from farshore.runbook.flipped import Flip
from farshore.runbook.given_up import GiveUp, HoldWrites
from farshore.runbook.ground import Ground
from farshore.runbook.guarded import FenceOld, OpenNew
from farshore.runbook.last_look import LastLook
from farshore.runbook.preflight import RULES, Preflight
from farshore.runbook.probed import Probe
from farshore.runbook.quiet import Drain, FreezeWrites, Thaw
from farshore.runbook.rollback import Quiet, Unwritten
from farshore.runbook.step import Step
from farshore.switch.flip import plan_flip

NO_RETURN = "flip"
"""From the beginning of this step on nothing is taken back by itself."""

FENCE = "fence"
"""The one rule whose override changes a step: a site that has no way to be fenced."""

FAILOVER_RULES = ("record", "backends", FENCE)
"""What a failover can insist on: it depends on the surviving side alone."""


class Book(NamedTuple):
    """A runbook with its steps, ready to be run or planned."""

    verb: Verb
    steps: tuple[Step, ...]


def switchover(
    ground: Ground, overridden: frozenset[str] = frozenset(), *, found: tuple[str, ...] = ()
) -> Book:
    """Both sides are up; nothing is lost. `found`: as in `LastLook`."""
    return Book(
        "switchover",
        (
            Preflight(ground, overridden=overridden),
            FreezeWrites(ground),
            Drain(ground),
            CatchUp(ground),
            FenceOld(ground, optional=FENCE in overridden),
            LastLook(ground, found),
            Flip(ground),
            OpenNew(ground),
            Probe(ground),
            Thaw(ground),
            Probe(ground, through_front=True, id="front"),
        ),
    )


def failback(
    ground: Ground, overridden: frozenset[str] = frozenset(), *, found: tuple[str, ...] = ()
) -> Book:
    """A switchover home; at its end nothing temporary is left, on either side."""
    return Book("failback", (*switchover(ground, overridden, found=found).steps, Cleared(ground)))


def failover(ground: Ground, *, hold: bool, overridden: frozenset[str] = frozenset()) -> Book:
    """The old site is down or given up. `hold`: clients may read, and must not write yet."""
    preflight = Preflight(
        ground, FAILOVER_RULES, FAILOVER_PHASES, one_side_is_enough=True, overridden=overridden
    )
    fence = FenceOld(ground, pending_is_enough=True, optional=FENCE in overridden)
    begin = (preflight, GiveUp(ground), fence)
    if hold:
        return Book("failover", (*begin, HoldWrites(ground), Flip(ground), Thaw(ground)))
    front = Probe(ground, through_front=True, id="front")
    after = (Flip(ground), OpenNew(ground), Probe(ground), Thaw(ground), front)
    return Book("failover", (*begin, *after))


def rollback(ground: Ground, overridden: frozenset[str] = frozenset()) -> Book:
    """Back to the site that was left, before the commit, while nothing was written here."""
    rules = ("sites", "record", "switch", "backends", "fence")
    return Book(
        "rollback",
        (
            Preflight(ground, rules, ("switched",), overridden=overridden),
            Quiet(ground),
            Unwritten(ground),
            FenceOld(ground, is_event=False),
            Unwritten(ground, behind_fence=True, id="last_look"),
            Flip(ground, event="roll_back"),
            OpenNew(ground),
            Probe(ground),
            Thaw(ground),
            Probe(ground, through_front=True, id="front"),
            Cleared(ground),
        ),
    )


FAILOVER_PHASES: tuple[Phase, ...] = (
    "protected",
    "frozen",
    "drained",
    "fenced",
    "given_up",
    "committed",
    "reprotecting",
)
"""A switchover that stopped half way may become a failover."""


async def planned(
    ground: Ground, book: Book, shown: Shown, overrides: Sequence[Override] = (), *, hold: bool
) -> Plan:
    """The plan of a runbook as things stand now. `SwitchError` when the switch cannot be asked."""
    view = await ground.plane.read()
    flip = await plan_flip(ground.drivers, ground.new)
    return Plan(
        verb=book.verb,
        pair=view.pair,
        source=ground.old,
        target=ground.new,
        epoch=view.record.epoch,
        switch=flip.digest,
        steps=tuple(StepPlan(step.id, step.what) for step in book.steps),
        shown=shown,
        writes="hold" if hold else "allow",
        overrides=tuple(overrides),
    )


def require_known(overrides: Sequence[Override]) -> frozenset[str]:
    """The names of the rules that are set aside. `UsageError` for one that there is not."""
    for override in overrides:
        if override.rule not in RULES:
            raise UsageError(
                f"There is no rule {override.rule}.", hint=f"The rules: {', '.join(RULES)}."
            )
        if not override.reason.strip():
            raise UsageError(f"An override needs a reason: --override {override.rule}=REASON")
    return frozenset(override.rule for override in overrides)
