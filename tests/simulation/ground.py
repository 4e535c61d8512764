"""What the sites of a run are like, and what becomes of their buckets: drawn apart, as data."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from farshore.s3.capabilities import Strategy
from tests.simulation.step import BUCKET, Step

PATTERN = "more-*"
MORE = ("more-1", "more-2")


def is_paired(bucket: str) -> bool:
    """Whether it is, or would be, one of the pair's buckets."""
    return bucket == BUCKET or bucket in MORE


Fortune = Literal["new bucket", "target emptied", "target bucket gone", "target lost"]
"""A bucket that appears at the source; versions of the target's that are gone; its bucket with
them; all that it had, the control bucket, too."""

LOSSES: list[Fortune] = ["target emptied", "target bucket gone", "target lost"]

OMITS_SHARE = 0.15
BUCKETS_SHARE = 0.2
LOSS_SHARE = 0.15
STEPS_MAX = 12
"""Of clients in one more bucket."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`lists`: how source and target are listed; what is not "plain" omits what stands, on pages
    of `page` entries. `buckets`: beside "files", from the beginning on. `patterned`: they are
    named by a pattern, and others may appear."""

    lists: tuple[Strategy, Strategy] = ("plain", "plain")
    page: int = 0
    buckets: tuple[str, ...] = ()
    patterned: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether there is, or may come, another bucket."""
        return self.patterned or bool(self.buckets)


def buckets_of(ground: Ground) -> str:
    """The buckets of the pair beside the first, as its file names them."""
    named = [PATTERN] if ground.patterned else ground.buckets
    return "".join(f'[[pair.buckets]]\nsource = "{name}"\n' for name in named)


LEVEL = Ground()
"""Complete listings, one bucket."""


def ground_of(seed: int, span: float, clients: Sequence[str]) -> tuple[Ground, list[Step]]:
    """The ground of a run that lasts `span` seconds, and what belongs to it: new buckets, losses,
    and what clients (of these kinds) do in further buckets."""
    rng = random.Random(f"ground {seed}")
    ground, steps = _omitting(rng), list[Step]()
    if rng.random() < BUCKETS_SHARE:
        patterned = rng.random() < 0.7
        there = MORE[: rng.choice([0, 1])] if patterned else MORE[: rng.choice([1, 2])]
        ground = replace(ground, buckets=there, patterned=patterned)
        comes = [bucket for bucket in MORE if patterned and bucket not in there]
        for bucket in (*there, *comes):
            steps += _in_bucket(rng, bucket, span, clients, comes=bucket in comes)
    if rng.random() < LOSS_SHARE:
        for _ in range(rng.choice([1, 1, 2])):
            steps.append(_loss(rng, span, [BUCKET, BUCKET, *ground.buckets]))
    return ground, steps + _kills(seed, steps)


def _kills(seed: int, steps: Sequence[Step]) -> list[Step]:
    """Now and then a daemon is killed soon after the target has lost something."""
    rng = random.Random(f"kills {seed}")
    losses = [step for step in steps if step.kind in LOSSES and rng.random() < 0.3]
    return [
        Step(loss.at + rng.random() * 6.0, "kill", "east", rng.randrange(10**6)) for loss in losses
    ]


def _omitting(rng: random.Random) -> Ground:
    if rng.random() >= OMITS_SHARE:
        return LEVEL
    ways: list[Strategy] = ["filer", "filer", "filer", "plain", "split"]
    lists = rng.choice(ways), rng.choice(ways)
    if lists == ("plain", "plain"):
        lists = ("filer", "filer")
    page = rng.choice([5, 7, 20] if "split" in lists else [2, 3, 7])
    return Ground(lists, page)


def _in_bucket(
    rng: random.Random, bucket: str, span: float, clients: Sequence[str], *, comes: bool
) -> list[Step]:
    """What is done in one more bucket, once it is there. Now and then a daemon is killed soon
    after it has come."""
    begins = rng.random() * span if comes else 0.0
    steps = [Step(begins, "new bucket", "", rng.randrange(10**6), bucket)] if comes else []
    keys = [f"{folder}{n}" for folder in ("", "d/") for n in range(rng.choice([1, 2]))]
    lasts = rng.choice([1.0, 10.0, 30.0])
    for _ in range(rng.randrange(2, STEPS_MAX)):
        at = begins + rng.random() * lasts
        kind, key = rng.choice(clients), rng.choice(keys)
        steps.append(Step(at, kind, key, rng.randrange(10**6), bucket))
    if comes and rng.random() < 0.4:
        at = begins + rng.random() * 15.0
        steps.append(Step(at, "kill", "east", rng.randrange(10**6)))
    return steps


def _loss(rng: random.Random, span: float, buckets: list[str]) -> Step:
    at = (0.2 + rng.random()) * span
    return Step(at, rng.choice(LOSSES), "west", rng.randrange(10**6), rng.choice(buckets))
