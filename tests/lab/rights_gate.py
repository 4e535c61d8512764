"""A gate before a real site that lets through what AWS' IAM would, by policies as exported.

It reads of each request whose it is and which actions it needs, and answers AccessDenied where
the policy of that principal does not allow one of them: the site behind it never sees such a
request. What was allowed, what was refused, and by which action, is kept.

Source of the actions: "Required permissions for Amazon S3 API operations", S3 user guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from tests.lab.damaging_proxy import Message

_KEY = re.compile(rb"Credential=([^/%]+)")

_OF_BUCKETS = {
    "versioning": "BucketVersioning",
    "policy": "BucketPolicy",
    "cors": "BucketCORS",
    "lifecycle": "LifecycleConfiguration",
    "encryption": "EncryptionConfiguration",
    "tagging": "BucketTagging",
    "notification": "BucketNotification",
    "object-lock": "BucketObjectLockConfiguration",
}
_OF_OBJECTS = {
    "tagging": "Object{version}Tagging",
    "acl": "Object{version}Acl",
    "retention": "ObjectRetention",
    "legal-hold": "ObjectLegalHold",
}
_BY_HEADER = {
    b"x-amz-tagging": "PutObjectTagging",
    b"x-amz-acl": "PutObjectAcl",
    b"x-amz-object-lock-mode": "PutObjectRetention",
    b"x-amz-object-lock-legal-hold": "PutObjectLegalHold",
}
_VERBS = {"GET": "Get", "HEAD": "Get", "PUT": "Put", "DELETE": "Delete"}


class Need(NamedTuple):
    """One action on one resource."""

    action: str
    arn: str


class Gate:
    """`policies`: principal to its document. `keys`: access key to its principal."""

    def __init__(self, policies: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        self._policies = policies
        self._keys = keys
        self.used: set[tuple[str, str]] = set()
        self.refused: list[tuple[str, Need]] = []

    def refuse(self, request: Message) -> bytes | None:
        """An answer in the site's place, where the principal may not do that."""
        found = _KEY.search(b"".join([request.first, *request.headers]))
        who = self._keys[found[1].decode()] if found else "nobody"
        lacks = [need for need in needs(request) if not self._may(who, need)]
        self.refused += [(who, need) for need in lacks]
        if not lacks:
            self.used |= {(who, need.action) for need in needs(request)}
            return None
        body = b"" if request.first.startswith(b"HEAD ") else _DENIED
        return b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def _may(self, who: str, need: Need) -> bool:
        effects = {
            statement["Effect"]
            for statement in self._policies[who]["Statement"]
            if any(fnmatchcase(need.action, pattern) for pattern in statement["Action"])
            and any(fnmatchcase(need.arn, pattern) for pattern in statement["Resource"])
        }
        return effects == {"Allow"}


_DENIED = b"<Error><Code>AccessDenied</Code><Message>by the gate</Message></Error>"


def needs(request: Message) -> list[Need]:
    """What AWS would want for this request."""
    method, target, _ = request.first.decode("latin-1").split(" ")
    path, _, text = target.partition("?")
    query = parse_qs(text, keep_blank_values=True)
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return [Need("s3:ListAllMyBuckets", "*")]
    at = f"arn:aws:s3:::{bucket}"
    if not key:
        return [Need(f"s3:{_of_bucket(method, query)}", at)]
    wanted = [Need(f"s3:{name}", f"{at}/{unquote(key)}") for name in _of_object(method, query)]
    if method in ("PUT", "POST") and not query.keys() & {"partNumber", "tagging", "acl"}:
        names = {line.partition(b":")[0].strip().lower() for line in request.headers}
        wanted += [
            Need(f"s3:{action}", f"{at}/{unquote(key)}")
            for name, action in _BY_HEADER.items()
            if name in names
        ]
    if method in ("GET", "HEAD") and not query.keys() - {"versionId"}:
        wanted.append(Need("s3:ListBucket", at))  # else AWS answers 403 for what is not there
    return wanted


def _of_bucket(method: str, query: Mapping[str, Any]) -> str:
    for name, action in _OF_BUCKETS.items():
        if name in query:
            # Taking a configuration away needs the right to put one, but for policies.
            verb = "Put" if method == "DELETE" and name != "policy" else _VERBS[method]
            return f"{verb}{action}"
    if "versions" in query:
        return "ListBucketVersions"
    if "uploads" in query:
        return "ListBucketMultipartUploads"
    return "CreateBucket" if method == "PUT" else "ListBucket"


def _of_object(method: str, query: Mapping[str, Any]) -> Iterator[str]:
    version = "Version" if "versionId" in query else ""
    for name, action in _OF_OBJECTS.items():
        if name in query:
            yield _VERBS[method] + action.format(version=version)
            return
    if "uploadId" in query and method in ("GET", "DELETE"):
        yield "ListMultipartUploadParts" if method == "GET" else "AbortMultipartUpload"
    elif method in ("PUT", "POST"):
        yield "PutObject"
    else:
        yield f"{_VERBS[method]}Object{version}"
