"""4 KiB objects over a line with a round trip of 80 ms: does concurrency adapt?"""

from __future__ import annotations

from contextlib import AbstractContextManager

from bench import farshore, link, trial
from bench.figures import Samples
from bench.null_server import Endpoints

OBJECTS = 6_000
ROUNDS = 3
ONE_WAY_MS = 40.0


def far(endpoints: Endpoints) -> AbstractContextManager[Endpoints]:
    """Both endpoints, 80 ms away."""
    return link.delayed(endpoints, ONE_WAY_MS)


def measure() -> Samples:
    """Objects per second, the slow start included."""
    samples: Samples = {"rtt80_objects_per_s": [], "80 ms farshore: whole process, s": []}
    for _ in range(ROUNDS):
        run = trial.run(farshore, small=OBJECTS, route=far)
        samples["rtt80_objects_per_s"].append(run.objects_per_second)
        samples["80 ms farshore: whole process, s"].append(run.cost.wall_seconds)
    return samples
