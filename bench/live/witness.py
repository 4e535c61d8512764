"""What really stands on a site, as boto3 sees it: the measured program is not asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import boto3
from botocore.config import Config

from bench.live.ground import Ground
from farshore.lab.ports import HOST

FOLDER_KEYS = 400
"""Keys below one folder: their versions fit one page, the only sure listing of SeaweedFS."""


class Entry(NamedTuple):
    """One version: its id and its ETag, unquoted."""

    version_id: str
    etag: str


Histories = dict[str, list[Entry]]
"""Key to its versions, newest first."""


def folders(name: str, count: int) -> list[str]:
    """The folders that `count` keys fill."""
    return [f"{name}/{number:04d}/" for number in range((count - 1) // FOLDER_KEYS + 1)]


def keys(name: str, count: int) -> list[str]:
    """`count` keys, at most `FOLDER_KEYS` to a folder."""
    return [f"{name}/{number // FOLDER_KEYS:04d}/{number:06d}.bin" for number in range(count)]


def histories(ground: Ground, site: str, bucket: str, below: Iterable[str]) -> Histories:
    """All versions below these folders. Raises `RuntimeError` when a folder needs two pages."""
    found: Histories = {}
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}:{ground.ports[site].s3}",
        aws_access_key_id=ground.keys[site].access_key,
        aws_secret_access_key=ground.keys[site].secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
    )
    for folder in below:
        page = s3.list_object_versions(Bucket=bucket, Prefix=folder)
        if page["IsTruncated"] or page.get("DeleteMarkers"):
            raise RuntimeError(f"{site} {bucket}/{folder} holds more than was written")
        for row in page.get("Versions", []):
            entry = Entry(row["VersionId"], row["ETag"].strip('"'))
            found.setdefault(row["Key"], []).append(entry)
    s3.close()
    return found
