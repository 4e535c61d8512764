"""Held deletes on the target: decided from elsewhere, and safe when the daemon's disk is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.control.held import HeldDocuments, Shown
from farshore.control.keeper import Keeper
from farshore.engine.run import kept_up_to_date
from farshore.errors import OutcomeUnknown, StoreError
from farshore.journal.deletes import HeldDelete, StandingDelete, Verdict, WaitingDeletes
from farshore.testing.store.call import Call
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import Faults, ManualClock

CONTROL = "farshore-control"
PAIR = "east-west"
WEAK = replace(EVERYTHING, conditional_create=False, conditional_replace=False)
ROWS = [HeldDelete("files", f"k{n}", f"v{n}", 100.0 + n) for n in range(6)]


def word(decision: str, by: str = "anna") -> Verdict:
    return Verdict("released" if decision == "released" else "discarded", by, "laptop", 1.0)


class World:
    """West's control bucket, and machines that keep held deletes or decide about them."""

    def __init__(self, folder: Path, *, strong: bool = True) -> None:
        self.folder = folder
        self.strong = strong
        self.clock = ManualClock()
        able = EVERYTHING if strong else WEAK
        self.west = MemoryStore("west", clock=self.clock, capabilities=able)
        self.looked_at: list[HeldDelete] = []

    async def ready(self) -> World:
        await self.west.create_bucket(CONTROL)
        await self.west.put_versioning(CONTROL, True)
        return self

    def documents(self) -> HeldDocuments:
        return HeldDocuments(self.west, CONTROL, PAIR, strong=self.strong, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.clock.time += seconds

    def cache(self, machine: str = "a") -> WaitingDeletes:
        return WaitingDeletes(self.folder / machine / "journal.sqlite")

    def keeper(self, waiting: WaitingDeletes) -> Keeper:
        async def look_again(deletes: Sequence[HeldDelete]) -> None:
            self.looked_at += deletes

        return Keeper(self.documents(), waiting, look_again)

    async def shown(self) -> Shown:
        return await self.documents().read()

    async def standing(self) -> dict[str, str]:
        """Key to decision, as anybody reads it."""
        return {row.key: row.decision for row in (await self.shown()).rows.values()}

    def names(self) -> list[str]:
        """Objects of the control bucket, one for every version."""
        return [held.version.key for held in self.west.dump(CONTROL)]


@pytest.fixture(params=[True, False], ids=["conditions", "no-conditions"])
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    return await World(tmp_path, strong=request.param).ready()


def hold_all(waiting: WaitingDeletes, rows: Sequence[HeldDelete] = ROWS) -> None:
    for row in rows:
        waiting.hold(row)


def decisions(waiting: WaitingDeletes) -> dict[str, str]:
    return {row.key: row.decision for row in waiting.standing()}


async def test_a_person_elsewhere_decides_and_the_keeper_takes_it_up(world: World) -> None:
    waiting = world.cache()
    keeper = world.keeper(waiting)
    await keeper.exchange()
    assert world.names() == [], "nothing was ever held: nothing is written"
    hold_all(waiting)
    await keeper.exchange()
    shown = await world.shown()
    assert [row.held() for row in sorted(shown.rows.values())] == ROWS
    assert await world.documents().decide(shown, ROWS[:2], word("discarded")) == ROWS[:2]
    expected = {row.key: "discarded" if row in ROWS[:2] else "held" for row in ROWS}
    assert await world.standing() == expected, "at once, for whoever looks"
    assert decisions(waiting)["k0"] == "held"
    before = waiting.verdicts()
    await keeper.exchange()
    assert decisions(waiting) == expected
    assert world.looked_at == ROWS[:2]
    assert waiting.verdicts() == before + 1, "the guard counts anew"
    await keeper.exchange()
    assert world.looked_at == ROWS[:2], "once"


async def test_of_two_who_decide_at_one_moment_the_first_counts_and_the_other_is_told(
    world: World,
) -> None:
    waiting = world.cache()
    hold_all(waiting)
    keeper = world.keeper(waiting)
    await keeper.exchange()
    same = await world.shown()
    docs = world.documents()
    assert await docs.decide(same, ROWS[:4], word("released", "anna")) == ROWS[:4]
    assert await docs.decide(same, ROWS, word("discarded", "ben")) == ROWS[4:]
    assert await docs.decide(same, ROWS, word("discarded", "carl")) == []
    await keeper.exchange()
    found = decisions(waiting)
    assert [found[row.key] for row in ROWS] == ["released"] * 4 + ["discarded"] * 2
    assert await world.standing() == found


async def test_a_lost_disk_costs_nothing(world: World) -> None:
    waiting = world.cache("a")
    hold_all(waiting)
    keeper = world.keeper(waiting)
    await keeper.exchange()
    docs = world.documents()
    await docs.decide(await world.shown(), ROWS[:2], word("discarded"))
    await keeper.exchange()
    await docs.decide(await world.shown(), ROWS[2:3], word("released"))  # nobody takes it up
    world.looked_at.clear()
    fresh = world.cache("b")
    await world.keeper(fresh).exchange()
    kinds = ["discarded", "discarded", "released", "held", "held", "held"]
    assert decisions(fresh) == {row.key: kind for row, kind in zip(ROWS, kinds, strict=True)}
    assert set(world.looked_at) == set(ROWS), "its backlog knows of none of them"


async def test_who_comes_back_after_another_has_kept_them_takes_the_other_s_word(
    world: World,
) -> None:
    first, second = world.cache("a"), world.cache("b")
    hold_all(first)
    await world.keeper(first).exchange()
    other = world.keeper(second)
    await other.exchange()
    second.settled("files", "k0", "newer")
    second.hold(HeldDelete("files", "late", "v", 200.0))
    await other.exchange()
    first.hold(HeldDelete("files", "mine alone", "v", 150.0))  # never published
    world.looked_at.clear()
    await world.keeper(first).exchange()
    assert decisions(first) == decisions(second)
    assert {row.key for row in world.looked_at} == {"k0", "late", "mine alone"}


async def test_what_was_not_published_yet_survives_a_kill(world: World) -> None:
    waiting = world.cache()
    hold_all(waiting, ROWS[:3])
    await world.keeper(waiting).exchange()
    hold_all(waiting, ROWS[3:])
    waiting.settled("files", "k0", "newer")
    waiting.close()
    again = world.cache()
    await world.keeper(again).exchange()
    assert list(decisions(again)) == ["k1", "k2", "k3", "k4", "k5"]
    assert await world.standing() == decisions(again)
    assert world.looked_at == []


async def test_many_rows_take_pages_of_which_only_the_changed_are_written(world: World) -> None:
    rows = [HeldDelete("files", f"{n:03d}" + "é" * 900, f"v{n}", 1.0) for n in range(400)]
    waiting = world.cache()
    hold_all(waiting, rows)
    keeper = world.keeper(waiting)
    await keeper.exchange()
    assert len((await world.shown()).rows) == 400
    pages = [name for name in world.names() if "page" in name]
    assert len(pages) == len(set(pages)) > 2
    writes = Faults(lambda _: None)
    world.west.hook = writes
    waiting.settled("files", rows[0].key, "newer")
    await keeper.exchange()
    assert sum(call.operation == "put" for call in writes.calls) == 2, "one page, and the index"
    writes.calls.clear()
    await keeper.exchange()
    assert not any(call.operation == "put" for call in writes.calls)
    assert len((await world.shown()).rows) == 399
    assert len(world.names()) == len(set(world.names())), "no trail of older versions"
    docs = world.documents()
    everything = await docs.decide(await world.shown(), rows[1:], word("discarded"))
    assert len(everything) == 399
    assert set((await world.standing()).values()) == {"discarded"}


async def test_a_run_without_a_daemon_publishes_what_came_into_step(world: World) -> None:
    waiting = world.cache()
    hold_all(waiting)
    await world.keeper(waiting).exchange()
    waiting.close()
    await world.documents().decide(await world.shown(), ROWS[1:2], word("released"))
    async with kept_up_to_date(world.documents()) as its_own:
        assert its_own.is_decided("files", "k1", "v1", "released")
        for key in ("k0", "k1"):
            its_own.settled("files", key, "newer")
    assert list(await world.standing()) == ["k2", "k3", "k4", "k5"]
    again = world.cache()
    await world.keeper(again).exchange()
    assert list(decisions(again)) == ["k2", "k3", "k4", "k5"]
    assert {row.key for row in world.looked_at} == {"k0", "k1"}, "its backlog may know of them"


async def test_a_run_whose_target_goes_away_ends_in_its_own_words(world: World) -> None:
    waiting = world.cache()
    hold_all(waiting)
    await world.keeper(waiting).exchange()

    async def run() -> None:
        async with kept_up_to_date(world.documents()) as its_own:
            its_own.settled("files", "k0", "newer")
            world.west.hook = Breaking(1, after=False)
            raise StoreError("the run's own")

    with pytest.raises(StoreError, match="the run's own"):
        await run()
    world.west.hook = None
    assert len(await world.standing()) == 6, "left to the next daemon"


class Breaking:
    """Answers are lost at one request: before it has an effect, or after."""

    def __init__(self, number: int, *, after: bool) -> None:
        self.left = number
        self.is_after = after

    async def before(self, call: Call) -> None:
        if not self.is_after:
            self._break()

    async def after(self, call: Call) -> None:
        if self.is_after:
            self._break()

    def _break(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OutcomeUnknown("the line broke")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 12))
