"""A flip that a person makes, recorded: what is wanted before, what became of it after.

    record: wanted = west ──> drivers, one by one ──> read back ──> record: active = west
            │                      └── partial: the record goes on to say what is wanted
            └── refused, nothing changed: the record takes the wish back

Killed at any place, the record and the drivers together tell how far it came, and the same
flip, made again, finishes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from farshore.clock import Clock
from farshore.core.record import ControlRecord, SwitchState
from farshore.errors import Refused
from farshore.faultpoints import reached
from farshore.switch.driver import SwitchDriver, SwitchError
from farshore.switch.epochs import note_epoch
from farshore.switch.flip import FlipPlan, PartialFlip, SwitchView, flip, survey

ACTION = "switch.set"


class Recorder(Protocol):
    """What a flip needs of the control plane: changes by compare-and-swap, audited."""

    async def change(
        self,
        decide: Callable[[ControlRecord], ControlRecord],
        *,
        by: str,
        why: str,
        action: str,
    ) -> ControlRecord:
        """`decide` gets the record that stands and answers the next one; it may raise `Refused`.
        `Refused` when somebody else changed the record meanwhile, with who and when."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants the flip, and why."""

    by: str
    why: str


def warnings(record: ControlRecord, to: str) -> list[str]:
    """What a person should know before clients go to `to`."""
    found: list[str] = []
    if to != record.primary:
        found.append(
            f"{to} is not the primary ({record.primary} is): what clients write to {to} is not "
            f"copied to {record.primary}."
        )
    if record.switch.under_way:
        found.append(
            f"a flip to {record.switch.wanted} by {record.switch.by} is not finished: drivers "
            f"that do not show it: {', '.join(record.switch.behind) or 'not known'}."
        )
    return found


def require_open(record: ControlRecord, to: str) -> None:
    """`Refused` when that site's storage refuses clients' writes, or is about to."""
    fence = record.fence_of(to)
    if fence is not None:
        raise Refused(
            f"{to} is fenced ({fence.state}, by {fence.by}: {fence.why}): clients that are sent "
            "there could not write.",
            hint=f"Take the fence away first, if it is safe: farshore unfence {to}",
        )


async def set_by_hand(
    recorder: Recorder,
    drivers: Sequence[SwitchDriver],
    plan: FlipPlan,
    order: Order,
    clock: Clock,
    told: Callable[[str], None] = lambda _: None,
) -> SwitchView:
    """Flip every driver to `plan.to`. Raises what `flip` raises, and `Refused`."""
    before = await survey(drivers)

    def wish(record: ControlRecord) -> ControlRecord:
        require_open(record, plan.to)
        return replace(record, switch=_wanted(record, plan.to, before, order, clock))

    await recorder.change(wish, by=order.by, why=order.why, action=ACTION)
    reached("switch.intended")
    try:
        view = await flip(drivers, plan, told)
    except PartialFlip as error:
        await _note(recorder, plan, order, error.shown)
        raise
    except (SwitchError, Refused):
        await _take_back(recorder, plan, order, before)
        raise
    reached("switch.applied")
    record = await _finish(recorder, plan, order, view)
    reached("switch.recorded")
    for trouble in await note_epoch(drivers, plan.to, record.epoch):
        told(trouble)
    return view


def _wanted(
    record: ControlRecord, to: str, view: SwitchView, order: Order, clock: Clock
) -> SwitchState:
    return SwitchState(
        active=view.site or record.switch.active,
        wanted=to,
        by=order.by,
        why=order.why,
        at=clock.now(),
        drivers=view.shown,
    )


async def _note(
    recorder: Recorder, plan: FlipPlan, order: Order, shown: tuple[tuple[str, str], ...]
) -> None:
    def partial(record: ControlRecord) -> ControlRecord:
        return replace(record, switch=replace(record.switch, drivers=shown))

    await recorder.change(partial, by=order.by, why=order.why, action=f"{ACTION}.partial")


async def _take_back(recorder: Recorder, plan: FlipPlan, order: Order, before: SwitchView) -> None:
    """Nothing was changed: clients go where they went."""

    def back(record: ControlRecord) -> ControlRecord:
        active = record.switch.active
        return replace(record, switch=replace(record.switch, wanted=active, drivers=before.shown))

    await recorder.change(back, by=order.by, why=order.why, action=f"{ACTION}.refused")


async def _finish(
    recorder: Recorder, plan: FlipPlan, order: Order, view: SwitchView
) -> ControlRecord:
    def done(record: ControlRecord) -> ControlRecord:
        switch = replace(record.switch, active=plan.to, wanted=plan.to, drivers=view.shown)
        return replace(record, switch=switch)

    return await recorder.change(done, by=order.by, why=order.why, action=f"{ACTION}.done")
