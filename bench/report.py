"""docs/benchmarks.md for people, build/bench.json for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import GOALS, Samples, Summary, summarise

METHOD = """\
Each line is the smallest, middle and largest value of its rounds; the middle one is held
against the goal. Ratios are of neighbouring runs in one interleaved series (rclone,
farshore, rclone, farshore, …), each run on a fresh server, so that a noisy neighbour falls
on both.

- The *null server* (`bench/null_server.py`) is one Python process over epoll. It serves a
  synthetic source, swallows what is written and checks no signature. It shares this
  machine's cores with the client that is measured; its own CPU is shown. Next to a real
  store on the same machine, the store is the limit, and both clients look alike.
- rclone runs as `rclone copy --metadata --transfers 32 --checkers 32`, over the current
  versions, with its checks left on; farshore as `farshore backfill`, with its defaults.
  Every key of the target is compared with the source (ETag and size) after each run.
- farshore uses one core and rclone all of them. So on a machine that is busy with other
  work, the rates (not the CPU) lean towards rclone: see the load below.
- Client CPU is user and system time of the whole process (`wait4`), start and end
  included; so is the peak RSS. Rates are by the server's clock, from the first request of
  any kind to the last answer: they leave out the start of both programs, which "whole
  process" shows. Neither is a proof about networks: this is loopback, without TLS.
- The ceiling of the big figure on two cores: a bare loop of blocking `recv_into` (1 MiB,
  one buffer) and `send` between the same null server's two ends took 0.28–0.39 s of CPU for
  the 8 × 128 MiB and gave 1,400–3,000 MB/s with four threads; `os.splice` took 0.23–0.29 s
  and was no faster (1,600–2,800 MB/s). The server's own share is 0.2–0.3 s. Twice rclone's
  rate, some 4,000 MB/s, is beyond what can be had here.
- Both clients send the source's MD5 as Content-MD5. The null server believes it, where a
  real one would verify it.
- *Align*: two listings as raw XML pages of 1,000 entries, through farshore's own parser,
  grouping, merge-join and comparison. Making the pages is not counted. Versions of both
  sides are counted. RSS is the peak of a fresh process at each size.
- *80 ms*: 40 ms are added each way by farshore's own lab link, on both sites' endpoints.
- *Lag*: 50 writes/s of 4–64 KiB, every fifth over a key that has a version, on two real
  SeaweedFS regions on the same cores, without links; three rounds of 10 s each, after 3 s of
  warm-up, farshore and `weed filer.sync` in turn, each alone and over a bucket of its own.
  The time is from the acknowledgement of the PUT to the first HEAD at the target that shows
  that version's ETag; every outstanding key is asked for every 4 ms, for both alike.
  So times are read in steps of some 5 ms (a HEAD, and the pause after it).
  filer.sync's bucket is not versioned: over a versioned one it did not make every version
  readable at the target (4.48). So it copies files, where farshore continues histories.
- *Burst*: 5,000 × 4 KiB by 32 writers. When a version reached the target is read from the
  target's own version ids, which hold it: watching costs nothing. The drain is what became
  visible after the last write was acknowledged, per second: until then the
  writers, both regions and the daemon share two cores. "In all" counts from the first
  visible version on. The backfill is of 5,000 equal objects in another bucket, by the same clock.
  Every status report meanwhile is held against what was really missing at that moment.
  "Missing, and not in the backlog" are versions that the source has acknowledged and whose
  hints are still on their way through the feed: the backlog counts what is known. The exposure
  covers them, since heartbeats come by the same way; "promised too much" counts the reports
  whose watermark did not.
- *Outage*: 20 writes/s, every fourth over a key that has a version. The target's link
  swallows everything for 20 s. One report a second; from the fourth on, each is held against
  the one before. Afterwards boto3 compares both sides' histories with every
  acknowledged write.
- *Flip*: 20 flips between two SeaweedFS regions behind one HAProxy, under 8 boto3 clients
  that write 4 KiB without a pause and 4 that read, with their default retries, in a process
  of their own. Each flip is freeze, drain, fence the old site (tried with a canary), flip
  (map file, runtime API, read back, one request through the door), open the new site, thaw.
  Late writes are counted in the sites' own version ids, between the fence and its end; every
  acknowledged write is looked for at both sites. Nothing replicates meanwhile.
