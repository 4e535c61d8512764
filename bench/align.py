"""Listing and aligning two sides of 10⁴ and of 10⁶ versions, each in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.child import ROOT, RUN_LIMIT_SECONDS, TAIL_BYTES, ClientFailed
from bench.figures import Samples

FEW = 10_000
MANY = 1_000_000
ROUNDS = 3


def walk(versions: int) -> dict[str, float]:
    """What `bench.align_walk` measured with so many versions on each side."""
    command = [sys.executable, "-m", "bench.align_walk", str(versions)]
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_SECONDS,
        cwd=ROOT,
    )
    if answer.returncode:
        raise ClientFailed(
            f"the walk ended with {answer.returncode}: {answer.stderr[-TAIL_BYTES:]}"
        )
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def measure() -> Samples:
    """Versions of both sides per CPU second, and the growth of the peak RSS."""
    samples: Samples = {}

    def note(name: str, value: float) -> None:
        samples.setdefault(name, []).append(value)

    for _ in range(ROUNDS):
        few, many = walk(FEW), walk(MANY)
        note("align_versions_per_s", many["versions"] / many["cpu_seconds"])
        note("align_rss_growth", many["peak_mib"] / few["peak_mib"])
        note("align: key pairs/s", many["pairs"] / many["cpu_seconds"])
        note("align: versions of both sides", many["versions"])
        note("align: peak RSS at 10⁴, MiB", few["peak_mib"])
        note("align: peak RSS at 10⁶, MiB", many["peak_mib"])
    return samples
