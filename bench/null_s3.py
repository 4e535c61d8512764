"""What the null server answers: just enough S3 for two clients to copy a bucket.

No signature is checked. Every synthetic object holds the first bytes of one repeating
pattern, so that the ETag of any whole number of patterns is known from its length alone.
Buckets keep only the current version of a key; that is all that either client needs.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from email.utils import formatdate
from functools import cache
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from bench.null_http import COLLECT_LIMIT, Answer, Request

MIB = 1024 * 1024
PATTERN = hashlib.shake_256(b"farshore bench").digest(MIB)
"""Incompressible, and the same on every machine."""
PAGE_LIMIT = 1000
CARRIED = (b"x-amz-meta-", b"content-type", b"cache-control", b"content-disposition")
_XML = b"Content-Type: application/xml\r\n"
_NS = b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_NOT_FOUND = b"NoSuchKey"
_ids = itertools.count(1)


@cache
def known_md5(length: int) -> str:
    """MD5 (hex) of `length` bytes of the repeating pattern."""
    digest = hashlib.md5(usedforsecurity=False)
    for _ in range(length // MIB):
        digest.update(PATTERN)
    digest.update(PATTERN[: length % MIB])
    return digest.hexdigest()


class Stored(NamedTuple):
    """The current version of a key. `body` is None when it is the pattern's first bytes."""

    etag: bytes
    size: int
    modified: float
    version_id: bytes
    headers: bytes
    body: bytes | None

    def head_lines(self) -> bytes:
        """The headers of an answer to GET or HEAD."""
        return (
            b'ETag: "%b"\r\nLast-Modified: %b\r\nx-amz-version-id: %b\r\n'
            b"Accept-Ranges: bytes\r\n%b"
            % (self.etag, _http_date(int(self.modified)), self.version_id, self.headers)
        )


@cache
def _http_date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


@cache
def _iso_date(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(second)).encode()


def _new_version_id() -> bytes:
    return b"%032x" % next(_ids)


class Bucket:
    """Keys in order and what is stored under each. `keeps`: bodies are really stored."""

    def __init__(self, name: str, *, keeps: bool) -> None:
        self.name = name
        self.keeps = keeps
        self._stored: dict[bytes, Stored] = {}
        self._keys: list[bytes] = []
        self._dirty = False

    def put(self, key: bytes, stored: Stored) -> None:
        """Make `stored` the current version of `key`."""
        self._dirty = self._dirty or key not in self._stored
        self._stored[key] = stored

    def get(self, key: bytes) -> Stored | None:
        """The current version of `key`."""
        return self._stored.get(key)

    def remove(self, key: bytes) -> None:
        """Forget a key; one that is not there is no error."""
        if self._stored.pop(key, None) is not None:
            self._dirty = True

    def sorted_keys(self) -> list[bytes]:
        """All keys in byte order."""
        if self._dirty:
            self._keys = sorted(self._stored)
            self._dirty = False
        return self._keys


class Window(NamedTuple):
    """One page of a listing: keys, rolled-up prefixes, and where to go on ("" at the end)."""

    keys: list[bytes]
    prefixes: list[bytes]
    next_after: bytes


def window(bucket: Bucket, prefix: bytes, delimiter: bytes, after: bytes, limit: int) -> Window:
    """The page of at most `limit` keys and prefixes that follows `after`."""
    keys = bucket.sorted_keys()
    at = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
    found: list[bytes] = []
    prefixes: list[bytes] = []
    last = b""
    while at < len(keys) and keys[at].startswith(prefix):
        if len(found) + len(prefixes) == limit:
            return Window(found, prefixes, last)
        key = keys[at]
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            found.append(key)
            last = key
            at += 1
        else:
            rolled = key[: cut + len(delimiter)]
            prefixes.append(rolled)
            last = rolled + b"\xff"
            at = bisect_left(keys, last)
    return Window(found, prefixes, b"")


@dataclass
class Multipart:
    """An open upload: the headers it began with, and the size and MD5 of each part."""

    headers: bytes
    parts: dict[int, tuple[int, str]]