- *Follow*: 20 flips of the endpoint file by its driver, half a second apart, under 8 boto3
  clients made by `farshore.boto3_client` that write without a pause. For each flip: how long
  after it the last write had begun that the old region took; 0 where none did.
- *DNS*: 20 flips of a CNAME with a TTL of 2 s at BIND, by signed updates. A caching BIND was
  asked for it just before each, so it keeps the old answer as long as it may.
- *Runbooks*: each run is a `farshore` of its own, between two SeaweedFS regions behind one
  HAProxy; times are those of the run's own document, by which drills report too. Ten
  switchovers there and back, under 8 boto3 clients that write 4 KiB and 4 that read, with
  their default retries and 0.2 s between two requests; `farshore run` copies all the while,
  and each begins with a pair that is protected and in step. "Frozen" is from the first word to the
  proxy until it has let writes through again. Ten failovers, each from a region that was killed a
  moment before: from the approval to the end of the last probe. Ten switchovers of a hundred
  objects, killed (SIGKILL) when their first, second, … step was done and not recorded: the
  whole time of `farshore resume`, the start of Python and all steps that were left included.
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and with what the figures were taken."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    rclone: str
    farshore: str
    measured_at: str
    load: float


def this_machine(rclone: str, farshore: str, measured_at: str, load: float) -> Machine:
    """Read from /proc. `measured_at` is ISO 8601 UTC, `load` that of the minute before."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(Path("/proc/cpuinfo").read_text()),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=memory / 2**30,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        rclone=rclone,
        farshore=farshore,
        measured_at=measured_at,
        load=load,
    )


def _processor(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def number(value: float) -> str:
    """Three significant digits, thousands with a comma."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(summary: Summary) -> list[str]:
    return [number(summary.low), number(summary.median), number(summary.high)]


def goals_table(samples: Samples) -> str:
    """The named figures against their goals."""
    rows = [
        _row(("figure", "what", "goal", "min", "median", "max", "")),
        "|---|---|---|--:|--:|--:|---|",
    ]
    for goal in GOALS:
        summary = summarise(samples[goal.name])
        verdict = "met" if goal.is_met(summary.median) else "**missed**"
        limit = f"{goal.bound} {number(goal.limit)}"
        rows.append(_row((f"`{goal.name}`", goal.what, limit, *_spread(summary), verdict)))
    return "\n".join(rows)


def details_table(samples: Samples) -> str:
    """Everything else that was measured."""
    named = {goal.name for goal in GOALS}
    rows = [_row(("measured", "min", "median", "max")), "|---|--:|--:|--:|"]
    rows.extend(
        _row((name, *_spread(summarise(values))))
        for name, values in samples.items()
        if name not in named
    )
    return "\n".join(rows)


def page(machine: Machine, samples: Samples) -> str:
    """The whole of docs/benchmarks.md."""
    missed = [g.name for g in GOALS if not g.is_met(summarise(samples[g.name]).median)]
    verdict = f"Missed: {', '.join(missed)}." if missed else "All goals are met."
    return f"""\
# Benchmarks

Made by `make bench`; do not edit. {verdict}

Measured {machine.measured_at} on {machine.cores} cores of {machine.processor}, \
{machine.memory_gib:.1f} GiB, {machine.system}; Python {machine.python}, {machine.rclone}, \
farshore {machine.farshore}. Load average when it began: \
{machine.load:.1f}.

{goals_table(samples)}

## Method

{METHOD}
## What the figures are made of

{details_table(samples)}
"""


def named_figures(samples: Samples) -> dict[str, float]:
    """The medians by name: build/bench.json. `KeyError` when one was not measured."""
    return {goal.name: round(summarise(samples[goal.name]).median, 4) for goal in GOALS}


def write(root: Path, machine: Machine, samples: Samples) -> Mapping[str, float]:
    """Write both files below `root` and return the named figures."""
    figures = named_figures(samples)
    (root / "build").mkdir(exist_ok=True)
    (root / "build" / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "benchmarks.md").write_text(page(machine, samples))
    return figures
