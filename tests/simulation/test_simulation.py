"""Two hundred seeds keep every promise; one seed is one run; and the checker can fail."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from tests.simulation.mutants import MUTANTS, ROLES_MUTANTS, mutated
from tests.simulation.plan import Kind, in_weather, of_the_same_bytes, plain_plan_of, plan_of
from tests.simulation.roles_plan import (
    MORE_CLIENTS,
    PLACES,
    TAGS,
    TROUBLES,
    Deed,
    plain_roles_plan_of,
    roles_plan_of,
)
from tests.simulation.roles_plan import in_weather as roles_in_weather
from tests.simulation.roles_world import simulate_roles
from tests.simulation.shorten import shortened, told
from tests.simulation.story import run_of
from tests.simulation.weather import FAIR
from tests.simulation.world import simulate

SEEDS = 200
BATCH = 10


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_promise_is_kept(first: int) -> None:
    checks = 0
    for seed in range(first, first + BATCH):
        outcome = run_of(seed)
        if outcome.broken:
            pytest.fail(told(shortened(outcome)))
        checks += outcome.checks
    assert checks > BATCH, "the checker has looked at something"


FOUND = {
    455: "a first PUT that arrived late, above a delete marker, stood there unnoticed",
    345: "our clock was set forward, and a scan vouched for what had not been written",
}
"""Seeds that have found a defect, and which. In fair weather, as they were found."""


FOUND_COPYING_IN_WEATHER = {
    3011: "the same bytes again, whose request arrived twice, stood twice and nobody looked",
    3611: "our clock was set forward, and a late write was no longer looked for",
}
"""Seeds that have found a defect by their weather, and which."""

FOUND_OF_THE_SAME_BYTES = {
    12: "a replica that stood twice was taken for the next version, whose metadata were lost",
}
"""Seeds that have found a defect where clients write the same bytes, and which (100, 134, too)."""

FOUND_ROLES = {
    0: "where a server obeys no conditions, no decision about divergent versions could be kept",
    3: "where a server obeys no conditions, a run's save and its audit note shut each other out",
}
"""Seeds of runs about roles that have found a defect, and which. In fair weather."""

FOUND_IN_WEATHER = {
    7: "a page that ended early hid runs, and audit entries (3, 9, too)",
}
"""Seeds of runs about roles that have found a defect by their weather."""


FOUND_BESET = {
    8: "a fence that was lost with a region's disks was put up by nobody",
    13: "what a daemon had promised of a target held when that came back without its disks",
    252: "a source that had lost its disks had an old replica taken for a late write, and purged",
    564: "what had been copied home to new disks was copied out again, and stood twice",
    729: "an emptied control bucket gave out numbers of audit entries for the second time",
    388: "a daemon whose right had ended took tags back that a client had set after the switchover",
}
"""Seeds of runs about roles that have found a defect by what besets them."""


FOUND_ON_GROUND = {
    4820: "a scan that could prove nothing kept to itself what it had missed at the target",
    7797: "the delete guard counted anew with every new bucket",
    2594: "hints of a new bucket were dropped, and heartbeats vouched for it before its scan",
    3627: "a promise that was void was taken up again from the status, bucket made anew",
    6480: "what was promised of a bucket that the target had lost held after a new start",
}
"""Seeds that have found a defect by further buckets and lost disks, and which."""


@pytest.mark.parametrize("seed", FOUND_ON_GROUND)
def test_what_was_found_on_other_ground_stays_mended(seed: int) -> None:
    assert simulate(plan_of(seed)).broken == "", FOUND_ON_GROUND[seed]


@pytest.mark.parametrize("seed", FOUND_ROLES)
def test_what_was_found_once_about_roles_stays_mended(seed: int) -> None:
    assert simulate_roles(plain_roles_plan_of(seed)).broken == "", FOUND_ROLES[seed]


@pytest.mark.parametrize("seed", FOUND_IN_WEATHER)
def test_what_was_found_in_bad_weather_stays_mended(seed: int) -> None:
    plan = roles_in_weather(plain_roles_plan_of(seed))
    assert simulate_roles(plan).broken == "", FOUND_IN_WEATHER[seed]


@pytest.mark.parametrize("seed", FOUND_BESET)
def test_what_was_found_while_roles_changed_stays_mended(seed: int) -> None:
    assert simulate_roles(roles_plan_of(seed)).broken == "", FOUND_BESET[seed]


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_once_stays_mended(seed: int) -> None:
    assert simulate(plain_plan_of(seed)).broken == "", FOUND[seed]


@pytest.mark.parametrize("seed", FOUND_COPYING_IN_WEATHER)
def test_what_weather_has_found_once_stays_mended(seed: int) -> None:
    plan = in_weather(plain_plan_of(seed))
    assert simulate(plan).broken == "", FOUND_COPYING_IN_WEATHER[seed]


@pytest.mark.parametrize("seed", FOUND_OF_THE_SAME_BYTES)
def test_what_the_same_bytes_have_found_once_stays_mended(seed: int) -> None:
    plan = of_the_same_bytes(plain_plan_of(seed))
    assert simulate(plan).broken == "", FOUND_OF_THE_SAME_BYTES[seed]


def test_every_trouble_comes_up_in_two_hundred_seeds() -> None:
    plans, roles = list(map(plan_of, range(SEEDS))), list(map(roles_plan_of, range(SEEDS)))
    kinds = {step.kind for plan in plans for step in plan.steps}
    assert kinds == set(get_args(Kind))
    for name in ("page", "cut_pages", "doubled", "late", "late_blind"):
        assert any(getattr(p.weather, name) != getattr(FAIR, name) for p in plans), name
    besides = {*MORE_CLIENTS, *TAGS, *TROUBLES, "disk full"}
    assert {step.kind for p in roles for step in p.steps} >= besides
    assert {p.weather.late_blind for p in roles if p.weather.late} == {True, False}
    assert {p.eager_tags for p in roles} == {True, False}
    assert {act.deed for plan in roles for act in plan.acts} == set(get_args(Deed))
    assert {place.split(":")[0] for p in roles for _, place in p.places} == set(PLACES)


def test_what_happened_is_counted() -> None:
    seen = sum((simulate(plan_of(seed)).seen for seed in range(40)), Counter[str]())
    assert {"power cut", "listing cut mid-page", "body altered", "disk full"} <= set(seen)
    assert seen["listing that omits what stands"] > 0


@pytest.mark.parametrize("seed", [1, 4])
def test_a_seed_replays_its_run(seed: int) -> None:
    once, again = run_of(seed), run_of(seed)
    assert once.log == again.log
    assert len(once.log) > 100


def test_the_jitter_of_who_tries_again_is_replayed_too() -> None:
    once, again = simulate(plan_of(1)), simulate(plan_of(1))
    assert once.log == again.log


CAUGHT_RARELY = {
    "late writes stay": in_weather(plain_plan_of(230)),
    "the same bytes are trusted": of_the_same_bytes(plain_plan_of(3)),
}
"""Defects that take a seed of their own, beyond the first ones."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_defect_is_caught(name: str) -> None:
    plans = [CAUGHT_RARELY[name]] if name in CAUGHT_RARELY else []
    with mutated(name):
        assert any(simulate(plan).broken for plan in (*plans, *map(plan_of, range(SEEDS))))


CAUGHT_BY = {
    "a fence is dropped": 88,
    "a pending fence is forgotten": 0,
    "promises outlive the target's disks": 13,
}
"""A seed that was seen to catch it is tried first: these runs cost a second each."""


@pytest.mark.parametrize("name", ROLES_MUTANTS)
def test_a_defect_in_a_change_of_roles_is_caught(name: str) -> None:
    seeds = sorted(range(SEEDS), key=lambda seed: seed != CAUGHT_BY[name])
    with mutated(name):
        assert any(simulate_roles(roles_plan_of(seed)).broken for seed in seeds)


def test_a_failure_is_shortened_and_told_with_its_seed() -> None:
    with mutated("acknowledged before it was applied"):
        outcome = next(o for o in map(simulate, map(plan_of, range(SEEDS))) if o.broken)
        short = shortened(outcome)
    assert short.broken
    assert len(short.plan.steps) <= len(outcome.plan.steps)
    assert f"seed {outcome.plan.seed}: {short.broken}" in told(short)
