"""What fences mean for the verdict, and how they are seen from outside."""

from __future__ import annotations

import pytest

from farshore.control.fenced import FenceTrial, see_fences, write_trial
from farshore.control.ledger import Ledger, pair_key
from farshore.core.fenced import FenceFact, Unfenceable, sentences
from farshore.core.policy import Spared, deny_writes, merged
from farshore.core.record import Fence, initial
from farshore.core.verdict import Objectives, Snapshot, judge
from farshore.s3.store import Store
from farshore.testing.clock import ManualClock
from farshore.testing.store.faults import Faulty, first_of, on, unreachable
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import TOML, config_of

STANDS = FenceFact("east", "standing", "ann@desk", "it burns", 1.0)


@pytest.mark.parametrize(
    ("fence", "name"),
    [
        (STANDS, ""),
        (STANDS._replace(state="pending"), "fence-pending"),
        (STANDS._replace(state="unproved"), "fence-unproved"),
        (STANDS._replace(gone=("files",)), "fence-gone"),
    ],
)
def test_a_fence_that_does_not_hold_is_a_risk(fence: FenceFact, name: str) -> None:
    assert [found for found, _ in sentences([fence], [])] == ([name] if name else [])
    snapshot = Snapshot("east", "west", 2.0, fences=(fence,))
    found = [r for r in judge(snapshot, Objectives()).reasons if r.name.startswith("fence")]
    assert [(r.name, r.level) for r in found] == ([(name, "AT RISK")] if name else [])


def test_many_buckets_without_their_fence_are_counted() -> None:
    gone = STANDS._replace(gone=tuple(f"b{n}" for n in range(6)))
    assert "6 buckets" in next(iter(sentences([gone], [])))[1]


def test_a_site_that_cannot_be_fenced_is_a_risk() -> None:
    snapshot = Snapshot("east", "west", 2.0, cannot_fence=(Unfenceable("west", "no policies."),))
    (found,) = [r for r in judge(snapshot, Objectives()).reasons if r.name == "cannot-fence"]
    assert "west cannot be fenced" in found.text


@pytest.fixture
async def stores() -> dict[str, MemoryStore]:
    made = {
        name: MemoryStore(name, clock=ManualClock(), capabilities=EVERYTHING)
        for name in ("east", "west")
    }
    for store in made.values():
        for bucket in ("files", "farshore-control"):
            await store.create_bucket(bucket)
            await store.put_versioning(bucket, True)
    return made


async def record(stores: dict[str, MemoryStore], state: str, *sites: str) -> None:
    """A fence of east, recorded on these sites."""
    config = config_of()
    fence = Fence("east", "policy", state, "ann@desk", "it burns", 1.0)  # type: ignore[arg-type]
    for name in sites:
        ledger = Ledger(config.site(name), stores[name], pair_key("east", "west"), strong=True)
        await ledger.replace(initial("east.west", "east").with_fence(fence), "")


async def test_what_is_recorded_is_held_against_what_stands(
    stores: dict[str, MemoryStore],
) -> None:
    config, clock = config_of(), ManualClock()
    assert (await see_fences(config, stores, clock)).fences == ()
    await record(stores, "standing", "east", "west")
    (seen,) = (await see_fences(config, stores, clock)).fences
    assert (seen.site, seen.state, seen.by, seen.gone) == (
        "east",
        "standing",
        "ann@desk",
        ("files",),
    )
    fence = merged("", deny_writes("files", Spared.of(["replicator"])))
    await stores["east"].put_bucket_policy("files", fence)
    (seen,) = (await see_fences(config, stores, clock)).fences
    assert seen.gone == ()


async def test_with_the_fenced_site_dead_the_other_one_tells(
    stores: dict[str, MemoryStore],
) -> None:
    await record(stores, "pending", "west")
    names = ("get", "head", "get_bucket_policy", "list_versions")
    dead = first_of(*(on(name, unreachable(), times=99) for name in names))
    seen: dict[str, Store] = {"east": Faulty(stores["east"], dead), "west": stores["west"]}
    for found in (seen, {"west": stores["west"]}):
        (fence,) = (await see_fences(config_of(), found, ManualClock())).fences
        assert (fence.state, fence.gone) == ("pending", ())


async def test_what_a_trial_found_is_kept(stores: dict[str, MemoryStore]) -> None:
    config, clock = config_of(), ManualClock()
    await write_trial(stores["west"], config.target, FenceTrial(True, "", 1.0))
    assert (await see_fences(config, stores, clock)).cannot == ()
    await write_trial(stores["west"], config.target, FenceTrial(False, "no policies.", 1.0))
    (cannot,) = (await see_fences(config, stores, clock)).cannot
    assert cannot.site == "west"
    assert "no policies. Try again" in cannot.why
    await stores["west"].put("farshore-control", "fence/west.json", b"damaged")
    assert (await see_fences(config, stores, clock)).cannot == ()
    none = config_of(TOML.replace("[pair]", '[sites.east.fence]\nby = "none"\n[pair]'))
    assert [one.site for one in (await see_fences(none, stores, clock)).cannot] == ["east"]
