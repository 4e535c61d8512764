"""A failure made small: steps that do not matter are left out."""

from __future__ import annotations

from tests.simulation.outcome import Outcome
from tests.simulation.story import simulated_again

RUNS_MAX = 60
LOG_MAX = 60


def shortened(outcome: Outcome) -> Outcome:
    """The same kind of failure with fewer steps, if there is one."""
    kind, best, runs = _kind(outcome), outcome, 0
    size = max(1, len(best.plan.steps) // 2)
    while size and runs < RUNS_MAX:
        begin = 0
        while begin < len(best.plan.steps) and runs < RUNS_MAX:
            runs += 1
            tried = simulated_again(best.plan.without(begin, begin + size))
            if tried.broken and _kind(tried) == kind:
                best = tried
            else:
                begin += size
        size //= 2
    return best


def _kind(outcome: Outcome) -> str:
    """Words that do not hang on keys and numbers."""
    return " ".join(word for word in outcome.broken.split() if word.isalpha())[:60]


def told(outcome: Outcome) -> str:
    """For people: the promise, the seed, the steps that it takes, the end of the log."""
    plan = outcome.plan
    steps = "\n".join(
        f"  {step.at:7.3f} {step.kind} {step.bucket}/{step.key} {step.amount}"
        for step in plan.steps
    )
    log = "\n".join(f"  {line}" for line in outcome.log[-LOG_MAX:])
    return f"seed {plan.seed}: {outcome.broken}\n{plan.describe()}\nsteps:\n{steps}\nlog:\n{log}\n"
