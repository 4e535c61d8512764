"""What networks and servers do to requests beside failing them: drawn from a seed, as data."""

from __future__ import annotations

import random
from dataclasses import dataclass

from farshore.testing.store.bucket import PAGE_ENTRIES_MAX

ROUGH_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Weather:
    """Shares are of the requests that something can happen to.

    `page`: entries of a page at most: histories go over several pages, and are written to in
    between. `cut_pages`: listings that break off. `doubled`: writes under a condition that
    arrive twice, and the second answer is told. `late`: writes that arrive after their answer was
    given up; `late_blind`: also those that no condition stops.
    """

    page: int = PAGE_ENTRIES_MAX
    cut_pages: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    late_blind: bool = False


FAIR = Weather()


def weather_of(seed: int | str) -> Weather:
    """Mostly fair."""
    rng = random.Random(f"weather {seed}")

    def some(share: float) -> float:
        return rng.random() * ROUGH_SHARE if rng.random() < share else 0.0

    return Weather(
        rng.choice([2, 3, 7]) if rng.random() < 0.3 else PAGE_ENTRIES_MAX,
        some(0.2),
        some(0.2),
        some(0.2),
        rng.random() < 0.5,
    )
