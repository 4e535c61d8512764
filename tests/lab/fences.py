"""What the tests of fences need: a pair with an application, and a hammer that writes as it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from farshore.control.ledger import pair_key, record_name
from farshore.core.iam import exported
from farshore.core.policy import FENCE_SID
from farshore.core.rights import Ground
from farshore.lab.pairfile import CONTROL_BUCKET
from farshore.lab.state import STATE_FOLDER
from tests.lab.farshore_cli import Ended, Farshore

APP = "arn:aws:iam::*:user/app"
"""The lab's application in a policy of SeaweedFS."""


def credentials(farshore: Farshore) -> dict[str, dict[str, str]]:
    """The application's keys for both sites, as the configuration names them."""
    keys = farshore.lab.folder / STATE_FOLDER
    return {
        site: {"app": f'{{ command = "cat {keys / site / "app"}.json" }}'}
        for site in ("east", "west")
    }


def admit_app(farshore: Farshore, site: str = "east") -> str:
    """A policy of others: the application has the exported rights in the test's bucket. Answers
    how it stands."""
    bucket = farshore.bucket
    document = exported("app", Ground((bucket,), CONTROL_BUCKET), "aws")
    for statement in document["Statement"]:
        statement["Principal"] = {"AWS": [APP]}
    farshore.s3(site, "operator").put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    return policy(farshore, site)


def policy(farshore: Farshore, site: str = "east") -> str:
    """The policy as the server gives it; "" where there is none."""
    try:
        found = farshore.s3(site).get_bucket_policy(Bucket=farshore.bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucketPolicy":
            return ""
        raise
    return str(found["Policy"])


def fenced(farshore: Farshore, site: str = "east") -> bool:
    """Whether a fence is written there."""
    return f'"{FENCE_SID}"' in policy(farshore, site)


def fence_document(ended: Ended, code: int) -> dict[str, Any]:
    """The document of a command that ended with this code."""
    assert ended.code == code, ended
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def forget_record(farshore: Farshore) -> None:
    """Remove all that is recorded of the sites: every test's pair has the same two."""
    pair = pair_key("east", "west")
    for site in ("east", "west"):
        s3 = farshore.s3(site)
        s3.delete_object(Bucket=CONTROL_BUCKET, Key=record_name(pair))
        for folder in (f"audit/{pair}/", f"history/{pair}/"):
            found = s3.list_objects_v2(Bucket=CONTROL_BUCKET, Prefix=folder).get("Contents", [])
            for entry in found:
                s3.delete_object(Bucket=CONTROL_BUCKET, Key=entry["Key"])


def impatient_app(farshore: Farshore, site: str = "east") -> Any:
    """A boto3 client of the application that does not try again by itself."""
    found = farshore.lab.status().site(site)
    keys = found.principals["app"]
    return boto3.client(
        "s3",
        endpoint_url=found.direct_endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name="us-east-1",
        config=BotoConfig(
            s3={"addressing_style": "path"},
            retries={"max_attempts": 0},
            connect_timeout=1,
            read_timeout=5,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class Try(NamedTuple):
    """One write of the hammer: when it was answered, and what. `what`: "ok", a code, or ""."""

    at: float
    what: str


class Hammer:
    """Writes as the application as fast as it can, from a thread, until it is stopped."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.tries: list[Try] = []
        self._s3 = s3
        self._bucket = bucket
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            what = self._one()
            self.tries.append(Try(time.time(), what))

    def _one(self) -> str:
        try:
            self._s3.put_object(Bucket=self._bucket, Key=f"late/{len(self.tries)}", Body=b"late")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        except BotoCoreError:
            return ""
        return "ok"

    def count(self, what: str) -> int:
        return sum(one.what == what for one in list(self.tries))

    @property
    def landed(self) -> list[float]:
        """When writes were acknowledged."""
        return [one.at for one in list(self.tries) if one.what == "ok"]


@contextmanager
def hammering(s3: Any, bucket: str) -> Iterator[Hammer]:
    """Writes go on while the body runs."""
    hammer = Hammer(s3, bucket)
    hammer._thread.start()
    try:
        yield hammer
    finally:
        hammer._stop.set()
        hammer._thread.join()
