"""What is written to be copied, and the proof that it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from tests.lab import witness
from tests.lab.farshore_cli import Farshore

MIB = 1024 * 1024
LEAST = 5 * 1024
"""KiB of the smallest part that may be followed by another (S3, and SeaweedFS)."""


def prove_equal(farshore: Farshore, keys: Iterable[str], bucket: str = "") -> None:
    """boto3 sees the same on both sides, verify agrees, and a second backfill copies nothing."""
    keys = list(keys)
    assert keys
    name = bucket or farshore.bucket
    assert witness.histories(farshore.s3("west"), name, keys) == witness.histories(
        farshore.s3("east"), name, keys
    )
    assert farshore.json("verify", "--deep")["differences"] == []
    again = farshore.json("backfill")
    assert (again["copied"], again["delete_markers"], again["not_copied"]) == (0, 0, {})


def upload_parts(farshore: Farshore, key: str, sizes: Sequence[int], **attributes: Any) -> None:
    """An upload whose parts measure these KiB, written by the operator at the source."""
    s3, bucket = farshore.s3("east"), farshore.bucket
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **attributes)["UploadId"]
    made = []
    for number, size in enumerate(sizes, 1):
        body = hashlib.sha256(f"{key} {number}".encode()).digest() * (size * 32)
        name = {"Bucket": bucket, "Key": key, "UploadId": upload, "PartNumber": number}
        made.append({"PartNumber": number, "ETag": s3.upload_part(Body=body, **name)["ETag"]})
    s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": made}
    )
