"""A listing of documents, over as many pages as the server makes of it.

A page may end before it is full (S3: "might contain fewer keys"), and what it does not show would
be taken for not there: an audit entry, a run, another pair.
"""

from __future__ import annotations

from farshore.core.model import Version
from farshore.errors import Refused
from farshore.s3.store import Store

PAGES_MAX = 10_000
PAGE_ENTRIES = 1_000


async def listed(
    store: Store, bucket: str, folder: str, *, entries_max: int | None = None, after: str = ""
) -> list[Version]:
    """Every version and marker below a folder, or the first `entries_max` of them. `after`: only
    of keys that sort behind it.

    Raises what the store raises, and `Refused` for a listing without an end.
    """
    found: list[Version] = []
    key, version = after, ""
    for _ in range(PAGES_MAX):
        limit = PAGE_ENTRIES if entries_max is None else min(PAGE_ENTRIES, entries_max - len(found))
        page = await store.list_versions(
            bucket, prefix=folder, key_marker=key, version_marker=version, limit=limit
        )
        found += page.entries
        if not page.truncated or (entries_max is not None and len(found) >= entries_max):
            return found
        key, version = page.next_key, page.next_version
    raise Refused(f"The listing of {bucket}/{folder} at {store.site} has no end.")


async def standing(
    store: Store, bucket: str, folder: str, *, entries_max: int | None = None, after: str = ""
) -> list[str]:
    """The keys of all documents that stand below a folder, in order; else as `listed`."""
    entries = await standing_entries(store, bucket, folder, entries_max=entries_max, after=after)
    return [entry.key for entry in entries]


async def standing_entries(
    store: Store, bucket: str, folder: str, *, entries_max: int | None = None, after: str = ""
) -> list[Version]:
    """As `standing`, with all that the listing says of each document."""
    found = await listed(store, bucket, folder, entries_max=entries_max, after=after)
    return [entry for entry in found if entry.is_latest and not entry.is_marker]
