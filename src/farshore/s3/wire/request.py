"""Requests and answers as values: what is asked, before it is signed, and what came back."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import md5
from typing import NamedTuple

from farshore.errors import BadRequest
from farshore.s3.store import Body, Condition

Pairs = tuple[tuple[str, str], ...]


class Request(NamedTuple):
    """One S3 request, unsigned.

    `bucket` "" is the service, `key` "" the bucket. `query` holds unencoded names and
    values, a sub-resource being ("versions", ""). `headers` have lower-case names and
    latin-1 values. `action` ("PutObject files/a.txt") is for messages. `done_codes` are
    error codes that mean "already so": `raise_for_status` lets them pass.
    """

    method: str
    bucket: str
    key: str
    query: Pairs = ()
    headers: Pairs = ()
    body: Body = b""
    action: str = ""
    done_codes: tuple[str, ...] = ()


class Answer(NamedTuple):
    """A response. Header names are lower-case, values latin-1; of doubled names the first
    wins. `body` is b"" for a GET that streams."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def action(operation: str, bucket: str, key: str = "") -> str:
    """ "PutObject files/a.txt": one printable line, whatever the key holds."""
    where = f"{bucket}/{key}" if key else bucket
    return f"{operation} {where if where.isprintable() else ascii(where)}".rstrip()


def named(key: str) -> str:
    """A key; never "", which would turn a request for an object into one for its bucket."""
    if not key:
        raise BadRequest("a request for an object needs a key: it is empty")
    return key


def version_query(version_id: str) -> Pairs:
    """The query that names a version; none for the current one."""
    return (("versionId", version_id),) if version_id else ()


def md5_header(digest: bytes) -> Pairs:
    """Content-MD5 from 16 raw bytes; nothing when there are none."""
    return (("content-md5", b64encode(digest).decode()),) if digest else ()


def xml_headers(body: bytes) -> Pairs:
    """For a small XML body; S3 demands its MD5 for some operations and accepts it for all."""
    digest = md5(body, usedforsecurity=False).digest()
    return (*md5_header(digest), ("content-type", "application/xml"))


def condition_headers(condition: Condition) -> Pairs:
    """If-None-Match: * or If-Match: "etag"."""
    if condition.absent:
        return (("if-none-match", "*"),)
    return (("if-match", f'"{condition.etag}"'),) if condition.etag else ()


def bare_etag(value: str) -> str:
    """An ETag without quotes, nor the weak mark that some proxies add."""
    return value.removeprefix("W/").strip('"')
