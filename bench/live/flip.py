"""Twenty flips through HAProxy under a load of boto3 clients: who notices?

`python -m bench.live.flip`: freeze, drain, fence the old site, flip, open the new one, thaw;
by the same parts as the runbook's. Nothing replicates meanwhile: each site gets the writes
that it is sent. Which site took a write, and when, is read from the sites' own version ids.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.child import ROOT, ClientFailed
from bench.figures import Samples
from bench.live.applications import PREFIX, SEED
from bench.live.load import write_time
from farshore.clock import SystemClock
from farshore.config import Config
from farshore.config.load import load
from farshore.config.switches import HaproxySwitch
from farshore.control.sites import open_access
from farshore.core.model import Version
from farshore.fence.opening import open_fence
from farshore.lab.regions import Lab
from farshore.lab.state import STATE_FOLDER, LabState
from farshore.s3.store import Store
from farshore.switch.freezing import drain, freeze, thaw
from farshore.switch.haproxy import HaproxyDriver

EAST, WEST = "east", "west"
BUCKET = "files"
FLIPS = 20
FREEZE_MAX_SECONDS = 8.0
BETWEEN_SECONDS = 5.5
"""A client that was told to wait does so for 5 s: each flip meets all of them at work."""

END_SECONDS_MAX = 60.0


class Closed(NamedTuple):
    """A site was fenced from `since` to `until`, Unix seconds."""

    site: str
    since: float
    until: float


@dataclass
class Flips:
    """What was measured: seconds for each step of each flip."""

    steps: dict[str, list[float]] = field(default_factory=dict)
    closed: list[Closed] = field(default_factory=list)
    fenced_since: dict[str, float] = field(default_factory=dict)

    async def step(self, name: str, work: Awaitable[Any]) -> None:
        began = time.perf_counter()
        await work
        self.steps.setdefault(name, []).append(time.perf_counter() - began)

    def note_fenced(self, site: str) -> None:
        self.fenced_since[site] = time.time()

    def note_opening(self, site: str) -> None:
        if site in self.fenced_since:
            self.closed.append(Closed(site, self.fenced_since.pop(site), time.time()))


@contextmanager
def applications(state: LabState, endpoint: str) -> Iterator[subprocess.Popen[str]]:
    """boto3 clients in a process of their own, killed if the block fails."""
    keys = state.folder / STATE_FOLDER / EAST / "app.json"
    command = [sys.executable, "-m", "bench.live.applications", endpoint, BUCKET, str(keys)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Tell the applications to end; what came of it."""
    said, _ = process.communicate(timeout=END_SECONDS_MAX)
    if process.returncode:
        raise ClientFailed(f"the applications ended with {process.returncode}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


async def one(config: Config, driver: HaproxyDriver, old: str, new: str, flips: Flips) -> None:
    """One flip, each step timed; `frozen` is all that clients' writes waited for."""
    clock = SystemClock()
    plan = await driver.plan(new)
    async with (
        open_fence(config, old, clock) as old_fence,
        open_fence(config, new, clock) as new_fence,
    ):
        began = time.perf_counter()
        limit = time.time() + FREEZE_MAX_SECONDS
        await flips.step("freeze", freeze([driver], limit))
        await flips.step("drain", drain([driver], old, limit, clock))
        await flips.step("fence", old_fence.put())
        flips.note_fenced(old)
        await flips.step("flip", driver.apply(plan))
        flips.note_opening(new)
        await flips.step("open", new_fence.take())
        await flips.step("thaw", thaw([driver]))
        flips.steps.setdefault("frozen", []).append(time.perf_counter() - began)


async def all_of_them(config: Config, driver: HaproxyDriver, flips: Flips) -> None:
    old, new = EAST, WEST
    for _ in range(FLIPS):
        await asyncio.sleep(BETWEEN_SECONDS)
        await one(config, driver, old, new, flips)
        old, new = new, old
    for site in tuple(flips.fenced_since):
        flips.note_opening(site)


async def late(config: Config, flips: Flips, counts: Sequence[int], failed: int) -> int:
    """Writes of the applications that a site took while it was fenced. `ClientFailed` when a
    write that was acknowledged is at neither site."""
    count, found = 0, set[str]()
    for site in (EAST, WEST):
        async with open_access(config, site) as access:
            versions = [v async for v in _versions(access.operator, counts)]
        found |= {version.key for version in versions}
        times = [write_time(version.version_id) for version in versions]
        for closed in (c for c in flips.closed if c.site == site):
            count += sum(closed.since < at < closed.until for at in times)
    lost = sum(counts) - failed - len(found)
    if lost > 0:
        raise ClientFailed(f"{lost} acknowledged writes are at neither site")
    return count


async def _versions(store: Store, counts: Sequence[int]) -> AsyncIterator[Version]:
    """Everything that the applications wrote at a site, a thousand keys at a time: on
    SeaweedFS one page is complete, and several may not be."""
    for number, written in enumerate(counts):
        for thousand in range(written // 1000 + 1):
            page = await store.list_versions(BUCKET, prefix=f"{PREFIX}{number}/{thousand:04}")
            for entry in page.entries:
                yield entry


async def prepared(config: Config) -> None:
    """Versioned buckets, and the object that both sites have."""
    for site in (EAST, WEST):
        async with open_access(config, site) as access:
            await access.operator.put_versioning(BUCKET, True)
            await access.operator.put(BUCKET, SEED, b"seed")


def measure() -> Samples:
    """All figures of the flips."""
    with tempfile.TemporaryDirectory(prefix="farshore-bench-") as folder, Lab(folder) as lab:
        state = lab.up((EAST, WEST), buckets=(BUCKET,), front_door=True)
        config = load(Path(folder, "farshore.toml"))
        return asyncio.run(_measured(config, state))


async def _measured(config: Config, state: LabState) -> Samples:
    (source,) = config.switch.drivers
    if not isinstance(source, HaproxySwitch) or state.front_door is None:
        raise ClientFailed("the lab has no front door")
    driver, flips = HaproxyDriver(source, (EAST, WEST)), Flips()
    await prepared(config)
    with applications(state, state.front_door.endpoint) as process:
        await all_of_them(config, driver, flips)
        await asyncio.sleep(BETWEEN_SECONDS)
        clients = await asyncio.to_thread(ended, process)
    if clients["told"]:
        print(clients["told"], file=sys.stderr)
    return {
        "flip_failed_requests": [clients["failed"]],
        "flip_late_writes": [await late(config, flips, clients["written"], clients["failed"])],
        "flip_frozen_s_max": [max(flips.steps["frozen"])],
        "flip_ms_p50": [statistics.median(flips.steps["flip"]) * 1000],
        "flip: writes of the clients": [sum(clients["written"])],
        "flip: reads of the clients": [clients["reads"]],
        "flip: longest write of a client, s": [clients["write_s_max"]],
        "flip: longest read of a client, s": [clients["read_s_max"]],
        **{
            f"flip: {name}, ms": [seconds * 1000 for seconds in took]
            for name, took in flips.steps.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
