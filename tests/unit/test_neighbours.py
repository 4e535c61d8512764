"""Due keys that lie side by side: one listing of each side shows them all, or none is believed."""

from __future__ import annotations

from farshore.core.join import KeyPair
from farshore.engine.lane import Crew
from farshore.engine.look import read_both
from farshore.engine.neighbours import (
    ENTRIES_PER_KEY,
    GROUP_MAX,
    GROUP_MIN,
    SKIPPED_MAX,
    Neighbourhood,
    look_at_all,
)
from farshore.feed.hint import Hint
from farshore.journal.backlog import Work
from farshore.testing.store.faults import Script, on, server_fault
from tests.unit.pairs import BUCKET, Pair, quiet
from tests.unit.test_dispatch import Live


def work(key: str, bucket: str = BUCKET) -> Work:
    return Work(bucket, key, 0.0, 1, 1, 0, 0.0, 0, "", "", "")


def keys(count: int, prefix: str = "k") -> list[str]:
    return [f"{prefix}{number:04}" for number in range(count)]


def counting(asked: list[str]) -> Script:
    def script(name: str, _bucket: str, _key: str, _number: int) -> None:
        asked.append(name)

    return script


async def alone(crew: Crew, wanted: list[str]) -> dict[str, KeyPair]:
    return {key: await read_both(crew.source, crew.target, key) for key in wanted}


def same(found: dict[str, KeyPair], expected: dict[str, KeyPair]) -> bool:
    return {k: (list(p.source), list(p.target)) for k, p in found.items()} == {
        k: (list(p.source), list(p.target)) for k, p in expected.items()
    }


# -- groups ------------------------------------------------------------------------------


def test_groups_are_of_one_bucket_and_bounded() -> None:
    works = [work(key, bucket) for key in reversed(keys(GROUP_MAX + 9)) for bucket in ("a", "b")]
    groups = Neighbourhood().groups(works)
    assert [len(group) for group in groups] == [GROUP_MAX, 9, GROUP_MAX, 9]
    assert all(len({one.bucket for one in group}) == 1 for group in groups)
    assert [one.key for one in groups[0]] == keys(GROUP_MAX)
    assert sorted(one for group in groups for one in group) == sorted(works)


def test_a_few_keys_are_looked_at_one_by_one() -> None:
    few = [work(key) for key in keys(GROUP_MIN - 1)]
    assert Neighbourhood().groups(few) == [[one] for one in few]
    assert Neighbourhood().groups([]) == []


def test_what_does_not_pay_is_tried_ever_more_rarely() -> None:
    one, many = Neighbourhood(), [work(key) for key in keys(GROUP_MIN)]
    pauses = []
    for _ in range(10):
        pause = 0
        while len(one.groups(many)) > 1:
            pause += 1
        pauses.append(pause)
        one.learn(GROUP_MIN, 0)
    assert pauses == [0, 1, 2, 4, 8, 16, 32, SKIPPED_MAX, SKIPPED_MAX, SKIPPED_MAX]
    while len(one.groups(many)) > 1:
        pass
    one.learn(GROUP_MIN, GROUP_MIN)
    assert len(one.groups(many)) == 1


# -- looks -------------------------------------------------------------------------------


async def test_one_page_of_each_side_shows_what_single_looks_show() -> None:
    pair, asked = await Pair().ready(), list[str]()
    wanted = keys(30)
    for number, key in enumerate(wanted):
        for _ in range(number % 3):
            await pair.east.put(BUCKET, key, b"%d" % number)
        if number % 5 == 0:
            await pair.east.delete(BUCKET, key)
        if number % 4 == 0:
            await pair.west.put(BUCKET, key, b"there")
    await pair.east.put(BUCKET, "k0003x", b"between")
    crew = pair.crew(counting(asked), counting(asked))
    found = await look_at_all(crew, wanted)
    assert asked == ["list_versions"] * 2
    assert same(found, await alone(crew, wanted))
    assert crew.gate.flying == 0


async def test_a_page_that_does_not_end_is_not_believed() -> None:
    pair, asked = await Pair().ready(), list[str]()
    crowd, wanted = keys(400), keys(400)[100:164]
    for key in crowd:
        await pair.east.put(BUCKET, key, b"x")
    for _ in range(GROUP_MAX * ENTRIES_PER_KEY + 1):
        await pair.west.put(BUCKET, wanted[0], b"many")
    crew = pair.crew(counting(asked), counting(asked))
    found = await look_at_all(crew, wanted)
    assert len(asked) < len(wanted) / 2
    assert 0 < len(found) < len(wanted), "parts whose pages end"
    assert wanted[0] not in found
    assert same(found, await alone(crew, list(found)))


async def test_keys_far_apart_are_given_up_soon() -> None:
    pair, asked = await Pair().ready(), list[str]()
    crowd = [f"{n % 10}/{n:04}" for n in range(2000)]
    for key in crowd:
        await pair.east.put(BUCKET, key, b"x")
    wanted = sorted(crowd)[::32]
    crew = pair.crew(counting(asked), counting(asked))
    assert await look_at_all(crew, wanted) == {}
    assert len(asked) <= 2 * (1 + GROUP_MAX // GROUP_MIN)


async def test_folders_and_errors_are_left_to_single_looks() -> None:
    pair = await Pair().ready()
    for key in ("k/", *keys(9)):
        await pair.east.put(BUCKET, key, b"x")
    assert list(await look_at_all(pair.crew(), ["k/", *keys(9)])) == keys(9)
    crew = pair.crew(quiet, on("list_versions", server_fault(), times=9))
    assert await look_at_all(crew, keys(9)) == {}
    assert crew.gate.flying == 0


async def test_a_burst_is_drained_in_groups_and_in_step() -> None:
    pair, asked = await Pair().ready(), list[str]()
    wanted = keys(1500)
    for key in wanted:
        await pair.east.put(BUCKET, key, b"x")
    await pair.west.put(BUCKET, wanted[7], b"theirs")
    live = Live(pair, target_script=counting(asked))
    now = pair.clock.now()
    await live.backlog.note([Hint(BUCKET, key) for key in wanted], now=now)
    async with live.running():
        await live.until(lambda: live.count() == 1 and live.summary().in_flight == 0)
    assert live.summary().failed == {"CONFLICT": 1}
    assert len(pair.west.dump(BUCKET)) == 1500
    assert asked.count("put") == 1499
    assert asked.count("list_versions") < 1500 / GROUP_MIN
