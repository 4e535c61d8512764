"""Which heartbeats of one bucket each feed has brought, and which it owes.

A sender may drop events without a word: a webhook that gave up, a notification that was
switched off for a minute. The heartbeats in between are dropped with them. So a feed
vouches for nothing beyond a heartbeat that was written and has not come; and when one is
overdue, something was lost.

All times are Unix seconds by the source's clock. Nothing here reads a clock.
"""

from __future__ import annotations

from typing import NamedTuple

REMEMBERED_MAX = 1000
"""Heartbeats, the newest: half an hour of them."""


class Answer(NamedTuple):
    """After a heartbeat was heard. `complete_until`: what the feed vouches for; `missing`: how
    many heartbeats are overdue."""

    complete_until: float
    missing: int


class RollCall:
    """Of one bucket. Heartbeats are known by their version ids."""

    def __init__(self) -> None:
        self._written: dict[str, float] = {}
        self._heard: dict[str, dict[str, None]] = {}
        self._since: dict[str, float] = {}

    def wrote(self, version_id: str, at: float) -> None:
        """A heartbeat was written, and acknowledged, at `at` or later."""
        self._written[version_id] = at
        _keep_newest(self._written)

    def heard(self, feed: str, version_id: str, at: float, *, late_s: float) -> Answer:
        """It came through a feed that may be late by `late_s`. It may come before its
        acknowledgement does, or be of a daemon before us."""
        heard = self._heard.setdefault(feed, {})
        heard[version_id] = None
        _keep_newest(heard)
        since = self._since.setdefault(feed, at)
        until = at - late_s
        owed = sorted(
            moment
            for name, moment in self._written.items()
            if since < moment < at and name not in heard
        )
        missing = sum(moment < until for moment in owed)
        if not owed:
            return Answer(until, 0)
        came = [m for name, m in self._written.items() if name in heard and m < owed[0]]
        return Answer(min(until, max(came, default=since)), missing)

    def names(self, feed: str) -> bool:
        """Whether the feed's events say which versions they are of."""
        return bool(self._heard.get(feed))

    def forget(self, feed: str) -> None:
        """What the feed owes has been written off: it begins anew."""
        self._heard.pop(feed, None)
        self._since.pop(feed, None)


def _keep_newest(entries: dict[str, float] | dict[str, None]) -> None:
    while len(entries) > REMEMBERED_MAX:
        del entries[next(iter(entries))]
