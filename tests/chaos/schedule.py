"""What goes wrong and when, as data drawn from a seed: the same seed is the same schedule.

Each lane has one thing that can be broken, and breaks it again and again with a calm between.
Lanes know nothing of each other, so that troubles overlap.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal, NamedTuple

Lane = Literal["east", "west", "line to east", "line to west", "farshore"]

Kind = Literal[
    "kill", "kill farshore", "kill farshore, journal lost", "stop farshore", "stall farshore",
    "pause", "cut", "refuse", "slow", "narrow", "lossy",
]  # fmt: skip

LINE_KINDS: tuple[Kind, ...] = ("cut", "cut", "refuse", "slow", "narrow", "lossy", "lossy")
FARSHORE_KINDS: tuple[Kind, ...] = (
    "kill farshore", "kill farshore", "kill farshore", "kill farshore, journal lost",
    "stop farshore", "stall farshore", "pause",
)  # fmt: skip

KINDS: dict[Lane, tuple[Kind, ...]] = {
    "east": ("kill",),
    "west": ("kill",),
    "line to east": LINE_KINDS,
    "line to west": LINE_KINDS,
    "farshore": FARSHORE_KINDS,
}

CALM_S: dict[Lane, tuple[float, float]] = {
    "east": (20.0, 60.0),
    "west": (15.0, 50.0),
    "line to east": (8.0, 35.0),
    "line to west": (5.0, 30.0),
    "farshore": (5.0, 30.0),
}
"""A lane is left in peace for so long, at least and at most."""

LASTS_S: dict[Kind, tuple[float, float]] = {
    "kill": (0.5, 12.0),
    "kill farshore": (0.0, 6.0),
    "kill farshore, journal lost": (0.0, 3.0),
    "stop farshore": (0.0, 4.0),
    "stall farshore": (1.0, 25.0),
    "pause": (1.0, 8.0),
    "cut": (1.0, 25.0),
    "refuse": (0.5, 10.0),
    "slow": (3.0, 20.0),
    "narrow": (3.0, 15.0),
    "lossy": (2.0, 15.0),
}

FIRST_S, LAST_S = 3.0, 5.0
"""Nothing begins so soon, and nothing so shortly before the end."""


class Fault(NamedTuple):
    """`lane` is broken at `at` seconds for `lasts` seconds; `amount`: what the kind makes of it."""

    at: float
    lane: Lane
    kind: Kind
    lasts: float
    amount: int


def faults(seed: int, seconds: float) -> list[Fault]:
    """All faults of a run that lasts so long, by their time. Nothing outlasts the run."""
    return sorted(fault for lane in KINDS for fault in _lane(lane, seed, seconds))


def _lane(lane: Lane, seed: int, seconds: float) -> Iterator[Fault]:
    rng = random.Random(f"{seed} {lane}")
    at = FIRST_S + rng.uniform(0.0, CALM_S[lane][0])
    while at < seconds - LAST_S:
        kind = rng.choice(KINDS[lane])
        lasts = min(rng.uniform(*LASTS_S[kind]), seconds - at)
        yield Fault(round(at, 3), lane, kind, round(lasts, 3), rng.randrange(10**6))
        at += lasts + rng.uniform(*CALM_S[lane])
