"""Lag at a steady 50 writes/s, next to `weed filer.sync`."""

from __future__ import annotations

from bench import child
from bench.figures import Samples

SECONDS_MAX = 300.0


def measure() -> Samples:
    """What `bench.live.lag` measured, on a lab of its own."""
    samples: Samples = child.answer_of("bench.live.lag", seconds_max=SECONDS_MAX)
    return samples
