"""The S3 of one site over the network: `wire` says what to send, `http` sends it.

Path-style addressing, signed with the site's clock given by the caller. Keys go out
byte for byte: `a/../c`, `a//b` and `%2e%2e` name three objects.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from email.utils import parsedate_to_datetime
from hashlib import sha256
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

from farshore.clock import Clock, SystemClock
from farshore.core.acl import Acl
from farshore.core.model import NO_ATTRIBUTES, Attributes
from farshore.credentials import Credentials
from farshore.errors import (
    BadListing,
    ClockSkew,
    ConfigError,
    Corrupt,
    ServerFault,
    StoreError,
)
from farshore.keyring import Keyring
from farshore.s3 import wire
from farshore.s3.http import PORTS, HttpAnswer, HttpPool, tls
from farshore.s3.reading import ANSWER_BYTES_MAX, Reading
from farshore.s3.signing import Signing
from farshore.s3.sigv4 import UNSIGNED_PAYLOAD, Signer, encode_path, encode_query
from farshore.s3.store import (
    ALWAYS,
    Body,
    BucketConfig,
    Condition,
    Deleted,
    ObjectInfo,
    Part,
    Stream,
    Upload,
    VersionPage,
    Written,
)

LIST_PAGES_MAX = 10_000
"""Pages of one listing of parts or uploads."""

SIGNED_BODY_BYTES_MAX = 1024 * 1024
"""A larger body is sent as UNSIGNED-PAYLOAD: hashing it would hold the event loop for
a millisecond and more. Content-MD5, or the ETag that comes back, guards it instead."""

PARTIAL_CONTENT = 206
_ENDPOINT_HINT = "write it as https://host or http://host:port, and nothing after it"
EMPTY_SHA256 = sha256(b"").hexdigest()


class Endpoint(NamedTuple):
    """Where a site answers: "http" or "https", a host name or address, a port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """From "https://host[:port]". `ConfigError` for anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # its words, and the URL, may hold a password
            raise ConfigError("the endpoint is not a URL", hint=_ENDPOINT_HINT) from None
        extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
        if parts.scheme not in PORTS or not parts.hostname or extra:
            raise ConfigError(
                f"the endpoint {parts.scheme}://{parts.hostname or ''} cannot be used",
                hint=_ENDPOINT_HINT,
            )
        return cls(parts.scheme, parts.hostname, port or PORTS[parts.scheme])


class S3Client:
    """`store.Store` over HTTP. Nothing here tries again: that is `wrap.Retrying`.

    Temporary keys that a keyring renews are followed: a request that came too late for the
    old ones is a `KeysEnded`, and the next one carries the new.

    `ca_file` (PEM) replaces the system's authorities for https. `location` is the
    LocationConstraint of new buckets, for stores that have regions.
    """

    def __init__(
        self,
        site: str,
        endpoint: str,
        credentials: Credentials | Keyring,
        *,
        region: str = "us-east-1",
        ca_file: str | None = None,
        connections_max: int = 256,
        location: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._site = site
        self._endpoint = Endpoint.parse(endpoint)
        self._location = location
        self._clock = clock or SystemClock()
        self._signing = Signing(credentials, region)
        self._pool = HttpPool(
            self._endpoint.host,
            self._endpoint.port,
            tls(ca_file) if self._endpoint.scheme == "https" else None,
            connections_max=connections_max,
        )

    @property
    def site(self) -> str:
        return self._site

    # Versions.

    async def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        version_marker: str = "",
        delimiter: str = "",
        limit: int = 1000,
    ) -> VersionPage:
        request = wire.list_versions(
            bucket,
            prefix=prefix,
            key_marker=key_marker,
            version_marker=version_marker,
            delimiter=delimiter,
            limit=limit,
        )
        answer = await self._call(request)
        try:
            return wire.parse_list_versions(answer)
        except BadListing as error:
            where = f"{self._site}, bucket {bucket}"
            raise BadListing(f"{where}: {error.message}", hint=error.hint) from error

    async def head(
        self, bucket: str, key: str, version_id: str = "", *, part_number: int = 0
    ) -> ObjectInfo:
        request = wire.head(bucket, key, version_id, part_number=part_number)
        return wire.parse_info(await self._call(request), part=part_number > 0)

    def get(
        self,
        bucket: str,
        key: str,
        version_id: str = "",
        *,
        first: int = 0,
        last: int | None = None,
    ) -> AbstractAsyncContextManager[Reading]:
        request = wire.get(bucket, key, version_id, first=first, last=last)
        return _Opening(self, request, ranged=first > 0 or last is not None)

    async def put(
        self,
        bucket: str,
        key: str,
        body: Body,
        attributes: Attributes = NO_ATTRIBUTES,
        *,
        condition: Condition = ALWAYS,
        content_md5: bytes = b"",
    ) -> Written:
        request = wire.put(
            bucket, key, body, attributes, condition=condition, content_md5=content_md5
        )
        return wire.parse_put(await self._call(request))

    async def delete(
        self, bucket: str, key: str, version_id: str = "", *, condition: Condition = ALWAYS
    ) -> Deleted:
        request = wire.delete(bucket, key, version_id, condition=condition)
        return wire.parse_delete(await self._call(request))

    # What can be changed on a version.

    async def get_tags(
        self, bucket: str, key: str, version_id: str = ""
    ) -> tuple[tuple[str, str], ...]:
        return wire.parse_get_tags(await self._call(wire.get_tags(bucket, key, version_id)))

    async def put_tags(
        self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
    ) -> None:
        await self._call(wire.put_tags(bucket, key, version_id, tags))

    async def put_retention(
        self, bucket: str, key: str, version_id: str, mode: str, retain_until: str
    ) -> None:
        await self._call(wire.put_retention(bucket, key, version_id, mode, retain_until))

    async def put_legal_hold(self, bucket: str, key: str, version_id: str, held: bool) -> None:
        await self._call(wire.put_legal_hold(bucket, key, version_id, held))

    async def get_acl(self, bucket: str, key: str, version_id: str = "") -> Acl:
        return wire.parse_acl(await self._call(wire.get_acl(bucket, key, version_id)))

    async def put_acl(self, bucket: str, key: str, version_id: str, acl: Acl) -> None:
        await self._call(wire.put_acl(bucket, key, version_id, acl))

    # Multipart uploads.

    async def create_upload(
        self, bucket: str, key: str, attributes: Attributes = NO_ATTRIBUTES
    ) -> str:
        request = wire.create_upload(bucket, key, attributes)
        return wire.parse_create_upload(await self._call(request))

    async def put_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        content_md5: bytes = b"",
    ) -> str:
        request = wire.put_part(bucket, key, upload_id, number, body, content_md5=content_md5)
        return wire.parse_put_part(await self._call(request))

    async def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: list[tuple[int, str]],
        *,
        condition: Condition = ALWAYS,
    ) -> Written:
        request = wire.complete_upload(bucket, key, upload_id, parts, condition=condition)
        return wire.parse_complete_upload(await self._call(request))

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        await self._call(wire.abort_upload(bucket, key, upload_id))

    async def list_parts(self, bucket: str, key: str, upload_id: str) -> list[Part]:
        parts: list[Part] = []
        after = 0
        for _ in range(LIST_PAGES_MAX):
            request = wire.list_parts(bucket, key, upload_id, after=after)
            page = wire.parse_list_parts(await self._call(request))
            parts += page.parts
            if not page.truncated:
                return parts
            if page.next_number <= after:
                break
            after = page.next_number
        raise self._endless(f"the parts of an upload to {bucket}/{key!a}")

    async def list_uploads(self, bucket: str, prefix: str = "") -> list[Upload]:
        uploads: list[Upload] = []
        marker = ("", "")
        for _ in range(LIST_PAGES_MAX):
            request = wire.list_uploads(
                bucket, prefix, key_marker=marker[0], upload_marker=marker[1]
            )
            page = wire.parse_list_uploads(await self._call(request))
            uploads += page.uploads
            if not page.truncated:
                return uploads
            if (page.next_key, page.next_upload) == marker:
                break
            marker = (page.next_key, page.next_upload)
        raise self._endless(f"the uploads to {bucket}")

    # Buckets.

    async def list_buckets(self) -> list[str]:
        return wire.parse_list_buckets(await self._call(wire.list_buckets()))

    async def create_bucket(self, bucket: str) -> None:
        await self._call(wire.create_bucket(bucket, region=self._location))

    async def get_versioning(self, bucket: str) -> str:
        return wire.parse_get_versioning(await self._call(wire.get_versioning(bucket)))

    async def put_versioning(self, bucket: str, enabled: bool) -> None:
        await self._call(wire.put_versioning(bucket, enabled))

    async def get_bucket_policy(self, bucket: str) -> str:
        return wire.parse_get_bucket_policy(await self._call(wire.get_bucket_policy(bucket)))

    async def put_bucket_policy(self, bucket: str, document: str) -> None:
        await self._call(wire.put_bucket_policy(bucket, document))

    async def delete_bucket_policy(self, bucket: str) -> None:
        await self._call(wire.delete_bucket_policy(bucket))

    async def get_bucket_config(self, bucket: str, kind: BucketConfig) -> str:
        answer = await self._call(wire.get_bucket_config(bucket, kind))
        return wire.parse_get_bucket_config(answer, bucket, kind)

    async def put_bucket_config(self, bucket: str, kind: BucketConfig, document: str) -> None:
        await self._call(wire.put_bucket_config(bucket, kind, document))

    # The site.

    async def get_identity(self) -> str:
        return wire.parse_owner(await self._call(wire.list_buckets()))

    async def server_time_offset(self) -> float:
        """From any answer, a refusal too: a clock that is off is itself a cause of those."""
        request = wire.list_buckets()
        before = self._clock.now()
        async with await self.send(request) as answer:
            middle = (before + self._clock.now()) / 2
            await answer.read(ANSWER_BYTES_MAX)
        offset = _offset(answer, middle)
        if offset is None:
            raise ServerFault(
                f"{request.action} at {self._site}: the answer has no Date that can be read",
                status=answer.status,
            )
        return offset

    def presign(
        self, method: str, bucket: str, key: str, version_id: str = "", *, expires_s: int = 900
    ) -> str:
        return self._signing.latest.presign(
            method,
            self._endpoint.scheme,
            self._pool.authority,
            encode_path(bucket, key),
            [("versionId", version_id)] if version_id else [],
            expires_s=expires_s,
            now=self._clock.now(),
        )

    async def aclose(self) -> None:
        await self._pool.aclose()

    # One request.

    async def send(self, request: wire.Request) -> HttpAnswer:
        """Sign a request and send it; the answer is as the server gave it, refusal or not.

        For requests that `Store` does not have; use the answer as an async context.
        """
        path = encode_path(request.bucket, request.key)
        query = encode_query(request.query) if request.query else b""
        now = self._clock.now()
        signer = await self._signing.signer(now)
        headers = signer.sign(
            request.method,
            self._pool.authority,
            path,
            query,
            list(request.headers),
            _payload_hash(request.body),
            now,
        )
        return await self._pool.request(
            request.method,
            b"%b?%b" % (path, query) if query else path,
            headers,
            request.body,
            action=f"{request.action} at {self._site}",
        )

    async def _call(self, request: wire.Request) -> wire.Answer:
        """Send, read the whole answer, and raise what it means when it is a refusal."""
        used = self._signing.latest
        async with await self.send(request) as answer:
            body = await answer.read(ANSWER_BYTES_MAX)
        result = wire.Answer(answer.status, answer.headers, body)
        await self._check(result, request, answer, used)
        return result

    async def _open(self, request: wire.Request, ranged: bool) -> Reading:
        """Send a GET and read its head; the body stays on the wire."""
        used = self._signing.latest
        answer = await self.send(request)
        try:
            if not 200 <= answer.status < 300:
                body = await answer.read(ANSWER_BYTES_MAX)
                refusal = wire.Answer(answer.status, answer.headers, body)
                await self._check(refusal, request, answer, used)
            if ranged and answer.status != PARTIAL_CONTENT:
                raise Corrupt(
                    f"{request.action} at {self._site}: a range was asked, all of it came",
                    status=answer.status,
                )
            info = wire.parse_info(wire.Answer(answer.status, answer.headers, b""))
            if not ranged and answer.length != info.size:
                raise Corrupt(
                    f"{request.action} at {self._site}: {answer.length} bytes are said to come of "
                    f"an object of {info.size}, which was asked for whole",
                    status=answer.status,
                )
        except BaseException:
            await answer.aclose()
            raise
        return Reading(answer, info)

    async def _check(
        self, result: wire.Answer, request: wire.Request, answer: HttpAnswer, used: Signer
    ) -> None:
        try:
            wire.raise_for_status(result, request, self._site)
        except ClockSkew as error:
            offset = _offset(answer, self._clock.now())
            if offset is not None:
                error.hint = _skew_hint(offset, self._site)
            raise
        except StoreError as error:
            await self._signing.require_lasting(error, request.method, used)
            raise

    def _endless(self, what: str) -> BadListing:
        return BadListing(f"the listing of {what} at {self._site} does not come to an end")


class _Opening:
    """`async with` around a GET. A class: a generator costs more, and this is the hot path."""

    __slots__ = ("_client", "_ranged", "_reading", "_request")

    def __init__(self, client: S3Client, request: wire.Request, *, ranged: bool) -> None:
        self._client = client
        self._request = request
        self._ranged = ranged
        self._reading: Reading | None = None

    async def __aenter__(self) -> Reading:
        self._reading = await self._client._open(self._request, self._ranged)
        return self._reading

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reading is not None:
            await self._reading.aclose()


def _payload_hash(body: Body) -> str:
    if isinstance(body, Stream) or len(body) > SIGNED_BODY_BYTES_MAX:
        return UNSIGNED_PAYLOAD
    return sha256(body).hexdigest() if body else EMPTY_SHA256


def _offset(answer: HttpAnswer, ours: float) -> float | None:
    """The server's clock minus `ours`, in seconds; None without a Date."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp() - ours
    except (ValueError, OverflowError):
        return None


def _skew_hint(offset_s: float, site: str) -> str:
    direction = "behind" if offset_s > 0 else "ahead of"
    minutes = abs(offset_s) / 60
    return f"this machine's clock is {minutes:.0f} minutes {direction} {site}'s: set it (NTP)"
