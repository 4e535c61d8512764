"""Ten switchovers under load, ten failovers from a dead region, ten killed runs gone on with."""

from __future__ import annotations

from bench import child
from bench.figures import Samples

SECONDS_MAX = 400.0


def measure() -> Samples:
    """What `bench.live.runbooks` measured, on a lab of its own."""
    samples: Samples = child.answer_of("bench.live.runbooks", seconds_max=SECONDS_MAX)
    return samples
