"""The contract on the store in memory, and what only that store promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farshore.core.model import Attributes, Lock
from farshore.errors import BadRequest, Denied, Precondition, Unsupported
from farshore.s3.store import Condition, Store
from farshore.testing.clock import ManualClock
from farshore.testing.store.call import Call
from farshore.testing.store.memory import EVERYTHING, WITH_ACLS, MemoryStore

from .history import MARKER, ids, walk, write
from .store_suite import StoreSuite
from .traits import Traits

YEAR_SECONDS = 365 * 86_400


class TestMemoryStore(StoreSuite):
    """The whole contract, without a deviation."""

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore("west", clock=ManualClock(), capabilities=WITH_ACLS)

    @pytest.fixture
    def traits(self) -> Traits:
        return Traits(
            odd_keys="memory",
            over_http=False,
            part_bytes=1000,
            storage_classes=("GLACIER", "STANDARD_IA"),
        )

    @pytest.fixture
    def stranger(self) -> Store | None:
        return None

    @pytest.fixture
    def lock_bucket(self, bucket: str) -> str:
        return bucket


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore("west", clock=clock)


async def test_the_same_seed_mints_the_same_ids_and_another_site_others() -> None:
    minted = []
    for site, seed in (("west", 1), ("west", 1), ("east", 1), ("west", 2)):
        store = MemoryStore(site, clock=ManualClock(), seed=seed)
        await store.create_bucket("b")
        await store.put_versioning("b", True)
        minted.append(await write(store, "b", "k", "1", "2", "3", "4", MARKER))
    assert minted[0] == minted[1]
    assert len({version_id for written in minted for version_id in written}) == 15
    assert minted[0] != sorted(minted[0]) != sorted(minted[0], reverse=True)


async def test_capabilities_switch_abilities_off(clock: ManualClock) -> None:
    less = replace(
        EVERYTHING,
        conditional_create=False,
        conditional_replace=False,
        stacked_markers=False,
        object_lock=False,
        etag_is_md5=False,
    )
    store = MemoryStore("rgw", clock=clock, capabilities=less)
    await store.create_bucket("b")
    await store.put_versioning("b", True)
    first = await store.put("b", "k", b"1", condition=Condition(absent=True))
    second = await store.put("b", "k", b"1", condition=Condition(absent=True))
    assert first.etag != second.etag
    with pytest.raises(Precondition):
        await store.put("b", "k", b"2", condition=Condition(etag=second.etag))
    with pytest.raises(Unsupported):
        await store.put_legal_hold("b", "k", "", True)
    with pytest.raises(Unsupported, match="access control lists"):
        await store.get_acl("b", "k")
    await store.delete("b", "k")
    assert (await store.delete("b", "k")).version_id == ""
    assert len(await walk(store, "b")) == 3


async def test_a_retention_ends_and_cannot_be_weakened_before(
    store: MemoryStore, clock: ManualClock
) -> None:
    await store.create_bucket("b")
    await store.put_versioning("b", True)
    (version_id,) = await write(store, "b", "k", "1")
    with pytest.raises(BadRequest):
        await store.put_retention("b", "k", version_id, "GOVERNANCE", "2001-01-01T00:00:00Z")
    await store.put_retention("b", "k", version_id, "COMPLIANCE", "2030-01-01T00:00:00Z")
    for mode, until in (
        ("COMPLIANCE", "2029-01-01T00:00:00Z"),
        ("GOVERNANCE", "2031-01-01T00:00:00Z"),
        ("", ""),
    ):
        with pytest.raises(Denied):
            await store.put_retention("b", "k", version_id, mode, until)
    await store.put_retention("b", "k", version_id, "COMPLIANCE", "2031-01-01T00:00:00Z")
    clock.advance(10 * YEAR_SECONDS)
    await store.delete("b", "k", version_id)
    assert await walk(store, "b") == []


@pytest.mark.parametrize(
    "attributes",
    [
        Attributes(metadata=(("a", "x" * 2048),)),
        Attributes(tags=tuple((str(n), "") for n in range(11))),
        Attributes(tags=(("a", "1"), ("a", "2"))),
        Attributes(tags=(("a" * 129, ""),)),
        Attributes(lock=Lock("GOVERNANCE", "2001-01-01T00:00:00Z")),
        Attributes(lock=Lock("SOMETIMES", "2099-01-01T00:00:00Z")),
    ],
)
async def test_what_is_over_a_limit_is_refused(store: MemoryStore, attributes: Attributes) -> None:
    await store.create_bucket("b")
    with pytest.raises(BadRequest):
        await store.put("b", "k", b"", attributes)
    assert await walk(store, "b") == []


async def test_archived_versions_can_be_seen_and_not_read(store: MemoryStore) -> None:
    await store.create_bucket("b")
    await store.put("b", "k", b"1", Attributes(storage_class="GLACIER"))
    assert (await store.head("b", "k")).archived
    with pytest.raises(Unsupported):
        async with store.get("b", "k"):
            pass


async def test_hooks_see_every_call_and_may_stop_it(clock: ManualClock) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.seen: list[tuple[str, Call]] = []

        async def before(self, call: Call) -> None:
            self.seen.append(("before", call))
            if call.key == "stop":
                raise Denied("stopped")

        async def after(self, call: Call) -> None:
            self.seen.append(("after", call))

    recorder = Recorder()
    store = MemoryStore("west", clock=clock, hook=recorder)
    await store.create_bucket("b")
    with pytest.raises(Denied):
        await store.put("b", "stop", b"1")
    await store.put("b", "k", b"1")
    async with store.get("b", "k"):
        pass
    assert [(when, call.operation, call.number) for when, call in recorder.seen] == [
        ("before", "create_bucket", 1),
        ("after", "create_bucket", 1),
        ("before", "put", 2),
        ("before", "put", 3),
        ("after", "put", 3),
        ("before", "get", 4),
        ("after", "get", 4),
    ]
    assert ids(await walk(store, "b")) == ["null"]


async def test_a_dump_shows_all_that_is_kept(store: MemoryStore) -> None:
    await store.create_bucket("b")
    await store.put_versioning("b", True)
    await write(store, "b", "k", "1", MARKER)
    await store.put_tags("b", "k", (await walk(store, "b"))[1].version_id, (("t", "v"),))
    marker, version = store.dump("b")
    assert (marker.version.is_marker, marker.body) == (True, b"")
    assert (version.body, version.attributes.tags) == (b"1", (("t", "v"),))
    assert [held.version for held in store.dump("b")] == await walk(store, "b")


async def test_a_page_has_a_thousand_entries_at_most(store: MemoryStore) -> None:
    await store.create_bucket("b")
    for number in range(1001):
        await store.put("b", f"{number:04}", b"")
    page = await store.list_versions("b", limit=5000)
    assert (len(page.entries), page.truncated, page.next_key) == (1000, True, "0999")
    assert (await store.list_versions("b", limit=0)).entries == []


async def test_markers_that_make_no_sense_are_refused(store: MemoryStore) -> None:
    await store.create_bucket("b")
    await write(store, "b", "k", "1")
    with pytest.raises(BadRequest):
        await store.list_versions("b", version_marker="null")
    with pytest.raises(BadRequest):
        await store.list_versions("b", key_marker="k", version_marker="never-was")


async def test_a_modified_time_is_the_clocks(clock: ManualClock) -> None:
    coarse = replace(EVERYTHING, sub_second_modified=False)
    for capabilities, text in (
        (EVERYTHING, "2026-01-01T00:00:01.500Z"),
        (coarse, "2026-01-01T00:00:01Z"),
    ):
        store = MemoryStore(
            "west", clock=clock, capabilities=capabilities, clock_offset_seconds=1.5
        )
        await store.create_bucket("b")
        await store.put("b", "k", b"")
        assert [held.version.modified for held in store.dump("b")] == [text]
        assert await store.server_time_offset() == 1.5
