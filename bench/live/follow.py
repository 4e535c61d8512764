"""Live boto3 clients that follow the switch by `farshore.boto3_client` and the endpoint file.

`python -m bench.live.follow`: eight clients write without a pause while the `file` driver flips
the file between two regions. Which region took a write is known from the two sides' own
version ids. A flip is followed when the last write to the old region had begun.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.child import ClientFailed
from bench.figures import Samples
from bench.live.ground import SITES, Ground, regions
from farshore.application import boto3_client
from farshore.application.keys import Keys
from farshore.config.switches import FileSwitch
from farshore.switch.file import FileDriver

BUCKET = "follow"
FLIPS = 20
CLIENTS = 8
BETWEEN_S = 0.5


class Wrote(NamedTuple):
    """One write: when it began and ended (Unix seconds), and the id of its version."""

    began: float
    ended: float
    version_id: str


class Flip(NamedTuple):
    """When the driver was called and when it had done, Unix seconds; the site it pointed to."""

    began: float
    ended: float
    site: str


class Writer(threading.Thread):
    """One client, one key, no pause."""

    def __init__(self, path: Path, keys: dict[str, Keys], number: int) -> None:
        super().__init__(name=f"writer-{number}")
        self._client: Any = boto3_client(path, keys=keys, region_name="us-east-1")
        self._key = f"key-{number}"
        self.over = threading.Event()
        self.wrote: list[Wrote] = []

    def run(self) -> None:
        while not self.over.is_set():
            began = time.time()
            answer = self._client.put_object(Bucket=BUCKET, Key=self._key, Body=b"x")
            self.wrote.append(Wrote(began, time.time(), answer["VersionId"]))


async def _versions(ground: Ground, site: str) -> set[str]:
    """Ids of every version at a site."""
    client = ground.client(site)
    found: set[str] = set()
    try:
        for number in range(CLIENTS):
            key, version = "", ""
            while True:
                page = await client.list_versions(
                    BUCKET, prefix=f"key-{number}", key_marker=key, version_marker=version
                )
                found.update(entry.version_id for entry in page.entries)
                if not page.truncated:
                    break
                key, version = page.next_key, page.next_version
    finally:
        await client.aclose()
    return found


async def _flipped(path: Path, endpoints: dict[str, str]) -> list[Flip]:
    """Flip to and fro."""
    driver = FileDriver(FileSwitch("file", path, "json", endpoints))
    flips: list[Flip] = []
    for number in range(FLIPS):
        await asyncio.sleep(BETWEEN_S)
        site = SITES[(number + 1) % 2]
        plan = await driver.plan(site)
        began = time.time()
        await driver.apply(plan)
        flips.append(Flip(began, time.time(), site))
    await asyncio.sleep(BETWEEN_S)
    return flips


def _follow_times(flips: list[Flip], wrote: list[Wrote], at: dict[str, set[str]]) -> list[float]:
    """For each flip, how long after it the last write to the old site had begun; 0: none did.

    Writes that last into the next flip are left out: that one may have sent them there.
    """
    times: list[float] = []
    for number, flip in enumerate(flips):
        until = flips[number + 1].began if number + 1 < len(flips) else float("inf")
        old = next(name for name in SITES if name != flip.site)
        late = [
            w.began - flip.ended
            for w in wrote
            if flip.ended < w.began and w.ended < until and w.version_id in at[old]
        ]
        times.append(max(late, default=0.0))
    return times


def measure(ground: Ground, folder: Path) -> Samples:
    """Flip while the clients write, then see where each write went."""
    path = folder / "endpoint.json"
    endpoints = {site: ground.lab.status().site(site).direct_endpoint for site in SITES}
    keys = {site: Keys(k.access_key, k.secret_key) for site, k in ground.keys.items()}
    driver = FileDriver(FileSwitch("file", path, "json", endpoints))
    asyncio.run(_point(driver, SITES[0]))
    writers = [Writer(path, keys, number) for number in range(CLIENTS)]
    for writer in writers:
        writer.start()
    flips = asyncio.run(_flipped(path, endpoints))
    for writer in writers:
        writer.over.set()
    for writer in writers:
        writer.join()
    wrote = [one for writer in writers for one in writer.wrote]
    at = {site: asyncio.run(_versions(ground, site)) for site in SITES}
    if not all(one.version_id in at["east"] | at["west"] for one in wrote):
        raise ClientFailed("an acknowledged write is at neither site")
    followed = _follow_times(flips, wrote, at)
    return {
        "sdk_follow_s_max": [max(followed)],
        "follow: late writes begun after a flip, s (largest of each flip)": followed,
        "follow: writes": [float(len(wrote))],
    }


async def _point(driver: FileDriver, site: str) -> None:
    await driver.apply(await driver.plan(site))


def main() -> None:
    with regions([BUCKET]) as ground:
        asyncio.run(_version(ground))
        json.dump(measure(ground, ground.lab.folder), sys.stdout)


async def _version(ground: Ground) -> None:
    for site in SITES:
        client = ground.client(site)
        await client.put_versioning(BUCKET, True)
        await client.aclose()


if __name__ == "__main__":
    main()
