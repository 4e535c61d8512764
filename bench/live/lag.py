"""From the source's acknowledgement to the version being readable on the target.

`python -m bench.live.lag`: farshore and `weed filer.sync` in turn, over the same two
regions, each over a bucket of its own, each alone. The reader and its cost are the same
for both: a HEAD of every outstanding key at the target, every few milliseconds at first.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass, field

from bench.child import ClientFailed
from bench.figures import Samples
from bench.live.ground import SOURCE, TARGET, Ground, Pair, filer_sync, regions
from bench.live.load import Write, steadily
from farshore.errors import Gone
from farshore.s3.client import S3Client

ROUNDS = 3
PER_SECOND = 50.0
WARM_UP_SECONDS = 3.0
ROUND_SECONDS = 10.0
REWRITE_EVERY = 5
"""Every fifth write is of a key that has a version already."""

POLL_SECONDS = 0.004
POLL_SHARE = 0.1
"""A key that is long in coming is asked for less often: each time a tenth of its age later. Else
the questions, of ever more keys at once, would take the target from those that are measured."""

ASK_AGAIN_SECONDS = 0.02
"""A question that is not answered by then is asked once more beside it. SeaweedFS lets a HEAD that
comes while a version is being written wait 0.1 s and look again; one that comes after it sees
the version at once, and that is what is measured."""

VISIBLE_SECONDS_MAX = 30.0
PEER_START_SECONDS_MAX = 60.0


@dataclass(slots=True)
class Reader:
    """Waits for versions to be readable. `lags`: seconds after their acknowledgement."""

    client: S3Client
    bucket: str
    lags: list[float] = field(default_factory=list)

    async def wait_for(self, write: Write) -> None:
        """Until HEAD shows this version's bytes. `ClientFailed` when it never does."""
        asked: set[asyncio.Task[bool]] = set()
        try:
            while not await self._one_shows(write, asked):
                if time.time() - write.at > VISIBLE_SECONDS_MAX:
                    raise ClientFailed(f"{self.bucket}/{write.key} never became readable")
                await asyncio.sleep(max(POLL_SECONDS, POLL_SHARE * (time.time() - write.at)))
            self.lags.append(time.time() - write.at)
        finally:
            for question in asked:
                question.cancel()

    async def _one_shows(self, write: Write, asked: set[asyncio.Task[bool]]) -> bool:
        """Ask once more; whether any answer that is there by now shows it."""
        asked.add(asyncio.create_task(self._shows(write)))
        answered, _ = await asyncio.wait(
            asked, timeout=ASK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        asked -= answered
        return any(question.result() for question in answered)

    async def _shows(self, write: Write) -> bool:
        try:
            info = await self.client.head(self.bucket, write.key)
        except Gone:
            return False
        return info.etag == write.etag


def keys(name: str, count: int) -> list[str]:
    """New keys, and every few of them one of a second earlier once more."""
    back = int(PER_SECOND) * 2
    found = [f"{name}/{number:06d}.bin" for number in range(count)]
    for number in range(back, count, REWRITE_EVERY):
        found[number] = found[number - back]
    return found


async def steady(ground: Ground, bucket: str, name: str) -> list[float]:
    """The lags of one round, in seconds; the warm-up is left out."""
    source, target = ground.client(SOURCE), ground.client(TARGET)
    try:
        await _first_through(source, target, bucket, name)
        for part, seconds in (("warm", WARM_UP_SECONDS), ("real", ROUND_SECONDS)):
            reader = Reader(target, bucket)
            wanted = keys(f"{name}-{part}", int(PER_SECOND * seconds))
            await steadily(source, bucket, wanted, PER_SECOND, reader.wait_for)
        return reader.lags
    finally:
        await source.aclose()
        await target.aclose()


async def _first_through(source: S3Client, target: S3Client, bucket: str, name: str) -> None:
    """Until a program that has just been started replicates at all."""
    reader = Reader(target, bucket)
    async with asyncio.timeout(PEER_START_SECONDS_MAX):
        await steadily(source, bucket, [f"{name}-first"], PER_SECOND, reader.wait_for)


def percentile(values: list[float], hundredths: int) -> float:
    """The value that so many hundredths of the others do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[hundredths - 1]


def measure() -> Samples:
    """Medians and 99th percentiles of every round, and the ratio of neighbouring rounds."""
    samples: Samples = {}

    def note(name: str, value: float) -> None:
        samples.setdefault(name, []).append(value)

    with regions(("files", "peer")) as ground:
        pair = Pair(ground, "ours", ("files",))
        pair.command("apply", "--yes")
        for number in range(ROUNDS):
            with pair.daemon() as daemon:
                before = daemon.cpu_seconds()
                ours = asyncio.run(steady(ground, "files", f"round{number}"))
                cpu = daemon.cpu_seconds() - before
            with filer_sync(ground, "peer"):
                peer = asyncio.run(steady(ground, "peer", f"round{number}"))
            note("lag_p50_ms", percentile(ours, 50) * 1000)
            note("lag_p99_ms", percentile(ours, 99) * 1000)
            note("lag_p50_vs_filer_sync", percentile(ours, 50) / percentile(peer, 50))
            note("lag filer.sync: p50, ms", percentile(peer, 50) * 1000)
            note("lag filer.sync: p99, ms", percentile(peer, 99) * 1000)
            note("lag farshore: largest, ms", max(ours) * 1000)
            note("lag filer.sync: largest, ms", max(peer) * 1000)
            note("lag farshore: client CPU, s", cpu)
    return samples


if __name__ == "__main__":
    print(json.dumps(measure()))
