"""Two sites brought into step: the record that stands on both, the audit entries and runs of both.

Whoever finds them apart does it: the next change, `farshore run`, any writer at its start. It
can be done by several at once and be killed at any point: the record only ever rises, and an
entry stands in its place once.
"""

from __future__ import annotations

import contextlib

from farshore.clock import Clock
from farshore.control.both import BothSides, losing, new_token
from farshore.control.runs import Runs
from farshore.control.view import View, place_text
from farshore.core.chain import Draft, Entry
from farshore.core.record import ControlRecord
from farshore.errors import Precondition

TRIES_MAX = 6
"""How often it begins anew because others write at the same time."""

Moved = tuple[str, ControlRecord | None]
"""(what was done in one sentence, the record that stood there)."""


async def bring_into_step(both: BothSides, view: View, clock: Clock) -> View:
    """Both sites must answer. `SideLost` when one cannot be written after all."""
    for _ in range(TRIES_MAX):
        if view.in_step and await _logs_equal(both):
            break
        # Runs ahead of the log, whose difference tells that one site alone was written to.
        # The record ahead of the log: its head is what new entries are numbered behind, also at a
        # site whose disks were lost. But it hides what is missing beneath: who breaks off owes it.
        await Runs(both).level()
        with contextlib.suppress(Precondition):  # somebody else does it, too
            async with both.writing(view):
                moved = await _bring_up(both, view)
                await _exchange(both)
                for sentence, loser in moved:
                    await _note(both, clock, sentence, loser)
        view = await both.look()
        if len(view.answering) < len(view.shown):
            break
    return view


async def _bring_up(both: BothSides, view: View) -> list[Moved]:
    """Every site that does not show what stands is made to."""
    moved: list[Moved] = []
    for shown in view.shown if view.written else ():
        if shown.record is not None and shown.record.digest == view.record.digest:
            continue
        with losing(shown.site):
            await both.settle(view.record, shown)
        before = place_text(shown.record) if shown.record else f"a record that is {shown.state}"
        what = f"{shown.site} was brought from {before} to {place_text(view.record)}."
        moved.append((what, shown.record))
    return moved


async def _exchange(both: BothSides) -> None:
    """Copy the audit entries that one site has and the other lacks."""
    one, other = both.sites
    ours, theirs = await both.places(one), await both.places(other)
    for source, target, lacking in ((one, other, ours - theirs), (other, one, theirs - ours)):
        for place in sorted(lacking):
            with losing(source):
                entry = await both.log(source).read(place)
            if isinstance(entry, Entry):
                with losing(target):
                    await both.log(target).keep(entry)


async def _logs_equal(both: BothSides) -> bool:
    one, other = both.sites
    return await both.places(one) == await both.places(other)


async def _note(both: BothSides, clock: Clock, sentence: str, loser: ControlRecord | None) -> None:
    """Say in the log what was done, while the arbiter answers."""
    view = await both.look()
    if not view.of(view.arbiter).answers:
        return
    before = loser.to_json() if loser else None
    after = view.record.to_json()
    draft = Draft(
        clock.now(), "farshore", "heal", "result", sentence, new_token(), "ok", before, after
    )
    await both.append(view, view.arbiter, draft)
