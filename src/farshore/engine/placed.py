"""What the lanes have placed: it spares most keys a look at the target.

Whoever holds the pair's lease is the only one who writes replicas. So of a key that its
lanes have brought in step, the target's top is known; and of a key that is not remembered,
and all of whose versions are younger than anything that was ever forgotten, no replica
stands. Both are used only to append what the source shows to be new, with a condition that
the target itself checks: `If-None-Match: *`, or `If-Match` on the top that is remembered.
In any doubt both sides are looked at (docs/decisions/0021-optimistic-live-path.md).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from farshore.core.align import compare, looks_alike
from farshore.core.model import NULL_VERSION, History, Version
from farshore.engine.look import written_at
from farshore.engine.multipart import is_multipart
from farshore.s3.capabilities import Capabilities

KEYS_MAX = 4_000
"""Keys of one bucket that are remembered, the latest; a few hundred bytes each, 2 KiB at most
beside the key."""

KEYS_ALL_MAX = 16_000
"""Keys of all buckets together."""

VERSIONS_MAX = 16
"""A longer history is looked at every time."""

CLOCK_RESOLUTION_S = 2.0
"""The source's clock is known in whole seconds, and its listings count them, too."""


def keys_of_each(buckets: int) -> int:
    """How many keys are remembered of each of so many buckets."""
    return max(1, min(KEYS_MAX, KEYS_ALL_MAX // max(1, buckets)))


class Top(NamedTuple):
    """The newest replica, and the source's version ids, newest first, that it ends."""

    version_id: str
    etag: str
    originals: tuple[str, ...]


class _Kept(NamedTuple):
    """`top`: None when only a look can tell. `latest`: Unix seconds, by the source's clock, of
    the key's latest entry."""

    top: Top | None
    latest: float


class Placed:
    """One pair of buckets, for as long as the lease is held. Nothing is read or written here.

    `can`: what the target's server can do.
    """

    def __init__(self, can: Capabilities, *, keys_max: int = KEYS_MAX) -> None:
        self._can = can
        self._keys_max = keys_max
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._since: float | None = None  # what was written later has not been forgotten

    @property
    def has_begun(self) -> bool:
        """Whether it is known since when everything is remembered."""
        return self._since is not None

    def begin(self, source_now: float) -> None:
        """All that is placed from now on will be remembered. Unix seconds by the source's clock."""
        self._since = source_now + CLOCK_RESOLUTION_S

    def may_know(self, key: str) -> bool:
        """Whether the look at the target may turn out not to be needed."""
        kept = self._kept.get(key)
        if kept is None:
            return self.has_begun and self._can.conditional_create
        return kept.top is not None and self._can.conditional_replace

    def target_of(self, key: str, source: History) -> History | None:
        """The target's history as far as it matters for appending what is new at the source,
        each write on a condition; None: look."""
        if not all(map(_is_plain, source)):
            return None
        kept = self._kept.get(key)
        if kept is None:
            return () if self._is_young(source) and self._appends(len(source)) else None
        if kept.top is None or not self._can.conditional_replace:
            return None
        return _beneath(kept.top, source)

    def _appends(self, count: int) -> bool:
        """Whether so many versions of a new key can be written on conditions."""
        return self._can.conditional_create and (count == 1 or self._can.conditional_replace)

    def _is_young(self, source: History) -> bool:
        since = self._since
        return since is not None and bool(source) and min(map(written_at, source)) > since

    def keep(self, key: str, source: History, top: Version | None) -> None:
        """A lane had to do with this key. `top`: the newest entry of a target that holds all of
        `source`; None while that is not known. Must be told before anything is written."""
        known = None
        plain = 0 < len(source) <= VERSIONS_MAX and all(map(_is_plain, source))
        if plain and top is not None and top.etag and looks_alike(source[0], top):
            known = Top(top.version_id, top.etag, tuple(entry.version_id for entry in source))
        self._keep(key, known, max(map(written_at, source), default=0.0))

    def _keep(self, key: str, top: Top | None, latest: float) -> None:
        before = self._kept.pop(key, None)
        self._kept[key] = _Kept(top, latest if before is None else max(latest, before.latest))
        while len(self._kept) > self._keys_max:
            _, forgotten = self._kept.popitem(last=False)
            if self._since is not None:
                self._since = max(self._since, forgotten.latest)


def _is_plain(entry: Version) -> bool:
    """A version with an id of its own, that is written with one conditional PUT."""
    named = not entry.is_marker and entry.version_id != NULL_VERSION
    return named and not is_multipart(entry.etag)


def _beneath(top: Top, source: History) -> History | None:
    """The history that ends with `top`, if all that the source has besides is newer, and
    looks unlike it."""
    new = len(source) - len(top.originals)
    rest = source[new:] if new > 0 else ()
    if not rest or tuple(entry.version_id for entry in rest) != top.originals:
        return None
    newest = rest[0]._replace(version_id=top.version_id, etag=top.etag)
    target = (newest, *rest[1:])
    found = compare(source, target)
    return target if found is not None and len(found.missing) == new else None
