"""What is written: distinct bodies steadily or at once, and when it was acknowledged."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from farshore.s3.client import S3Client

SMALL_BYTES, LARGE_BYTES = 4 * 1024, 64 * 1024
WRITERS = 32
"""Requests of one burst at a time."""


class Write(NamedTuple):
    """One acknowledged version. `at`: Unix seconds when the acknowledgement came."""

    key: str
    version_id: str
    etag: str
    at: float


Heard = Callable[[Write], Awaitable[None]]


async def put(client: S3Client, bucket: str, key: str, body: bytes) -> Write:
    """Write one version."""
    written = await client.put(bucket, key, body)
    return Write(key, written.version_id, written.etag, time.time())


async def steadily(
    client: S3Client,
    bucket: str,
    keys: Iterable[str],
    per_second: float,
    heard: Heard,
    *,
    seed: int = 0,
) -> None:
    """Write one key after the other, each at its moment, however long the last one takes.

    Bodies have 4 to 64 KiB of noise.
    """
    noise = random.Random(seed)
    began = time.monotonic()

    async def one(key: str, body: bytes) -> None:
        await heard(await put(client, bucket, key, body))

    async with asyncio.TaskGroup() as group:
        for number, key in enumerate(keys):
            await asyncio.sleep(began + number / per_second - time.monotonic())
            body = noise.randbytes(noise.randint(SMALL_BYTES, LARGE_BYTES))
            group.create_task(one(key, body))


async def at_once(client: S3Client, bucket: str, keys: list[str]) -> list[Write]:
    """Write 4 KiB to every key, as fast as the source takes it."""
    noise = random.Random(len(keys))
    written: list[Write] = []
    left = iter(keys)

    async def hand() -> None:
        for key in left:
            write = await put(client, bucket, key, noise.randbytes(SMALL_BYTES))
            written.append(write)

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(hand())
    return written


WRITE_TIME_DIGITS = 16


def write_time(version_id: str) -> float:
    """When SeaweedFS wrote a version, Unix seconds: the first half of the id counts down."""
    return (2**63 - 1 - int(version_id[:WRITE_TIME_DIGITS], 16)) / 1e9
