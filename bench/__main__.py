"""`python -m bench`: measure everything and write the report.

With names (`python -m bench small align`) only those are measured, and nothing is written.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bench import align, big, burst, flip, follow, lag, outage, rclone, records, report, rtt, small
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
}


def main(names: list[str]) -> int:
    """Exit code 0 when measured, whether the goals are met or not; 1 when a client failed."""
    unknown = set(names) - PARTS.keys()
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
        return 2
    load = os.getloadavg()[0]
    groups = []
    for name in names or PARTS:
        print(f"measuring {name} …", flush=True)
        try:
            groups.append(PARTS[name]())
        except ClientFailed as failure:
            print(f"{name}: {failure}")
            return 1
    samples = merge(groups)
    if names:
        print(report.details_table(samples) + "\n")
        print({k: v for k, v in samples.items() if ":" not in k})
        return 0
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    version = importlib.metadata.version("farshore")
    machine = report.this_machine(rclone.version(), version, now, load)
    report.write(ROOT, machine, samples)
    print(report.goals_table(samples))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
