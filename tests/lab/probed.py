"""`farshore apply` for each lab of the tests; what its servers can do is found out by the first.

Probing takes some ten seconds of CPU. All labs of a run have one and the same server, in however
many processes: the first to come probes, those that come meanwhile wait for it, and the others
find the record in the control buckets, as after any earlier `farshore apply`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from farshore.lab.pairfile import CONTROL_BUCKET
from tests.lab.farshore_cli import SITES, Farshore


def apply(farshore: Farshore, folders: pytest.TempPathFactory) -> None:
    """Afterwards both sites of this pair are prepared."""
    shared = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with _one_at_a_time(shared / "probed.lock"):
        kept = shared / "probed.json"
        if not kept.exists():
            farshore.json("apply", "--yes")
            kept.write_text(json.dumps({site: _found(farshore, site) for site in SITES}))
            return
    _tell(farshore, json.loads(kept.read_text()))
    farshore.json("apply", "--yes")


@contextmanager
def _one_at_a_time(file: Path) -> Iterator[None]:
    """The lock goes with its process, however that ends."""
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _name(site: str) -> dict[str, str]:
    return {"Bucket": CONTROL_BUCKET, "Key": f"capabilities/{site}.json"}


def _found(farshore: Farshore, site: str) -> Any:
    return json.loads(farshore.s3(site).get_object(**_name(site))["Body"].read())


def _tell(farshore: Farshore, records: dict[str, Any]) -> None:
    """The same of this lab's servers, each at its own address."""
    for site in SITES:
        s3, at = farshore.s3(site), farshore.lab.status().site(site)
        s3.create_bucket(Bucket=CONTROL_BUCKET)
        s3.put_bucket_versioning(
            Bucket=CONTROL_BUCKET, VersioningConfiguration={"Status": "Enabled"}
        )
        record = records[site] | {"endpoint": at.endpoint, "filer": at.filer}
        s3.put_object(**_name(site), Body=json.dumps(record).encode())
