"""Changes that make no version reach the replica, and only they."""

from __future__ import annotations

from farshore.core import stamp
from farshore.core.model import Attributes, Lock
from farshore.core.rules import EVERYTHING
from farshore.engine.follow import follow
from farshore.engine.look import aligned, read_both
from tests.unit.pairs import BUCKET, Pair

LATER = "2099-01-01T00:00:00Z"


async def followed(pair: Pair) -> int:
    crew = pair.crew()
    both = await read_both(crew.source, crew.target, "k")
    found = await aligned(crew.source, crew.target, both, EVERYTHING, pair.clock.now())
    return await follow(crew.source, crew.target, found.pairs, pair.clock.now())


async def test_tags_of_any_version_follow() -> None:
    pair = await Pair().ready()
    first = await pair.east.put(BUCKET, "k", b"one", Attributes(tags=(("a", "1"),)))
    await pair.east.put(BUCKET, "k", b"two")
    await pair.run()
    await pair.east.put_tags(BUCKET, "k", first.version_id, (("b", "2"),))
    assert await followed(pair) == 1
    assert pair.equal()
    assert await followed(pair) == 0


async def test_removed_tags_go_and_a_stamp_in_a_tag_stays() -> None:
    pair = await Pair().ready()
    full = Attributes(metadata=(("m", "x" * 2040),), tags=(("a", "1"),))
    written = await pair.east.put(BUCKET, "k", b"one", full)
    await pair.run()
    await pair.east.put_tags(BUCKET, "k", written.version_id, ())
    assert await followed(pair) == 1
    assert pair.equal()
    replica = pair.west.dump(BUCKET)[0]
    assert [name for name, _ in replica.attributes.tags] == [stamp.STAMP_NAME]


async def test_retention_and_legal_hold_follow() -> None:
    pair = await Pair().ready()
    written = await pair.east.put(BUCKET, "k", b"one")
    await pair.run()
    await pair.east.put_retention(BUCKET, "k", written.version_id, "GOVERNANCE", LATER)
    await pair.east.put_legal_hold(BUCKET, "k", written.version_id, True)
    assert await followed(pair) == 1
    lock = pair.west.dump(BUCKET)[0].attributes.lock
    assert lock == Lock("GOVERNANCE", lock.retain_until, True)
    assert lock.retain_until.startswith("2099-01-01")
    await pair.east.put_legal_hold(BUCKET, "k", written.version_id, False)
    assert await followed(pair) == 1
    assert not pair.west.dump(BUCKET)[0].attributes.lock.legal_hold


async def test_a_marker_is_passed_over() -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"one")
    await pair.east.delete(BUCKET, "k")
    await pair.run()
    assert await followed(pair) == 0
