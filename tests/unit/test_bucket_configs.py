"""What buckets are told, on the wire: asked as S3 documents it, and no other answer believed."""

from __future__ import annotations

from typing import get_args

import pytest
from botocore.session import Session

from farshore.errors import Corrupt, Unsupported
from farshore.s3 import wire
from farshore.s3.store import BucketConfig

MODEL = Session().get_service_model("s3")
OPERATIONS: dict[BucketConfig, str] = {
    "cors": "BucketCors",
    "encryption": "BucketEncryption",
    "lifecycle": "BucketLifecycleConfiguration",
    "notification": "BucketNotificationConfiguration",
    "object-lock": "ObjectLockConfiguration",
    "tagging": "BucketTagging",
}
KINDS: tuple[BucketConfig, ...] = get_args(BucketConfig)


@pytest.mark.parametrize("kind", KINDS)
def test_the_sub_resource_is_the_one_of_the_api(kind: BucketConfig) -> None:
    for verb, request in (
        ("Get", wire.get_bucket_config("bkt", kind)),
        ("Put", wire.put_bucket_config("bkt", kind, "<a/>")),
    ):
        asked = MODEL.operation_model(f"{verb}{OPERATIONS[kind]}").http
        assert asked["method"] == request.method
        assert asked["requestUri"].endswith(f"?{request.query[0][0]}")
    assert any(name == "content-md5" for name, _ in request.headers)


def answer(body: bytes, status: int = 200) -> wire.Answer:
    return wire.Answer(status, {}, body)


def test_an_answer_to_another_question_is_not_believed() -> None:
    listing = answer(b"<ListBucketResult><Name>bkt</Name></ListBucketResult>")
    with pytest.raises(Unsupported, match="does not know it"):
        wire.parse_get_bucket_config(listing, "bkt", "cors")
    with pytest.raises(Corrupt):
        wire.parse_get_bucket_config(answer(b"no XML"), "bkt", "cors")


def test_none_and_some() -> None:
    gone = answer(b"<Error><Code>NoSuchCORSConfiguration</Code></Error>", 404)
    request = wire.get_bucket_config("bkt", "cors")
    wire.raise_for_status(gone, request, "site")
    assert wire.parse_get_bucket_config(gone, "bkt", "cors") == ""
    for empty in (b"", b"<NotificationConfiguration/>"):
        assert wire.parse_get_bucket_config(answer(empty), "bkt", "notification") == ""
    some = b"<CORSConfiguration><CORSRule><ID>1</ID></CORSRule></CORSConfiguration>"
    assert wire.parse_get_bucket_config(answer(some), "bkt", "cors") == some.decode()
