"""A SeaweedFS filer's own listing: complete where the S3 listing of that server is not.

The filer keeps a bucket as directories. Observed on SeaweedFS 4.48, over HTTP:

- `GET /buckets/B/DIR/?limit=N&lastFileName=L` with `Accept: application/json` answers
  the names after L, ascending by their bytes; `ShouldDisplayLoadMore` says that there
  are more. `limit` is obeyed up to 20,000 at least. A missing directory is a 404.
- A key's versions are the entries `v_<version id>` of the directory `KEY.versions`; a
  delete marker has `Seaweed-X-Amz-Delete-Marker` in `Extended`, whose values are base64.
- A null version is the plain file `KEY`; a null marker is the entry `v_null`. Which of
  them is the latest stands in the `Extended` of `KEY.versions` itself
  (`GET …?metadata=true`).
- `Mode` has bit 31 set for a directory. A plain file becomes a directory, and keeps its
  body, when a key below it is written: `x-seaweedfs-prefix-object` marks it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode

from farshore.core.model import NULL_VERSION, Version
from farshore.errors import BadListing, ServerFault, StoreError, Unsupported
from farshore.s3.http import HttpPool
from farshore.s3.store import Chunk

NAMES_PER_PAGE = 1000
VERSIONS_PER_PAGE = 250
"""Entries of one answer. A version's entry names every 4 MiB chunk of its body."""

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""An answer above this is asked for again with half as many entries."""

PAGES_MAX = 1_000_000
"""Answers read for one directory before it is given up as endless."""

VERSIONS_SUFFIX = ".versions"
DIRECTORY_BIT = 1 << 31
FOLDER_MIME = "httpd/unix-directory"
STORED_ETAG = "Seaweed-X-Amz-ETag"

INVERTED_FROM = 0x4000_0000_0000_0000
"""Version ids at or above it count down from 2**63 - 1; those below are plain nanoseconds."""


class FilerName(NamedTuple):
    """One name in a directory, without the path.

    `holds_null`: it is a key's null version: a plain file, or a directory that was a
    plain file until a longer key was written below it.
    """

    name: str
    is_directory: bool
    holds_null: bool


class Filer(Protocol):
    """A complete oracle of the names in a directory and of the versions of a key."""

    def names(
        self, bucket: str, directory: str, *, after: str = ""
    ) -> AsyncGenerator[list[FilerName], None]:
        """Pages of the names in `directory` ("" or ending with "/") that follow `after`.

        Ascending by their bytes; nothing for a directory that is not there.
        `BadListing` when the filer contradicts itself.
        """
        ...

    async def history(self, bucket: str, key: str) -> list[Version]:
        """All entries of exactly this key, newest first; [] when there are none.

        A null version comes first when it is the latest, else last: where it belongs
        among the others is not recorded.
        """
        ...


class HttpFiler:
    """The filer of one site over HTTP. It knows no users: whoever reaches it, or has a certificate
    that it wants, may do everything."""

    def __init__(self, pool: HttpPool, *, site: str, page_limit: int = NAMES_PER_PAGE) -> None:
        self._pool = pool
        self._site = site
        self._page_limit = page_limit
        self.requests = 0

    async def names(
        self, bucket: str, directory: str, *, after: str = ""
    ) -> AsyncGenerator[list[FilerName], None]:
        async for entries in self._entries(bucket, directory, after, self._page_limit):
            with _understood(self._site):
                found = [FilerName(_name(e), _is_directory(e), _holds_null(e)) for e in entries]
            yield found

    async def history(self, bucket: str, key: str) -> list[Version]:
        versions: list[Version] = []
        folder = f"{key}{VERSIONS_SUFFIX}/"
        async for entries in self._entries(bucket, folder, "", VERSIONS_PER_PAGE):
            with _understood(self._site):
                versions += [_version(key, entry) for entry in entries if _version_id(entry)]
        plain = await self._metadata(bucket, key)
        with _understood(self._site):
            if plain is not None and _holds_null(plain):
                versions.append(_version(key, plain)._replace(version_id=NULL_VERSION))
        return await self._in_order(bucket, key, versions)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _in_order(self, bucket: str, key: str, found: list[Version]) -> list[Version]:
        numbered = sorted((v for v in found if v.version_id != NULL_VERSION), key=_newest_first)
        null = [v for v in found if v.version_id == NULL_VERSION]
        if null and numbered and await self._null_is_latest(bucket, key):
            ordered = null + numbered
        else:
            ordered = numbered + null
        return [v._replace(is_latest=place == 0) for place, v in enumerate(ordered)]

    async def _null_is_latest(self, bucket: str, key: str) -> bool:
        folder = await self._metadata(bucket, key + VERSIONS_SUFFIX)
        with _understood(self._site):
            latest = "" if folder is None else _extended(folder, "Seaweed-X-Amz-Latest-Version-Id")
        return latest in ("", NULL_VERSION)

    async def _metadata(self, bucket: str, path: str) -> dict[str, Any] | None:
        """The entry of one path; None when it is not there."""
        body = await self._get(_target(bucket, path, {"metadata": "true"}), bucket)
        return _object(body, self._site) if body is not None else None

    async def _entries(
        self, bucket: str, directory: str, after: str, limit: int
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        last = after
        for _ in range(PAGES_MAX):
            answer, limit = await self._page(bucket, directory, last, limit)
            entries = answer.get("Entries") or []
            if entries:
                last = self._require_progress(bucket, directory, last, entries)
                yield entries
            if not answer.get("ShouldDisplayLoadMore"):
                return
            if not entries:
                raise self._contradiction(bucket, directory, "says that there is more, shows none")
        raise self._contradiction(bucket, directory, "does not end")

    async def _page(
        self, bucket: str, directory: str, last: str, limit: int
    ) -> tuple[dict[str, Any], int]:
        """One answer ({} for a missing directory), and the limit that it was read with."""
        while True:
            query = {"limit": str(limit), "lastFileName": last}
            try:
                body = await self._get(_target(bucket, directory, query), bucket)
            except _TooLong:
                if limit == 1:
                    raise
                limit //= 2
                continue
            return ({} if body is None else _object(body, self._site)), limit

    async def _get(self, target: str, bucket: str) -> bytes | None:
        action = f"list by the filer of {self._site}, bucket {bucket}"
        headers = [("accept", "application/json")]
        self.requests += 1
        answer = await self._pool.request(
            "GET", target.encode("ascii"), headers, b"", action=action
        )
        async with answer:
            if answer.status == 200:
                return await _bounded(answer.chunks(), action)
            await answer.read(ANSWER_BYTES_MAX)
            if answer.status == 404:
                return None
            raise _refusal(answer.status, action)

    def _require_progress(
        self, bucket: str, directory: str, last: str, entries: Sequence[dict[str, Any]]
    ) -> str:
        """The page's last name. Compared as code points, which is the order of the bytes."""
        with _understood(self._site):
            names = [last, *map(_name, entries)] if last else [_name(e) for e in entries]
        if names != sorted(names) or len(set(names)) != len(names):
            raise self._contradiction(bucket, directory, f"is out of order after {last!r}")
        return names[-1]

    def _contradiction(self, bucket: str, directory: str, what: str) -> BadListing:
        return BadListing(
            f"the filer's listing of {bucket}/{directory} at {self._site} {what}",
            hint="check the filer's health and its log",
        )


