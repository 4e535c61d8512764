"""Follow changes that make no version: tags, retention and legal hold of what is copied already.

They show in no listing and do not change the ETag (S3-SEMANTICS, "Version identity"), so
both sides are asked, version by version: when a hint names a key that is in step, and by
the sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from farshore.core import difference, stamp
from farshore.core.align import Pair
from farshore.core.difference import Kind
from farshore.core.model import Attributes, Version
from farshore.engine.side import Side

VERSIONS_MAX = 20
"""Newest versions of a key that are asked about when a hint comes; the sweep asks for all."""

TRIES_MAX = 2
"""Times that one version is mended: the source may change while it is done."""

FOLLOWED: frozenset[Kind] = frozenset({"tags", "lock"})
"""What can be changed on a replica without writing it anew."""


class Followed(NamedTuple):
    """What was mended, and what differs still: the target does not take it."""

    mended: frozenset[Kind] = frozenset()
    left: frozenset[Kind] = frozenset()


async def follow(source: Side, target: Side, pairs: Sequence[Pair], now: float) -> int:
    """Bring tags and locks of the newest replicas in line; answers how many were changed.

    `pairs` go oldest to newest, as an alignment has them.
    """
    bodies = [pair for pair in pairs if not pair[0].is_marker]
    changed = 0
    for pair in bodies[-VERSIONS_MAX:]:
        changed += bool((await follow_one(source, target, pair, now)).mended)
    return changed


async def follow_one(source: Side, target: Side, pair: Pair, now: float) -> Followed:
    """Bring one replica in line. What was changed is looked at again, on both sides: so that
    neither a change in the meantime nor a server that keeps nothing passes for done.

    Raises what the stores raise; `Gone` when one of the two has been purged.
    """
    touched: set[Kind] = set()
    for tries in range(TRIES_MAX + 1):
        ours, theirs = await asyncio.gather(
            _attributes(source, pair[0]), _attributes(target, pair[1])
        )
        wrong = _differing(source, pair, ours, theirs, now)
        if not wrong or tries == TRIES_MAX:
            return Followed(frozenset(touched - wrong), wrong)
        await _mend(target, pair[1], wrong, ours, theirs)
        touched |= wrong
    raise AssertionError("the last try returns")


def _differing(
    source: Side, pair: Pair, ours: Attributes, theirs: Attributes, now: float
) -> frozenset[Kind]:
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    found = difference.of_attributes(source.bucket, pair, ours, theirs, moment)
    return FOLLOWED.intersection(one.kind for one in found)


async def _mend(
    target: Side, replica: Version, kinds: frozenset[Kind], ours: Attributes, theirs: Attributes
) -> None:
    if "tags" in kinds:
        await set_tags(target, replica.key, replica.version_id, ours, theirs)
    if "lock" in kinds:
        await set_lock(target, replica.key, replica.version_id, ours)


async def _attributes(side: Side, version: Version) -> Attributes:
    info = await side.store.head(side.bucket, version.key, version.version_id)
    if not info.tag_count:
        return info.attributes
    tags = await side.store.get_tags(side.bucket, version.key, version.version_id)
    return replace(info.attributes, tags=tags)


async def set_tags(
    target: Side, key: str, version_id: str, ours: Attributes, theirs: Attributes
) -> None:
    """Give a replica its original's tags; a stamp that is kept in a tag stays."""
    stamps = tuple(tag for tag in theirs.tags if tag[0] == stamp.STAMP_NAME)
    await target.store.put_tags(target.bucket, key, version_id, (*ours.tags, *stamps))


async def set_lock(target: Side, key: str, version_id: str, ours: Attributes) -> None:
    """Give a replica its original's retention and legal hold."""
    lock = ours.lock
    if lock.mode:
        await target.store.put_retention(
            target.bucket, key, version_id, lock.mode, lock.retain_until
        )
    await target.store.put_legal_hold(target.bucket, key, version_id, lock.legal_hold)
