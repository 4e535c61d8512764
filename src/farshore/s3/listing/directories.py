"""The walk of a SeaweedFS: S3 for whatever fits one page, the filer's names to get there.

An S3 listing of that server is complete when it fits one page, and answers hundreds of
versions in one request; past the page it loses keys. The filer's listing of a directory
is complete, but costs one request per key. So: ask S3 for a prefix; when its page is
truncated, take the names in that directory from the filer, cut the prefix into the
common prefixes of real names, and ask for each of them, until every page is single. A
key that has more versions than a page is read from the filer alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import chain, groupby
from os.path import commonprefix
from typing import NamedTuple

from farshore.core.model import Version
from farshore.errors import BadListing
from farshore.s3.filer import VERSIONS_SUFFIX, Filer, FilerName
from farshore.s3.listing.ahead import one_ahead
from farshore.s3.listing.histories import Batch, beyond, grouped, only, settled, within
from farshore.s3.listing.plain import PAGE_LIMIT
from farshore.s3.store import Store, VersionPage

SPANS_MAX = 100_000_000
"""Prefixes asked for in one walk before it is given up as endless."""

LAST_CHARACTER = "\U0010ffff"


class Span(NamedTuple):
    """A stretch of keys that is still to be listed: all that begin with `prefix`.

    `units` are the sorted names in it as far as the filer was asked: a key, or a
    directory with its "/" at the end. None: the filer has not been asked. `single`: the
    one key `prefix`, whose history does not fit a page.
    """

    prefix: str
    units: list[str] | None = None
    single: bool = False


class FilerLister:
    """Memory: one page, and the names of the directories from the root to the present one."""

    def __init__(self, store: Store, filer: Filer, *, page_limit: int = PAGE_LIMIT) -> None:
        self._store = store
        self._filer = filer
        self._limit = page_limit

    def walk(
        self, bucket: str, prefix: str = "", *, after: str = ""
    ) -> AsyncGenerator[Batch, None]:
        return one_ahead(self._batches(bucket, prefix, after))

    async def history(self, bucket: str, key: str) -> list[Version]:
        page = await self._page(bucket, key)
        if page.truncated and not key.endswith("/"):
            return await self._filer.history(bucket, key)
        # A key that ends with "/" is a directory entry: one null version, which S3
        # shows first, before what the directory holds.
        own = only(page.entries, key)
        return settled(grouped(own, self._where(bucket)))[0] if own else []

    async def _batches(self, bucket: str, prefix: str, after: str) -> AsyncGenerator[Batch, None]:
        spans = [Span(prefix)]
        for _ in range(SPANS_MAX):
            if not spans:
                return
            span = spans.pop()
            if _lies_before(span.prefix, after):
                continue
            batch, parts = await self._resolve(bucket, span)
            spans += reversed(parts)
            if batch := beyond(batch, after):
                yield batch
        raise BadListing(f"{self._where(bucket)}: the listing does not end")

    async def _resolve(self, bucket: str, span: Span) -> tuple[Batch, list[Span]]:
        """What a span holds: its histories, or (what is listed at once and) its parts."""
        if span.single:
            history = await self._filer.history(bucket, span.prefix)
            return ([history] if history else []), []
        if span.units is not None and len(span.units) > self._limit:
            return [], _parts(span.prefix, span.units)  # a unit is a version at least
        page = await self._page(bucket, span.prefix)
        where = self._where(bucket)
        if not page.truncated:
            batch = settled(grouped(within(page.entries, span.prefix), where))
            return await self._with_all(bucket, batch, span.units or []), []
        units = span.units
        if units is None:
            units = await self._units(bucket, span.prefix)
            await self._require_known(bucket, within(page.entries, span.prefix), units)
        folder = only(page.entries, span.prefix) if span.prefix.endswith("/") else []
        return ([folder] if folder else []), _parts(span.prefix, units)

    async def _units(self, bucket: str, prefix: str) -> list[str]:
        """The keys and directories that begin with `prefix`, from its directory's names."""
        path, slash, stem = prefix.rpartition("/")
        directory = path + slash
        units: set[str] = set()
        pages = self._filer.names(bucket, directory, after=_just_before(stem))
        async with aclosing(pages):
            async for names in pages:
                found = chain.from_iterable(_units_of(directory, name) for name in names)
                units.update(unit for unit in found if unit.startswith(prefix))
                if names[-1].name > stem + LAST_CHARACTER:
                    break
        return sorted(units)

    async def _require_known(self, bucket: str, entries: list[Version], units: list[str]) -> None:
        """What S3 shows, the filer must name: else it is not this bucket's filer."""
        for key in _unnamed(entries, units):
            if only((await self._page(bucket, key)).entries, key):
                raise BadListing(
                    f"{self._where(bucket)}: S3 shows {key!r}, and the filer does not name it",
                    hint="is `filer` the address of this site's own filer?",
                )

    async def _with_all(self, bucket: str, batch: Batch, units: list[str]) -> Batch:
        """The batch, once it is known that no key that the filer names is missing from it.

        A key that is missing was purged meanwhile, or written again since, or the
        server lost it: `BadListing`.
        """
        listed = {history[0].key for history in batch}
        returned: Batch = []
        for unit in units:
            if unit.endswith("/") or unit in listed or not await self._filer.history(bucket, unit):
                continue
            history = await self.history(bucket, unit)
            if not history:
                raise BadListing(
                    f"{self._where(bucket)}: {unit!r} has versions at the filer, and a complete "
                    "page of the S3 listing does not show them",
                    hint="check the server's log; farshore does not go on without these versions",
                )
            returned.append(history)
        return sorted([*batch, *returned], key=lambda history: history[0].key)

    async def _page(self, bucket: str, prefix: str) -> VersionPage:
        return await self._store.list_versions(bucket, prefix=prefix, limit=self._limit)

    def _where(self, bucket: str) -> str:
        return f"{self._store.site} {bucket}"


