"""A cut link under load: what the status says second by second, and what is lost or doubled.

`python -m bench.live.outage [SECONDS]`. The target is cut off, silently, while clients go
on writing at the source. Afterwards boto3 compares the histories of both sides with every
acknowledged write.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Sequence

from bench.child import ClientFailed
from bench.figures import Samples
from bench.live import witness
from bench.live.burst import Sample, sampled
from bench.live.ground import SOURCE, TARGET, Ground, Pair, regions
from bench.live.load import Write, steadily
from farshore.lab.settings import LinkSettings

CUT_SECONDS = 20.0
BEFORE_SECONDS = 5.0
AFTER_SECONDS = 5.0
"""The load goes on before, during and after the cut."""

PER_SECOND = 20.0
REWRITE_EVERY = 4
SAMPLE_SECONDS = 1.0
NORMAL_EXPOSURE_S = 5.0
HEAL_SECONDS_MAX = 90.0


async def load(ground: Ground, keys: Sequence[str]) -> list[Write]:
    """The steady writes of the whole run, past the link."""
    source = ground.client(SOURCE)
    written: list[Write] = []

    async def heard(write: Write) -> None:
        written.append(write)

    try:
        await steadily(source, "files", keys, PER_SECOND, heard)
    finally:
        await source.aclose()
    return written


def keys(count: int) -> list[str]:
    """New keys, and every few of them the one of ten seconds earlier once more."""
    back = int(PER_SECOND * 10)
    found = witness.keys("load", count)
    for number in range(back, count, REWRITE_EVERY):
        found[number] = found[number - back]
    return found


def wrong(ground: Ground, writes: Sequence[Write], count: int) -> tuple[int, int]:
    """(versions that one side lacks, versions that nobody wrote or that are there twice).

    The source's order is the truth; the target's must be the same.
    """
    folders = witness.folders("load", count)
    source = witness.histories(ground, SOURCE, "files", folders)
    target = witness.histories(ground, TARGET, "files", folders)
    missing = doubled = 0
    wanted: dict[str, set[str]] = {}
    for write in writes:
        wanted.setdefault(write.key, set()).add(write.etag)
    for key in wanted.keys() | source.keys() | target.keys():
        there = [entry.etag for entry in target.get(key, [])]
        here = [entry.etag for entry in source.get(key, [])]
        acknowledged = wanted.get(key, set())
        missing += len(acknowledged - set(there)) + len(acknowledged - set(here))
        doubled += len(there) - len(set(there)) + len(set(there) - acknowledged)
        if sorted(here) == sorted(there) and here != there:
            raise ClientFailed(f"{key}: the target's order is another")
    return missing, doubled


def fell(taken: Sequence[Sample]) -> int:
    """How often the exposure was smaller than a second before."""
    return sum(later.exposure < earlier.exposure for earlier, later in itertools.pairwise(taken))


def measure(cut_seconds: float = CUT_SECONDS) -> Samples:
    """One outage."""
    count = int(PER_SECOND * (BEFORE_SECONDS + cut_seconds + AFTER_SECONDS))
    with regions(("files",)) as ground:
        pair = Pair(ground, "ours", ("files",), linked=True)
        pair.command("apply", "--yes")
        writes: list[Write] = []
        writer = threading.Thread(
            target=lambda: writes.extend(asyncio.run(load(ground, keys(count))))
        )
        with pair.daemon() as daemon, sampled(daemon, SAMPLE_SECONDS) as taken:
            writer.start()
            time.sleep(BEFORE_SECONDS)
            cut_at = time.time()
            ground.lab.link(TARGET, LinkSettings(cut=True))
            time.sleep(cut_seconds)
            ground.lab.link(TARGET, LinkSettings())
            healed_at = time.time()
            writer.join()
            _wait_until_normal(taken, max(write.at for write in writes))
        normal = next(
            one.told for one in taken if one.asked > healed_at and one.exposure < NORMAL_EXPOSURE_S
        )
        missing, doubled = wrong(ground, writes, count)
    during = [one for one in taken if one.asked >= cut_at and one.told <= healed_at]
    before = [one for one in taken if one.told < cut_at]
    return {
        "outage: seconds of the cut": [healed_at - cut_at],
        "outage: writes acknowledged": [float(len(writes))],
        "outage: largest exposure before it, s": [max(one.exposure for one in before)],
        "outage: largest exposure during it, s": [max(one.exposure for one in during)],
        "outage: reports during it": [float(len(during))],
        "outage: reports whose exposure was below the last one's": [float(fell(during[3:]))],
        "outage: largest backlog, keys": [float(max(one.waiting for one in taken))],
        "outage: from the heal to a normal exposure, s": [normal - healed_at],
        "outage: versions missing at the end": [float(missing)],
        "outage: versions doubled at the end": [float(doubled)],
    }


def _wait_until_normal(taken: Sequence[Sample], last_write: float) -> None:
    """Until the watermark covers the last write."""
    deadline = time.monotonic() + HEAL_SECONDS_MAX
    while taken[-1].watermark < last_write:
        if time.monotonic() > deadline:
            raise ClientFailed(f"the exposure stayed at {taken[-1].exposure:.0f} s after the heal")
        time.sleep(SAMPLE_SECONDS)


if __name__ == "__main__":
    print(json.dumps(measure(*map(float, sys.argv[1:]))))
