"""Follow changes that make no version: tags, retention and legal hold of what is copied already.

They show in no listing and do not change the ETag (S3-SEMANTICS, "Version identity"), so
both sides are asked, version by version, when a hint names a key that is in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from farshore.core import difference, stamp
from farshore.core.align import Pair
from farshore.core.model import Attributes, Version
from farshore.engine.side import Side

VERSIONS_MAX = 20
"""Newest versions of a key that are asked about; `verify --deep` reads all of them."""


async def follow(source: Side, target: Side, pairs: Sequence[Pair], now: float) -> int:
    """Bring tags and locks of the newest replicas in line; answers how many were changed.

    `pairs` go oldest to newest, as an alignment has them.
    """
    bodies = [pair for pair in pairs if not pair[0].is_marker]
    changed = 0
    for pair in bodies[-VERSIONS_MAX:]:
        changed += await _follow_one(source, target, pair, now)
    return changed


async def _follow_one(source: Side, target: Side, pair: Pair, now: float) -> bool:
    ours = await _attributes(source, pair[0])
    theirs = await _attributes(target, pair[1])
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    found = difference.of_attributes(source.bucket, pair, ours, theirs, moment)
    kinds = {one.kind for one in found}
    if "tags" in kinds:
        await set_tags(target, pair[1].key, pair[1].version_id, ours, theirs)
    if "lock" in kinds:
        await set_lock(target, pair[1].key, pair[1].version_id, ours)
    return bool(kinds & {"tags", "lock"})


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
