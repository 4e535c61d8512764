"""A store in memory that pages through versions as SeaweedFS does, and loses some.

SeaweedFS keeps keys in directories: `photos/a` is a directory `photos` that holds a
directory `a.versions`. It walks the entries in their own order (`photos` before
`photos-old`, `a-b.versions` before `a.versions`), stops once a page is full, answers in
S3's order, and goes on behind the marker in S3's order: whatever the walk had not reached
yet and S3 sorts ahead of the marker is never shown.

`tests/contract/test_seaweed_store.py` compares this model with the real server, page by
page: alike for keys whose entries are all numbered, and for keys that have a null version
alone. A key that has both loses more on the real server than here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator
from itertools import islice

from farshore.core.model import NULL_VERSION, Version
from farshore.s3.filer import FilerName
from farshore.s3.store import VersionPage
from farshore.testing.store.bucket import PAGE_ENTRIES_MAX, Bucket, Entry, Query, common_prefix
from farshore.testing.store.memory import MemoryStore

VERSIONS_SUFFIX = ".versions"


class LossyListingStore(MemoryStore):
    """One page and `prefix=KEY` listings are complete; walks over several pages may not be."""

    def _page(self, bucket: Bucket, query: Query) -> VersionPage:
        limit = min(query.limit, PAGE_ENTRIES_MAX)
        walked: list[Entry | str] = []
        for key in sorted(bucket.keys, key=lambda key: _path(bucket, key)):
            if len(walked) > limit:
                break
            if key.startswith(query.prefix):
                shown = _shown(bucket, key, query)
                walked += [item for item in shown if item not in walked[-1:]]
        del walked[limit + 1 :]
        walked.sort(key=lambda item: item if isinstance(item, str) else item.key)
        return self._answer(bucket, walked[:limit], len(walked) > limit)

    async def list_directory(
        self, bucket: str, directory: str, last_name: str = "", limit: int = 1000
    ) -> list[FilerName]:
        """Up to `limit` names behind `last_name`, ascending: the filer's own listing.

        `directory` is "" for the bucket's root, else ends with "/". A key's versions are
        `v_<id>` entries of the directory `KEY.versions/`; its null version is a plain
        file, its null marker `v_null`. Nothing for a directory that is not there.
        """
        async with self._call("list_directory", bucket, directory):
            found = _children(self._bucket("ListEntries", bucket), directory)
            return [entry for entry in found if entry.name > last_name][:limit]

    async def names(
        self, bucket: str, directory: str, *, after: str = ""
    ) -> AsyncGenerator[list[FilerName], None]:
        """`filer.Filer.names` over `list_directory`."""
        page = await self.list_directory(bucket, directory, after)
        while page:
            yield page
            page = await self.list_directory(bucket, directory, page[-1].name)

    async def history(self, bucket: str, key: str) -> list[Version]:
        """`filer.Filer.history`: a null version that is not the latest comes last."""
        async with self._call("history", bucket, key):
            held = self._bucket("ListEntries", bucket)
            entries = [self._listed(held, entry) for entry in held.newest_first(key)]
            return sorted(entries, key=lambda e: e.version_id == NULL_VERSION and not e.is_latest)


def _path(bucket: Bucket, key: str) -> tuple[str, ...]:
    """The names of a key's directory entries: tuples sort as the walk goes, depth first."""
    *directories, leaf = key.split("/")
    plain = all(_is_plain_file(entry) for entry in bucket.newest_first(key))
    return (*directories, leaf if plain else leaf + VERSIONS_SUFFIX)


def _shown(bucket: Bucket, key: str, query: Query) -> list[Entry | str]:
    """What a walk behind the markers shows of one key."""
    if _passes_over(key, query.key_marker):
        return []
    common = common_prefix(key, query)
    if common:
        return [common] if common > query.key_marker else []
    return [*bucket.behind_marker(key, query)] if key >= query.key_marker else []


def _passes_over(key: str, marker: str) -> bool:
    """Whether a directory of the key's path is left out whole.

    The server compares the directory's name, without its slash, with the marker: `a`
    falls behind the marker `a-b` although `a/x` does not.
    """
    above = ["/".join(key.split("/")[:depth]) for depth in range(1, key.count("/") + 1)]
    return any(path < marker and not marker.startswith(path + "/") for path in above)


def _children(bucket: Bucket, directory: str) -> list[FilerName]:
    """The entries of a directory, ascending. A key's null version and the directory of
    longer keys are one entry when they have the same name."""
    files: set[str] = set()
    directories: set[str] = set()
    for key in islice(bucket.keys, bisect_left(bucket.keys, directory), None):
        if not key.startswith(directory):
            break
        name, slash, _ = key[len(directory) :].partition("/")
        plain = [] if slash else [_is_plain_file(entry) for entry in bucket.newest_first(key)]
        if slash or not all(plain):
            directories.add(name if slash else name + VERSIONS_SUFFIX)
        if any(plain):
            files.add(name)
    files |= _version_files(bucket, directory)
    names = sorted(files | directories)
    return [FilerName(name, name in directories, name in files) for name in names]


def _version_files(bucket: Bucket, directory: str) -> set[str]:
    """The entries of a directory `KEY.versions/`."""
    key, suffix, rest = directory.rpartition(VERSIONS_SUFFIX + "/")
    if not suffix or rest:
        return set()
    return {f"v_{e.version_id}" for e in bucket.newest_first(key) if not _is_plain_file(e)}


def _is_plain_file(entry: Entry) -> bool:
    return entry.version_id == NULL_VERSION and not entry.is_marker
