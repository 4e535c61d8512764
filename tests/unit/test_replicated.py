"""Buckets that were once replicated are missed when they are gone, until a person forgets them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farshore.control.lease import hold
from farshore.control.replicated import Replicated, Vanished
from farshore.errors import Precondition, Refused
from farshore.testing.store.call import Call
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import TOML, ManualClock, config_of

CONTROL = "farshore-control"
PATTERN = TOML.replace('source = "files"', 'source = "files-*"\ntarget = "copy-*"')
CONFIG = config_of(PATTERN)
OTHER = config_of(PATTERN.replace("[pair]", '[pair]\nname = "other"'))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def west(clock: ManualClock) -> MemoryStore:
    store = MemoryStore("west", clock=clock, capabilities=EVERYTHING)
    for bucket in (CONTROL, "copy-1", "copy-2"):
        await store.create_bucket(bucket)
        await store.put_versioning(bucket, True)
    return store


async def test_a_bucket_that_is_gone_is_missed_with_what_is_kept_of_it(west: MemoryStore) -> None:
    replicated = Replicated(west, CONFIG, strong=True)
    assert await replicated.gone([]) == []
    await replicated.remember([("files-1", "copy-1"), ("files-2", "copy-2"), ("files-3", "no")])
    for _ in range(3):
        await west.put("copy-2", "k", b"1")
    assert await replicated.vanished(["files-1", "else"]) == [
        Vanished("files-2", "copy-2", 3, more=False)
    ], "files-3 went elsewhere: the file says otherwise now"
    (gone,) = await replicated.vanished(["files-1"])
    assert gone.text(CONFIG) == "files-2 is gone from east; west keeps 3 versions in copy-2"
    assert await replicated.gone(["files-1", "files-2"]) == [], "it is back"
    await replicated.forget(["files-2"])
    assert await replicated.gone(["files-1"]) == []


async def test_many_versions_are_not_counted_to_the_last(west: MemoryStore) -> None:
    replicated = Replicated(west, CONFIG)
    await replicated.remember([("files-2", "copy-2"), ("files-9", "copy-9")])
    for number in range(1001):
        await west.put("copy-2", f"{number:04d}", b"")
    texts = [gone.text(CONFIG) for gone in await replicated.vanished([])]
    assert texts[0].endswith("west keeps 1,000 versions or more in copy-2")
    assert texts[1].endswith("west keeps 0 versions in copy-9"), "gone there, too"


async def test_a_named_bucket_is_missed_by_others(west: MemoryStore) -> None:
    replicated = Replicated(west, config_of())
    await replicated.remember([("files", "files")])
    assert await replicated.gone([]) == []


async def test_two_who_remember_at_one_moment_lose_nothing(west: MemoryStore) -> None:
    first, second = (Replicated(west, CONFIG, strong=True) for _ in range(2))
    await first.remember([("files-1", "copy-1")])

    class Between:
        """The other one writes between our reading and our writing, once."""

        done = False

        async def before(self, call: Call) -> None:
            if call.operation == "put" and not self.done:
                self.done = True
                await second.remember([("files-3", "copy-3")])

        async def after(self, call: Call) -> None:
            pass

    west.hook = Between()
    await first.remember([("files-2", "copy-2")])
    west.hook = None
    names = [source for source, _ in await first.gone([])]
    assert names == ["files-1", "files-2", "files-3"]


async def test_who_is_never_faster_says_so(west: MemoryStore) -> None:
    class Refusing:
        async def before(self, call: Call) -> None:
            if call.operation == "put":
                raise Precondition("somebody else wrote")

        async def after(self, call: Call) -> None:
            pass

    west.hook = Refusing()
    with pytest.raises(Precondition):
        await Replicated(west, CONFIG, strong=True).remember([("files-2", "copy-2")])


async def test_two_pairs_at_work_must_not_share_a_target(
    west: MemoryStore, clock: ManualClock
) -> None:
    ours, theirs = [("files-1", "copy-1")], [("else", "copy-1")]
    mine = Replicated(west, CONFIG, strong=True)
    await mine.remember(ours)
    await Replicated(west, OTHER, strong=True).remember(theirs)
    await mine.require_sole_writer(ours, clock)
    lease = "replicate-other"
    async with hold(west, CONTROL, lease, capabilities=EVERYTHING, clock=clock):
        with pytest.raises(Refused, match="The pair other writes into copy-1 at west, too"):
            await mine.require_sole_writer(ours, clock)
        await mine.require_sole_writer([("files-2", "copy-2")], clock)
    await mine.require_sole_writer(ours, clock)
    assert replace(CONFIG.pair, name="other").scope == CONFIG.pair.scope
