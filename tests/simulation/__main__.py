"""`python -m tests.simulation SEEDS [FIRST]`: so many runs, and the first failure shortened."""

from __future__ import annotations

import sys
import time

from tests.simulation.plan import plan_of
from tests.simulation.shorten import shortened, told
from tests.simulation.world import simulate


def main(count: int, first: int) -> int:
    began, checks, simulated, failed = time.monotonic(), 0, 0.0, 0
    for seed in range(first, first + count):
        outcome = simulate(plan_of(seed))
        checks += outcome.checks
        simulated += outcome.seconds
        if outcome.broken:
            failed += 1
            print(told(shortened(outcome)), flush=True)  # noqa: T201  it is a command
    took = time.monotonic() - began
    print(  # noqa: T201  it is a command
        f"{count} seeds from {first} in {took:.1f} s ({count / took:.1f} seeds/s), "
        f"{simulated / 3600:.1f} h simulated, {checks} checks, {failed} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(numbers[0] if numbers else 1000, numbers[1] if len(numbers) > 1 else 0))
