"""How a run ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol, Self

from tests.simulation.plan import Step


class AnyPlan(Protocol):
    """A run as data, of whatever story."""

    @property
    def seed(self) -> int: ...
    @property
    def steps(self) -> tuple[Step, ...]: ...

    def without(self, begin: int, end: int) -> Self:
        """The same, some steps left out."""
        ...

    def describe(self) -> str:
        """What else there is to it than steps, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. `broken`: the promise that was, or ""; `log`: what happened, in its order;
    `seen`: how often what happened."""

    plan: AnyPlan
    broken: str
    log: tuple[str, ...]
    checks: int
    seconds: float
    seen: Counter[str] = field(default_factory=Counter)
