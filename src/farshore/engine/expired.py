"""Versions that were named, and are gone before anybody looked: none vanishes in silence."""

from __future__ import annotations

from collections.abc import Sequence

from farshore.core.join import KeyPair
from farshore.engine.look import read_stamp
from farshore.engine.side import Side
from farshore.engine.tally import NotCopied
from farshore.errors import BucketMissing, Gone

NOT_LISTED = "NotListed"
"""Cause of UNSUPPORTED: the source has a version that its listing does not show."""


async def named_in_vain(
    source: Side, target: Side, pair: KeyPair, named: Sequence[str]
) -> list[NotCopied]:
    """Of the versions that hints named, those that the source does not list and that were
    never copied, each with its reason. No request where all of them are listed.

    A replica without a stamp may be of any version: where there is one, nothing is said.
    """
    listed = {entry.version_id for entry in pair.source}
    missing = [version_id for version_id in named if version_id not in listed]
    if not missing:
        return []
    copied = await _copied(source, target, pair, set(missing))
    if copied is None:
        return []
    return [
        await _reason(source, pair.key, version_id)
        for version_id in missing
        if version_id not in copied
    ]


async def _copied(source: Side, target: Side, pair: KeyPair, wanted: set[str]) -> set[str] | None:
    """Those of the `wanted` ids that have a replica; None when that cannot be told."""
    known = {(entry.etag, entry.size) for entry in pair.source}
    found: set[str] = set()
    for entry in pair.target:
        if entry.is_marker:
            continue
        mark = await read_stamp(target, entry)
        if mark is None and (entry.etag, entry.size) not in known:
            return None
        if mark is not None and mark.site == source.site:
            found.add(mark.version_id)
        if wanted <= found:
            break
    return wanted & found


async def _reason(source: Side, key: str, version_id: str) -> NotCopied:
    try:
        await source.store.head(source.bucket, key, version_id)
    except BucketMissing:
        raise
    except Gone:
        return NotCopied(
            source.bucket,
            key,
            version_id,
            "EXPIRED_BEFORE_REPLICATED",
            "Gone",
            "purged on the source (by a person or a lifecycle rule) before it was copied",
        )
    return NotCopied(
        source.bucket,
        key,
        version_id,
        "UNSUPPORTED",
        NOT_LISTED,
        f"{source.site} has this version and does not list it, so its place in the history is "
        "not known; `farshore probe` shows what that site's listings lose",
    )