class _TooLong(ServerFault):
    """An answer above ANSWER_BYTES_MAX."""

    retryable = False


async def _bounded(chunks: AsyncIterator[Chunk], action: str) -> bytes:
    parts: list[Chunk] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            raise _TooLong(f"{action}: one entry is above {ANSWER_BYTES_MAX} bytes", action=action)
        parts.append(chunk)
    return b"".join(parts)


def _refusal(status: int, action: str) -> StoreError:
    message = f"{action}: it answered {status}"
    if status >= 500:
        return ServerFault(message, status=status, action=action)
    hint = "the filer's address must be reachable without a login, from a private network only"
    return Unsupported(message, hint=hint, status=status, action=action)


def _object(body: bytes, site: str) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        hint = "`filer` must be the address of a SeaweedFS filer, not of its S3 or master port"
        raise BadListing(f"the filer of {site} does not answer in JSON", hint=hint)
    return parsed


@contextmanager
def _understood(site: str) -> Iterator[None]:
    """`BadListing` for entries that are not of the filer's form."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadListing(
            f"the filer of {site} shows an entry that cannot be understood "
            f"({type(error).__name__})",
            hint="is `filer` the address of a SeaweedFS filer? if it is, report its version",
        ) from None


def _target(bucket: str, path: str, query: dict[str, str]) -> str:
    return f"/buckets/{quote(f'{bucket}/{path}', safe='/')}?{urlencode(query, quote_via=quote)}"


def _name(entry: dict[str, Any]) -> str:
    return str(entry["FullPath"]).rpartition("/")[2]


def _is_directory(entry: dict[str, Any]) -> bool:
    return bool(entry["Mode"] & DIRECTORY_BIT)


def _holds_null(entry: dict[str, Any]) -> bool:
    """See `FilerName`. A key that ends with "/" is a directory of the folder's MIME type."""
    if not _is_directory(entry):
        return True
    stored = _extended(entry, "x-seaweedfs-prefix-object") or _extended(entry, STORED_ETAG)
    return bool(stored) and entry.get("Mime") != FOLDER_MIME


def _extended(entry: dict[str, Any], name: str) -> str:
    value = (entry.get("Extended") or {}).get(name)
    return b64decode(value).decode("utf-8", "replace") if value else ""


def _version_id(entry: dict[str, Any]) -> str:
    return _extended(entry, "Seaweed-X-Amz-Version-Id")


def _version(key: str, entry: dict[str, Any]) -> Version:
    """An entry as the S3 listing shows it, `is_latest` not yet settled."""
    is_marker = _extended(entry, "Seaweed-X-Amz-Delete-Marker") == "true"
    stored_class = _extended(entry, "X-Amz-Storage-Class") or "STANDARD"
    return Version(
        key=key,
        version_id=_version_id(entry),
        is_marker=is_marker,
        is_latest=False,
        etag="" if is_marker else _etag(entry),
        size=0 if is_marker else int(entry["FileSize"]),
        modified=_seconds(str(entry["Mtime"])),
        storage_class="" if is_marker else stored_class,
    )


def _etag(entry: dict[str, Any]) -> str:
    stored = _extended(entry, STORED_ETAG).strip('"')
    return stored or b64decode(entry.get("Md5") or "").hex()


def _seconds(time_text: str) -> str:
    """The listing's form: whole seconds, UTC."""
    return datetime.fromisoformat(time_text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _newest_first(version: Version) -> tuple[int, str]:
    """Order of SeaweedFS's ids: their first 16 hex digits hold the time of the write."""
    try:
        stamp = int(version.version_id[:16], 16)
    except ValueError:
        raise BadListing(
            f"{version.key!r} has the version id {version.version_id!r}, which holds no time",
            hint="this SeaweedFS writes ids in a form that farshore does not know: report it",
        ) from None
    nanoseconds = 2**63 - 1 - stamp if stamp >= INVERTED_FROM else stamp
    return -nanoseconds, version.version_id
