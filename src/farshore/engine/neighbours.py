"""Neighbours: due keys that lie side by side, looked at with one listing of each side.

A look at one key costs a request at either side. When hundreds wait (a burst, an outage
that ended), most of them share a prefix, and a page that begins there shows them all. Only
a page that ends by itself is believed: so much every server gets right. Where others lie
between the due keys, pages do not end; then the keys are looked at one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from os.path import commonprefix

from farshore.core.join import KeyPair
from farshore.core.model import History
from farshore.engine.lane import Crew
from farshore.engine.side import Side
from farshore.errors import StoreError
from farshore.journal.backlog import Work
from farshore.s3.listing.histories import grouped, settled, within

GROUP_MIN = 8
"""Fewer keys are looked at one by one."""

GROUP_MAX = 64

ENTRIES_PER_KEY = 4
"""A page may have so many entries for each key that is wanted: beyond that it does not pay."""

SKIPPED_MAX = 64
"""Groups that are not even tried after a page that did not pay: 1, 2, 4 … of them."""

_NOTHING: tuple[()] = ()


class Neighbourhood:
    """Makes groups, and remembers whether they paid."""

    def __init__(self) -> None:
        self._skip = 0
        self._skip_next = 1

    def groups(self, works: Sequence[Work]) -> list[list[Work]]:
        """All of the works: those that are to be looked at together, and lone ones."""
        found: list[list[Work]] = []
        in_order = sorted(works, key=lambda work: (work.bucket, work.key))
        for _, rows in groupby(in_order, key=lambda work: work.bucket):
            near = list(rows)
            for begin in range(0, len(near), GROUP_MAX):
                found += self._parts(near[begin : begin + GROUP_MAX])
        return found

    def _parts(self, group: list[Work]) -> list[list[Work]]:
        if len(group) >= GROUP_MIN:
            if not self._skip:
                return [group]
            self._skip -= 1
        return [[work] for work in group]

    def learn(self, wanted: int, found: int) -> None:
        """How many of a group's keys its pages have shown."""
        if 2 * found >= wanted:
            self._skip_next = 1
        else:
            self._skip = self._skip_next
            self._skip_next = min(SKIPPED_MAX, 2 * self._skip_next)


async def look_at_all(crew: Crew, keys: Sequence[str]) -> dict[str, KeyPair]:
    """Both histories of those `keys` (ascending) that pages show; the others are left out.

    Only for whoever alone writes these keys at the target (see `ahead.look_ahead`). Errors of
    the stores are left to whoever looks at the key alone.
    """
    found: dict[str, KeyPair] = {}
    parts: list[Sequence[str]] = [keys]
    while parts:
        part = parts.pop()
        pairs = await _looked_at(crew, part)
        found.update(pairs)
        if not pairs:
            parts += _parts(part)
    return found


def _parts(keys: Sequence[str]) -> list[list[str]]:
    """The keys, cut where they differ first; what is too small to be looked at together is left
    out. Every part is smaller than the whole, and its prefix longer."""
    length = len(_prefix(keys)) + 1
    parts = (list(part) for _, part in groupby(keys, key=lambda key: key[:length]))
    return [part for part in parts if GROUP_MIN <= len(part) < len(keys)]


def _prefix(keys: Sequence[str]) -> str:
    return commonprefix([keys[0], keys[-1]])  # noqa: RUF071  by character: keys


async def _looked_at(crew: Crew, keys: Sequence[str]) -> dict[str, KeyPair]:
    """With one page of each side; {} where that is not enough."""
    await crew.gate.enter(0)
    try:
        here, there = await asyncio.gather(_page(crew.source, keys), _page(crew.target, keys))
    except StoreError:
        return {}
    finally:
        crew.gate.leave(0)
    if here is None or there is None:
        return {}
    return {
        key: KeyPair(key, here.get(key, _NOTHING), there.get(key, _NOTHING))
        for key in keys
        if not key.endswith("/")  # folders have listings of their own kind
    }


async def _page(side: Side, keys: Sequence[str]) -> Mapping[str, History] | None:
    """The histories of all keys that share the prefix of these; None if a page cannot say."""
    prefix = _prefix(keys)
    limit = ENTRIES_PER_KEY * len(keys)
    page = await side.store.list_versions(side.bucket, prefix=prefix, limit=limit)
    if page.truncated:
        return None
    where = f"{side.site} {side.bucket}/{prefix}"
    batch = settled(grouped(within(page.entries, prefix), where))
    return {history[0].key: history for history in batch}
