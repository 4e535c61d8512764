"""Repair mends what it may, leaves what it must, and purges nothing that is not ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farshore.core.mend import ORDER, Action, plan_mending
from farshore.core.plan import DeleteLimits
from farshore.core.rules import Rule
from farshore.core.stamp import STAMP_NAME
from farshore.errors import Denied, Unsupported
from farshore.journal.deletes import HeldDelete, Verdict, WaitingDeletes
from farshore.proof.repair import Outcome, repair
from farshore.testing.store.faults import Fail, Script, on
from tests.unit.pairs import BUCKET, Pair, quiet
from tests.unit.tampering import DAMAGES, DRESSED, copied, replica

GUARDED = DeleteLimits()

REBUILT = (
    "gap",
    "gap of a marker",
    "disordered",
    "differs",
    "metadata",
    "headers",
    "encryption",
    "bytes",
)
TOUCHED = ("missing", "foreign marker", "doubled", "tags", "lock")


async def mend(
    pair: Pair,
    *,
    rebuild_tail: bool = False,
    source: Script = quiet,
    target: Script = quiet,
    deletes: DeleteLimits = GUARDED,
    waiting: WaitingDeletes | None = None,
) -> list[Outcome]:
    """Verify deeply, plan, and perform."""
    proof = await pair.prove()
    plan = plan_mending(proof.differences, rebuild_tail=rebuild_tail)
    crew = pair.crew(source, target)
    crew.waiting = waiting
    outcomes = await repair(crew, plan, proof.keys, deletes)
    assert len(outcomes) == len(plan), "every mending has its outcome"
    return outcomes


async def kinds(pair: Pair) -> list[str]:
    return [found.kind for found in (await pair.prove()).differences]


def bodies(pair: Pair, key: str = "k") -> list[bytes]:
    """The target's history of a key, newest first."""
    return [held.body for held in pair.west.dump(BUCKET) if held.version.key == key]


@pytest.mark.parametrize("name", TOUCHED)
async def test_what_can_be_mended_in_place_is(name: str) -> None:
    pair = await copied()
    await DAMAGES[name].do(pair)
    outcomes = await mend(pair)
    assert all(outcome.done for outcome in outcomes), outcomes
    assert await kinds(pair) == []
    assert pair.equal()
    assert (await pair.run()).done == 0


@pytest.mark.parametrize("name", REBUILT)
async def test_a_wrong_replica_waits_for_rebuild_tail_and_is_then_mended(name: str) -> None:
    pair = await copied()
    await DAMAGES[name].do(pair)
    before = pair.shape(pair.west)
    outcomes = await mend(pair)
    assert not any(outcome.done for outcome in outcomes)
    assert pair.shape(pair.west) == before
    outcomes = await mend(pair, rebuild_tail=True)
    assert all(outcome.done for outcome in outcomes), outcomes
    assert await kinds(pair) == []
    assert pair.equal()
    assert (await pair.run()).done == 0


def test_every_damage_is_tried_here() -> None:
    assert {*TOUCHED, *REBUILT, "foreign"} == set(DAMAGES)


async def test_a_foreign_version_is_left_to_a_person() -> None:
    pair = await copied()
    await DAMAGES["foreign"].do(pair)
    for rebuild_tail in (False, True):
        (outcome,) = await mend(pair, rebuild_tail=rebuild_tail)
        assert not outcome.done
        assert outcome.mending.action == "leave"
        assert bodies(pair)[0] == b"written in the west"
    assert await kinds(pair) == ["foreign"]


async def test_rebuilding_stops_where_a_foreign_version_would_be_lost() -> None:
    pair = await copied()
    await DAMAGES["gap"].do(pair)
    await DAMAGES["foreign"].do(pair)
    before = pair.shape(pair.west)
    outcomes = await mend(pair, rebuild_tail=True)
    assert not any(outcome.done for outcome in outcomes)
    assert any("would be lost" in outcome.detail for outcome in outcomes)
    assert pair.shape(pair.west) == before


async def test_rebuilding_stops_where_history_that_the_source_purged_would_be_lost() -> None:
    """The target alone still has it."""
    pair = await copied()
    await DAMAGES["gap"].do(pair)
    four = await pair.east.put(BUCKET, "k", b"four")
    await pair.east.put(BUCKET, "k", b"five")
    await pair.run()
    await pair.east.delete(BUCKET, "k", four.version_id)
    before = [b"five", b"four", b"three", b"one"]
    assert bodies(pair) == before
    (outcome,) = await mend(pair, rebuild_tail=True)
    assert not outcome.done
    assert bodies(pair) == before
    (kept,) = (h.version.version_id for h in pair.west.dump(BUCKET) if h.body == b"four")
    assert f"would be lost: {kept}. Copy these versions elsewhere" in outcome.detail
    await pair.west.delete(BUCKET, "k", kept)
    (outcome,) = await mend(pair, rebuild_tail=True)
    assert outcome.done
    assert bodies(pair) == [b"five", b"three", b"two", b"one"]


