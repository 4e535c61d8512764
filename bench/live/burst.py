"""5,000 writes at once: how fast `farshore run` drains them, next to `farshore backfill`.

`python -m bench.live.burst`. When a version became visible is read from the target's own
version ids, which hold the time of writing: watching costs the measured programs nothing.
The status is asked for all through, and every answer is compared afterwards with what was
really missing at that moment.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from bench.child import ClientFailed
from bench.figures import Samples
from bench.live import witness
from bench.live.ground import SOURCE, TARGET, Daemon, Ground, Pair, regions
from bench.live.load import Write, at_once, write_time

WRITES = 5_000
ROUNDS = 2
SAMPLE_SECONDS = 0.25
DRAIN_SECONDS_MAX = 120.0
SETTLE_SECONDS = 2.0
WARM_UP_WRITES = 200


class Sample(NamedTuple):
    """One status report, asked for at `asked` and there at `told` (Unix seconds).

    `watermark` is by the source's clock, which here is ours.
    """

    asked: float
    told: float
    waiting: int
    watermark: float
    written_at: float
    rss_mib: float

    @property
    def exposure(self) -> float:
        """Seconds, as the report means it."""
        return self.written_at - self.watermark


class Passage(NamedTuple):
    """One version's way. Unix seconds: written on the source, acknowledged, on the target."""

    written: float
    acknowledged: float
    visible: float


def sample(daemon: Daemon) -> Sample:
    """Ask once."""
    asked = time.time()
    report: Mapping[str, Any] = daemon.status()
    told = time.time()
    watermark, written_at = (
        datetime.fromisoformat(report[name]).timestamp() for name in ("watermark", "written_at")
    )
    waiting = report["backlog"]["count"]
    return Sample(asked, told, waiting, watermark, written_at, daemon.rss_mib())


@contextmanager
def sampled(daemon: Daemon, every_s: float = SAMPLE_SECONDS) -> Iterator[list[Sample]]:
    """Samples, taken by a thread until the block ends."""
    taken: list[Sample] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            taken.append(sample(daemon))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()


async def write(ground: Ground, bucket: str, keys: list[str]) -> list[Write]:
    """All keys on the source, as fast as it takes them."""
    source = ground.client(SOURCE)
    try:
        return await at_once(source, bucket, keys)
    finally:
        await source.aclose()


def passages(ground: Ground, bucket: str, name: str, writes: Sequence[Write]) -> list[Passage]:
    """Every write's way. `ClientFailed` unless each is on the target exactly once."""
    found = witness.histories(ground, TARGET, bucket, witness.folders(name, len(writes)))
    wanted = {write.key: [write.etag] for write in writes}
    there = {key: [entry.etag for entry in entries] for key, entries in found.items()}
    if wanted != there:
        raise ClientFailed(f"{len(writes)} writes, and the target has {len(there)} keys of others")
    return [
        Passage(write_time(w.version_id), w.at, write_time(found[w.key][0].version_id))
        for w in writes
    ]


def rate(ways: Sequence[Passage]) -> float:
    """Versions/s, from the first to the last one on the target."""
    visible = sorted(way.visible for way in ways)
    return (len(visible) - 1) / (visible[-1] - visible[0])


def drain(ways: Sequence[Passage]) -> float:
    """Versions/s from the last acknowledgement to the last one on the target; in all, where
    nothing was left by then."""
    begin = max(way.acknowledged for way in ways)
    late = [way.visible for way in ways if way.visible > begin]
    return len(late) / (max(late) - begin) if late else rate(ways)


def promised_too_much(taken: Sequence[Sample], ways: Sequence[Passage]) -> int:
    """Reports whose watermark covers a version that was not on the target yet."""
    return sum(
        any(way.acknowledged < one.watermark and way.visible > one.told for way in ways)
        for one in taken
    )


def uncounted(taken: Sequence[Sample], ways: Sequence[Passage]) -> int:
    """The most versions that were missing and not in the backlog, in any one report."""
    return max(
        sum(way.acknowledged < one.asked and way.visible > one.told for way in ways) - one.waiting
        for one in taken
    )


def burst(ground: Ground, daemon: Daemon, name: str) -> tuple[list[Sample], list[Passage]]:
    """Write, and wait until the daemon says that all is there; then look whether it is."""
    with sampled(daemon) as taken:
        writes = asyncio.run(write(ground, "files", witness.keys(name, WRITES)))
        last = max(write.at for write in writes)
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while not taken or taken[-1].watermark < last:
            if time.monotonic() > deadline:
                raise ClientFailed(f"the burst did not drain: {daemon.status()}")
            time.sleep(SAMPLE_SECONDS)
    return taken, passages(ground, "files", name, writes)


def backfill(ground: Ground, bucket: str) -> list[Passage]:
    """As many equal objects in a bucket of their own, by `farshore backfill`."""
    pair = Pair(ground, bucket, (bucket,))
    pair.command("apply", "--yes")
    writes = asyncio.run(write(ground, bucket, witness.keys(bucket, WRITES)))
    time.sleep(SETTLE_SECONDS)
    pair.command("backfill")
    return passages(ground, bucket, bucket, writes)


def measure() -> Samples:
    """Rates of neighbouring runs, resident sizes, and what the status said meanwhile."""
    samples: Samples = {}

    def note(name: str, value: float) -> None:
        samples.setdefault(name, []).append(value)

    fills = [f"filled{number}" for number in range(ROUNDS)]
    with regions(("files", *fills)) as ground:
        pair = Pair(ground, "ours", ("files",))
        pair.command("apply", "--yes")
        with pair.daemon() as daemon:
            asyncio.run(write(ground, "files", witness.keys("warm", WARM_UP_WRITES)))
            for fill in fills:
                time.sleep(SETTLE_SECONDS)
                before = daemon.rss_mib()
                taken, ways = burst(ground, daemon, f"burst-{fill}")
                after = daemon.rss_mib()
                filled = backfill(ground, fill)
                note("burst_drain_vs_backfill", drain(ways) / rate(filled))
                note("burst farshore run: versions/s after the writes", drain(ways))
                note("burst farshore run: versions/s in all", rate(ways))
                note("burst farshore backfill: versions/s", rate(filled))
                writing = max(w.acknowledged for w in ways) - min(w.written for w in ways)
                note("burst writer: writes/s", WRITES / writing)
                note("burst: daemon's RSS before, MiB", before)
                note("burst: daemon's RSS at most, MiB", max(one.rss_mib for one in taken))
                note("burst: daemon's RSS after, MiB", after)
                note("burst: largest backlog shown", max(one.waiting for one in taken))
                note("burst: largest exposure shown, s", max(one.exposure for one in taken))
                note("burst: watermarks that promised too much", promised_too_much(taken, ways))
                note("burst: missing versions not in the backlog", uncounted(taken, ways))
    return samples


if __name__ == "__main__":
    print(json.dumps(measure()))
