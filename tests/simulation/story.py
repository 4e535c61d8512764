"""A seed's story: what it is about, and its run."""

from __future__ import annotations

from tests.simulation.outcome import AnyPlan, Outcome
from tests.simulation.plan import Plan, plan_of
from tests.simulation.roles_plan import RolesPlan, roles_plan_of
from tests.simulation.roles_world import simulate_roles
from tests.simulation.world import simulate

ROLES_EVERY = 40
"""One seed in so many is about roles: fences, runbooks, the switch. The others are about
copying."""


def story_of(seed: int, *, roles: bool = False) -> AnyPlan:
    """The plan of a seed; `roles`: its story about roles, whatever its number."""
    return roles_plan_of(seed) if roles or seed % ROLES_EVERY == 1 else plan_of(seed)


def simulated_again(plan: AnyPlan) -> Outcome:
    """The run of a plan."""
    if isinstance(plan, RolesPlan):
        return simulate_roles(plan)
    assert isinstance(plan, Plan)
    return simulate(plan)


def run_of(seed: int, *, roles: bool = False) -> Outcome:
    """The run of a seed."""
    return simulated_again(story_of(seed, roles=roles))
