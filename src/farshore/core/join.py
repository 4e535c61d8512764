"""Merge-join of two sorted listings, key by key, in constant memory. Pure: fed by its caller."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal, NamedTuple

from farshore.core.model import History, Version

Side = Literal["source", "target"]
Batch = list[list[Version]]
"""Whole histories, keys ascending, as a lister yields them."""


class KeyPair(NamedTuple):
    """Both histories of one key; an empty one where the key is not there."""

    key: str
    source: History
    target: History


_NOTHING: tuple[Version, ...] = ()


class Join:
    """Feed batches to the sides that are `hungry`, and take the pairs that are settled.

    Holds at most what was fed and not yet paired: one batch a side, when the caller
    feeds only hungry sides.
    """

    def __init__(self) -> None:
        self._waiting: dict[Side, deque[list[Version]]] = {"source": deque(), "target": deque()}
        self._ended: set[Side] = set()

    @property
    def hungry(self) -> tuple[Side, ...]:
        """Sides that must be fed (or ended) before more pairs can be settled."""
        return tuple(
            side for side, rows in self._waiting.items() if not rows and side not in self._ended
        )

    @property
    def done(self) -> bool:
        """Both sides ended and everything taken."""
        return len(self._ended) == len(self._waiting) and not any(self._waiting.values())

    def feed(self, side: Side, batch: Iterable[list[Version]]) -> None:
        """Histories that follow those already fed to this side."""
        self._waiting[side].extend(batch)

    def end(self, side: Side) -> None:
        """This side has no more keys."""
        self._ended.add(side)

    def take(self) -> list[KeyPair]:
        """All pairs that are settled by what has been fed."""
        source, target = self._waiting["source"], self._waiting["target"]
        pairs: list[KeyPair] = []
        while source and target:
            s_key, t_key = source[0][0].key, target[0][0].key
            if s_key == t_key:
                pairs.append(KeyPair(s_key, source.popleft(), target.popleft()))
            elif s_key < t_key:
                pairs.append(KeyPair(s_key, source.popleft(), _NOTHING))
            else:
                pairs.append(KeyPair(t_key, _NOTHING, target.popleft()))
        if "target" in self._ended:
            pairs.extend(KeyPair(h[0].key, h, _NOTHING) for h in _drain(source))
        if "source" in self._ended:
            pairs.extend(KeyPair(h[0].key, _NOTHING, h) for h in _drain(target))
        return pairs


def _drain(rows: deque[list[Version]]) -> Iterable[list[Version]]:
    while rows:
        yield rows.popleft()
