"""The plain walk: page after page by markers, resumed on key boundaries."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from farshore.core.model import Version
from farshore.errors import BadListing
from farshore.s3.listing.ahead import one_ahead
from farshore.s3.listing.histories import HINT, Batch, grouped, only, settled, within
from farshore.s3.store import Store, VersionPage

PAGE_LIMIT = 1000
"""S3's own bound of a page."""

PAGES_MAX = 100_000_000
"""Pages of one walk before it is given up as endless."""

STALLED_PAGES_MAX = 1000
"""Truncated pages in a row that bring no new key."""

ANCHORS_MAX = 6
"""Versions that are tried, newer and newer, to resume a history from."""


class PlainLister:
    """For servers whose pages, one after the other, show everything.

    The last key of a truncated page may be cut, so it is left out and read again at the
    head of the next page; only a key that fills a page alone is read on its own. So no
    page is ever resumed in the middle of a history of ordinary length. That matters:
    where the version that a marker names was purged meanwhile, Ceph RGW skips the
    key's older versions. A key whose head was seen at the end of one page and which is
    missing from the next is looked for, and if it is there, the walk is `BadListing`.
    """

    def __init__(self, store: Store, *, page_limit: int = PAGE_LIMIT) -> None:
        self._store = store
        self._limit = max(page_limit, 3)  # a history is resumed by overlapping two entries

    def walk(
        self, bucket: str, prefix: str = "", *, after: str = ""
    ) -> AsyncGenerator[Batch, None]:
        return one_ahead(self._batches(bucket, prefix, after))

    async def history(self, bucket: str, key: str) -> list[Version]:
        where = f"{self._store.site} {bucket}/{key}"
        page = await self._store.list_versions(bucket, prefix=key, limit=self._limit)
        known = only(page.entries, key)
        for _ in range(PAGES_MAX):
            if _shows_end(page, key):
                return settled(grouped(known, where))[0] if known else []
            page = await self._older(bucket, key, known)
            seen = {version.version_id for version in known}
            fresh = [v for v in only(page.entries, key) if v.version_id not in seen]
            if not fresh and not _shows_end(page, key):
                raise BadListing(f"{where}: its versions cannot be listed past page 1", hint=HINT)
            known += fresh
        raise BadListing(f"{where}: its versions do not end", hint=HINT)

    async def _older(self, bucket: str, key: str, known: list[Version]) -> VersionPage:
        """The page that follows `known`, overlapping it, so that nothing was skipped.

        A page that does not begin with something known was resumed from a version that
        is gone: a newer one is tried.
        """
        for back in range(2, min(ANCHORS_MAX, len(known)) + 1):
            tail = known[-back:]
            page = await self._store.list_versions(
                bucket,
                prefix=key,
                key_marker=key,
                version_marker=tail[0].version_id,
                limit=self._limit,
            )
            own = only(page.entries, key)
            if own and own[0].version_id in {version.version_id for version in tail}:
                return page
        raise BadListing(
            f"{self._store.site} {bucket}/{key}: {len(known)} versions were listed, and the older "
            "ones cannot be reached",
            hint="its versions may be purged faster than they are listed: try again later",
        )

    async def _batches(self, bucket: str, prefix: str, after: str) -> AsyncGenerator[Batch, None]:
        where = f"{self._store.site} {bucket}"
        floor, markers, cut, stalled = after, (after, ""), "", 0
        for _ in range(PAGES_MAX):
            page = await self._page(bucket, prefix, markers)
            batch = _above(grouped(within(page.entries, prefix), where), floor, where)
            await self._require_seen_again(bucket, cut, batch)
            cut = ""
            if page.truncated and batch:
                cut = batch.pop()[0].key
                if not batch:
                    batch = [whole] if (whole := await self.history(bucket, cut)) else []
            if batch:
                yield settled(batch)
                last = batch[-1][-1]
                floor = batch[-1][0].key
                cut = "" if cut == floor else cut
                following, stalled = (floor, last.version_id), 0
            else:
                following, stalled = (page.next_key, page.next_version), stalled + 1
            if not page.truncated:
                return
            if following == markers or stalled > STALLED_PAGES_MAX:
                raise BadListing(f"{where}: the listing does not move on from {markers}", hint=HINT)
            markers = following
        raise BadListing(f"{where}: the listing does not end", hint=HINT)

    async def _page(self, bucket: str, prefix: str, markers: tuple[str, str]) -> VersionPage:
        key, version_id = markers
        return await self._store.list_versions(
            bucket, prefix=prefix, key_marker=key, version_marker=version_id, limit=self._limit
        )

    async def _require_seen_again(self, bucket: str, cut: str, batch: Batch) -> None:
        """The key that one page ended with must head the next, unless it was purged."""
        if not cut or (batch and batch[0][0].key <= cut):
            return
        if await self.history(bucket, cut):
            raise BadListing(
                f"{self._store.site} {bucket}: {cut!r} was at the end of one page and is missing "
                "from the next",
                hint=HINT,
            )


def _shows_end(page: VersionPage, key: str) -> bool:
    """Nothing of this key can follow the page: it was read with the key as its prefix."""
    return not page.truncated or bool(page.entries and page.entries[-1].key > key)


def _above(batch: Batch, floor: str, where: str) -> Batch:
    """The page without repeats of the key it was resumed after.

    Some servers include the marker's own key. Anything smaller went backwards.
    """
    if batch and floor and batch[0][0].key <= floor:
        if batch[0][0].key < floor:
            raise BadListing(f"{where}: {batch[0][0].key!r} was listed after {floor!r}", hint=HINT)
        return batch[1:]
    return batch
