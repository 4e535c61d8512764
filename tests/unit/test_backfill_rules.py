"""What a backfill leaves out, holds or delays: the delete guard, rules, people's decisions."""

from __future__ import annotations

from farshore.core.model import Attributes
from farshore.core.plan import DeleteLimits
from farshore.core.rules import Rule
from farshore.engine.backfill import Backfill, Scope
from farshore.journal.deletes import HeldDelete, Verdict, WaitingDeletes
from tests.unit.pairs import BUCKET, Pair


async def test_mass_deletes_are_held_by_the_guard_until_they_are_allowed() -> None:
    pair = await Pair().ready()
    for number in range(20):
        await pair.east.put(BUCKET, f"k{number}", b"body")
    await pair.run()
    for number in range(20):
        await pair.east.delete(BUCKET, f"k{number}")
    held = await pair.run(deletes=DeleteLimits(count_free=5, share=0.1))
    assert held.reasons == {"PENDING": 20}
    assert held.causes == {"DeleteGuard": 20}
    assert not any(row.version.is_marker for row in pair.west.dump(BUCKET))
    await pair.run(deletes=DeleteLimits(count_free=20))
    assert pair.equal()


async def test_what_the_guard_holds_passes_no_backfill_and_what_was_released_does() -> None:
    pair = await Pair().ready()
    for key in ("a", "b", "new"):
        await pair.east.put(BUCKET, key, b"body")
    await pair.run()
    crew = pair.crew()
    crew.waiting = WaitingDeletes()
    for key in ("a", "b", "new"):
        marker = await pair.east.delete(BUCKET, key)
        if key != "new":
            crew.waiting.hold(HeldDelete(BUCKET, key, marker.version_id, 1.0))
    crew.waiting.decide(crew.waiting.rows(prefix="a"), Verdict("released", "anna", "h", 1.0))
    await Backfill(crew, Scope(deletes=DeleteLimits(count_free=100))).run()
    marked = [row.version.key for row in pair.west.dump(BUCKET) if row.version.is_marker]
    assert marked == ["a"], "b is held, and while it is, nothing else is hidden either"
    assert crew.tally.causes == {"DeleteGuard": 2}


async def test_excluded_keys_and_unwanted_markers_are_counted_and_left() -> None:
    rules = (Rule(), Rule(prefix="tmp/", exclude=True), Rule(prefix="a", delete_markers="never"))
    pair = await Pair(rules=rules).ready()
    await pair.east.put(BUCKET, "tmp/x", b"scratch")
    await pair.east.put(BUCKET, "a", b"one")
    await pair.east.delete(BUCKET, "a")
    tally = await pair.run()
    assert tally.reasons == {"EXCLUDED": 1}
    assert [(h.version.key, h.body) for h in pair.west.dump(BUCKET)] == [("a", b"one")]
    assert (await pair.prove()).differences == []


async def test_a_delayed_marker_waits_and_is_superseded_by_a_new_write() -> None:
    rules = (Rule(delete_markers="after", delay_s=60.0),)
    pair = await Pair(rules=rules).ready()
    for key in ("stays-deleted", "comes-back"):
        await pair.east.put(BUCKET, key, b"one")
        await pair.east.delete(BUCKET, key)
    await pair.run()
    assert not any(h.version.is_marker for h in pair.west.dump(BUCKET))
    await pair.east.put(BUCKET, "comes-back", b"two")
    pair.clock.advance(61)
    await pair.run()
    seen = [(h.version.key, h.version.is_marker) for h in pair.west.dump(BUCKET)]
    assert seen == [
        ("comes-back", False),
        ("comes-back", False),
        ("stays-deleted", True),
        ("stays-deleted", False),
    ]


async def test_tag_rules_ask_for_the_newest_version_s_tags() -> None:
    rules = (Rule(tags=(("keep", "yes"),)),)
    pair = await Pair(rules=rules).ready()
    await pair.east.put(BUCKET, "kept", b"1", Attributes(tags=(("keep", "yes"),)))
    await pair.east.put(BUCKET, "left", b"1")
    tally = await pair.run()
    assert tally.reasons == {"EXCLUDED": 1}
    assert [h.version.key for h in pair.west.dump(BUCKET)] == ["kept"]
