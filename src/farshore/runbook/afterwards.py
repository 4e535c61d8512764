"""After a flip: commit it, copy the other way, and be protected again.

    switched ──commit──> committed ──reprotect──> reprotecting ──verified──> protected (turned)

Nothing touches the losing side before the commit. Copying the other way only appends to it;
what that side alone has stays there, is listed, and is for a person to decide about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from farshore.clock import Clock
from farshore.config import Config
from farshore.config.facing import facing
from farshore.control.record import ControlPlane
from farshore.core.record import ControlRecord
from farshore.errors import Refused
from farshore.proof.pair import prove_pair
from farshore.proof.recorded import record_proof
from farshore.proof.verify import Proof
from farshore.runbook.found_later import Reading, add_finding


@dataclass(frozen=True, slots=True)
class Order:
    """Who, and why."""

    by: str
    why: str


async def commit(plane: ControlPlane, order: Order) -> ControlRecord:
    """The switch is final. `Refused` when nothing was switched, or a flip is not finished."""

    def final(record: ControlRecord) -> ControlRecord:
        if record.switch.under_way:
            raise Refused(
                f"A flip to {record.switch.wanted} is not finished: there is nothing to commit.",
                hint="See `farshore switch show`, and `farshore runs`.",
            )
        return record.stepped("commit")

    return await plane.change(final, by=order.by, why=order.why, action="commit")


async def reprotect(plane: ControlPlane, order: Order) -> ControlRecord:
    """Copying from the new primary to the old one begins: `farshore run` turns round."""

    def turn(record: ControlRecord) -> ControlRecord:
        return record if record.phase == "reprotecting" else record.stepped("reprotect")

    return await plane.change(turn, by=order.by, why=order.why, action="reprotect")


class Proved(NamedTuple):
    """The control record as it stands then, and what was read. `trouble`: why what was read
    could not be recorded for `farshore status` or the run's report, "" when it was."""

    record: ControlRecord
    proof: Proof
    trouble: str


async def prove_protected(
    config: Config, plane: ControlPlane, clock: Clock, order: Order
) -> Proved:
    """Read both sides from the new primary; without a difference, the pair is protected. What
    was found is recorded as `farshore verify` does, differences, too."""
    record = (await plane.read()).record
    if record.phase != "reprotecting":
        raise Refused(
            f"The pair is {record.phase.replace('_', ' ')}: there is nothing to prove for it.",
            hint="`farshore commit`, then `farshore reprotect`.",
        )
    faced, began_at = facing(config, record.primary), clock.now()
    proof = await prove_pair(faced, clock)
    trouble = await record_proof(faced, clock, proof, deep=False, began_at=began_at)
    reading = Reading(began_at, order.by, "reprotect", tuple(proof.foreign), proof.versions)
    unsaid = await add_finding(faced, plane, clock, reading)
    trouble = " ".join(text for text in (trouble, unsaid) if text)
    if proof.differences:
        return Proved(record, proof, trouble)
    proved = await plane.change(
        lambda r: r.stepped("protect"), by=order.by, why=order.why, action="protect"
    )
    return Proved(proved, proof, trouble)