async def test_history_that_the_source_purged_is_kept_where_it_lies_beneath() -> None:
    pair = await copied()
    await DAMAGES["gap"].do(pair)
    (three,) = (h for h in pair.east.dump(BUCKET) if h.body == b"three")
    await pair.east.put(BUCKET, "k", b"four")
    await pair.run()
    await pair.east.delete(BUCKET, "k", three.version.version_id)
    (outcome,) = await mend(pair, rebuild_tail=True)
    assert outcome.done
    assert bodies(pair) == [b"four", b"two", b"three", b"one"]
    assert await kinds(pair) == []


async def test_nothing_is_purged_whose_original_cannot_be_read_again() -> None:
    pair = await copied()
    await DAMAGES["gap"].do(pair)
    refusal = Fail(lambda action: Denied(f"{action}: no", code="AccessDenied", action=action))
    (outcome,) = await mend(pair, rebuild_tail=True, source=on("get", refusal, nth=2, times=99))
    assert not outcome.done
    assert bodies(pair) == [b"three", b"one"]


async def test_a_gap_that_cannot_be_copied_purges_nothing() -> None:
    """An SSE-C version beneath copied ones: rebuilding would end in the same gap."""
    pair = await copied()
    await DAMAGES["gap"].do(pair)
    before = [held.version for held in pair.west.dump(BUCKET)]
    (sealed,) = (
        h.version.version_id
        for h in pair.east.dump(BUCKET)
        if h.body == b"two" and h.version.key == "k"
    )

    def sse_c(action: str) -> Unsupported:
        return Unsupported(f"{action}: SSE-C", code="SSE-C", action=action)

    script = on("get", Fail(sse_c), times=99, key="k")
    (outcome,) = await mend(pair, rebuild_tail=True, source=script)
    assert not outcome.done
    assert "UNSUPPORTED" in outcome.detail
    assert outcome.mending.difference.source_version == sealed
    assert [held.version for held in pair.west.dump(BUCKET)] == before


async def test_right_replicas_beneath_the_wrong_one_are_not_touched() -> None:
    pair = await copied()
    kept = replica(pair, b"one").version
    await DAMAGES["metadata"].do(pair)
    await mend(pair, rebuild_tail=True)
    assert replica(pair, b"one").version == kept._replace(is_latest=False)


async def test_markers_that_the_rule_leaves_out_do_not_make_right_replicas_wrong() -> None:
    pair = await Pair(rules=(Rule(delete_markers="never"),)).ready()
    for body in (b"one", None, b"two", b"three"):
        if body is None:
            await pair.east.delete(BUCKET, "k")
        else:
            await pair.east.put(BUCKET, "k", body, DRESSED)
    await pair.run()
    kept = replica(pair, b"two").version
    await DAMAGES["metadata"].do(pair)
    (outcome,) = await mend(pair, rebuild_tail=True)
    assert outcome.done
    assert replica(pair, b"two").version == kept._replace(is_latest=False)
    assert await kinds(pair) == []


async def test_a_refusal_ends_one_mending_and_the_others_go_on() -> None:
    pair = await copied()
    for name in ("tags", "foreign marker", "gap of a marker"):
        await DAMAGES[name].do(pair)
    refusal = Fail(lambda action: Denied(f"{action}: no", code="AccessDenied", action=action))
    outcomes = await mend(pair, rebuild_tail=True, target=on("put_tags", refusal))
    done = {outcome.mending.difference.kind: outcome.done for outcome in outcomes}
    assert done == {"tags": False, "foreign-marker": True, "gap": True}
    assert await kinds(pair) == ["tags"]


async def test_what_was_mended_meanwhile_is_left_alone() -> None:
    """A double that somebody removed, a marker that somebody removed: nothing else is purged."""
    pair = await copied()
    await DAMAGES["doubled"].do(pair)
    await DAMAGES["foreign marker"].do(pair)
    plan = plan_mending((await pair.prove()).differences, rebuild_tail=True)
    for held in pair.west.dump(BUCKET)[:2]:
        await pair.west.delete(BUCKET, held.version.key, held.version.version_id)
    assert pair.equal()
    await repair(pair.crew(), plan, 1, DeleteLimits())
    assert pair.equal()


async def test_a_double_that_nobody_was_shown_is_not_purged() -> None:
    pair = await copied()
    await DAMAGES["doubled"].do(pair)
    plan = plan_mending((await pair.prove()).differences, rebuild_tail=False)
    await pair.west.put(BUCKET, "k", b"three", replica(pair, b"three").attributes)
    (outcome,) = await repair(pair.crew(), plan, 1, DeleteLimits())
    assert outcome.done
    assert bodies(pair) == [b"three", b"three", b"two", b"one"]


