"""Follow changes that make no version: tags, retention, legal hold and access control lists.

They show in no listing and do not change the ETag (S3-SEMANTICS, "Version identity"), so
both sides are asked, version by version: when a hint names a key that is in step, and by
the sweep.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from farshore.core import acl, difference, stamp
from farshore.core.acl import Acl, Grant
from farshore.core.align import Pair
from farshore.core.difference import Kind
from farshore.core.model import Attributes, Version
from farshore.engine.side import Side
from farshore.errors import StoreError

VERSIONS_MAX = 20
"""Newest versions of a key that are asked about when a hint comes; the sweep asks for all."""

TRIES_MAX = 2
"""Times that one version is mended: the source may change while it is done."""

FOLLOWED: frozenset[Kind] = frozenset({"tags", "lock"})
"""What can be changed on a replica without writing it anew, beside its access control list."""

ACL = "acl"


class Followed(NamedTuple):
    """What was mended ("tags", "lock", "acl"), and what differs still: the target does not
    take it. `others`: grants of the original to accounts, which mean nobody on the target.
    """

    mended: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    others: frozenset[Grant] = frozenset()


class _Seen(NamedTuple):
    """What one version carries. `acl`: None where lists are not followed."""

    attributes: Attributes
    acl: Acl | None


async def follow(source: Side, target: Side, pairs: Sequence[Pair], now: float) -> int:
    """Bring tags, locks and lists of the newest replicas in line; answers how many were changed.

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

    Raises what the stores raise; `Gone` when one of the two has been purged; `Refused` when the
    right to write to the target has ended.
    """
    touched: set[str] = set()
    lists = follows_acls(source, target)
    for tries in range(TRIES_MAX + 1):
        ours, theirs = await asyncio.gather(
            _look(source, pair[0], lists), _look(target, pair[1], lists)
        )
        wrong = _differing(source, pair, ours, theirs, now)
        if not wrong or tries == TRIES_MAX:
            others = acl.of_others(ours.acl) if ours.acl else frozenset[Grant]()
            return Followed(frozenset(touched - wrong), wrong, others)
        await target.require_ours()  # clients may have been sent there, and set tags of their own
        await _mend(target, pair[1], wrong, ours, theirs)
        touched |= wrong
    raise AssertionError("the last try returns")


def follows_acls(source: Side, target: Side) -> bool:
    """Whether the probes have shown that we may, and can, carry lists over."""
    return source.capabilities.acls and target.capabilities.acls


async def carry_acl(source: Side, target: Side, version: Version, replica_id: str) -> None:
    """Give a new replica its original's grants to groups. A list that cannot be read or set
    now is left to the sweep, which compares every one: the replica itself stands, and must
    neither be made twice for it nor count as failed.
    """
    if not follows_acls(source, target):
        return
    key = version.key
    with contextlib.suppress(StoreError):
        ours = acl.of_groups(await source.store.get_acl(source.bucket, key, version.version_id))
        if ours:
            theirs = await target.store.get_acl(target.bucket, key, replica_id)
            new = acl.with_groups(theirs, ours)
            await target.store.put_acl(target.bucket, key, replica_id, new)


async def _look(side: Side, version: Version, lists: bool) -> _Seen:
    found = None
    if lists:
        found = await side.store.get_acl(side.bucket, version.key, version.version_id)
    return _Seen(await _attributes(side, version), found)


def _differing(source: Side, pair: Pair, ours: _Seen, theirs: _Seen, now: float) -> frozenset[str]:
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    found = difference.of_attributes(
        source.bucket, pair, ours.attributes, theirs.attributes, moment
    )
    kinds: frozenset[str] = FOLLOWED.intersection(one.kind for one in found)
    if ours.acl and theirs.acl and acl.of_groups(ours.acl) != acl.of_groups(theirs.acl):
        kinds |= {ACL}
    return kinds


async def _mend(
    target: Side, replica: Version, kinds: frozenset[str], ours: _Seen, theirs: _Seen
) -> None:
    key, version_id = replica.key, replica.version_id
    if "tags" in kinds:
        await set_tags(target, key, version_id, ours.attributes, theirs.attributes)
    if "lock" in kinds:
        await set_lock(target, key, version_id, ours.attributes)
    if ACL in kinds and ours.acl and theirs.acl:
        new = acl.with_groups(theirs.acl, acl.of_groups(ours.acl))
        await target.store.put_acl(target.bucket, key, version_id, new)


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