class Meter:
    """When the first and the last request came, and how many there were of each kind."""

    def __init__(self) -> None:
        self.first = 0.0
        self.last = 0.0
        self.counts: dict[str, int] = {}

    def restart(self) -> None:
        """Forget what was."""
        self.first = self.last = 0.0
        self.counts.clear()

    def note(self, kind: str) -> None:
        """A request of this kind has been read to its end and is about to be answered."""
        self.last = time.perf_counter()
        self.first = self.first or self.last
        self.counts[kind] = self.counts.get(kind, 0) + 1


class Site:
    """One endpoint's buckets; calling it answers a request."""

    def __init__(self, name: str, meter: Meter) -> None:
        self.buckets: dict[str, Bucket] = {}
        self._name = name
        self._meter = meter
        self._uploads: dict[bytes, Multipart] = {}

    def add(self, bucket: Bucket) -> None:
        """Add a bucket."""
        self.buckets[bucket.name] = bucket

    def __call__(self, request: Request) -> Answer:
        name, _, key = request.path[1:].partition(b"/")
        if not name:
            return self._list_buckets()
        bucket = self.buckets.get(name.decode())
        if bucket is None:
            return _error(404, b"NoSuchBucket", request)
        if b"%" in key:
            key = unquote_to_bytes(key)
        query = dict(parse_qsl(request.query.decode(), True)) if request.query else {}
        self._meter.note(f"{self._name} {request.method.decode()} {name.decode()}{'/' * bool(key)}")
        if not key:
            return self._bucket(request, bucket, query)
        if request.method in (b"GET", b"HEAD"):
            return _read(request, bucket, key, query)
        if "uploadId" in query or "uploads" in query:
            return self._multipart(request, bucket, key, query)
        if request.method == b"PUT" and "tagging" not in query:
            return _write(request, bucket, key)
        if request.method == b"DELETE":
            return _delete(bucket, key, query.get("versionId", "").encode())
        return _error(501, b"NotImplemented", request)

    def _list_buckets(self) -> Answer:
        names = b"".join(
            b"<Bucket><Name>%b</Name></Bucket>" % name.encode() for name in sorted(self.buckets)
        )
        body = b"<ListAllMyBucketsResult %b><Buckets>%b</Buckets></ListAllMyBucketsResult>"
        return Answer(200, _XML, body % (_NS, names))

    def _bucket(self, request: Request, bucket: Bucket, query: dict[str, str]) -> Answer:
        if request.method == b"PUT" or request.method == b"HEAD":
            return Answer(200)
        if "versioning" in query:
            body = b"<VersioningConfiguration %b><Status>Enabled</Status></VersioningConfiguration>"
            return Answer(200, _XML, body % _NS)
        if "versions" in query:
            return _list_versions(bucket, query)
        if "uploads" in query:
            body = b"<ListMultipartUploadsResult %b><IsTruncated>false</IsTruncated>"
            return Answer(200, _XML, body % _NS + b"</ListMultipartUploadsResult>")
        if "location" in query:
            return Answer(200, _XML, b"<LocationConstraint %b/>" % _NS)
        if "list-type" in query or not query.keys() - {"prefix", "delimiter", "max-keys"}:
            return _list_current(bucket, query)
        return _error(404, b"NoSuchConfiguration", request)

    def _multipart(
        self, request: Request, bucket: Bucket, key: bytes, query: dict[str, str]
    ) -> Answer:
        if "uploads" in query:
            upload_id = _new_version_id()
            self._uploads[upload_id] = Multipart(_carried(request.headers()), {})
            body = b"<InitiateMultipartUploadResult %b><UploadId>%b</UploadId>"
            return Answer(200, _XML, body % (_NS, upload_id) + b"</InitiateMultipartUploadResult>")
        upload_id = query["uploadId"].encode()
        upload = self._uploads.get(upload_id)
        if upload is None:
            return _error(404, b"NoSuchUpload", request)
        if request.method == b"PUT":
            etag = _etag_of(request, request.headers())
            upload.parts[int(query["partNumber"])] = (request.length, etag)
            return Answer(200, b'ETag: "%b"\r\n' % etag.encode())
        del self._uploads[upload_id]
        if request.method == b"DELETE":
            return Answer(204)
        return _complete(bucket, key, upload)


