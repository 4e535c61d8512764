"""What happens in one run: drawn from its seed, as data, so that it can be shortened."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

from farshore.testing.store.scripts import Rates
from tests.simulation.ground import LEVEL, Ground, ground_of
from tests.simulation.step import Step
from tests.simulation.weather import FAIR, Weather, weather_of

__all__ = ["Kind", "Plan", "Step", "plain_plan_of", "plan_of"]

Kind = Literal[
    "put", "multipart", "delete", "purge", "tag", "again",
    "kill", "kill and lose the journal", "stop", "jump", "away", "cut the feed",
    "disk full", "foreign", "empty", "power cut",
    "new bucket", "target emptied", "target bucket gone", "target lost",
]  # fmt: skip

Hints = Literal["in order", "late", "lossy"]

CLIENTS: list[Kind] = [
    *("put",) * 12, "multipart", "delete", "delete", "purge", "tag", "again",
]  # fmt: skip
TROUBLES: list[Kind] = [
    "kill", "kill", "kill and lose the journal", "stop", "jump", "away", "away", "cut the feed",
    "disk full",
]  # fmt: skip

STEPS_MAX = 45
TROUBLES_MAX = 5
LASTS_S = 40.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `deletes_count`: what the delete guard lets through within an hour."""

    seed: int
    steps: tuple[Step, ...]
    rates: Rates
    hints: Hints
    settles: Literal["durable", "applied"]
    conditions: bool
    sub_second: bool
    latency_s: float
    late_answers: float
    deletes_count: int
    remembered_max: int
    weather: Weather = FAIR
    ground: Ground = LEVEL

    def without(self, begin: int, end: int) -> Plan:
        """The same, some steps left out."""
        return replace(self, steps=self.steps[:begin] + self.steps[end:])

    def describe(self) -> str:
        """What else there is to it than steps, for people."""
        how = f"hints {self.hints}, {self.settles}, conditions {self.conditions}"
        return f"{how}, {self.rates}, {self.weather}, {self.ground}"

    @property
    def strict(self) -> bool:
        """Whether the feed tells everything in its time: the exposure is never understated."""
        return self.hints != "lossy"

    @property
    def names_all(self) -> bool:
        """Whether farshore is told the name of every version, sooner or later: no event is lost,
        and those of a lost journal are told again."""
        lost = any(step.kind == "kill and lose the journal" for step in self.steps)
        return self.strict and not (lost and self.settles == "durable")


def plan_of(seed: int) -> Plan:
    """What a seed stands for."""
    return on_ground(in_weather(plain_plan_of(seed)))


def on_ground(plan: Plan) -> Plan:
    """The same on the ground of its seed. Of that, new buckets and losses are steps."""
    ground, steps = ground_of(plan.seed, plan.steps[-1].at, CLIENTS)
    return replace(plan, steps=tuple(sorted([*plan.steps, *steps])), ground=ground)


def of_the_same_bytes(plan: Plan) -> Plan:
    """Clients write the same bytes again and again, and many a request arrives twice."""
    steps = (step._replace(kind="again") if step.kind == "put" else step for step in plan.steps)
    return replace(plan, steps=tuple(steps), conditions=True, weather=Weather(doubled=0.3))


def in_weather(plan: Plan) -> Plan:
    """The same with the weather of its seed. Of that, power cuts are steps."""
    rng = random.Random(f"power {plan.seed}")
    steps = list(plan.steps)
    for _ in range(rng.choice([0, 0, 0, 0, 1, 2])):
        at = rng.random() * plan.steps[-1].at
        steps.append(Step(at, "power cut", rng.choice(["east", "west"]), rng.randrange(10**6)))
    return replace(plan, steps=tuple(sorted(steps)), weather=weather_of(plan.seed))


def plain_plan_of(seed: int) -> Plan:
    """Without weather."""
    rng = random.Random(seed)
    keys = [f"{folder}{n}" for folder in ("", "d/", "d-e/") for n in range(rng.choice([1, 2, 5]))]
    span = rng.choice([2.0, 10.0, LASTS_S])
    steps = [
        Step(rng.random() * span, rng.choice(CLIENTS), rng.choice(keys), rng.randrange(10**6))
        for _ in range(rng.randrange(5, STEPS_MAX))
    ]
    for _ in range(rng.randrange(TROUBLES_MAX)):
        where = rng.choice(["east", "west"])
        at = rng.random() * span * 1.2
        steps.append(Step(at, rng.choice(TROUBLES), where, rng.randrange(10**6)))
    special = rng.choice(["", "", "", "foreign", "empty"])
    if special == "foreign":
        steps += [
            Step(rng.random() * span, "foreign", rng.choice(keys), rng.randrange(10**6))
            for _ in range(4)
        ]
    if special == "empty":
        steps.append(Step(span * 1.3, "empty", "", 0))
    rough = rng.choice([0.0, 0.0, 0.02, 0.08])
    conditions = special == "foreign" or rng.random() < 0.8
    return Plan(
        seed,
        tuple(sorted(steps)),
        _rates(rng, rough, servers_fail=special != "foreign"),
        rng.choice(["in order", "in order", "late", "lossy"]),
        rng.choice(["durable", "applied", "applied"]),
        conditions,
        rng.random() < 0.5,
        rng.choice([0.0, 0.005, 0.1, 0.6]),
        rough / 2 if conditions else 0.0,
        3 if special == "empty" else 10_000,
        rng.choice([1, 4, 4000]),
    )


def _rates(rng: random.Random, rough: float, *, servers_fail: bool) -> Rates:
    """A server that fails again and again is written to without conditions in the end: not
    where somebody else writes there, too."""

    def some() -> float:
        return rng.random() * rough

    failing = some() if servers_fail else 0.0
    return Rates(
        unreachable=some(),
        throttled=some(),
        server_fault_before=failing,
        server_fault_after=failing,
        lost_answer=some(),
        cut_body=some(),
        alter_body=some(),
    )
