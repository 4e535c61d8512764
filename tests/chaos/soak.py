"""`python -m tests.chaos.soak [--hours N] [--seed N]`: nothing goes wrong, and nothing grows.

A lab, `farshore run`, gentle mixed load. Memory, open files, the state folder, the backlog and
the lag are measured all the time, and must be flat: `flat` has the rule. Exit codes as `make
chaos` has them; 1 also for a figure that is not flat.

What the load itself makes larger is as large as it gets when the measuring begins, or the soak
would tell of that: histories, which lanes hold (keys are left for new ones early), and pages,
which scans hold (keys that fill some stand there from the first).
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from tests.chaos import flat, summary
from tests.chaos.clients import Client
from tests.chaos.diary import Diary
from tests.chaos.errand import Ended, Errand, tell
from tests.chaos.flat import Finding, Sample
from tests.chaos.judge import Judge
from tests.chaos.settled import judge_lightly, settle
from tests.chaos.stage import (
    SOURCE,
    TARGET,
    NotReady,
    Stage,
    again_and_again,
    at_work,
    plain,
    raised,
    until,
    until_ready,
)

HOURS = 1.0
CLIENTS = (0, 1, 3, 5)
"""Of those of `operations`: two with keys of their own, one that shares, one that purges."""

VERSIONS_MAX = 20
"""Operations on a key before it is left for a new one: some two minutes of them."""

FILLED = tuple(f"filled/{folder}/{number:03}" for folder in "abc" for number in range(900))
"""Three pages, side by side: a scan holds two of each side at a time."""

SAMPLES = 60
SAMPLE_S_MAX = 60.0
WARM_UP_SHARE, WARM_UP_S_MAX = 0.1, 180.0
SWEEP, SWEEP_S = "90s", 90.0
SWEEP_RATE = 400
"""Versions a second at most: those of an hour are compared within a pass of its usual length, and
one that begins at the end is over before it must have settled."""

LISTEN_S, LOOK_S = 5.0, 10.0
PROBE_S = 1.0
PROBE_KEYS = 200
POLL_S, POLL_SHARE = 0.004, 0.1
"""A probe that is long in coming is asked for less often."""

PROBE_SECONDS_MAX = 60.0
RSS = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)
REPORT = Path("build/soak.json")


class Result(NamedTuple):
    """`samples`: after the warm-up."""

    seed: int
    hours: float
    samples: list[Sample]
    found: list[Finding]
    counts: Mapping[str, Mapping[str, int]]
    violated: int

    @property
    def is_good(self) -> bool:
        return not self.violated and all(one.is_flat for one in self.found)

    def document(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "hours": self.hours,
            "samples": [{"at": round(s.at, 1), **s.figures} for s in self.samples],
            "figures": [one.to_json() for one in self.found],
            "counts": {what: dict(found) for what, found in self.counts.items()},
            "violated": self.violated,
        }


def fill(stage: Stage) -> None:
    """Write what stands there from the first."""
    s3, bucket = stage.sites.s3(SOURCE), stage.farshore.bucket
    for key in FILLED:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


class Probe:
    """Writes at the source and reads at the far side until it is there."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._number = 0
        self._lags: list[float] = []
        self._lock = threading.Lock()

    def once(self) -> None:
        sites, bucket = self._stage.sites, self._stage.farshore.bucket
        self._number += 1
        where = {"Bucket": bucket, "Key": f"probe/{self._number % PROBE_KEYS}"}
        etag = sites.s3(SOURCE).put_object(**where, Body=b"%d" % self._number)["ETag"]
        told = time.monotonic()
        while not _shows(sites.s3(TARGET), where, etag):
            waited = time.monotonic() - told
            if waited > PROBE_SECONDS_MAX:
                self._stage.diary.broke("it arrives", where["Key"], f"not within {waited:.0f} s")
                return
            time.sleep(max(POLL_S, POLL_SHARE * waited))
        with self._lock:
            self._lags.append(time.monotonic() - told)

    def taken(self) -> list[float]:
        """Sorted lags since the last time, in seconds."""
        with self._lock:
            lags, self._lags = self._lags, []
        return sorted(lags)


