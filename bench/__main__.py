"""`python -m bench`: measure everything and write the report.

With names (`python -m bench small align`) only those are measured, and nothing is written.
A part that fails does not end the others; it is said what failed, and nothing is written.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bench import (
    align,
    big,
    burst,
    flip,
    follow,
    lag,
    outage,
    rclone,
    records,
    report,
    rtt,
    runbooks,
    small,
)
from bench.child import ROOT, ClientFailed
from bench.figures import Samples, merge

PARTS: Mapping[str, Callable[[], Samples]] = {
    "small": small.measure,
    "big": big.measure,
    "align": align.measure,
    "rtt": rtt.measure,
    "lag": lag.measure,
    "burst": burst.measure,
    "outage": outage.measure,
    "flip": flip.measure,
    "follow": follow.measure,
    "records": records.measure,
    "runbooks": runbooks.measure,
}


def main(names: list[str], parts: Mapping[str, Callable[[], Samples]] = PARTS) -> int:
    """Exit code 0 when all was measured, whether the goals are met or not; 1 when a part failed."""
    unknown = set(names) - parts.keys()
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(parts)}")
        return 2
    load = os.getloadavg()[0]
    samples, failed = measured({name: parts[name] for name in names or parts})
    if names or failed:
        print(report.details_table(samples) + "\n")
        print({k: v for k, v in samples.items() if ":" not in k})
    else:
        print(written(samples, load))
    if failed:
        print("\nFailed, so docs/benchmarks.md and build/bench.json were not written:")
        print("\n".join(f"{name}: {why}" for name, why in failed.items()))
    return 1 if failed else 0


def measured(parts: Mapping[str, Callable[[], Samples]]) -> tuple[Samples, dict[str, str]]:
    """(the samples of the parts that could be measured; why the others could not)."""
    groups, failed = [], {}
    for name, measure in parts.items():
        print(f"measuring {name} …", flush=True)
        try:
            groups.append(measure())
        except (ClientFailed, OSError, subprocess.SubprocessError) as error:
            failed[name] = str(error)
            print(f"{name} failed: {error}", flush=True)
    return merge(groups), failed


def written(samples: Samples, load: float) -> str:
    """Write the report; the table of the goals. `load`: of the minute before the first part."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    version = importlib.metadata.version("farshore")
    machine = report.this_machine(rclone.version(), version, now, load)
    report.write(ROOT, machine, samples)
    return report.goals_table(samples)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
