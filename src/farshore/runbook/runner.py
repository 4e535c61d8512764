"""The runner: one step after the other, each recorded before and after. It may die anywhere.

    record the intent ──> look, act, look ──> record the outcome ──> the next step
          run.intended             run.acted               run.recorded

Both are recorded twice: in the run's document, by which anybody goes on, and in the audit log:
there the result of a step and the intent of the next one are written at once, before that step
does anything. Who is killed between leaves an intent that `audit list` shows as answered later.

Going on after a kill is the same loop: a step whose outcome stands is passed over, one that
was begun is looked at first. Before the point of no return a failed step takes back what was
done, in reverse, and the run ends as aborted. From that point on nothing is ever taken back by
itself: the run stops where it is, writes stay frozen or fenced, and a person decides.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from farshore.clock import Clock
from farshore.control.both import new_token
from farshore.core.chain import Draft, Entry
from farshore.core.runbook import Outcome, Run
from farshore.errors import FarshoreError, OutcomeUnknown
from farshore.faultpoints import reached
from farshore.runbook.step import Found, Step, StepFailed, StepUnknown
from farshore.switch.driver import SwitchUnknown

LAPSES_MAX = 5
"""How often steps that lapsed are made again before the run stops as failed."""

Told = Callable[[str], None]


class RunStore(Protocol):
    """Where runs are kept: in both control buckets, replaced by compare-and-swap."""

    async def save(self, run: Run) -> None:
        """Replace the run's document. `Refused` when somebody else has changed it since it was
        read; done when one side at least has it."""
        ...


class Audit(Protocol):
    """The audit log of both control buckets."""

    async def enter(self, *drafts: Draft) -> Sequence[Entry]:
        """Append entries in this order; a result has the token of its intent. See
        `ControlPlane.enter`."""
        ...


class Runner:
    """Makes the steps of one run. `steps` in the order of the plan.

    `no_return`: the id of the first step after whose beginning nothing is taken back.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        store: RunStore,
        audit: Audit,
        clock: Clock,
        by: str,
        no_return: str,
        told: Told = lambda _: None,
    ) -> None:
        self._steps = {step.id: step for step in steps}
        self._order = [step.id for step in steps]
        self._store = store
        self._audit = audit
        self._clock = clock
        self._by = by
        self._no_return = no_return
        self._told = told
        self._lapses = 0
        self._owed: Draft | None = None  # the result of the step that was made last

    async def go(self, run: Run) -> Run:
        """Make what is left. Answers the run as it stands then: done, failed, unknown, aborted."""
        try:
            ended = await self._go(run)
        except FarshoreError:
            with contextlib.suppress(FarshoreError):  # its own error is what is told
                await self._enter()
            raise
        await self._enter()
        return ended

    async def _go(self, run: Run) -> Run:
        while True:
            run = await self._relook(run)
            following = run.next_step()
            if following is None or run.aborted:
                return run
            run = await self._make(run, self._steps[following.id])
            if run.state == "failed" and not run.was_begun(self._no_return):
                return await self.abort(run, f"{following.id} failed: {_note(run, following.id)}")
            if run.state in ("failed", "unknown"):
                return run

    async def abort(self, run: Run, why: str) -> Run:
        """Take back what was done, the last first, and end the run. Not after the point of no
        return: then it only ends, and what stands stands.

        Until all is taken back no step counts as made: should this break off, whoever goes on with
        the run looks at each of them again."""
        intent = self._draft("abort", f"{run.id}: {why}")
        if not run.began_at or run.was_begun(self._no_return):
            await self._enter(intent)
        else:
            in_doubt = run.lapsed(self._order, "it was being taken back")
            await _both(self._store.save(in_doubt), self._enter(intent))
            for name in reversed(self._order):
                if run.was_begun(name):
                    await self._undone(run, name)
                    reached("run.undone")
                    self._told(f"{name}: taken back")
        ended = run.abort(self._clock.now(), why)
        said = f"{run.id} is aborted"
        await _both(self._store.save(ended), self._enter(self._result(intent, said, "ok")))
        return ended

    async def _undone(self, run: Run, name: str) -> None:
        """Take one step back. `StepUnknown` when that fails: the run stays open."""
        try:
            await self._steps[name].undo()
        except FarshoreError as error:
            raise StepUnknown(
                f"{name} could not be taken back: {error.message}",
                hint=f"{error.hint} Then `farshore abort {run.id}` goes on taking back.".strip(),
            ) from error

    async def _relook(self, run: Run) -> Run:
        """Steps that lapse are looked at again until nothing relies on them any more."""
        if run.was_begun(self._no_return):
            return run
        lapsing = [name for name in self._order if self._steps[name].lapses]
        for at, name in enumerate(lapsing):
            record = run.record_of(name)
            if record is None or not record.stands:
                continue
            found = await self._look(self._steps[name])
            if found.done:
                continue
            self._lapses += 1
            if self._lapses > LAPSES_MAX:
                return await self._stopped(run, name, found)
            again = run.lapsed(lapsing[at:], found.note or "it held no more")
            await self._store.save(again)
            self._told(f"{name}: {found.note or 'it holds no more'}; once more")
            return again
        return run

    async def _stopped(self, run: Run, name: str, found: Found) -> Run:
        """It does not hold for long enough: the step fails for good."""
        again = run.lapsed([name], found.note).step_begun(name, self._clock.now(), self._by)
        note = f"it did not hold, {LAPSES_MAX} times: {found.note}"
        ended = again.step_ended(name, "failed", self._clock.now(), note)
        await self._store.save(ended)
        return await self.abort(ended, note)

    async def _make(self, run: Run, step: Step) -> Run:
        run = run.step_begun(step.id, self._clock.now(), self._by)
        intent = self._draft(f"step.{step.id}", f"{run.id}: {step.what}")
        await _both(self._store.save(run), self._enter(intent))
        reached("run.intended")
        outcome, found = await self._tried(step)
        reached("run.acted")
        run = run.step_ended(step.id, outcome, self._clock.now(), found.note, found.evidence)
        said = f"{step.id}: {outcome}{f', {found.note}' if found.note else ''}"
        self._owed = self._result(intent, f"{run.id}: {said}", outcome)
        await self._store.save(run)
        reached("run.recorded")
        self._told(_told_text(run, step.id))
        return run

    def _draft(self, action: str, what: str) -> Draft:
        return Draft(self._clock.now(), self._by, action, "intent", what, new_token())

    def _result(self, intent: Draft, what: str, outcome: Outcome) -> Draft:
        now = self._clock.now()
        return replace(intent, at=now, kind="result", what=what, outcome=outcome)

    async def _enter(self, *drafts: Draft) -> None:
        """Into the audit log, behind the result that is owed."""
        owed = (self._owed,) if self._owed is not None else ()
        if owed or drafts:
            await self._audit.enter(*owed, *drafts)
            self._owed = None

    async def _tried(self, step: Step) -> tuple[Outcome, Found]:
        found = await self._look(step)
        if found.done is None:
            return "unknown", _said(found, "it cannot be told what holds")
        if found.done:
            return "ok", found
        try:
            await step.act()
        except (StepUnknown, OutcomeUnknown, SwitchUnknown) as error:
            after = await self._look(step)
            return ("ok", after) if after.done else ("unknown", Found(None, str(error)))
        except StepFailed as error:
            return "failed", Found(False, str(error), error.evidence)
        except FarshoreError as error:
            return "failed", Found(False, str(error))
        after = await self._look(step)
        if after.done is None:
            return "unknown", _said(after, "it was done, and cannot be read back")
        return ("ok", after) if after.done else ("failed", _said(after, "it does not show"))

    async def _look(self, step: Step) -> Found:
        """A look that ends in an error tells nothing."""
        try:
            return await step.look()
        except FarshoreError as error:
            return Found(None, str(error))


async def _both(saving: Awaitable[None], noting: Awaitable[None]) -> None:
    """Both at once, and both to their end; then the error of either."""
    for result in await asyncio.gather(saving, noting, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _said(found: Found, otherwise: str) -> Found:
    return found if found.note else found._replace(note=otherwise)


def _told_text(run: Run, step: str) -> str:
    """`STEP: OUTCOME, SECONDS, NOTE`, for people."""
    record = run.record_of(step)
    assert record is not None
    took = max(record.ended_at - record.began_at, 0.0)
    return f"{step}: {record.outcome}, {took:.2f} s{f', {record.note}' if record.note else ''}"


def _note(run: Run, step: str) -> str:
    record = run.record_of(step)
    return record.note if record else ""