def _parts(prefix: str, units: list[str]) -> list[Span]:
    """A truncated span, cut where its names differ first. Ascending, nothing left out."""
    parts = [Span(prefix, single=True)] if units and units[0] == prefix else []
    rest = units[len(parts) :]
    for _, group in groupby(rest, key=lambda unit: unit[len(prefix)]):
        members = list(group)
        common = commonprefix([members[0], members[-1]])  # noqa: RUF071  by character: keys
        is_folder = len(members) == 1 and common.endswith("/")
        parts.append(Span(common, None if is_folder else members))
    return parts


def _unnamed(entries: list[Version], units: list[str]) -> list[str]:
    """The keys that are neither a unit nor below one. Both ascend."""
    keys = {entry.key for entry in entries}.difference(units)
    folders = tuple(unit for unit in units if unit.endswith("/"))
    return [key for key in sorted(keys) if not _is_below(key, folders)]


def _is_below(key: str, folders: tuple[str, ...]) -> bool:
    """Folders are siblings, so only the greatest one that is not above `key` can hold it."""
    place = bisect_right(folders, key)
    return place > 0 and key.startswith(folders[place - 1])


def _units_of(directory: str, name: FilerName) -> Iterator[str]:
    """The key and the directory (with "/") that a name stands for, as S3 shows them."""
    if name.holds_null:
        yield directory + name.name
    if not name.is_directory or name.name == VERSIONS_SUFFIX:
        return
    if name.name.endswith(VERSIONS_SUFFIX):
        yield directory + name.name.removesuffix(VERSIONS_SUFFIX)
    else:
        yield f"{directory}{name.name}/"


def _lies_before(prefix: str, after: str) -> bool:
    """Every key that begins with `prefix` is smaller than `after`."""
    return prefix < after and not after.startswith(prefix)


def _just_before(stem: str) -> str:
    """A name that comes before everything that begins with `stem`, and close to it."""
    if not stem:
        return ""
    last = ord(stem[-1])
    if last == 0 or 0xD800 <= last - 1 <= 0xDFFF:
        return stem[:-1]
    return stem[:-1] + chr(last - 1) + LAST_CHARACTER
