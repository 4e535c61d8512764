"""Changes that make no version reach the replica, and only they."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farshore.core import acl, stamp
from farshore.core.acl import Grant
from farshore.core.model import Attributes, Lock
from farshore.core.rules import EVERYTHING
from farshore.engine.follow import Followed, follow, follow_one
from farshore.engine.look import aligned, read_both
from farshore.errors import Denied, Refused
from farshore.testing.store import memory
from farshore.testing.store.faults import Fail, on
from farshore.testing.store.memory import WITH_ACLS, MemoryStore
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


async def test_who_may_write_there_no_longer_takes_no_tags_back() -> None:
    async def ended() -> None:
        raise Refused("west is primary")

    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"one", Attributes(tags=(("a", "1"),)))
    await pair.run()
    crew = pair.crew()
    target = replace(crew.target, require_ours=ended)
    both = await read_both(crew.source, target, "k")
    found = await aligned(crew.source, target, both, EVERYTHING, pair.clock.now())
    assert await follow(crew.source, target, found.pairs, pair.clock.now()) == 0
    await pair.west.put_tags(BUCKET, "k", "", (("b", "2"),))  # of a client, after the flip
    with pytest.raises(Refused):
        await follow(crew.source, target, found.pairs, pair.clock.now())
    assert pair.west.dump(BUCKET)[0].attributes.tags == (("b", "2"),)


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


# -- access control lists ----------------------------------------------------------------

PUBLIC = Grant(acl.ALL_USERS, "READ")
ELSEWHERE = Grant("an-account-of-east", "READ")


async def with_lists() -> Pair:
    return await Pair(source_can=WITH_ACLS, target_can=WITH_ACLS).ready()


async def grant(store: MemoryStore, version_id: str, *grants: Grant) -> None:
    before = await store.get_acl(BUCKET, "k", version_id)
    await store.put_acl(BUCKET, "k", version_id, before._replace(grants=grants))


async def granted(store: MemoryStore) -> list[frozenset[Grant]]:
    """Grants to groups of every version, newest first."""
    ids = [held.version.version_id for held in store.dump(BUCKET)]
    return [acl.of_groups(await store.get_acl(BUCKET, "k", one)) for one in ids]


async def test_grants_to_groups_are_copied_with_the_version() -> None:
    pair = await with_lists()
    for body in (b"one", b"two"):
        written = await pair.east.put(BUCKET, "k", body)
    await grant(pair.east, written.version_id, PUBLIC, ELSEWHERE)
    await pair.run()
    assert await granted(pair.west) == [{PUBLIC}, frozenset()]
    assert acl.of_others(await pair.west.get_acl(BUCKET, "k")) == frozenset()


async def test_grants_to_groups_follow_and_are_taken_back() -> None:
    pair = await with_lists()
    written = await pair.east.put(BUCKET, "k", b"one")
    await pair.run()
    await grant(pair.east, written.version_id, PUBLIC)
    assert await followed(pair) == 1
    assert await granted(pair.west) == [{PUBLIC}]
    await grant(pair.east, written.version_id)
    assert await followed(pair) == 1
    assert await granted(pair.west) == [frozenset()]
    assert await followed(pair) == 0


async def test_grants_to_accounts_are_told_and_left_out() -> None:
    pair = await with_lists()
    written = await pair.east.put(BUCKET, "k", b"one")
    await pair.run()
    await grant(pair.east, written.version_id, ELSEWHERE)
    crew = pair.crew()
    both = await read_both(crew.source, crew.target, "k")
    one = (both.source[0], both.target[0])
    found = await follow_one(crew.source, crew.target, one, pair.clock.now())
    assert found == Followed(others=frozenset({ELSEWHERE}))


async def test_a_list_that_cannot_be_set_leaves_the_copy_standing() -> None:
    pair = await with_lists()
    written = await pair.east.put(BUCKET, "k", b"one")
    await grant(pair.east, written.version_id, PUBLIC)

    def refusal(action: str) -> Denied:
        return Denied(f"{action}: AccessDenied", status=403)

    tally = await pair.run(target_script=on("put_acl", Fail(refusal), times=99))
    assert (tally.copied, tally.failures) == (1, 0)
    assert await granted(pair.west) == [frozenset()]
    assert await followed(pair) == 1, "and is set later"
    assert await granted(pair.west) == [{PUBLIC}]


@pytest.mark.parametrize("able", ["east", "west"])
async def test_no_list_is_asked_for_where_one_side_has_none(able: str) -> None:
    east, west = (WITH_ACLS if able == name else memory.EVERYTHING for name in ("east", "west"))
    pair = await Pair(source_can=east, target_can=west).ready()
    await pair.east.put(BUCKET, "k", b"one")
    assert (await pair.run(_no_lists, _no_lists)).copied == 1
    assert await followed(pair) == 0


def _no_lists(name: str, _bucket: str, _key: str, _number: int) -> None:
    assert name not in ("get_acl", "put_acl")
