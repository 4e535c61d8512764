"""Objects that may not be read: each is FAILED with its own cause, and blocks its lane alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from farshore.lab.pairfile import CONTROL_BUCKET
from tests.lab.daemon import Daemon, contents, eventually, reasons, settle, status
from tests.lab.damaging_proxy import Message, damaging
from tests.lab.farshore_cli import Farshore

KMS = (
    "User: arn:aws:iam::111122223333:user/replicator is not authorized to perform: kms:Decrypt "
    "on resource: arn:aws:kms:eu-west-1:111122223333:key/k"
)


class Refusing:
    """Answers 403 to every GET of the keys in `refused`, with their messages, until emptied."""

    def __init__(self, bucket: str, refused: dict[str, str]) -> None:
        self.refused = refused
        self.done = 0
        self._request = re.compile(rf"GET /{bucket}/([^? ]+)\?versionId=")

    def __call__(self, request: bytes, _: Message) -> bytes | None:
        found = self._request.match(request.decode("latin-1"))
        if found is None or found[1] not in self.refused:
            return None
        self.done += 1
        words = self.refused[found[1]]
        body = f"<Error><Code>AccessDenied</Code><Message>{words}</Message></Error>".encode()
        first = b"HTTP/1.1 403 Forbidden\r\n"
        kept = [b"Content-Type: application/xml\r\n", b"Connection: close\r\n"]
        return Message(first, kept, b"").with_body(body).raw()


@contextmanager
def behind(farshore: Farshore, refusing: Refusing) -> Iterator[Daemon]:
    """A daemon whose source answers through a proxy that refuses."""
    east = farshore.lab.status().site("east")
    with damaging(east.direct_endpoint, refusing) as endpoint:
        control = own_control(farshore, endpoint)
        changed = {"endpoint": endpoint, "control_bucket": control, "filer_grpc": east.filer_grpc}
        daemon_keys = '[daemon]\nlisten = "127.0.0.1:0"\nscan_every = "2s"'
        farshore.configure(sites={"east": changed}, more=daemon_keys)
        with Daemon(farshore) as daemon:
            yield daemon.until_ready()


def own_control(farshore: Farshore, endpoint: str) -> str:
    """East's record of capabilities, for the endpoint of the proxy."""
    bucket = f"{farshore.bucket}-control"
    s3 = farshore.s3("east")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    name = "capabilities/east.json"
    record = json.loads(s3.get_object(Bucket=CONTROL_BUCKET, Key=name)["Body"].read())
    record["endpoint"] = endpoint
    s3.put_object(Bucket=bucket, Key=name, Body=json.dumps(record).encode())
    return bucket


def failed(farshore: Farshore) -> dict[str, dict[str, Any]]:
    rows = farshore.json("backlog", "list", "--failed")["rows"]
    return {row["key"]: row for row in rows}


def told(daemon: Daemon, causes: dict[str, int]) -> Callable[[], bool]:
    return lambda: daemon.report()["not_replicated"].get("FAILED", {}) == causes


def test_a_denied_key_of_kms_and_a_poisoned_object_block_only_themselves(
    farshore: Farshore,
) -> None:
    refusing = Refusing(farshore.bucket, {"sealed": KMS, "poison": "Access Denied."})
    fine = {f"fine/{n}": [b"1", b"2"] for n in range(20)}
    with behind(farshore, refusing) as daemon:
        farshore.put_all({"sealed": [b"1", b"2"], "poison": [b"1"], **fine})
        eventually(
            lambda: (
                {key: len(found) for key, found in contents(farshore, "west").items()}
                == dict.fromkeys(fine, 2)
            ),
            60,
            "all the others",
        )
        causes = {"KMS.AccessDenied": 1, "AccessDenied": 1}
        eventually(told(daemon, causes), 60, "each with its own cause")
        rows = failed(farshore)
        assert rows.keys() == {"sealed", "poison"}
        assert "allow kms:Decrypt on the object's KMS key" in rows["sealed"]["explanation"]
        assert "kms:" not in rows["poison"]["explanation"]
        metrics = daemon.ask("/metrics").body.decode()
        assert re.search(r'not_replicated\{cause="KMS.AccessDenied",.*reason="FAILED"\} 1', metrics)
        for cause in causes:
            assert re.search(rf'failures_total\{{cause="{cause}",.*\}} [1-9]', metrics), "counted"
        eventually(lambda: "failed" in reasons(status(farshore)[1]), 60, "said")
        assert status(farshore)[0] != 0

        farshore.put_all({"late": [b"1"]})
        eventually(lambda: "late" in contents(farshore, "west"), 60, "the rest goes on")
        tries = refusing.done
        eventually(lambda: refusing.done > tries, 60, "it is tried again, without being asked")

        refusing.refused.clear()
        farshore.json("backlog", "retry")
        settle(farshore)
        eventually(told(daemon, {}), 60, "nothing has failed any more")