def _shows(s3: Any, where: Mapping[str, str], etag: str) -> bool:
    try:
        return bool(s3.head_object(**where)["ETag"] == etag)
    except ClientError:
        return False


def sample(stage: Stage, probe: Probe, began: float) -> Sample:
    """All figures now. A daemon that does not answer has no backlog to show."""
    process, report = stage.runner.process, stage.runner.report()
    if process is None:
        raise NotReady("there is no daemon to be measured")
    proc, lags = Path(f"/proc/{process.pid}"), probe.taken()
    (resident,) = RSS.findall((proc / "status").read_text())
    figures = {
        "memory": int(resident) / 1024,
        "open files": float(len(list((proc / "fd").iterdir()))),
        "state folder": _size(stage.farshore.state_dir) / 1024,
    }
    if report is not None:
        figures["backlog"] = float(report["backlog"]["count"])
    if lags:
        figures["lag p50"] = summary.at_share(lags, 0.5) * 1000
        figures["lag p99"] = summary.at_share(lags, 0.99) * 1000
    return Sample(time.monotonic() - began, figures)


def _size(folder: Path) -> int:
    """Bytes of its files; one that is replaced at this moment does not count."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.stat().st_size
        except FileNotFoundError:
            continue
    return found


def run(seed: int, seconds: float, folder: Path) -> Result:
    """One soak. Raises what keeps it from going on."""
    diary = Diary(folder / "soak.log", ("shared/",))
    samples: list[Sample] = []
    prepare = plain(scan_every="60s", sweep_every=SWEEP, sweep_versions_per_s=SWEEP_RATE)
    with raised(folder, diary, prepare) as s:
        until_ready(s.runner)
        fill(s)
        judge = Judge(s.farshore, s.runner, diary, lambda: s.sites.s3(TARGET))
        _story(s, judge, seed, seconds, samples)
        if settle(s, SWEEP_S):
            judge_lightly(s, judge)
        s.runner.stop()
    violated = sum(diary.counts.get("violations", {}).values())
    return Result(seed, seconds / 3600, samples, flat.findings(samples), diary.counts, violated)


def _story(stage: Stage, judge: Judge, seed: int, seconds: float, samples: list[Sample]) -> None:
    probe, began = Probe(stage), time.monotonic()
    warm_up = min(WARM_UP_SHARE * seconds, WARM_UP_S_MAX)
    every_s = min(SAMPLE_S_MAX, (seconds - warm_up) / SAMPLES)

    def measure() -> None:
        taken = sample(stage, probe, began)
        if taken.at >= warm_up:
            samples.append(taken)

    with at_work(stage) as spawn:
        acts = ((LISTEN_S, judge.listen), (LOOK_S, judge.look), (PROBE_S, probe.once))
        doing = [spawn(again_and_again, pause, stage.over, act) for pause, act in acts]
        for number in CLIENTS:
            client = Client(
                seed,
                number,
                stage.diary,
                lambda: stage.sites.s3(SOURCE),
                stage.farshore.bucket,
                versions_max=VERSIONS_MAX,
            )
            doing.append(spawn(client.work, stage.over))
        doing.append(spawn(again_and_again, every_s, stage.over, measure))
        until(doing, seconds, lambda: tell(stage.diary))


def _ended(seed: int, seconds: float, folder: Path) -> Ended:
    result = run(seed, seconds, folder)
    operations = sum(result.counts.get("operations", {}).values())
    told = f"{operations} operations of clients, {result.violated} violations"
    lines = [*flat.table(result.samples), "", *flat.verdicts(result.found), told]
    return Ended(result.document(), lines, result.is_good)


def main() -> int:
    return Errand("soak", "tests.chaos.soak", "hours", HOURS, REPORT).main(_ended)


if __name__ == "__main__":
    sys.exit(main())