async def test_only_replicas_and_shown_markers_are_ever_purged() -> None:
    """Every damage at once, every mending allowed: what is native stays."""
    pair = await copied()
    for name in ("tags", "foreign", "doubled", "foreign marker", "gap of a marker"):
        await DAMAGES[name].do(pair)
    native = replica(pair, b"written in the west").version
    await mend(pair, rebuild_tail=True)
    assert native.version_id in {held.version.version_id for held in pair.west.dump(BUCKET)}


async def test_the_stamp_in_a_tag_outlives_mended_tags() -> None:
    full = replace(DRESSED, metadata=(("m", "x" * 2040),))
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"two", full)
    await pair.run()
    stamped = replica(pair, b"two").attributes.tags
    assert any(name == STAMP_NAME for name, _ in stamped)
    (mark,) = (tag for tag in stamped if tag[0] == STAMP_NAME)
    version_id = replica(pair, b"two").version.version_id
    await pair.west.put_tags(BUCKET, "k", version_id, (("kind", "other"), mark))
    (outcome,) = await mend(pair)
    assert outcome.done
    assert replica(pair, b"two").attributes.tags == stamped


def test_purges_come_before_what_is_appended() -> None:
    purges: tuple[Action, ...] = ("drop-double", "unhide", "rebuild-tail")
    assert all(ORDER.index(purge) < ORDER.index("append") for purge in purges)


async def test_a_native_file_that_the_target_deleted_stays_deleted() -> None:
    pair = await Pair().ready()
    await pair.west.put(BUCKET, "native", b"the target's own")
    await pair.west.delete(BUCKET, "native")
    proof = await pair.prove()
    assert [d.kind for d in proof.differences] == ["foreign", "foreign"]
    assert not any(m.allowed for m in plan_mending(proof.differences, rebuild_tail=True))


async def deleted(*keys: str) -> Pair:
    """Keys on both sides, deleted on the source alone."""
    pair = await Pair().ready()
    for key in keys:
        await pair.east.put(BUCKET, key, b"body")
    await pair.run()
    for key in keys:
        await pair.east.delete(BUCKET, key)
    return pair


def waiting_for(pair: Pair, *keys: str) -> WaitingDeletes:
    """The delete guard holds the deletes of these keys."""
    waiting = WaitingDeletes()
    for row in pair.east.dump(BUCKET):
        if row.version.is_marker and row.version.key in keys:
            waiting.hold(HeldDelete(BUCKET, row.version.key, row.version.version_id, 1.0))
    return waiting


def hidden(pair: Pair) -> set[str]:
    return {row.version.key for row in pair.west.dump(BUCKET) if row.version.is_marker}


async def test_repair_hides_no_more_objects_than_the_delete_guard_lets_pass() -> None:
    pair = await deleted("a", "b", "c")
    outcomes = await mend(pair, deletes=DeleteLimits(2, 0.0))
    assert [outcome.done for outcome in outcomes] == [False] * 3
    assert "farshore backfill --deletes-free 3" in outcomes[0].detail
    assert hidden(pair) == set()
    await mend(pair, deletes=DeleteLimits(3, 0.0))
    assert hidden(pair) == {"a", "b", "c"}


async def test_repair_leaves_held_deletes_to_those_who_decide_and_writes_released_ones() -> None:
    pair = await deleted("a", "b")
    await pair.east.put(BUCKET, "c", b"never copied")
    waiting = waiting_for(pair, "a", "b")
    outcomes = await mend(pair, waiting=waiting)
    assert {o.mending.difference.key: o.done for o in outcomes} == {
        "a": False,
        "b": False,
        "c": True,
    }
    assert "farshore deletes" in outcomes[0].detail
    assert hidden(pair) == set()
    waiting.decide(waiting.rows(prefix="a"), Verdict("released", "anna", "h", 1.0))
    await mend(pair, deletes=DeleteLimits(0, 0.0), waiting=waiting)
    assert hidden(pair) == {"a"}


async def test_what_verify_calls_held_is_shown_and_not_mended() -> None:
    pair = await deleted("a")
    waiting = waiting_for(pair, "a")
    proof = await pair.prove(held=waiting.is_held)
    assert [found.kind for found in proof.differences] == ["held"]
    assert proof.wrong == 0
    (mending,) = plan_mending(proof.differences, rebuild_tail=True)
    assert not mending.allowed


async def test_a_tail_is_not_rebuilt_where_that_would_hide_what_is_held() -> None:
    pair = await copied()
    await DAMAGES["differs"].do(pair)
    key = pair.east.dump(BUCKET)[0].version.key
    await pair.east.delete(BUCKET, key)
    before = pair.shape(pair.west)
    outcomes = await mend(pair, rebuild_tail=True, waiting=waiting_for(pair, key))
    assert not any(outcome.done for outcome in outcomes)
    assert pair.shape(pair.west) == before
