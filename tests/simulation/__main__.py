"""`python -m tests.simulation [--seeds N] [--first N] [--seed N] [--roles]`: many runs.

Each seed is a run of its own, in whatever process. A failure is told with its seed and with
the fewest steps that still show it; `--seed` replays that one run and shows its whole log.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from tests.simulation.shorten import shortened, told
from tests.simulation.story import run_of

SEEDS = 1000
SEEDS_AT_ONCE = 4
"""So many go to a process at one time: few, for the slow ones are spread over all."""


class Ran(NamedTuple):
    """What became of one seed. `told`: of a failure, for people."""

    seed: int
    told: str
    checks: int
    simulated_s: float
    seen: Counter[str]


def ran(seed: int, *, roles: bool) -> Ran:
    """One run, whatever process it is in."""
    outcome = run_of(seed, roles=roles)
    failure = told(shortened(outcome)) if outcome.broken else ""
    return Ran(seed, failure, outcome.checks, outcome.seconds, outcome.seen)


def _all(seeds: range, jobs: int, *, roles: bool) -> Iterator[Ran]:
    one = partial(ran, roles=roles)
    if jobs == 1:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(one, seeds, SEEDS_AT_ONCE)
        pool.close()
        pool.join()


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, who))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  it is a command


def many(seeds: range, jobs: int, *, roles: bool) -> int:
    """How many runs broke a promise."""
    began, checks, simulated, failed = time.monotonic(), 0, 0.0, 0
    seen: Counter[str] = Counter()
    for one in _all(seeds, jobs, roles=roles):
        checks += one.checks
        simulated += one.simulated_s
        seen += one.seen
        if one.told:
            failed += 1
            _say(one.told)
    for what, count in sorted(seen.items()):
        _say(f"{count:8,} × {what}")
    took, cpu = time.monotonic() - began, _cpu_s()
    _say(
        f"{len(seeds)} seeds from {seeds.start} in {took:.1f} s on {jobs} processes "
        f"({len(seeds) / took:.1f} seeds/s, {cpu / len(seeds):.3f} CPU s each), "
        f"{simulated / 3600:.1f} h simulated, {checks} checks, {failed} failed"
    )
    return failed


def replay(seed: int, *, roles: bool) -> int:
    """One run again, with everything that happened."""
    outcome = run_of(seed, roles=roles)
    _say("\n".join(outcome.log))
    _say(told(shortened(outcome)) if outcome.broken else f"seed {seed}: every promise was kept")
    return 1 if outcome.broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone, with its log")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--roles", action="store_true", help="stories about roles alone")
    given = parser.parse_args()
    if given.seed is not None:
        return replay(given.seed, roles=given.roles)
    seeds = range(given.first, given.first + given.seeds)
    return 1 if many(seeds, max(1, given.jobs), roles=given.roles) else 0


if __name__ == "__main__":
    sys.exit(main())
