"""The sheet of a drill: every step is timed and written down, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from farshore.clock import Clock
from farshore.core.drill import Drill, DrillStep, Measure, exceeded
from farshore.core.runbook import Outcome
from farshore.errors import FarshoreError, OutcomeUnknown

Told = Callable[[str], None]
Work = Callable[[], Awaitable[Mapping[str, Any]]]
"""Does one step and answers what was seen, as JSON values."""


class LeftOut(FarshoreError):
    """The step cannot be made here, and need not be: the message is the reason."""


class CalledOff(FarshoreError):
    """An abort criterion is met, or a step failed that the others rely on."""

    cause_word = "CalledOff"


class Sheet:
    """`drill` as it stands. `seen`: what the abort criteria are held against."""

    def __init__(self, drill: Drill, clock: Clock, told: Told) -> None:
        self.drill = drill
        self.seen: dict[Measure, float] = {}
        self._clock = clock
        self._told = told

    async def step(self, name: str, what: str, work: Work) -> bool:
        """Make one step; whether it stands. Errors of ours become its outcome,
        all but `CalledOff`, which ends the drill."""
        began = self._clock.now()
        note, evidence = "", dict[str, Any]()
        outcome: Outcome = "ok"
        off: CalledOff | None = None
        try:
            evidence = dict(await work())
        except CalledOff as error:
            outcome, note, off = "skipped", f"cut short: {error.message}", error
        except LeftOut as error:
            outcome, note = "skipped", error.message
        except OutcomeUnknown as error:
            outcome, note = "unknown", error.message
        except FarshoreError as error:
            outcome, note = "failed", f"{error.message} {error.hint}".strip()
        made = DrillStep(name, what, began, self._clock.now(), outcome, note, evidence=evidence)
        self.add(made)
        if off is not None:
            raise off
        return made.stands

    async def must(self, name: str, what: str, work: Work) -> None:
        """The same for a step that the following rely on. `CalledOff` when it does not stand, or
        when an abort criterion is met after it."""
        if not await self.step(name, what, work):
            raise CalledOff(f"{name} did not succeed.")
        self.require_within()

    def add(self, *steps: DrillStep, told: bool = False) -> None:
        """Write steps down that were made elsewhere. What failed is a finding, too. `told`: they
        were told when they were made."""
        for step in steps:
            self.drill = self.drill.stepped(step)
            note = f", {step.note}" if step.note else ""
            if not told:
                self._told(f"{step.id}: {step.outcome}, {step.seconds:.2f} s{note}")
            if not step.stands:
                self._find(f"{step.group} {step.id}: {step.note or step.outcome}".strip())

    def require_within(self) -> None:
        """`CalledOff` when an abort criterion is met."""
        self.seen["drill_s"] = self._clock.now() - self.drill.began_at
        if why := exceeded(self.drill.criteria, self.seen):
            raise CalledOff(why)

    def _find(self, text: str) -> None:
        who = self.drill.actors.get("asked", "nobody")
        self.drill = self.drill.noted(text, who, "farshore", self._clock.now())
