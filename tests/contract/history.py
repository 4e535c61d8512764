"""Reading whole histories through the protocol, and writing small ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from farshore.core.model import Version
from farshore.s3.store import Store

PAGES_MAX = 500
MARKER = "marker"


async def walk(store: Store, bucket: str, *, prefix: str = "", limit: int = 1000) -> list[Version]:
    """Every entry, page by page; fails when the pages do not come to an end."""
    found: list[Version] = []
    key_marker = version_marker = ""
    for _ in range(PAGES_MAX):
        page = await store.list_versions(
            bucket,
            prefix=prefix,
            key_marker=key_marker,
            version_marker=version_marker,
            limit=limit,
        )
        found += page.entries
        assert len(page.entries) <= limit
        if not page.truncated:
            return found
        assert page.next_key
        key_marker, version_marker = page.next_key, page.next_version
    raise AssertionError(f"the listing did not end in {PAGES_MAX} pages")


async def write(store: Store, bucket: str, key: str, *steps: str) -> list[str]:
    """PUT each step's text as a body, or DELETE for `MARKER`; the ids, newest first."""
    ids = []
    for step in steps:
        if step == MARKER:
            ids.append((await store.delete(bucket, key)).version_id)
        else:
            ids.append((await store.put(bucket, key, step.encode())).version_id)
    return ids[::-1]


def ids(entries: Sequence[Version]) -> list[str]:
    return [entry.version_id for entry in entries]


def keys(entries: Sequence[Version]) -> list[str]:
    return [entry.key for entry in entries]


def md5_hex(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


async def read(store: Store, bucket: str, key: str, version_id: str = "") -> bytes:
    async with store.get(bucket, key, version_id) as opened:
        return await opened.read()
