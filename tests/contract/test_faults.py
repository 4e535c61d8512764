"""Every fault does what it says, and nothing else; the same seed gives the same faults."""

from __future__ import annotations

import asyncio

import pytest

from farshore.core.acl import Acl
from farshore.core.model import NO_LOCK
from farshore.errors import Corrupt, OutcomeUnknown, ServerFault, StoreError, Throttled, Unreachable
from farshore.s3.store import ObjectRead, Store
from farshore.testing.clock import ManualClock
from farshore.testing.store.faults import (
    AlterBody,
    Crash,
    Crashed,
    CutBody,
    CutListing,
    DisorderedListing,
    Fault,
    Faulty,
    Hang,
    LoseEntries,
    Rates,
    Script,
    at,
    first_of,
    lost_answer,
    on,
    seeded,
    server_fault,
    throttled,
    unreachable,
)
from farshore.testing.store.memory import WITH_ACLS, MemoryStore
from farshore.testing.store.read import CHUNK_BYTES

from .history import keys, read, walk, write
from .store_suite import StoreSuite
from .suite_writes import policy_of
from .traits import Traits


def nothing(_operation: str, _bucket: str, _key: str, _number: int) -> None:
    """The script of a good day."""


class TestFaultyStore(StoreSuite):
    """Without a fault, the wrapper changes nothing of the contract."""

    @pytest.fixture
    def store(self) -> Store:
        return Faulty(MemoryStore("west", clock=ManualClock(), capabilities=WITH_ACLS), nothing)

    @pytest.fixture
    def traits(self) -> Traits:
        return Traits(odd_keys="memory", over_http=False, part_bytes=1000)

    @pytest.fixture
    def stranger(self) -> Store | None:
        return None

    @pytest.fixture
    def lock_bucket(self, bucket: str) -> str:
        return bucket


@pytest.fixture
async def memory() -> MemoryStore:
    store = MemoryStore("west", clock=ManualClock())
    await store.create_bucket("b")
    await store.put_versioning("b", True)
    return store


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        (unreachable(), Unreachable, False),
        (throttled(1.5), Throttled, False),
        (server_fault(), ServerFault, False),
        (server_fault(after=True), ServerFault, True),
        (lost_answer(), OutcomeUnknown, True),
        (Crash(), Crashed, False),
        (Crash(after=True), Crashed, True),
    ],
)
async def test_a_write_fails_before_or_after_its_effect(
    memory: MemoryStore, fault: Fault, error: type[BaseException], done: bool
) -> None:
    faulty = Faulty(memory, on("put", fault, nth=2))
    await faulty.put("b", "k", b"1")
    with pytest.raises(error):
        await faulty.put("b", "k", b"2")
    await faulty.put("b", "k", b"3")
    sizes = len(await walk(memory, "b"))
    assert sizes == (3 if done else 2)
    assert [(c.operation, c.key, c.number) for c in faulty.calls] == [
        ("put", "k", 1),
        ("put", "k", 2),
        ("put", "k", 3),
    ]


def test_a_crash_is_no_exception() -> None:
    """So that no handler of errors can swallow it."""
    assert not issubclass(Crashed, Exception)


async def test_every_operation_can_fail(memory: MemoryStore) -> None:
    (version_id,) = await write(memory, "b", "k", "1")
    upload = await memory.create_upload("b", "k")
    faulty = Faulty(memory, lambda _operation, _bucket, _key, _number: unreachable())
    calls = [
        faulty.list_versions("b"),
        faulty.head("b", "k"),
        read(faulty, "b", "k"),
        faulty.put("b", "k", b"2"),
        faulty.delete("b", "k", version_id),
        faulty.get_tags("b", "k"),
        faulty.put_tags("b", "k", version_id, (("a", "b"),)),
        faulty.put_retention("b", "k", version_id, "GOVERNANCE", "2099-01-01T00:00:00Z"),
        faulty.put_legal_hold("b", "k", version_id, True),
        faulty.get_acl("b", "k", version_id),
        faulty.put_acl("b", "k", version_id, Acl("memory")),
        faulty.create_upload("b", "other"),
        faulty.put_part("b", "k", upload, 1, b"x"),
        faulty.complete_upload("b", "k", upload, []),
        faulty.abort_upload("b", "k", upload),
        faulty.list_parts("b", "k", upload),
        faulty.list_uploads("b"),
        faulty.list_buckets(),
        faulty.create_bucket("c"),
        faulty.get_versioning("b"),
        faulty.put_versioning("b", False),
        faulty.get_bucket_policy("b"),
        faulty.put_bucket_policy("b", policy_of("b", "s")),
        faulty.delete_bucket_policy("b"),
        faulty.get_bucket_config("b", "cors"),
        faulty.put_bucket_config("b", "cors", "<CORSConfiguration/>"),
        faulty.get_identity(),
        faulty.server_time_offset(),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [Unreachable] * len(calls)
    assert await memory.list_buckets() == ["b"]
    assert await memory.get_versioning("b") == "Enabled"
    assert await memory.get_bucket_policy("b") == ""
    assert await memory.get_bucket_config("b", "cors") == ""
    assert [u.key for u in await memory.list_uploads("b")] == ["k"]
    assert await memory.list_parts("b", "k", upload) == []
    (held,) = memory.dump("b")
    assert (held.body, held.attributes.tags, held.attributes.lock) == (b"1", (), NO_LOCK)


BODY = bytes(range(251)) * 1000
"""Several chunks, the last one not whole."""


@pytest.mark.parametrize("keep", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, len(BODY) - 1, 1 << 30])
async def test_a_body_is_cut_short(memory: MemoryStore, keep: int) -> None:
    await memory.put("b", "k", BODY)
    faulty = Faulty(memory, on("get", CutBody(keep)))
    came = bytearray()

    async def drain(opened: ObjectRead) -> None:
        async for chunk in opened.chunks():
            came.extend(chunk)

    async with faulty.get("b", "k") as opened:
        assert (opened.info.size, opened.body_length) == (len(BODY), len(BODY))
        with pytest.raises(Corrupt):
            await drain(opened)
    assert came == BODY[: min(keep, len(BODY) - 1)]
    assert await read(faulty, "b", "k") == BODY