def _delete(bucket: Bucket, key: bytes, version_id: bytes) -> Answer:
    """Hide a key, or purge the version that is named (an older one is gone already)."""
    current = bucket.get(key)
    if current and (not version_id or version_id == current.version_id):
        bucket.remove(key)
    if version_id:
        return Answer(204, b"x-amz-version-id: %b\r\n" % version_id)
    marker = b"x-amz-delete-marker: true\r\nx-amz-version-id: %b\r\n"
    return Answer(204, marker % _new_version_id())


def _complete(bucket: Bucket, key: bytes, upload: Multipart) -> Answer:
    parts = [upload.parts[number] for number in sorted(upload.parts)]
    digests = b"".join(bytes.fromhex(md5) for _, md5 in parts)
    etag = hashlib.md5(digests, usedforsecurity=False).hexdigest() + f"-{len(parts)}"
    size = sum(length for length, _ in parts)
    stored = Stored(etag.encode(), size, time.time(), _new_version_id(), upload.headers, None)
    bucket.put(key, stored)
    body = b'<CompleteMultipartUploadResult %b><ETag>"%b"</ETag></CompleteMultipartUploadResult>'
    headers = _XML + b"x-amz-version-id: %b\r\n" % stored.version_id
    return Answer(200, headers, body % (_NS, stored.etag))


def _error(status: int, code: bytes, request: Request) -> Answer:
    if request.method == b"HEAD":
        return Answer(status)
    return Answer(
        status, _XML, b"<Error><Code>%b</Code><Message>%b</Message></Error>" % (code, code)
    )


def _carried(headers: dict[bytes, bytes]) -> bytes:
    """The lines that a later GET or HEAD gives back."""
    return b"".join(
        b"%b: %b\r\n" % (name, value) for name, value in headers.items() if name.startswith(CARRIED)
    )


def _read(request: Request, bucket: Bucket, key: bytes, query: dict[str, str]) -> Answer:
    stored = bucket.get(key)
    wanted = query.get("versionId", "")
    if stored is None or (wanted and wanted.encode() != stored.version_id):
        return _error(404, _NOT_FOUND if stored is None else b"NoSuchVersion", request)
    if "tagging" in query:
        return Answer(200, _XML, b"<Tagging %b><TagSet/></Tagging>" % _NS)
    if request.method == b"HEAD":
        return _head(stored, query)
    headers = request.headers() if b"ange:" in request.head else {}
    first, count = 0, stored.size
    status, lines = 200, stored.head_lines()
    if b"range" in headers and headers[b"range"].startswith(b"bytes="):
        first, count = _range(headers[b"range"], stored.size)
        last = first + count - 1
        lines += b"Content-Range: bytes %d-%d/%d\r\n" % (first, last, stored.size)
        status = 206
    if stored.body is not None:
        return Answer(status, lines, stored.body[first : first + count])
    if count <= COLLECT_LIMIT and first == 0:
        return Answer(status, lines, PATTERN[:count])
    return Answer(status, lines, bulk=(first, count))


