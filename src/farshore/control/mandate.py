"""The right to copy: from the primary, under the epoch that stands, and not a moment longer.

Whoever writes replicas reads the control record first, brings the two sites into step, and
reads it again every few seconds. It stops when the epoch has risen, when another site is
primary, when the phase forbids copying, or when the record could not be read for too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

from farshore.clock import Clock
from farshore.control.lease import Sleep
from farshore.control.record import ControlPlane
from farshore.control.view import View, place_text, said
from farshore.core.roles import COPYING, PHASES
from farshore.errors import Corrupt, Refused, StateError, StoreError, Unreachable
from farshore.tasks import together

LOOK_EVERY_S = 5.0
"""How long a writer may work on under an epoch that has ended."""

LOGS_EVERY_LOOKS = 12
"""Audit logs are compared once a minute, and when a side is back."""

ALL_EVERY_LOOKS = 720
"""The whole logs once an hour: another process may have broken off in the middle of healing."""

UNSEEN_SECONDS_MAX = 30.0
"""A record that could not be read for so long may be another one by now."""


def require_mandate(view: View, source: str) -> int:
    """The epoch to copy from `source` under. `Refused` when the record does not allow it.

    `Unreachable` or `Corrupt` when nobody can tell.
    """
    _require_known(view)
    record = view.record
    if record.primary != source:
        raise Refused(
            f"{source} is not the primary: {record.primary} is, by {place_text(record)}, recorded "
            f"by {said(record)}. Nothing is copied from {source}.",
            hint="Run the command again: it then works in the recorded direction, once the phase "
            "allows it. `farshore status` shows where the pair stands.",
        )
    if record.phase not in COPYING:
        raise Refused(
            f"Nothing is copied while the pair is {record.phase.replace('_', ' ')} "
            f"({PHASES[record.phase]}), by {place_text(record)}, recorded by {said(record)}.",
            hint="See where the pair stands with `farshore status`, and who did what with "
            "`farshore audit list`.",
        )
    return record.epoch


def _require_known(view: View) -> None:
    for shown in view.shown:
        if shown.state == "newer":
            raise Refused(
                shown.trouble,
                hint="Use the newer farshore here too: pip install --upgrade farshore",
            )
    if not view.answering:
        why = "; ".join(f"{shown.site}: {shown.trouble}" for shown in view.shown)
        raise Unreachable(f"Who is primary cannot be read: {why}")
    if not view.written and any(shown.state == "damaged" for shown in view.shown):
        trouble = next(shown.trouble for shown in view.shown if shown.state == "damaged")
        raise Corrupt(
            f"Who is primary cannot be read: {trouble}",
            hint="Look at the object's older versions in the control bucket, and purge the damaged "
            "one.",
        )


@contextlib.asynccontextmanager
async def under_mandate(
    plane: ControlPlane, source: str, *, clock: Clock, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[int]:
    """Copy from `source` in the body, under the epoch that is given.

    The body is cancelled, and `Refused` raised, when the right to copy has ended. At the
    start, raises what `require_mandate` and `ControlPlane.heal` raise.
    """
    view = await plane.heal()
    epoch = require_mandate(view, source)
    async with together() as group:
        watcher = group.create_task(
            _watch(plane, source, epoch, clock, sleep, healed=_is_healed(view))
        )
        yield epoch
        watcher.cancel()


async def require_still(plane: ControlPlane, source: str, epoch: int) -> None:
    """`Refused` where the record says by now that the right to copy has ended: for what cannot
    wait for the next look. Nothing where no control bucket answers: `under_mandate` counts that."""
    view = await plane.peek()
    if view.answering:
        _require_same(view, source, epoch)


async def _watch(
    plane: ControlPlane, source: str, epoch: int, clock: Clock, sleep: Sleep, *, healed: bool
) -> None:
    """Look for ever; raises as soon as the right to copy has ended. `healed`: the last healing came
    to its end."""
    seen, whole = clock.monotonic(), True
    for looks in itertools.count(1):
        await sleep(LOOK_EVERY_S)
        view = await plane.peek()
        was_whole, whole = whole, len(view.answering) == len(view.shown)
        if view.answering:
            seen = clock.monotonic()
            _require_same(view, source, epoch)
            if whole:
                logs = not was_whole or looks % LOGS_EVERY_LOOKS == 0
                if (
                    not healed
                    or looks % ALL_EVERY_LOOKS == 0
                    or await _are_apart(plane, view, logs)
                ):
                    healed = await _heal(plane)
        elif clock.monotonic() - seen > UNSEEN_SECONDS_MAX:
            raise Refused(
                f"The control record could not be read for {UNSEEN_SECONDS_MAX:.0f} s: "
                f"{view.shown[0].trouble}",
                hint="Copying goes on when a control bucket answers again.",
            )


def _require_same(view: View, source: str, epoch: int) -> None:
    now = require_mandate(view, source)
    if now != epoch:
        record = view.record
        raise Refused(
            f"This work began under epoch {epoch}, and epoch {now} was begun by {said(record)}.",
            hint="Nothing is lost: run the command again; it works under the new epoch.",
        )


async def _are_apart(plane: ControlPlane, view: View, logs: bool) -> bool:
    """`logs`: a side that lacks audit entries alone counts, too: with them goes how runs stand,
    and a run that ended while a side was away would still be open there."""
    if logs and view.agree:
        view = await plane.read()
    return not view.in_step


async def _heal(plane: ControlPlane) -> bool:
    """A side that is back is brought up; whether that came to its end. What hinders it is shown by
    `farshore status`; the right to copy does not hang on it."""
    try:
        return _is_healed(await plane.heal())
    except (Refused, StoreError, StateError):
        return False


def _is_healed(view: View) -> bool:
    """It did not break off: then what it has not reached yet may be hidden beneath the record."""
    return view.in_step and len(view.answering) == len(view.shown)