@pytest.mark.parametrize("position", [0, CHUNK_BYTES - 1, CHUNK_BYTES, len(BODY) - 1, len(BODY)])
async def test_a_body_is_altered_in_one_byte(memory: MemoryStore, position: int) -> None:
    await memory.put("b", "k", BODY)
    got = await read(Faulty(memory, on("get", AlterBody(position))), "b", "k")
    differing = [
        place for place, pair in enumerate(zip(got, BODY, strict=True)) if len(set(pair)) > 1
    ]
    assert differing == [position % len(BODY)]


async def test_listings_are_cut_lose_entries_and_come_in_disorder(memory: MemoryStore) -> None:
    for key in ("k1", "k2", "k3", "k4"):
        await write(memory, "b", key, "1")
    cut = Faulty(memory, on("list_versions", CutListing(2)))
    assert keys(await walk(cut, "b")) == ["k1", "k2"]
    lossy = Faulty(memory, on("list_versions", LoseEntries(1), nth=2))
    assert keys(await walk(lossy, "b", limit=2)) == ["k1", "k2", "k4"]
    disordered = Faulty(memory, on("list_versions", DisorderedListing()))
    assert keys(await walk(disordered, "b")) == ["k4", "k3", "k2", "k1"]


TURNS = 5
"""Turns of the event loop: more than a call in memory needs to reach its end."""


@pytest.mark.parametrize("after", [False, True])
async def test_a_call_hangs_until_it_is_let_go(memory: MemoryStore, after: bool) -> None:
    let_go = asyncio.Event()
    faulty = Faulty(memory, on("put", Hang(let_go, after=after)))
    task = asyncio.create_task(faulty.put("b", "k", b"1"))
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert not task.done()
    assert len(memory.dump("b")) == (1 if after else 0)
    let_go.set()
    assert (await task).etag
    assert len(memory.dump("b")) == 1


async def test_a_get_that_fails_after_opening_closes_what_it_opened(memory: MemoryStore) -> None:
    await memory.put("b", "k", b"1")
    faulty = Faulty(memory, first_of(at(1, lost_answer()), at(2, Crash())))
    with pytest.raises(OutcomeUnknown):
        await read(faulty, "b", "k")
    with pytest.raises(Crashed):
        await read(faulty, "b", "k")
    assert await read(faulty, "b", "k") == b"1"


async def test_a_script_may_mean_one_key_and_several_calls(memory: MemoryStore) -> None:
    faulty = Faulty(memory, on("put", throttled(), times=2, key="poisoned"))
    await faulty.put("b", "healthy", b"1")
    for _ in range(2):
        with pytest.raises(Throttled):
            await faulty.put("b", "poisoned", b"1")
    await faulty.put("b", "poisoned", b"1")


RATES = Rates(
    unreachable=0.05,
    throttled=0.05,
    server_fault_before=0.05,
    server_fault_after=0.05,
    lost_answer=0.05,
    crash_before=0.05,
    crash_after=0.05,
    cut_body=0.1,
    alter_body=0.1,
    cut_listing=0.1,
    lose_entries=0.1,
)


async def outcomes(script: Script) -> list[str]:
    memory = MemoryStore("west", clock=ManualClock())
    await memory.create_bucket("b")
    faulty = Faulty(memory, script)
    seen = []
    for number in range(300):
        calls = [faulty.put("b", str(number), BODY[:99]), faulty.list_versions("b")]
        for call in calls:
            try:
                seen.append(str(len(await call)))
            except (StoreError, Crashed) as error:
                seen.append(str(error))
    return seen


async def test_chance_is_the_seeds() -> None:
    first = await outcomes(seeded(7, RATES))
    assert first == await outcomes(seeded(7, RATES))
    assert first != await outcomes(seeded(8, RATES))
    for word in ("connection broke", "SlowDown", "InternalError", "no answer", "before", "after"):
        assert any(word in outcome for outcome in first), word


def test_chance_fits_the_operation() -> None:
    """A read has no unknown outcome; only a GET has a body to spoil."""
    everything = Rates(lost_answer=0.5, cut_body=0.5, lose_entries=0.5)
    script = seeded(1, everything)
    kinds = {
        operation: {type(script(operation, "b", "k", n)) for n in range(200)} - {type(None)}
        for operation in ("head", "get", "list_versions")
    }
    assert kinds == {"head": set(), "get": {CutBody}, "list_versions": {LoseEntries}}
