"""Ids of runs and drills: when they began, and what they are. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from itertools import count


def new_id(at: float, what: str, taken: Collection[str]) -> str:
    """`20261123-032850-switchover-west`, by UTC, so that they sort by time. `at` in Unix seconds.
    Another one of the same second, where the first is `taken`, ends in -2, -3 …"""
    first = f"{datetime.fromtimestamp(at, UTC):%Y%m%d-%H%M%S}-{what}"
    if first not in taken:
        return first
    return next(name for n in count(2) if (name := f"{first}-{n}") not in taken)
