"""What a bucket is told beside its policy: CORS, lifecycle, encryption, notifications, tags, lock.

One shape for all: a sub-resource that holds an XML document. Nothing here takes one away: a
server that does not know a sub-resource takes its DELETE for that of the bucket (SeaweedFS
has deleted buckets in that way), and its GET for a listing, which is why the document's name
is looked at.
"""

from __future__ import annotations

from typing import NamedTuple

from farshore.errors import Corrupt, Unsupported
from farshore.s3 import xml
from farshore.s3.store import BucketConfig
from farshore.s3.wire.request import Answer, Request, action, xml_headers

DOCUMENT_BYTES_MAX = 1 << 20


class _Form(NamedTuple):
    """`operation` without Get or Put; `root`: the document's name; `absent`: codes for "there
    is none"."""

    operation: str
    root: str
    absent: tuple[str, ...] = ()


_FORMS: dict[BucketConfig, _Form] = {
    "cors": _Form("BucketCors", "CORSConfiguration", ("NoSuchCORSConfiguration",)),
    "encryption": _Form(
        "BucketEncryption",
        "ServerSideEncryptionConfiguration",
        ("ServerSideEncryptionConfigurationNotFoundError",),
    ),
    "lifecycle": _Form(
        "BucketLifecycleConfiguration", "LifecycleConfiguration", ("NoSuchLifecycleConfiguration",)
    ),
    "notification": _Form("BucketNotificationConfiguration", "NotificationConfiguration"),
    "object-lock": _Form(
        "ObjectLockConfiguration",
        "ObjectLockConfiguration",
        ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"),
    ),
    "tagging": _Form("BucketTagging", "Tagging", ("NoSuchTagSet", "NoSuchTagSetError")),
}
"""Codes: the S3 API reference."""


def get_bucket_config(bucket: str, kind: BucketConfig) -> Request:
    """One sub-resource; that there is none passes."""
    form = _FORMS[kind]
    name = action(f"Get{form.operation}", bucket)
    return Request("GET", bucket, "", ((kind, ""),), action=name, done_codes=form.absent)


def parse_get_bucket_config(answer: Answer, bucket: str, kind: BucketConfig) -> str:
    """The document as the server gives it; "" where there is none. `Unsupported` when the
    server answered another question."""
    if not 200 <= answer.status < 300 or not answer.body.strip():
        return ""
    root = xml.read(answer.body, bytes_max=DOCUMENT_BYTES_MAX)
    if root.name != _FORMS[kind].root:
        raise Unsupported(
            f"The server answers a question for the {kind} of {bucket} with a {root.name}: it "
            "does not know it.",
            action=action(f"Get{_FORMS[kind].operation}", bucket),
        )
    if not root.children:
        return ""
    try:
        return answer.body.decode()
    except UnicodeDecodeError:
        raise Corrupt(f"the {kind} of {bucket} is not UTF-8") from None


def put_bucket_config(bucket: str, kind: BucketConfig, document: str) -> Request:
    """Replace one sub-resource by a document as `get_bucket_config` gave it."""
    body = document.encode()
    name = action(f"Put{_FORMS[kind].operation}", bucket)
    return Request("PUT", bucket, "", ((kind, ""),), xml_headers(body), body, name)
