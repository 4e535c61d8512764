"""Twenty flips under load, through HAProxy, between two fenced regions."""

from __future__ import annotations

from bench import child
from bench.figures import Samples

SECONDS_MAX = 400.0


def measure() -> Samples:
    """What `bench.live.flip` measured, on a lab of its own."""
    samples: Samples = child.answer_of("bench.live.flip", seconds_max=SECONDS_MAX)
    return samples
