"""How fast it goes: versions and bytes per second over the last minute."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW_S = 60.0

APART_S = 1.0
"""However often it is asked, what is kept is so far apart."""

SAMPLES_MAX = round(WINDOW_S / APART_S) + 2
"""A window of them, one before it and the present one."""


class Sample(NamedTuple):
    """What was done so far, at a moment of the clock that nobody sets."""

    at: float
    versions: int
    bytes: int


class Rates:
    """Of counters that only rise. `len` of it: the samples that are kept."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)

    def __len__(self) -> int:
        return len(self._samples)

    def clear(self) -> None:
        """The counters begin anew."""
        self._samples.clear()

    def at(self, now: float, versions: int, size: int) -> tuple[float, float]:
        """Per second, given what was done until now; (0, 0) as long as there is no time between."""
        samples = self._samples
        if not samples or now - samples[-1].at >= APART_S:
            samples.append(Sample(now, versions, size))
        while len(samples) > 2 and samples[1].at <= now - WINDOW_S:
            samples.popleft()
        first = samples[0]
        seconds = now - first.at
        if seconds <= 0:
            return 0.0, 0.0
        return (versions - first.versions) / seconds, (size - first.bytes) / seconds
