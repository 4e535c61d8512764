"""The delete guard of live replication: how many visible objects may be hidden, and how fast.

Once it has tripped, it stays so until a person releases what it holds: an accident on the
source (a wrong script, a stolen key) must not run on in the far region overnight.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 3600.0
"""Deletes are counted over this long."""


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """At most `count` objects hidden per `WINDOW_S`, or `share` of the target's keys if more."""

    count: int = 100
    share: float = 0.1


class DeleteGuard:
    """Counts deletes in a sliding window. Time is an argument."""

    def __init__(self, limits: GuardLimits) -> None:
        self._limits = limits
        self._recent: deque[float] = deque()
        self._allowance = 0
        self.tripped = False

    def admit(self, now: float, target_keys: int) -> bool:
        """Whether one more object may be hidden now; counts it if so."""
        while self._recent and self._recent[0] <= now - WINDOW_S:
            self._recent.popleft()
        if self._allowance > 0:
            self._allowance -= 1
            return True
        limit = max(self._limits.count, int(self._limits.share * target_keys))
        if self.tripped or len(self._recent) >= limit:
            self.tripped = True
            return False
        self._recent.append(now)
        return True

    def release(self, count: int) -> None:
        """A person has looked at the held deletes: let this many pass, and watch on."""
        self._allowance += count
        self._recent.clear()
        self.tripped = False
