"""Applications before a front door: boto3 with its default retries, writing and reading."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from farshore.lab.seaweed import REGION
from farshore.lab.state import LabState

BUCKET = "files"
SMALL_BYTES, LARGE_BYTES = 100, 8 * 1024 * 1024
SEED = "seed"
"""A key that is the same at every site, for readers."""


def app(state: LabState, endpoint: str) -> Any:
    """A boto3 client of the application, with nothing set but where and who.

    Without `s3v4`, boto3 presigns for this region by a signature that no new region knows.
    """
    keys = state.sites[0].principals["app"]
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(signature_version="s3v4"),
        verify=str(state.ca_file) if state.ca_file else None,
    )


class Span(NamedTuple):
    """One request that ended well. Unix seconds."""

    key: str
    began: float
    ended: float


@dataclass
class Load:
    """What the clients did. `failed`: one sentence for each request that did not end well."""

    written: list[Span] = field(default_factory=list)
    read: list[Span] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    bucket: str = BUCKET
    seed: str = SEED
    pause_s: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def write(self, client: Any, name: str, size: int) -> None:
        body = b"x" * size
        number = 0
        while not self._over.wait(self.pause_s):
            key, number = f"{name}/{number:06}", number + 1
            self._one(
                self.written,
                key,
                lambda k=key: client.put_object(Bucket=self.bucket, Key=k, Body=body),
            )

    def look(self, client: Any, name: str) -> None:
        while not self._over.wait(self.pause_s):
            self._one(
                self.read,
                name,
                lambda: client.get_object(Bucket=self.bucket, Key=self.seed)["Body"].read(),
            )

    def _one(self, into: list[Span], key: str, request: Any) -> None:
        began = time.time()
        try:
            request()
        except (ClientError, BotoCoreError) as error:
            self.failed.append(f"{key} after {time.time() - began:.1f} s: {error}")
        else:
            into.append(Span(key, began, time.time()))

    def end(self) -> None:
        self._over.set()


@contextmanager
def load(
    state: LabState,
    endpoint: str,
    writers: int,
    readers: int,
    name: str,
    *,
    bucket: str = BUCKET,
    seed: str = SEED,
    large: int = LARGE_BYTES,
    pause_s: float = 0.0,
) -> Iterator[Load]:
    """Clients in threads, each with a session of its own, until the block ends.

    The first writes large objects: their bodies do not fit into any buffer on the way.
    `pause_s`: how long each rests between two requests.
    """
    running = Load(bucket=bucket, seed=seed, pause_s=pause_s)
    sizes = [large, *[SMALL_BYTES] * (writers - 1)]
    hands = [
        *(
            threading.Thread(target=running.write, args=(app(state, endpoint), f"{name}-{n}", size))
            for n, size in enumerate(sizes)
        ),
        *(
            threading.Thread(target=running.look, args=(app(state, endpoint), f"{name}-r{n}"))
            for n in range(readers)
        ),
    ]
    for hand in hands:
        hand.start()
    try:
        yield running
    finally:
        running.end()
        for hand in hands:
            hand.join()
