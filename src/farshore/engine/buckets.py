"""What a scan sees of whole buckets: how many keys they have, and whether they keep versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from farshore.core.shrinkage import Shrunk, Size, seen
from farshore.engine.side import Side
from farshore.journal.backlog import Backlog

CURSOR = "control/sizes"


async def note_sizes(backlog: Backlog, keys: Mapping[str, int], now: float) -> list[Shrunk]:
    """Remember how many keys each bucket has; answers those that lost most of theirs.

    Buckets that left the configuration are forgotten. Raises `StateError`.
    """
    before = _read(backlog)
    sizes = {bucket: seen(before.get(bucket), bucket, count, now) for bucket, count in keys.items()}
    kept = {bucket: asdict(size) for bucket, size in sizes.items()}
    await backlog.set_cursor(CURSOR, json.dumps(kept))
    return [size.shrunk for _, size in sorted(sizes.items()) if size.shrunk is not None]


def _read(backlog: Backlog) -> dict[str, Size]:
    """Nothing where nothing was kept, or nothing that can be understood."""
    try:
        kept = json.loads(backlog.cursor(CURSOR) or "{}")
        return {
            bucket: Size(
                int(one["keys"]),
                float(one["at"]),
                Shrunk(**one["shrunk"]) if one["shrunk"] else None,
            )
            for bucket, one in kept.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


async def unversioned(sides: Sequence[Side]) -> list[str]:
    """Buckets that keep no versions (any more). Raises what the stores raise."""
    return [
        side.bucket for side in sides if await side.store.get_versioning(side.bucket) != "Enabled"
    ]
