"""5,000 writes at once: drained by `farshore run`, next to `farshore backfill`."""

from __future__ import annotations

from bench import child
from bench.figures import Samples

SECONDS_MAX = 300.0


def measure() -> Samples:
    """What `bench.live.burst` measured, on a lab of its own."""
    samples: Samples = child.answer_of("bench.live.burst", seconds_max=SECONDS_MAX)
    return samples
