"""A freeze that a person asks for, recorded; it ends at its limit whatever becomes of us.

    record: frozen until T ──> proxies answer 503 until T ──> drain ──> (thaw, or T is here)

The record's `until` and the proxies' are the same moment: after it both are void.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from farshore.clock import Clock
from farshore.core.record import ControlRecord, Freeze
from farshore.errors import Refused
from farshore.faultpoints import reached
from farshore.switch import freezing
from farshore.switch.by_hand import Order, Recorder
from farshore.switch.driver import SwitchDriver, SwitchError, SwitchUnknown
from farshore.switch.freezing import Drained, require_freezers

Sleep = Callable[[float], Awaitable[None]]


async def freeze_by_hand(
    recorder: Recorder,
    drivers: Sequence[SwitchDriver],
    seconds: float,
    order: Order,
    clock: Clock,
    sleep: Sleep = asyncio.sleep,
) -> tuple[ControlRecord, Drained]:
    """Freeze every proxy for `seconds`, and wait until no write is in flight.

    `Refused` while somebody else's freeze holds; `SwitchError` when a proxy cannot be frozen:
    then all are thawed, and the record says so.
    """
    proxies = require_freezers(drivers)
    until = clock.now() + seconds

    def begin(record: ControlRecord) -> ControlRecord:
        held = holding(record, clock.now())
        if held is not None and held.by != order.by:
            raise Refused(
                f"Writes are frozen already, by {held.by}: {held.why}.",
                hint="Wait until it ends by itself, or ask them; `farshore thaw` ends it.",
            )
        return replace(record, freeze=Freeze(clock.now(), until, order.by, order.why))

    record = await recorder.change(begin, by=order.by, why=order.why, action="freeze")
    reached("freeze.recorded")
    try:
        await freezing.freeze(proxies, until)
    except SwitchUnknown:
        raise  # it ends by itself at `until`; the record says so
    except SwitchError:
        await recorder.change(_ended, by=order.by, why="not frozen", action="freeze.refused")
        raise
    drained = await freezing.drain(proxies, record.switch.active, until, clock, sleep)
    return record, drained


async def thaw_by_hand(
    recorder: Recorder, drivers: Sequence[SwitchDriver], order: Order, clock: Clock
) -> bool:
    """Let writes through again; answers whether a freeze held."""
    held: list[bool] = []

    def end(record: ControlRecord) -> ControlRecord:
        held.append(holding(record, clock.now()) is not None)
        return _ended(record)

    await freezing.thaw(require_freezers(drivers))
    await recorder.change(end, by=order.by, why=order.why, action="thaw")
    return held[-1]


def holding(record: ControlRecord, now: float) -> Freeze | None:
    """The freeze that holds now; None where there is none, or it has ended by itself."""
    freeze = record.freeze
    return freeze if freeze is not None and freeze.until > now else None


def _ended(record: ControlRecord) -> ControlRecord:
    return replace(record, freeze=None)
