"""Buckets that match a pattern and are not replicated: seen, and taken in when they can be."""

from __future__ import annotations

from collections.abc import Sequence

from farshore.config import Config
from farshore.control.replicated import Replicated
from farshore.engine.lane import Crew
from farshore.engine.side import Side
from farshore.errors import BucketMissing, FarshoreError
from farshore.s3.wrap import Retrying

LOOKS_MAX = 10
"""New buckets that are looked at each time: a look is a request to each side."""


class NewBuckets(FarshoreError):
    """Other buckets match the patterns than before: not an error, but a reason to begin anew."""


async def unserved(config: Config, crews: Sequence[Crew]) -> list[str]:
    """Source buckets of a pattern that no crew serves, and that are not ready yet.

    `NewBuckets` when one of them is ready, or one that was served is gone: all is opened anew
    then. What the stores raise.
    """
    if not config.pair.has_patterns:
        return []
    source, target = crews[0].source, crews[0].target
    served = {crew.source.bucket for crew in crews}
    found = config.resolve_buckets(await source.store.list_buckets())
    new = [(ours, theirs) for ours, theirs in found if ours not in served]
    ready = [
        ours
        for ours, theirs in new[:LOOKS_MAX]
        if await _is_versioned(source, ours) and await _is_versioned(target, theirs)
    ]
    if ready:
        raise NewBuckets(f"New buckets are taken in: {', '.join(ready)}.")
    gone = sorted(served - {ours for ours, _ in found})
    if gone:
        raise NewBuckets(f"Gone from {source.site}, the others go on: {', '.join(gone)}.")
    return [ours for ours, _ in new]


async def lost(config: Config, crews: Sequence[Crew]) -> list[str]:
    """Buckets of a pattern that were replicated before, and whose target is not there any more,
    or not with its versions. What the stores raise."""
    if not config.pair.has_patterns:
        return []
    source, target = crews[0].source, crews[0].target
    names = await Retrying(source.store).list_buckets()
    served = [crew.source.bucket for crew in crews]
    known = await Replicated(Retrying(target.store), config).left_out(names, served)
    return [ours for ours, theirs in known if not await _is_versioned(target, theirs)]


async def _is_versioned(side: Side, bucket: str) -> bool:
    """Whether a bucket is there, and keeps its versions."""
    try:
        return await side.store.get_versioning(bucket) == "Enabled"
    except BucketMissing:
        return False
