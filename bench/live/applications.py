"""Applications before the front door: boto3 with its default retries, in a process of its own.

`python -m bench.live.applications ENDPOINT BUCKET KEYS_FILE [PAUSE_S]`: threads write new keys
and read one, each without a pause or with that one, until standard input ends; then what came
of it is one JSON document.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

WRITERS, READERS = 8, 4
PREFIX, SEED = "load/", "seed"
BODY = b"x" * 4096
FAILURES_TOLD_MAX = 20


@dataclass
class Done:
    """What one thread did: latencies in seconds, and what went wrong."""

    took: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def one(self, request: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            request()
        except (ClientError, BotoCoreError) as error:
            self.failed.append(str(error))
        self.took.append(time.monotonic() - began)


def client(endpoint: str, keys: Path) -> Any:
    """Nothing is set but where and who."""
    found = json.loads(keys.read_text())
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
    )


def write(
    s3: Any, bucket: str, number: int, done: Done, over: threading.Event, pause_s: float
) -> None:
    """New keys, one after the other."""
    count = 0
    while not over.wait(pause_s):
        key, count = f"{PREFIX}{number}/{count:07}", count + 1
        done.one(lambda k=key: s3.put_object(Bucket=bucket, Key=k, Body=BODY))  # type: ignore[misc]  # a lambda with a default


def read(s3: Any, bucket: str, done: Done, over: threading.Event, pause_s: float) -> None:
    """The seed, which both sites have."""
    while not over.wait(pause_s):
        done.one(lambda: s3.get_object(Bucket=bucket, Key=SEED)["Body"].read())


def main(endpoint: str, bucket: str, keys: str, pause_s: str = "0") -> None:
    over, pause = threading.Event(), float(pause_s)
    writes, reads = [Done() for _ in range(WRITERS)], [Done() for _ in range(READERS)]
    hands = [
        threading.Thread(
            target=write, args=(client(endpoint, Path(keys)), bucket, n, done, over, pause)
        )
        for n, done in enumerate(writes)
    ]
    hands += [
        threading.Thread(
            target=read, args=(client(endpoint, Path(keys)), bucket, done, over, pause)
        )
        for done in reads
    ]
    for hand in hands:
        hand.start()
    sys.stdin.read()
    over.set()
    for hand in hands:
        hand.join()
    failed = [text for done in (*writes, *reads) for text in done.failed]
    print(
        json.dumps(
            {
                "written": [len(done.took) for done in writes],
                "reads": sum(len(done.took) for done in reads),
                "failed": len(failed),
                "told": failed[:FAILURES_TOLD_MAX],
                "write_s_max": max(took for done in writes for took in done.took),
                "read_s_max": max(took for done in reads for took in done.took),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
