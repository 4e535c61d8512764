"""Twenty flips by the endpoint file: when does a live boto3 client follow?"""

from __future__ import annotations

from bench import child
from bench.figures import Samples

SECONDS_MAX = 180.0


def measure() -> Samples:
    """What `bench.live.follow` measured, on a lab of its own."""
    samples: Samples = child.answer_of("bench.live.follow", seconds_max=SECONDS_MAX)
    return samples
