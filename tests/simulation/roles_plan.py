"""What happens in one run about roles: what people do, what clients write, what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

from farshore.testing.store.scripts import Rates
from tests.simulation.plan import Step
from tests.simulation.weather import FAIR, ROUGH_SHARE, Weather, weather_of

Deed = Literal[
    "switchover", "failover", "failover, writes held", "failback", "rollback", "settle", "allow",
    "lose", "lose for good", "cut off", "wait",
]  # fmt: skip

CLIENTS = [*("put",) * 8, "delete", *("stuck put",) * 3, "stuck delete"]
TROUBLES = [
    "kill daemon", "kill daemon", "kill operator", "kill operator", "away", "part", "part",
    "lost answers", "mute proxy",
]  # fmt: skip

PAGE_MIN = 7
"""Smaller pages make reading a record slower than the time that a person gives it."""

MORE_CLIENTS = ["multipart", "multipart", "lock", "tag", "tag"]
TAGS = ["tag", "tag", "stuck tag"]
PLACES = [
    "run.intended", "run.acted", "run.recorded", "run.undone", "switch.driver.planned",
    "switch.driver.applied", "fence.recorded", "fence.policy.put", "fence.policy.removed",
    "freeze.applied",
]  # fmt: skip

STEPS_MAX = 40
TROUBLES_MAX = 7
SPAN_S = 120.0


class Act(NamedTuple):
    """What a person sets out to do. `pause`: seconds before it; `late`: of the approval;
    `amount`: what the deed makes of it."""

    deed: Deed
    to: str
    pause: float
    late: float
    amount: int


@dataclass(frozen=True, slots=True)
class RolesPlan:
    """One run. `dies`: by the number of the operator's process, the request at which it is
    killed, and whether before or after that had its effect. `skews`: each machine's clock.
    `eager`: the share of an operator's changes at which a client writes in that very moment.
    `proxies`: writes can be frozen. `daemons`: the machines that have one. `places`: by the number
    of the operator's process, the named place at which it is killed. `eager_tags`: some of those
    clients set tags."""

    seed: int
    steps: tuple[Step, ...]
    acts: tuple[Act, ...]
    rates: Rates
    latency_s: float
    dies: tuple[tuple[int, int, bool], ...]
    skews: tuple[tuple[str, float], ...]
    conditions: bool
    proxies: bool
    daemons: str
    eager: float
    weather: Weather = FAIR
    places: tuple[tuple[int, str], ...] = ()
    eager_tags: bool = False

    def without(self, begin: int, end: int) -> RolesPlan:
        """The same, some steps left out."""
        return replace(self, steps=self.steps[:begin] + self.steps[end:])

    def describe(self) -> str:
        acts = "\n".join(f"  {act}" for act in self.acts)
        return (
            f"roles, latency {self.latency_s}, conditions {self.conditions}, "
            f"proxies {self.proxies}, daemons {self.daemons}, {self.rates}\n"
            f"dies {self.dies} {self.places}, skews {self.skews}, {self.weather}\n{acts}"
        )


def roles_plan_of(seed: int) -> RolesPlan:
    """What a seed stands for."""
    return beset(in_weather(plain_roles_plan_of(seed)))


def beset(plan: RolesPlan) -> RolesPlan:
    """The same, and requests arrive late, tags are set at any moment, a region's disks are lost."""
    rng = random.Random(f"roles beset {plan.seed}")
    late = rng.random() * ROUGH_SHARE if rng.random() < 0.3 else 0.0
    weather = replace(plan.weather, late=late, late_blind=rng.random() < 0.7)
    keys = [step.key for step in plan.steps if step.key.startswith("k")] or ["k0"]
    tags = [_step(rng, rng.choice(TAGS), rng.choice(keys)) for _ in range(rng.choice([0, 4, 8]))]
    steps, acts = [*plan.steps, *tags], plan.acts
    if rng.random() < 0.3:
        acts = tuple(_acts_around_a_lost_disk(rng))
        # What is locked on new disks could not be mended there (`Story._mend`).
        steps = [step for step in steps if step.kind != "lock"]
    return replace(
        plan,
        steps=tuple(sorted(steps)),
        acts=acts,
        weather=weather,
        eager_tags=rng.random() < 0.5,
    )


