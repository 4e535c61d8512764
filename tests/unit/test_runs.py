"""Runs in both control buckets: found again with either side gone, and never saved over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.config.load import parse
from farshore.control.both import BothSides, SideLost
from farshore.control.ledger import Ledger
from farshore.control.pages import PAGE_ENTRIES
from farshore.control.runs import Runs, run_name
from farshore.core.runbook import Approval, Plan, Run, StepPlan
from farshore.drill.cabinet import Cabinet
from farshore.errors import BucketMissing, OutcomeUnknown, Refused, Unreachable, UsageError
from farshore.testing.clock import ManualClock
from farshore.testing.store.faults import Faulty
from farshore.testing.store.memory import MemoryStore
from farshore.testing.store.scripts import Fail, Fault
from tests.unit.sites import TOML

CONFIG = parse(TOML, Path("/nowhere/farshore.toml"))
PLAN = Plan("switchover", "east.west", "east", "west", 1, "abc", (StepPlan("flip", "Flip."),))
RUN = Run("20260101-000000-switchover-west", PLAN, "one@desk", 1.0, 1.0)


class Ground:
    """Two control buckets in memory; `down` sites do not answer, `lose` loses one answer."""

    def __init__(self) -> None:
        self.stores = {site: MemoryStore(site, clock=ManualClock()) for site in ("east", "west")}
        self.down: set[str] = set()
        self.lose: set[str] = set()
        self.asked: list[str] = []
        self.silent_for = ""
        self.bucket = CONFIG.source.control_bucket

    async def made(self) -> Ground:
        for store in self.stores.values():
            await store.create_bucket(self.bucket)
            await store.put_versioning(self.bucket, True)
        return self

    def runs(self) -> Runs:
        """A process of its own: it remembers nothing."""
        return Runs(self.both())

    def both(self) -> BothSides:
        ledgers = [
            Ledger(CONFIG.site(site), Faulty(store, self._script(site)), "east.west", strong=True)
            for site, store in self.stores.items()
        ]
        return BothSides(("east", "west"), ledgers, primary="east")

    def _script(self, site: str) -> Callable[[str, str, str, int], Fault | None]:
        def script(name: str, bucket: str, key: str, number: int) -> Fault | None:
            self.asked.append(name)
            if site in self.down or (site == "west" and name == self.silent_for):
                return Fail(lambda action: Unreachable(f"{site} is down", action=action))
            if name == "put" and site in self.lose:
                self.lose.discard(site)
                return Fail(lambda action: OutcomeUnknown("lost", action=action), after=True)
            return None

        return script

    async def spoil(self, site: str) -> None:
        await self.stores[site].put(self.bucket, run_name("east.west", RUN.id), b"{ half of")


@pytest.fixture
async def ground() -> Ground:
    return await Ground().made()


def agreed() -> Run:
    return RUN.approved(Approval("two@desk", 2.0, PLAN.digest, True))


@pytest.mark.parametrize("lost", ["east", "west"])
async def test_a_run_is_found_with_either_side_gone(ground: Ground, lost: str) -> None:
    await ground.runs().create(RUN)
    ground.down.add(lost)
    assert await ground.runs().ids() == [RUN.id]
    assert await ground.runs().load(RUN.id) == RUN


async def test_a_side_that_was_down_is_brought_up_at_the_next_save(ground: Ground) -> None:
    shelf = await ground.runs().create(RUN)
    ground.down.add("east")
    await shelf.save(agreed())
    ground.down.clear()
    assert await ground.runs().load(RUN.id) == agreed()
    again = await ground.runs().shelf(RUN.id)
    begun = agreed().begun(3.0, PLAN)
    await again.save(begun)
    ground.down.add("west")
    assert await ground.runs().load(RUN.id) == begun


@pytest.mark.parametrize("lags", ["east", "west"])
async def test_a_side_that_was_down_at_the_end_of_a_run_learns_of_it(
    ground: Ground, lags: str
) -> None:
    """Else the run stays open there, in the way of a failover to that site."""
    shelf = await ground.runs().create(RUN)
    ground.down.add(lags)
    over = RUN.abort(5.0, "the other side died")
    await shelf.save(over)
    ground.down.clear()
    await ground.runs().level()
    ground.down = {"east", "west"} - {lags}
    assert await ground.runs().load(RUN.id) == over
    assert await ground.runs().open_runs() == []


async def test_nothing_is_written_where_no_copy_lags(ground: Ground) -> None:
    await ground.runs().create(RUN)
    before = {site: store.dump(ground.bucket) for site, store in ground.stores.items()}
    await ground.runs().level()
    assert {site: store.dump(ground.bucket) for site, store in ground.stores.items()} == before


async def test_nobody_saves_over_somebody_else_s_save(ground: Ground) -> None:
    mine = await ground.runs().create(RUN)
    theirs = await ground.runs().shelf(RUN.id)
    await theirs.save(agreed())
    with pytest.raises(Refused, match="Somebody else works on the run"):
        await mine.save(replace(RUN, two_persons=True))
    assert await ground.runs().load(RUN.id) == agreed()


async def test_a_site_that_was_silent_when_the_run_was_read_is_not_saved_over(
    ground: Ground,
) -> None:
    """It was approved at west alone; who then sees east alone has missed that."""
    theirs = await ground.runs().create(RUN)
    ground.down.add("east")
    await theirs.save(agreed())
    ground.down = {"west"}
    mine = await ground.runs().shelf(RUN.id)
    ground.down.clear()
    with pytest.raises(Refused, match="at west it is approved by now"):
        await mine.save(RUN.abort(5.0, "nobody approves"))
    ground.down.add("east")
    assert await ground.runs().load(RUN.id) == agreed()


async def test_of_two_copies_saved_as_often_the_one_that_is_over_counts(ground: Ground) -> None:
    theirs = await ground.runs().create(RUN)
    mine = await ground.runs().shelf(RUN.id)
    ground.down.add("east")
    await theirs.save(agreed())
    ground.down = {"west"}
    over = RUN.abort(5.0, "nobody approves")
    await mine.save(over)
    ground.down.clear()
    assert await ground.runs().load(RUN.id) == over
    await ground.runs().level()
    ground.down.add("east")
    assert await ground.runs().load(RUN.id) == over


async def test_one_s_own_save_is_known_whatever_the_digits_of_its_times(ground: Ground) -> None:
    """Its answer is lost, or a proxy sends it again and the second one is refused."""
    run = replace(RUN, asked_at=1_767_225_600.123_456_7, declared_at=1_767_225_600.123_456_7)
    ground.lose.add("east")
    shelf = await ground.runs().create(run)
    ground.lose.add("west")
    await shelf.save(run.approved(Approval("two@desk", 1_767_225_601.987_654_3, PLAN.digest, True)))
    assert (await ground.runs().load(run.id)).state == "approved"


@pytest.mark.parametrize("site", ["east", "west"])
async def test_a_save_whose_answer_was_lost_counts(ground: Ground, site: str) -> None:
    shelf = await ground.runs().create(RUN)
    ground.lose.add(site)
    await shelf.save(agreed())
    assert ground.lose == set()
    await shelf.save(agreed().begun(3.0, PLAN))
    assert (await ground.runs().load(RUN.id)).state == "running"


async def test_a_run_is_created_once(ground: Ground) -> None:
    await ground.runs().create(RUN)
    with pytest.raises(Refused):
        await ground.runs().create(replace(RUN, asked_by="two@desk"))


async def test_a_damaged_copy_is_replaced_by_the_other_side_s(ground: Ground) -> None:
    await ground.runs().create(RUN)
    await ground.spoil("east")
    shelf = await ground.runs().shelf(RUN.id)
    assert shelf.run == RUN
    await shelf.save(agreed())
    ground.down.add("west")
    assert await ground.runs().load(RUN.id) == agreed()


async def test_without_any_side_it_says_so(ground: Ground) -> None:
    shelf = await ground.runs().create(RUN)
    ground.down = {"east", "west"}
    for work in (ground.runs().ids(), ground.runs().load(RUN.id), shelf.save(agreed())):
        with pytest.raises(Unreachable, match="east is down"):
            await work


async def test_before_apply_it_says_what_to_do() -> None:
    with pytest.raises(BucketMissing) as caught:
        await Ground().runs().ids()
    assert "farshore apply" in caught.value.hint


async def test_a_run_that_is_nowhere_is_named_with_those_that_are(ground: Ground) -> None:
    await ground.runs().create(RUN)
    with pytest.raises(UsageError) as caught:
        await ground.runs().load("r9")
    assert RUN.id in caught.value.hint


async def test_open_runs_are_those_that_are_not_over(ground: Ground) -> None:
    await ground.runs().create(RUN)
    other = replace(RUN, id="20260101-000001-switchover-west")
    shelf = await ground.runs().create(other)
    await shelf.save(other.abort(5.0, "no"))
    assert await ground.runs().open_runs() == [RUN]


async def test_drills_too_are_asked_for_where_nothing_was_prepared() -> None:
    ground = Ground()
    with pytest.raises(BucketMissing, match="nothing was prepared") as caught:
        await Cabinet(ground.both()).ids()
    assert "farshore apply" in caught.value.hint
    await ground.made()
    assert await Cabinet(ground.both()).ids() == []
    ground.down = {"east", "west"}
    with pytest.raises(Unreachable, match="No control bucket has the drill"):
        await Cabinet(ground.both()).ids()


async def test_a_site_that_falls_silent_while_runs_are_levelled_is_lost(ground: Ground) -> None:
    """And not a run that there is not (found by the simulation of roles, seed 841)."""
    ground.down.add("east")
    await ground.runs().create(RUN)
    ground.down.clear()
    ground.silent_for = "get"
    with pytest.raises(SideLost):
        await ground.runs().level()


async def test_copies_that_are_equal_are_not_read_to_be_levelled(ground: Ground) -> None:
    """Clients' writes may wait meanwhile: what it costs must not grow with the number of runs."""
    for number in range(5):
        await ground.runs().create(replace(RUN, id=f"2026010{number}-000000-switchover-west"))
    ground.asked.clear()
    await ground.runs().level()
    assert set(ground.asked) == {"list_versions"}


async def test_the_newest_runs_are_found_behind_many_saves(ground: Ground) -> None:
    """Every save leaves a version behind: the listing has many pages in the end."""
    shelf = await ground.runs().create(RUN)
    for number in range(PAGE_ENTRIES + 5):
        await shelf.save(replace(RUN, asked_at=float(number)))
    last = replace(RUN, id="20270101-000000-switchover-west")
    await ground.runs().create(last)
    assert [run.id for run in await ground.runs().open_runs()] == [RUN.id, last.id]
    assert [run.id for run in await ground.runs().newest(1)] == [last.id]
