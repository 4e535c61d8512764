"""The walk by prefixes: cut a prefix by its next character until every page is single.

For servers whose single pages are complete while their walks over pages are not, and
that give no complete listing of names. Two things have to be known without one:

- The next characters. Tried are the printable ASCII characters, and every character that
  a walk over the pages below the prefix shows, or a walk that starts above ASCII there.
  **A key that both walks hide, and whose next character is not printable ASCII, is not
  found.** That is the limit of this strategy: it takes a control character, or more than
  a page of keys whose next characters are beyond ASCII.
- The entries of the key that is the prefix itself. They share a truncated page with
  longer keys, and the server may have stopped collecting in the midst of them. They
  count as complete only when a page just large enough for them and one more entry shows
  them and a greater key: a server that collects other keys first has no room for them
  there. A key that shows no entry must also be unknown to HEAD. What cannot be shown
  like this is `BadListing`, never a shorter history.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from farshore.core.model import Version
from farshore.errors import BadListing, Gone
from farshore.s3.listing.ahead import one_ahead
from farshore.s3.listing.histories import Batch, beyond, grouped, only, settled, within
from farshore.s3.listing.plain import PAGE_LIMIT
from farshore.s3.store import Store, VersionPage

PRINTABLE = frozenset(chr(code) for code in range(0x20, 0x7F))
LAST_ASCII = "\x7f"

HISTORY_PAGES_MAX = 100_000
"""Pages of one key's history."""

PREFIXES_MAX = 100_000_000
"""Prefixes asked for in one walk before it is given up as endless."""

WALK_PAGES_MAX = 1_000_000
"""Pages of one look for characters."""

HINT = (
    "no complete listing of this key can be shown; a SeaweedFS needs `filer` set for the site, "
    "and elsewhere `farshore probe` tells what the server can do"
)


class SplitLister:
    """Memory: one page, and for each level of the present prefix its next characters."""

    def __init__(self, store: Store, *, page_limit: int = PAGE_LIMIT) -> None:
        self._store = store
        self._limit = max(page_limit, 4)  # half a page less one must hold an entry

    def walk(
        self, bucket: str, prefix: str = "", *, after: str = ""
    ) -> AsyncGenerator[Batch, None]:
        return one_ahead(self._batches(bucket, prefix, after))

    async def history(self, bucket: str, key: str) -> list[Version]:
        page = await self._page(bucket, key)
        if page.truncated:
            return await self._exact(bucket, key, page)
        own = only(page.entries, key)
        return settled(grouped(own, self._where(bucket)))[0] if own else []

    async def _batches(self, bucket: str, prefix: str, after: str) -> AsyncGenerator[Batch, None]:
        where = self._where(bucket)
        prefixes = [prefix]
        for _ in range(PREFIXES_MAX):
            if not prefixes:
                return
            present = prefixes.pop()
            if present < after and not after.startswith(present):
                continue
            page = await self._page(bucket, present)
            if page.truncated:
                history = await self._exact(bucket, present, page) if present else []
                batch = [history] if history else []
                characters = PRINTABLE | await self._characters(bucket, present)
                prefixes += sorted((present + c for c in characters), reverse=True)
            else:
                batch = settled(grouped(within(page.entries, present), where))
            if batch := beyond(batch, after):
                yield batch
        raise BadListing(f"{where}: the listing does not end", hint=HINT)

    async def _characters(self, bucket: str, prefix: str) -> set[str]:
        """The characters after the prefix that walks show: from its start, and above ASCII."""
        found: set[str] = set()
        for start in ("", prefix + LAST_ASCII):
            markers = (start, "")
            for _ in range(WALK_PAGES_MAX):
                page = await self._page(bucket, prefix, markers)
                entries = within(page.entries, prefix)
                found |= {e.key[len(prefix)] for e in entries if len(e.key) > len(prefix)}
                following = (page.next_key, page.next_version)
                if not page.truncated or following <= markers:
                    break
                markers = following
        return found

    async def _exact(self, bucket: str, key: str, page: VersionPage) -> list[Version]:
        """The history of a key whose prefix does not fit a page; `page` is its first."""
        where = self._where(bucket)
        known = only(page.entries, key)
        for _ in range(HISTORY_PAGES_MAX):
            if not page.truncated or not page.entries or page.entries[-1].key != key:
                break
            page = await self._page(bucket, key, (key, known[-1].version_id))
            known += only(page.entries, key)
        if not await self._ends_with(bucket, key, known):
            raise BadListing(
                f"{where}: the versions of {key!r} share a truncated page with other keys; "
                f"{len(known)} were shown, and there may be more",
                hint=HINT,
            )
        await self._require_head(bucket, key, known)
        return settled(grouped(known, where))[0] if known else []

    async def _ends_with(self, bucket: str, key: str, known: list[Version]) -> bool:
        """Whether nothing of the key follows what is known: see the module's docstring.

        Asked of its last entries only, fewer than half a page, because a server that
        has collected other keys first must not find room for all of these beside them.
        """
        tail = known[-(self._limit // 2 - 1) :]
        markers = (key, known[-len(tail) - 1].version_id) if len(tail) < len(known) else ("", "")
        for limit in (self._limit, len(tail) + 1):
            page = await self._page(bucket, key, markers, limit)
            if only(page.entries, key) != tail:
                return False
            if not page.truncated:
                return True
            if len(page.entries) == len(tail):
                return False
        return True

    async def _require_head(self, bucket: str, key: str, entries: list[Version]) -> None:
        """HEAD must agree about whether there is anything, and about what is current."""
        current = next((entry for entry in entries if entry.is_latest), None)
        try:
            info = await self._store.head(bucket, key)
        except Gone as gone:
            agrees = current.is_marker if current else not (entries or gone.is_marker)
        else:
            agrees = current is not None and info.version_id in ("", current.version_id)
        if not agrees:
            raise BadListing(
                f"{self._where(bucket)}: HEAD and the listing contradict each other about {key!r}",
                hint=HINT,
            )

    async def _page(
        self, bucket: str, prefix: str, markers: tuple[str, str] = ("", ""), limit: int = 0
    ) -> VersionPage:
        return await self._store.list_versions(
            bucket,
            prefix=prefix,
            key_marker=markers[0],
            version_marker=markers[1],
            limit=limit or self._limit,
        )

    def _where(self, bucket: str) -> str:
        return f"{self._store.site} {bucket}"
