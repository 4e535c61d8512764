"""Deletes that the guard holds: kept over a restart, released or discarded one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

import pytest

from farshore.core.model import Version
from farshore.engine.backfill import Backfill, Scope
from farshore.engine.guard import DeleteGuard, GuardLimits
from farshore.engine.reconcile import Scan, scan
from farshore.journal.deletes import HeldDelete, Verdict, WaitingDeletes
from tests.unit.pairs import BUCKET, Pair
from tests.unit.test_dispatch import Live

KEYS = [f"k{n}" for n in range(6)]
TURNS = 300
"""Of the event loop: far more than six keys need."""


def said(decision: str, prefix: str = "") -> Verdict:
    return Verdict("released" if decision == "released" else "discarded", "anna", "h", 1.0, prefix)


async def flooded(pair: Pair | None = None, *, count: int = 3) -> Live:
    """Six keys on both sides, all deleted on the source; `count` deletes are let through."""
    live = Live(pair or await Pair().ready(), limits=GuardLimits(count=count, share=0.0))
    for key in KEYS:
        await live.pair.east.put(BUCKET, key, b"one")
    async with live.running():
        await live.note(*KEYS)
        await live.until(lambda: live.count() == 0)
        for key in KEYS:
            await live.pair.east.delete(BUCKET, key)
        await live.note(*KEYS)
        await live.until(lambda: live.summary().causes.get("DeleteGuard") == len(KEYS) - count)
    return live


def held(live: Live) -> list[str]:
    return [row.key for row in live.guard.waiting.rows()]


def hidden(live: Live) -> set[str]:
    """Keys whose object cannot be read on the target."""
    return {h.version.key for h in live.pair.west.dump(BUCKET) if h.version.is_marker}


def again(live: Live) -> Live:
    """A daemon that starts anew on the same state."""
    new = Live(live.pair, limits=live.limits, backlog=live.backlog)
    new.guard.waiting = live.guard.waiting
    new.crew.waiting = live.guard.waiting
    return new


async def turn(live: Live) -> None:
    for _ in range(TURNS):
        live.dispatcher.wake()
        await asyncio.sleep(0)


async def test_a_new_daemon_lets_nothing_through_until_a_person_decides() -> None:
    old = await flooded()
    before = hidden(old)
    live = again(old)
    async with live.running():
        await live.note(*KEYS)  # as the first scan does
        await turn(live)
        assert hidden(live) == before
        assert len(held(live)) == 3


async def test_exactly_what_was_released_goes_through() -> None:
    live = await flooded()
    first, *others = held(live)
    asked = live.guard.waiting.rows(prefix=first)
    assert live.guard.waiting.decide(asked, said("released")) == asked
    before = hidden(live)
    async with live.running():
        await live.note(*KEYS)
        await live.until(lambda: held(live) == others and live.count() == 2)
        await turn(live)
    assert hidden(live) == before | {first}
    assert live.guard.waiting.rows("released") == [], "it is done, and forgotten"


async def test_a_release_is_for_one_marker_and_not_for_the_next_delete_of_its_key() -> None:
    live = await flooded(count=0)
    live.guard.waiting.decide(live.guard.waiting.rows(prefix="k0"), said("released"))
    await live.pair.east.put(BUCKET, "k0", b"two")
    await live.pair.east.delete(BUCKET, "k0")
    async with live.running():
        await live.note("k0")
        await turn(live)
    assert hidden(live) == set()
    assert "k0" in held(live)


async def test_a_discarded_delete_is_not_replicated_by_anybody() -> None:
    live = await flooded(count=0)
    waiting, crew = live.guard.waiting, live.crew
    assert len(waiting.decide(waiting.rows(), said("discarded"))) == 6
    async with live.running():
        await live.note(*KEYS)
        await live.until(lambda: live.count() == 0)
    assert (hidden(live), waiting.count("discarded")) == (set(), 6)
    assert crew.tally.causes["DiscardedDelete"] == 6
    clock = live.pair.clock
    for expected, knows in ((0, crew.waiting), (6, None)):
        tally = Scan(clock.now())
        await scan(crew.source, crew.target, (), live.backlog, clock, tally, deletes=knows)
        assert (tally.found, live.count()) == (expected, expected)


async def test_verify_counts_a_discarded_delete_as_excluded_and_a_held_one_as_missing() -> None:
    live = await flooded(count=0)
    waiting = live.guard.waiting
    waiting.decide(waiting.rows(prefix="k0"), said("discarded"))
    proof = await live.pair.prove(discarded=waiting.is_discarded)
    assert {found.key for found in proof.differences} == set(KEYS) - {"k0"}
    assert proof.excluded == 1


async def test_a_backfill_leaves_a_discarded_delete_alone() -> None:
    live = await flooded(count=0)
    waiting = live.guard.waiting
    waiting.decide(waiting.rows(prefix="k0"), said("discarded"))
    waiting.decide(waiting.rows(), said("released"))
    await Backfill(live.crew, Scope()).run()
    assert hidden(live) == set(KEYS) - {"k0"}
    assert live.crew.tally.reasons["EXCLUDED"] == 1


async def test_a_later_write_to_a_discarded_key_goes_on_normally() -> None:
    live = await flooded(count=0)
    waiting = live.guard.waiting
    waiting.decide(waiting.rows(prefix="k0"), said("discarded"))
    await live.pair.east.put(BUCKET, "k0", b"two")
    async with live.running():
        await live.note("k0")
        await live.until(lambda: live.count() == 5)

    def history(entries: list[Version]) -> list[tuple[bool, int]]:
        return [(entry.is_marker, entry.size) for entry in entries if entry.key == "k0"]

    east, west = (
        history([h.version for h in store.dump(BUCKET)])
        for store in (live.pair.east, live.pair.west)
    )
    assert west == east == [(False, 3), (True, 0), (False, 3)]
    assert waiting.count("discarded") == 0


async def test_a_held_key_that_is_written_again_waits_no_more() -> None:
    live = await flooded(count=0)
    for key in KEYS:
        await live.pair.east.put(BUCKET, key, b"back")
    async with live.running():
        await live.note(*KEYS)
        await live.until(lambda: live.count() == 0)
    assert held(live) == []
    assert not live.guard.tripped
    assert live.pair.equal()


def delete(key: str, version_id: str = "v", at: float = 0.0) -> HeldDelete:
    return HeldDelete("b", key, version_id, at)


def test_a_verdict_on_one_lets_the_guard_count_anew_but_not_while_others_wait() -> None:
    guard = DeleteGuard(GuardLimits(count=1, share=0.0))
    assert guard.admit(delete("a"), 0)
    assert not guard.admit(delete("b"), 0)
    assert not guard.admit(delete("c", at=7200.0), 0), "tripped: time alone releases nothing"
    guard.waiting.decide([delete("b")], said("released"))
    assert not guard.admit(delete("d", at=7200.0), 0), "others wait still"
    guard.waiting.decide(guard.waiting.rows(), said("discarded"))
    assert guard.admit(delete("e", at=7200.0), 0)
    assert not guard.admit(delete("f", at=7200.0), 0)


def test_a_guard_counts_on_from_the_one_before_it() -> None:
    recent = deque[float]()
    assert DeleteGuard(GuardLimits(count=1, share=0.0), recent=recent).admit(delete("a"), 0)
    assert not DeleteGuard(GuardLimits(count=1, share=0.0), recent=recent).admit(delete("b"), 0)


def test_waiting_deletes_survive_and_only_those_that_were_shown_are_decided(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.sqlite"
    waiting = WaitingDeletes(path)
    odd = delete("odd\ud800\x00", "v1", 5.0)
    for row in (odd, delete("p/a"), delete("p/b")):
        waiting.hold(row)
    shown = waiting.rows(prefix="p/")
    waiting.hold(delete("p/b", "newer"))
    other = WaitingDeletes(path)
    assert other.decide(shown, said("released", "p/")) == [delete("p/a")]
    assert [row.key for row in waiting.rows()] == [odd.key, "p/b"]
    assert waiting.is_decided("b", "p/a", "v", "released")
    assert waiting.verdicts() == 1
    waiting.close()
    other.close()
    back = WaitingDeletes(path)
    assert back.rows()[0] == odd
    back.hold(delete("p/a"))
    assert back.is_decided("b", "p/a", "v", "released"), "the same one is not asked again"
    back.close()


def test_without_a_file_nothing_is_shared_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = WaitingDeletes(), WaitingDeletes()
    one.hold(delete("a"))
    assert (one.any_held(), other.any_held()) == (True, False)
    assert list(tmp_path.iterdir()) == []


async def scanned(live: Live) -> Scan:
    clock, crew = live.pair.clock, live.crew
    tally = Scan(clock.now())
    waiting = live.guard.waiting
    await scan(crew.source, crew.target, crew.rules, live.backlog, clock, tally, deletes=waiting)
    return tally


async def test_what_came_into_step_in_another_way_leaves_the_list_with_the_next_scan() -> None:
    live = await flooded(count=0)
    east, west = live.pair.east, live.pair.west
    await west.delete(BUCKET, "k0")  # the target got the marker
    marker = next(h.version for h in east.dump(BUCKET) if h.version.key == "k1")
    assert marker.is_marker
    await east.delete(BUCKET, "k1", marker.version_id)  # the delete was taken back
    for entry in [h.version for h in east.dump(BUCKET) if h.version.key == "k2"]:
        await east.delete(BUCKET, "k2", entry.version_id)  # purged, and nothing is left to delete
    await east.put(BUCKET, "k3", b"two")  # written anew
    async with live.running():
        tally = await scanned(live)
        assert tally.found == 3, "two deletes that are held still, and one that is written"
        await live.until(lambda: held(live) == ["k4", "k5"] and live.count() == 2)
    assert hidden(live) == {"k0", "k3"}, "k3 has its marker beneath what is new"
    assert live.summary().held == 2


async def test_a_discarded_delete_that_stands_is_not_looked_at_by_every_scan() -> None:
    live = await flooded(count=0)
    live.guard.waiting.decide(live.guard.waiting.rows(), said("discarded"))
    async with live.running():
        await live.note(*KEYS)
        await live.until(lambda: live.count() == 0)
    await live.pair.west.delete(BUCKET, "k0")  # somebody did it by hand
    await scanned(live)
    assert live.count() == 0


async def test_a_backfill_forgets_what_came_into_step() -> None:
    live = await flooded(count=0)
    await live.pair.west.delete(BUCKET, "k0")
    await live.pair.east.put(BUCKET, "k1", b"two")
    await Backfill(live.crew, Scope()).run()
    assert held(live) == ["k2", "k3", "k4", "k5"]


def test_more_than_are_known_by_name_are_asked_for_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    waiting = WaitingDeletes(path, known_max=2)
    for key in "abc":
        waiting.hold(HeldDelete(BUCKET, key, "v", 1.0))
    for one in (waiting, WaitingDeletes(path, known_max=2)):
        assert [one.is_held(BUCKET, key, "v") for key in "abcd"] == [True, True, True, False]
    waiting.take_changed()
    waiting.settled(BUCKET, "b", "later")
    waiting.settled(BUCKET, "d", "later")
    assert [row.key for row in waiting.rows()] == ["a", "c"]
    assert waiting.take_changed() == {(BUCKET, "b")}


def test_a_discarded_delete_that_is_looked_at_again_has_not_changed() -> None:
    waiting = WaitingDeletes()
    held = HeldDelete(BUCKET, "k", "v", 1.0)
    waiting.hold(held)
    waiting.decide([held], said("discarded"))
    waiting.take_changed()
    waiting.settled(BUCKET, "k", "v")
    assert waiting.is_discarded(BUCKET, "k", "v")
    assert waiting.take_changed() == set()
