"""A cut link under load: exposure, and what is missing or doubled after it."""

from __future__ import annotations

from bench import child
from bench.figures import Samples

SECONDS_MAX = 300.0


def measure() -> Samples:
    """What `bench.live.outage` measured, on a lab of its own."""
    samples: Samples = child.answer_of("bench.live.outage", seconds_max=SECONDS_MAX)
    return samples
