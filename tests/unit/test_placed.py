"""What is known of the target without looking: when it spares a look, and when it must not."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from farshore.core import stamp
from farshore.core.model import Attributes, Version
from farshore.engine.dispatch import Dispatcher
from farshore.engine.placed import KEYS_ALL_MAX, KEYS_MAX, VERSIONS_MAX, Placed, keys_of_each
from farshore.feed.hint import Hint
from farshore.s3.capabilities import Capabilities
from farshore.testing.store.faults import Fault, Script
from farshore.testing.store.memory import EVERYTHING, MemoryStore, New
from tests.unit.pairs import BUCKET, Pair
from tests.unit.test_dispatch import Live

BEGUN = "2026-01-01T00:00:00Z"
YOUNG = "2026-01-01T00:00:10Z"
SOURCE_NOW = 1_767_225_600.0  # BEGUN


def version(name: str, modified: str = YOUNG, *, etag: str = "", marker: bool = False) -> Version:
    return Version("k", name, marker, False, "" if marker else etag or name, 3, modified, "")


def replica(of: Version) -> Version:
    return of._replace(version_id=f"replica-{of.version_id}")


def placed(can: Capabilities = EVERYTHING, keys_max: int = 10) -> Placed:
    found = Placed(can, keys_max=keys_max)
    found.begin(SOURCE_NOW)
    return found


# -- the memory ------------------------------------------------------------------------


def test_of_a_young_key_that_nobody_placed_nothing_stands() -> None:
    memory = placed()
    assert memory.may_know("k")
    assert memory.target_of("k", [version("one")]) == ()
    assert memory.target_of("k", [version("two"), version("one")]) == ()


@pytest.mark.parametrize(
    "source",
    [
        [],
        [version("one", BEGUN)],
        [version("two"), version("one", BEGUN)],
        [version("two", marker=True), version("one")],
        [version("two"), version("one", marker=True)],
        [version("one", etag="d41d8cd98f00b204e9800998ecf8427e-2")],
        [version("null")],
    ],
)
def test_in_doubt_it_must_be_looked_at(source: list[Version]) -> None:
    assert placed().target_of("k", source) is None


def test_before_it_has_begun_nothing_is_known() -> None:
    memory = Placed(EVERYTHING)
    assert not memory.may_know("k")
    assert memory.target_of("k", [version("one")]) is None


def test_on_top_of_what_was_placed() -> None:
    memory, one, two = placed(), version("one", BEGUN), version("two", BEGUN)
    memory.keep("k", [one], replica(one))
    assert memory.target_of("k", [two, one]) == (replica(one),)
    assert memory.target_of("k", [one]) is None, "nothing new: tags, perhaps"
    assert memory.target_of("k", [two]) is None, "the first one was purged"
    assert memory.target_of("k", [version("three"), two, version("other")]) is None
    assert memory.target_of("k", [two, version("another", etag="one")]) is None
    memory.keep("k", [two, one], replica(two))
    three = version("three")
    assert memory.target_of("k", [three, two, one]) == (replica(two), one)
    memory.keep("k", [three, two, one], None)
    assert not memory.may_know("k")
    assert memory.target_of("k", [version("four"), three, two, one]) is None


def test_contents_that_return_are_looked_at() -> None:
    memory, one = placed(), version("one")
    memory.keep("k", [one], replica(one))
    again = version("three", etag="one")
    assert memory.target_of("k", [again, version("two"), one]) is None


@pytest.mark.parametrize(
    "top",
    [
        None,
        replica(version("one", marker=True)),
        replica(version("one", etag="other")),
        replica(version("one"))._replace(etag=""),
        replica(version("one"))._replace(size=4),
    ],
)
def test_what_is_not_a_plain_replica_on_top_is_no_ground(top: Version | None) -> None:
    memory, one = placed(), version("one")
    memory.keep("k", [one], top)
    assert memory.target_of("k", [version("two"), one]) is None


def test_a_long_history_is_looked_at_every_time() -> None:
    memory = placed()
    source = [version(f"{n}") for n in range(VERSIONS_MAX + 1)]
    memory.keep("k", source, replica(source[0]))
    assert not memory.may_know("k")


def test_what_is_forgotten_makes_older_keys_unknown() -> None:
    memory = placed(keys_max=1)
    memory.keep("a", [version("a1", "2026-01-01T00:01:00Z")], None)
    memory.keep("b", [version("b1", "2026-01-01T00:01:07Z")], None)
    assert memory.target_of("a", [version("a1", "2026-01-01T00:01:00Z")]) is None
    assert memory.target_of("c", [version("c1", "2026-01-01T00:01:00Z")]) is None
    assert memory.target_of("c", [version("c1", "2026-01-01T00:01:01Z")]) == ()


def test_many_buckets_remember_no_more_together_than_they_may() -> None:
    assert keys_of_each(0) == keys_of_each(1) == keys_of_each(4) == KEYS_MAX
    assert keys_of_each(100) * 100 <= KEYS_ALL_MAX
    assert keys_of_each(10**6) == 1


def test_a_server_that_ignores_conditions_is_always_looked_at() -> None:
    neither = replace(EVERYTHING, conditional_create=False, conditional_replace=False)
    memory, one = placed(neither), version("one")
    memory.keep("k", [one], replica(one))
    assert not memory.may_know("k")
    assert not memory.may_know("new")
    only_create = placed(replace(EVERYTHING, conditional_replace=False))
    assert only_create.target_of("new", [one]) == ()
    assert only_create.target_of("new", [version("two"), one]) is None


# -- in the dispatcher ------------------------------------------------------------------


@dataclass
class Watched(Live):
    """Hears of every request at both sides."""

    asked: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.target_script = self._at("west")
        super().__post_init__()
        self.crew.source = self.pair.side(self.pair.east, EVERYTHING, self._at("east"))
        self.again()

    def _at(self, site: str) -> Script:
        def script(name: str, _bucket: str, _key: str, _number: int) -> None:
            self.asked.append(f"{site} {name}")

        return script

    def again(self, keys_max: int = 100) -> None:
        """A dispatcher that remembers nothing, as after a new start."""
        self.dispatcher = Dispatcher(
            {BUCKET: self.crew},
            self.backlog,
            self.guard,
            self.pair.clock,
            lambda work, _: self.done.append(work),
        )
        memory = Placed(EVERYTHING, keys_max=keys_max)
        self.dispatcher._placed[BUCKET] = memory

    async def put(self, key: str, body: bytes) -> str:
        return (await self.pair.east.put(BUCKET, key, body)).version_id

    async def tell(self, key: str, *named: str, size: int = 3) -> list[str]:
        """Note a key, wait until it is done; answers what was asked of both sides."""
        self.asked.clear()
        hint = Hint(BUCKET, key, self.pair.clock.now(), "", size, named)
        await self.backlog.note([hint], now=self.pair.clock.now())
        await self.until(lambda: self.summary().in_flight == 0 and self.count() == 0)
        return sorted(self.asked)

    async def begun(self) -> None:
        await self.until(lambda: self.dispatcher._placed[BUCKET].has_begun)
        self.pair.clock.advance(10)

    def bodies(self, store: MemoryStore) -> list[bytes]:
        return [held.body for held in store.dump(BUCKET) if not held.version.is_marker]


async def watched() -> Watched:
    return Watched(await Pair().ready())


async def test_a_new_version_costs_one_look_one_get_and_one_put() -> None:
    live = await watched()
    async with live.running():
        await live.begun()
        for body in (b"one", b"two", b"3"):
            asked = await live.tell("k", await live.put("k", body))
            assert asked == ["east get", "east list_versions", "west put"], body
        assert await live.tell("k") == [
            "east head",
            "east head",
            "east head",
            "east list_versions",
            "west head",
            "west head",
            "west head",
            "west list_versions",
        ], "a hint about nothing new may be about tags"
    assert live.pair.equal()


async def test_a_version_whose_hint_was_lost_goes_first() -> None:
    live = await watched()
    async with live.running():
        await live.begun()
        for key in ("new", "known"):
            if key == "known":
                await live.tell(key, await live.put(key, b"one"))
            await live.put(key, b"lost")
            await live.tell(key, await live.put(key, b"told"))
    assert live.pair.equal()


async def test_a_delete_that_was_taken_back_doubles_nothing() -> None:
    live = await watched()
    async with live.running():
        await live.begun()
        first = await live.put("k", b"one")
        await live.tell("k", first)
        marker = await live.pair.east.delete(BUCKET, "k")
        await live.tell("k")
        await live.pair.east.delete(BUCKET, "k", marker.version_id)
        await live.tell("k", first)
    assert live.bodies(live.pair.west) == [b"one"]


@pytest.mark.parametrize("how", ["remembered", "started again", "forgotten"])
async def test_a_target_that_hides_a_replica_by_itself_gets_no_second_one(how: str) -> None:
    """If-None-Match: * looks at the current version alone, and there is none under a marker."""
    live = await watched()
    if how == "forgotten":
        live.again(keys_max=1)
    async with live.running():
        await live.begun()
        first = await live.put("k", b"one")
        await live.tell("k", first)
        await live.pair.west.delete(BUCKET, "k")
        if how == "forgotten":
            await live.tell("other", await live.put("other", b"one"))
    if how == "started again":
        live.again()
    async with live.running():
        await live.begun()
        await live.tell("k", first)
        assert live.bodies(live.pair.west).count(b"one") == 1 + (how == "forgotten")
        await live.tell("k", await live.put("k", b"two"))
    assert live.bodies(live.pair.west)[:2] == [b"two", b"one"]


async def test_somebody_else_at_the_target_is_noticed() -> None:
    live = await watched()
    async with live.running():
        await live.begun()
        await live.tell("known", await live.put("known", b"one"))
        for key in ("known", "new"):
            await live.pair.west.put(BUCKET, key, b"theirs")
            now = live.pair.clock.now()
            version_id = await live.put(key, b"ours")
            await live.backlog.note([Hint(BUCKET, key, now, "", 4, (version_id,))], now=now)
        await live.until(lambda: live.summary().failed.get("CONFLICT") == 2)
    assert live.bodies(live.pair.west) == [b"theirs", b"one", b"theirs"]


async def test_somebody_who_writes_on_a_marker_meanwhile_is_noticed() -> None:
    live = await watched()
    first = live.target_script

    def script(name: str, bucket: str, key: str, number: int) -> Fault | None:
        if name == "put" and not live.theirs:
            live.theirs.append(key)
            west = live.pair.west
            west._write(west._buckets[BUCKET], New(key, b"theirs", "etag", Attributes()))
        return first(name, bucket, key, number)

    await live.pair.east.delete(BUCKET, "k")
    async with live.running():
        await live.tell("k")
        live.crew.target = live.pair.side(live.pair.west, EVERYTHING, script)
        live.again()
        live.theirs.clear()
    await live.put("k", b"ours")
    now = live.pair.clock.now()
    async with live.running():
        await live.backlog.note([Hint(BUCKET, "k", now)], now=now)
        await live.until(lambda: live.summary().failed.get("CONFLICT") == 1)
    assert live.bodies(live.pair.west) == [b"theirs"]


@pytest.mark.parametrize("seed", range(20))
async def test_at_random_nothing_is_doubled_and_nothing_out_of_order(seed: int) -> None:
    """Writes, deletes, purges, lost and doubled hints, deletes at the target, new starts."""
    rng, live = random.Random(seed), await watched()
    named: dict[str, list[str]] = {}
    for _ in range(4):
        live.again(keys_max=rng.choice([1, 3, 100]))
        async with live.running():
            await live.begun()
            for _ in range(40):
                key = rng.choice("abcde")
                live.pair.clock.advance(rng.choice([0, 0.4, 3]))
                match rng.randrange(10):
                    case 0:
                        await live.pair.east.delete(BUCKET, key)
                    case 1:
                        await _purge(live.pair.east, key, rng)
                    case 2:
                        await live.pair.west.delete(BUCKET, key)
                    case _:
                        body = rng.choice([b"A", b"B", b"%d" % rng.randrange(10**6)])
                        named.setdefault(key, []).append(await live.put(key, body))
                for _ in range(rng.choice([0, 1, 1, 2])):
                    told = rng.choice([[], named.get(key, [])[-1:], named.get(key, [])[-2:]])
                    at = live.pair.clock.now()
                    await live.backlog.note([Hint(BUCKET, key, at, "", 3, tuple(told))], now=at)
                if rng.random() < 0.5:
                    await live.until(lambda: live.summary().in_flight == 0)
            await live.until(lambda: live.summary().in_flight == 0)
    _nothing_is_doubled(live, seed)


async def _purge(store: MemoryStore, key: str, rng: random.Random) -> None:
    page = await store.list_versions(BUCKET, prefix=key)
    if page.entries:
        await store.delete(BUCKET, key, rng.choice(page.entries).version_id)


def _nothing_is_doubled(live: Watched, seed: int) -> None:
    """By the stamps: at most one replica of each version, the older ones beneath."""
    order: dict[str, list[tuple[str, str]]] = {}
    for held in live.pair.west.dump(BUCKET):
        mark = stamp.find(held.attributes)
        if mark is not None:
            order.setdefault(held.version.key, []).append((mark.version_id, mark.time))
    for key, marks in order.items():
        ids = [version_id for version_id, _ in marks]
        assert len(set(ids)) == len(ids), f"seed {seed}: a version of {key} stands twice"
        assert all(a[1] >= b[1] for a, b in pairwise(marks)), f"seed {seed}: {key} out of order"
