"""Twenty flips of a DNS record: at the authority, and at a resolver that has just asked."""

from __future__ import annotations

from bench import child
from bench.figures import Samples

SECONDS_MAX = 120.0


def measure() -> Samples:
    """What `bench.live.records` measured, on a BIND of its own."""
    samples: Samples = child.answer_of("bench.live.records", seconds_max=SECONDS_MAX)
    return samples
