"""Witnesses that know nothing of farshore: plain boto3, and rclone."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from farshore.demo.tree import WRITERS, Manifest
from farshore.errors import LabError
from farshore.lab.state import LabState, SiteState

RCLONE_SECONDS_MAX = 120

GONE = (BotoCoreError, ClientError)
"""What boto3 raises when a site does not answer, or answers with an error."""


def client(lab: LabState, site: str, principal: str) -> Any:
    """A plain boto3 client of a site. Checksums only when S3 requires them: SeaweedFS would
    store the aws-chunked framing that newer SDKs send by default."""
    state = lab.site(site)
    keys = state.principals[principal]
    return boto3.client(
        "s3",
        endpoint_url=state.endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name="us-east-1",
        verify=str(lab.ca_file) if lab.ca_file else None,
        config=BotoConfig(
            s3={"addressing_style": "path"},
            max_pool_connections=WRITERS,
            retries={"max_attempts": 2},
            connect_timeout=5,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@dataclass(slots=True)
class Testimony:
    """What a witness looked at, and every objection it has."""

    checked: int = 0
    objections: list[str] = field(default_factory=list)


def walk(far: Any, bucket: str, manifest: Manifest) -> Testimony:
    """Every key of the manifest on the far side: its versions, its markers, its bytes.

    Key by key, because the server loses versions between the pages of a long listing.
    """
    testimony = Testimony()
    with ThreadPoolExecutor(WRITERS) as pool:
        items = manifest.histories.items()
        for key, objection in pool.map(lambda item: _examine(far, bucket, *item), items):
            testimony.checked += len(manifest.histories[key])
            if objection:
                testimony.objections.append(f"{key!r}: {objection}")
    return testimony


def _examine(far: Any, bucket: str, key: str, history: list[str | None]) -> tuple[str, str]:
    listed = far.list_object_versions(Bucket=bucket, Prefix=key)
    versions = [v for v in listed.get("Versions", []) if v["Key"] == key]
    markers = [m for m in listed.get("DeleteMarkers", []) if m["Key"] == key]
    wanted = [etag for etag in reversed(history) if etag is not None]
    found = [v["ETag"].strip('"') for v in versions]
    if found != wanted:
        return key, f"versions {found}, written were {wanted}"
    if len(markers) != history.count(None):
        return key, f"{len(markers)} delete markers, written were {history.count(None)}"
    if history[-1] is None:
        return key, "" if markers[0]["IsLatest"] else "it should be deleted, and is not"
    return key, _examine_body(far, bucket, key, wanted[0])


def _examine_body(far: Any, bucket: str, key: str, etag: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    answer = far.get_object(Bucket=bucket, Key=key)
    for chunk in answer["Body"].iter_chunks(1024 * 1024):
        digest.update(chunk)
    if "-" not in etag and digest.hexdigest() != etag:
        return f"its bytes have MD5 {digest.hexdigest()}, written was {etag}"
    return "" if answer["ETag"].strip('"') == etag else "its ETag is another one"


def rclone_check(lab: LabState, source: str, target: str, bucket: str) -> Testimony:
    """`rclone check`: the current versions of both sides, by size and hash."""
    environment = os.environ | _rclone_site("NEAR", lab, source) | _rclone_site("FAR", lab, target)
    command = [
        str(Path(sys.executable).with_name("rclone")),
        "check",
        f"near:{bucket}",
        f"far:{bucket}",
        "--checkers=16",
        "--no-unicode-normalization",  # two spellings of "café" are two keys
    ]
    if lab.ca_file:
        command.append(f"--ca-cert={lab.ca_file}")
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RCLONE_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"rclone could not be asked: {error}") from error
    matching = re.search(r"(\d+) matching files", done.stderr)
    testimony = Testimony(int(matching[1]) if matching else 0)
    if done.returncode != 0 or not testimony.checked:
        testimony.objections = [line for line in done.stderr.splitlines() if "ERROR" in line] or [
            f"rclone ended with {done.returncode}: {done.stderr.strip()[-500:]}"
        ]
    return testimony


def _rclone_site(name: str, lab: LabState, site: str) -> dict[str, str]:
    state: SiteState = lab.site(site)
    keys = state.principals["app"]
    prefix = f"RCLONE_CONFIG_{name}_"
    return {
        "RCLONE_CONFIG": os.devnull,
        f"{prefix}TYPE": "s3",
        f"{prefix}PROVIDER": "Other",
        f"{prefix}ENDPOINT": state.endpoint,
        f"{prefix}ACCESS_KEY_ID": keys.access_key,
        f"{prefix}SECRET_ACCESS_KEY": keys.secret_key,
        f"{prefix}REGION": "us-east-1",
        f"{prefix}FORCE_PATH_STYLE": "true",
    }