def in_weather(plan: RolesPlan) -> RolesPlan:
    """The same with the weather of its seed: other clients, other stories, full disks, deaths at
    named places. Late writes are drawn in `beset`."""
    rng = random.Random(f"roles weather {plan.seed}")
    keys = [step.key for step in plan.steps if step.key.startswith("k")] or ["k0"]
    steps = [_step(rng, rng.choice(MORE_CLIENTS), rng.choice(keys)) for _ in range(6)]
    steps += [_step(rng, "disk full", "east") for _ in range(rng.choice([0, 0, 1]))]
    weather = weather_of(f"roles {plan.seed}")
    bodies = rng.random() * 0.05 if rng.random() < 0.2 else 0.0
    places = [(n, f"{rng.choice(PLACES)}:{rng.choice([1, 1, 2, 5])}") for n in range(1, 9)]
    return replace(
        plan,
        steps=tuple(sorted((*plan.steps, *steps))),
        acts=tuple(_more_acts(rng)) if rng.random() < 0.4 else plan.acts,
        rates=replace(plan.rates, cut_body=bodies, alter_body=bodies),
        weather=replace(weather, late=0.0, page=max(PAGE_MIN, weather.page)),
        places=tuple(row for row in places if rng.random() < 0.25),
    )


def plain_roles_plan_of(seed: int) -> RolesPlan:
    """Without weather."""
    rng = random.Random(f"roles {seed}")
    keys = [f"k{number}" for number in range(rng.choice([1, 3, 6]))]
    steps = [
        _step(rng, rng.choice(CLIENTS), rng.choice(keys))
        for _ in range(rng.randrange(5, STEPS_MAX))
    ]
    steps += [
        _step(rng, rng.choice(TROUBLES), rng.choice(["east", "west"]))
        for _ in range(rng.randrange(TROUBLES_MAX))
    ]
    rough = rng.choice([0.0, 0.0, 0.0, 0.01, 0.04])
    return RolesPlan(
        seed,
        tuple(sorted(steps)),
        tuple(_acts(rng)),
        Rates(
            unreachable=rng.random() * rough,
            throttled=rng.random() * rough,
            server_fault_before=rng.random() * rough,
            server_fault_after=rng.random() * rough,
            lost_answer=rng.random() * rough,
        ),
        rng.choice([0.002, 0.02, 0.1, 0.4]),
        tuple(
            (number, int(10 ** (rng.random() * 2.6)), rng.random() < 0.5)
            for number in range(1, 12)
            if rng.random() < 0.35
        ),
        tuple((machine, rng.choice([0.0, 0.0, rng.uniform(-2, 2)])) for machine in "abo"),
        rng.random() < 0.8,
        rng.random() < 0.85,
        rng.choice(["a", "a", "ab"]),
        rng.choice([0.0, 0.05, 0.3]),
    )


def _step(rng: random.Random, kind: str, key: str) -> Step:
    return Step(rng.random() * SPAN_S, kind, key, rng.randrange(10**6))


def _act(rng: random.Random, deed: Deed, to: str = "") -> Act:
    pause = rng.choice([0.0, 3.0, 10.0])
    late = rng.choice([0.0, 2.0, 20.0])
    return Act(deed, to, pause, late, rng.randrange(10**6))


def _more_acts(rng: random.Random) -> list[Act]:
    """A whole round home by `failback`, and writes that are held."""
    act = partial(_act, rng)
    held = [act("lose", "east"), act("failover, writes held", "west"), act("allow")]
    away = rng.choice([[act("switchover", "west")], held])
    return [act("wait"), *away, act("settle"), act("failback", "east"), act("settle")]


def _acts_around_a_lost_disk(rng: random.Random) -> list[Act]:
    """A story: a region comes back with nothing in it."""
    act = partial(_act, rng)
    stories = {
        "lost primary": [act("lose for good", "east"), act("failover", "west"), act("settle"),
                         act("failback", "east"), act("settle")],
        "lost target": [act("lose for good", "west"), act("switchover", "west"), act("settle")],
        "empty primary": [act("lose for good", "east"), act("wait"), act("settle"),
                          act("failover", "west"), act("settle")],
        "lost behind a fence": [act("switchover", "west"), act("lose for good", "east"),
                                act("settle"), act("switchover", "east"), act("settle")],
        "fenced and lost": [act("failover", "west"), act("settle"), act("lose for good", "east"),
                            act("wait"), act("failback", "east")],
    }  # fmt: skip
    return [act("wait"), *stories[rng.choice(list(stories))]]


def _acts(rng: random.Random) -> list[Act]:
    """A story: somewhere else, and home again."""
    act = partial(_act, rng)
    stories = {
        "round trip": [act("switchover", "west"), act("settle"), act("switchover", "east")],
        "rollback": [act("switchover", "west"), act("rollback", "east")],
        "lost region": [act("lose", "east"), act("failover", "west"), act("settle"),
                        act("switchover", "east")],
        "cut off": [act("cut off", "east"), act("failover", "west"), act("settle")],
        "given up": [act("failover", "west"), act("settle")],
        "lost on the way": [act("switchover", "west"), act("lose", "east"), act("failover", "west"),
                            act("settle")],
    }  # fmt: skip
    return [act("wait"), *stories[rng.choice(list(stories))]]