@pytest.mark.parametrize("killed", [False, True], ids=["goes-on", "killed"])
async def test_an_exchange_may_break_anywhere(
    tmp_path: Path, number: int, after: bool, killed: bool
) -> None:
    world = await World(tmp_path).ready()
    waiting = world.cache()
    hold_all(waiting, ROWS[:4])
    keeper = world.keeper(waiting)
    await keeper.exchange()
    hold_all(waiting)
    waiting.settled("files", "k0", "newer")
    await world.documents().decide(await world.shown(), ROWS[1:3], word("released"))
    world.west.hook = Breaking(number, after=after)
    try:
        await keeper.exchange()
    except StoreError:
        assert world.west.hook.left == 0
    world.west.hook = None
    if killed:
        waiting.close()
        waiting = world.cache()
        keeper = world.keeper(waiting)
    await keeper.exchange()
    expected = {"k1": "released", "k2": "released", "k3": "held", "k4": "held", "k5": "held"}
    missing = {row.key for row in world.looked_at}
    for key, decision in expected.items():  # what the cache forgot is looked at again
        assert decisions(waiting).get(key, decision) == decision
        assert key in decisions(waiting) or key in missing
    assert {"k1", "k2"} <= missing, "made due, whatever broke"
    assert await world.standing() == decisions(waiting)


def test_a_row_survives_the_way_through_the_cache() -> None:
    rows = [StandingDelete("b", "k\udc80\x01", "v", 1.5, "discarded")]
    waiting = WaitingDeletes.of(rows)
    assert waiting.standing() == rows
    assert waiting.is_discarded("b", "k\udc80\x01", "v")