def _head(stored: Stored, query: dict[str, str]) -> Answer:
    _, _, parts = stored.etag.partition(b"-")
    if "partNumber" not in query or not parts:
        return Answer(200, stored.head_lines(), length=stored.size)
    lines = stored.head_lines() + b"x-amz-mp-parts-count: %b\r\n" % parts
    return Answer(206, lines, length=stored.size // int(parts))


def _range(text: bytes, size: int) -> tuple[int, int]:
    first, _, last = text.removeprefix(b"bytes=").partition(b"-")
    end = min(int(last) if last else size - 1, size - 1)
    return int(first), end - int(first) + 1


def _etag_of(request: Request, headers: dict[bytes, bytes]) -> str:
    """The Content-MD5 that was sent, or the MD5 of the body, known by its length if long."""
    sent = headers.get(b"content-md5")
    if sent:
        return base64.b64decode(sent).hex()
    if len(request.body) == request.length and request.body != PATTERN[: request.length]:
        return hashlib.md5(request.body, usedforsecurity=False).hexdigest()
    return known_md5(request.length)


def _write(request: Request, bucket: Bucket, key: bytes) -> Answer:
    headers = request.headers()
    current = bucket.get(key)
    if headers.get(b"if-none-match") == b"*" and current is not None:
        return _error(412, b"PreconditionFailed", request)
    expected = headers.get(b"if-match")
    if expected is not None and (current is None or expected.strip(b'"') != current.etag):
        status, code = (404, _NOT_FOUND) if current is None else (412, b"PreconditionFailed")
        return _error(status, code, request)
    stored = Stored(
        _etag_of(request, headers).encode(),
        request.length,
        time.time(),
        _new_version_id(),
        _carried(headers),
        request.body if bucket.keeps else None,
    )
    bucket.put(key, stored)
    lines = b'ETag: "%b"\r\nx-amz-version-id: %b\r\n' % (stored.etag, stored.version_id)
    return Answer(200, lines)


def _list_versions(bucket: Bucket, query: dict[str, str]) -> Answer:
    page = _page(bucket, query, query.get("key-marker", ""))
    entries = b"".join(
        b"<Version><Key>%b</Key><VersionId>%b</VersionId><IsLatest>true</IsLatest>%b</Version>"
        % (key, stored.version_id, _fields(stored))
        for key in page.keys
        if (stored := bucket.get(key))
    )
    following = b""
    if page.next_after:
        last = bucket.get(page.next_after)
        following = (
            b"<NextKeyMarker>%b</NextKeyMarker><NextVersionIdMarker>%b</NextVersionIdMarker>"
        )
        following %= (page.next_after, last.version_id if last else b"")
    return _listing(b"ListVersionsResult", bucket, query, page, entries, following)


def _list_current(bucket: Bucket, query: dict[str, str]) -> Answer:
    after = query.get("continuation-token") or query.get("start-after", "")
    page = _page(bucket, query, after)
    entries = b"".join(
        b"<Contents><Key>%b</Key>%b</Contents>" % (key, _fields(stored))
        for key in page.keys
        if (stored := bucket.get(key))
    )
    count = len(page.keys) + len(page.prefixes)
    following = b"<KeyCount>%d</KeyCount>" % count
    if page.next_after:
        token = page.next_after.decode("latin-1").encode()
        following += b"<NextContinuationToken>%b</NextContinuationToken>" % token
    return _listing(b"ListBucketResult", bucket, query, page, entries, following)


def _page(bucket: Bucket, query: dict[str, str], after: str) -> Window:
    prefix, delimiter = query.get("prefix", "").encode(), query.get("delimiter", "").encode()
    limit = min(int(query.get("max-keys", PAGE_LIMIT)), PAGE_LIMIT)
    return window(bucket, prefix, delimiter, after.encode("latin-1"), limit)


def _fields(stored: Stored) -> bytes:
    return (
        b"<LastModified>%b</LastModified><ETag>&quot;%b&quot;</ETag><Size>%d</Size>"
        b"<StorageClass>STANDARD</StorageClass>"
        % (_iso_date(int(stored.modified)), stored.etag, stored.size)
    )


def _listing(
    root: bytes,
    bucket: Bucket,
    query: dict[str, str],
    page: Window,
    entries: bytes,
    following: bytes,
) -> Answer:
    prefixes = b"".join(
        b"<CommonPrefixes><Prefix>%b</Prefix></CommonPrefixes>" % p for p in page.prefixes
    )
    encoding = b"<EncodingType>url</EncodingType>" if "encoding-type" in query else b""
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?><%b %b><Name>%b</Name><Prefix>%b</Prefix>%b'
        b"<MaxKeys>1000</MaxKeys><IsTruncated>%b</IsTruncated>%b%b%b</%b>"
        % (
            root,
            _NS,
            bucket.name.encode(),
            query.get("prefix", "").encode(),
            encoding,
            b"true" if page.next_after else b"false",
            following,
            entries,
            prefixes,
            root,
        )
    )
    return Answer(200, _XML, body)
