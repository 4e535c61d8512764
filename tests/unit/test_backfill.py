"""The engine over two stores in memory: every history arrives, whatever fails on the way."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.core.model import NO_ATTRIBUTES, Attributes
from farshore.engine.backfill import Backfill, Interrupted, Scope
from farshore.engine.copy import IN_MEMORY_BYTES
from farshore.errors import Denied, Precondition, StoreError, Unreachable, Unsupported
from farshore.s3.store import ALWAYS, Body, Condition, ObjectInfo, ObjectRead, Written
from farshore.s3.wrap import Operation, Wrapper
from farshore.testing.store.faults import (
    AlterBody,
    Crashed,
    CutBody,
    Fail,
    Rates,
    Script,
    lost_answer,
    on,
    seeded,
    server_fault,
    throttled,
    unreachable,
)
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.pairs import BUCKET, Pair, quiet

T = TypeVar("T")

KEYS = ("a", "a-b", "a/b", "photos-old/x", "photos/x", "été", "é", "z")
ATTRIBUTES = Attributes(
    headers=(("content-type", "text/x-test"),),
    metadata=(("note", "two  spaces"),),
    tags=(("kind", "a+b c"),),
)


async def write_history(store: MemoryStore, rng: random.Random, writes: int) -> None:
    """Random writes: bodies (some equal), deletes, tags, now and then an upload in parts."""
    for number in range(writes):
        key = rng.choice(KEYS)
        draw = rng.random()
        if draw < 0.2:
            await store.delete(BUCKET, key)
        elif draw < 0.3:
            await upload(store, key, [b"x" * 7, b"y" * 7, b"z" * rng.randrange(1, 7)])
        else:
            body = rng.choice([b"", b"same", str(number).encode() * 50])
            await store.put(BUCKET, key, body, ATTRIBUTES)


async def upload(store: MemoryStore, key: str, parts: list[bytes]) -> None:
    upload_id = await store.create_upload(BUCKET, key, ATTRIBUTES)
    etags = [
        (n, await store.put_part(BUCKET, key, upload_id, n, body))
        for n, body in enumerate(parts, 1)
    ]
    await store.complete_upload(BUCKET, key, upload_id, etags)


async def test_every_history_arrives_and_a_second_run_has_nothing_to_do() -> None:
    pair = await Pair().ready()
    await write_history(pair.east, random.Random(7), 120)
    first = await pair.run()
    assert pair.equal()
    assert first.failures == 0
    assert first.done == len(pair.east.dump(BUCKET))
    second = await pair.run()
    assert second.done == 0
    assert second.in_step == second.keys
    proof = await pair.prove()
    assert proof.differences == []
    assert proof.versions == first.done


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
async def test_crashes_and_lost_answers_lose_and_double_nothing(
    seed: int, conditional: bool, stacked: bool
) -> None:
    rng = random.Random(seed)
    can = replace(
        EVERYTHING,
        conditional_create=conditional,
        conditional_replace=conditional,
        conditional_complete=conditional,
        conditional_delete=conditional,
        content_md5_verified=stacked,
    )
    pair = await Pair(target_can=can).ready()
    await write_history(pair.east, rng, 40)
    rates = Rates(
        unreachable=0.03,
        throttled=0.03,
        server_fault_before=0.03,
        server_fault_after=0.03,
        lost_answer=0.05,
        crash_before=0.01,
        crash_after=0.02,
        cut_body=0.05,
        alter_body=0.05,
    )
    crashes = 0
    for attempt in range(60):
        try:
            tally = await pair.run(seeded(seed + attempt, rates), seeded(~seed - attempt, rates))
        except (Crashed, StoreError, BaseExceptionGroup):
            crashes += 1
            continue
        if tally.failures == 0:
            break
    tally = await pair.run()
    assert tally.failures == 0
    assert pair.equal(), f"seed {seed} after {crashes} crashes"
    assert (await pair.prove()).differences == []


@pytest.mark.parametrize("fault", [CutBody(3), AlterBody(1)])
async def test_a_body_that_is_cut_or_altered_on_the_way_is_fetched_again(
    fault: CutBody | AlterBody,
) -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"the right bytes")
    tally = await pair.run(on("get", fault))
    assert tally.retries == 1
    assert pair.equal()


async def test_a_server_that_fails_over_conditions_is_written_to_without() -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "long", b"one")
    tally = await pair.run(quiet, on("put", server_fault(), times=3))
    assert (tally.failures, tally.copied) == (0, 1)
    assert pair.equal()


async def test_conditions_that_fail_while_nothing_moves_are_left_out() -> None:
    """SeaweedFS 4.48 says 412 to If-None-Match: * on `a` once there is an `a/b`."""
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "a", b"one")
    crew = pair.crew()
    crew.target = replace(crew.target, store=NoConditions(crew.target.store))
    await Backfill(crew, Scope()).run()
    assert crew.tally.failures == 0
    assert pair.equal()


class NoConditions(Wrapper):
    """A server that refuses every conditional PUT, whatever is there."""

    async def put(
        self,
        bucket: str,
        key: str,
        body: Body,
        attributes: Attributes = NO_ATTRIBUTES,
        *,
        condition: Condition = ALWAYS,
        content_md5: bytes = b"",
    ) -> Written:
        if condition != ALWAYS:
            raise Precondition(f"put {key}: 412", code="PreconditionFailed")
        return await super().put(bucket, key, body, attributes, content_md5=content_md5)


async def test_a_body_that_always_comes_altered_is_failed_and_nothing_is_written() -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"the right bytes")
    tally = await pair.run(on("get", AlterBody(1), times=99))
    assert tally.reasons == {"FAILED": 1}
    assert tally.not_copied[0].key == "k"
    assert pair.west.dump(BUCKET) == []


async def test_a_key_that_is_denied_blocks_only_its_own_lane() -> None:
    pair = await Pair().ready()
    for key in ("good", "poisoned", "well"):
        await pair.east.put(BUCKET, key, key.encode())

    def refusal(action: str) -> Denied:
        return Denied(f"{action}: AccessDenied", status=403, code="AccessDenied", action=action)

    tally = await pair.run(on("get", Fail(refusal), times=99, key="poisoned"))
    assert tally.causes == {"AccessDenied": 1}
    assert [held.version.key for held in pair.west.dump(BUCKET)] == ["good", "well"]


async def test_what_cannot_be_read_is_unsupported_and_the_next_version_goes_on() -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"one")
    await pair.east.put(BUCKET, "k", b"two")

    def refusal(action: str) -> Unsupported:
        return Unsupported(f"{action}: SSE-C", code="InvalidRequest", action=action)

    tally = await pair.run(on("get", Fail(refusal)))
    assert tally.reasons == {"UNSUPPORTED": 1}
    assert [held.body for held in pair.west.dump(BUCKET)] == [b"two"]


async def test_a_lost_answer_to_a_delete_adds_no_second_marker() -> None:
    pair = await Pair(target_can=replace(EVERYTHING, conditional_delete=False)).ready()
    await pair.east.put(BUCKET, "k", b"one")
    await pair.east.delete(BUCKET, "k")
    await pair.run(quiet, on("delete", lost_answer()))
    assert pair.equal()


async def test_a_version_purged_while_it_is_copied_expired_before_it_was_replicated() -> None:
    pair = await Pair().ready()
    first = await pair.east.put(BUCKET, "k", b"one")
    await pair.east.put(BUCKET, "k", b"two")

    class Purge:
        done = False

        async def before(self, call: object) -> None:
            if "'get'" in repr(call) and not self.done:
                self.done = True
                await pair.east.delete(BUCKET, "k", first.version_id)

        async def after(self, call: object) -> None:
            """Nothing to do once an operation is over."""

    pair.east.hook = Purge()
    tally = await pair.run()
    assert tally.reasons == {"EXPIRED_BEFORE_REPLICATED": 1}
    assert tally.failures == 0
    assert pair.equal()


async def test_a_site_that_stays_away_ends_the_run_and_says_so() -> None:
    pair = await Pair().ready()
    for number in range(50):
        await pair.east.put(BUCKET, f"k{number}", b"body")
    with pytest.raises(Unreachable):
        await pair.run(quiet, on("put", unreachable(), nth=10, times=10_000))
    await pair.run()
    assert pair.equal()


async def test_throttling_halves_what_flies_and_everything_arrives() -> None:
    pair = await Pair().ready()
    for number in range(60):
        await pair.east.put(BUCKET, f"k{number}", b"body")
    crew = pair.crew(quiet, on("put", throttled(), times=40))
    before = crew.gate.window
    await Backfill(crew, Scope()).run()
    assert pair.equal()
    assert crew.gate.window < before


async def test_a_stop_finishes_what_flies_and_begins_nothing_new() -> None:
    pair = await Pair().ready()
    for number in range(200):
        await pair.east.put(BUCKET, f"k{number:03}", b"body")
    crew = pair.crew()

    def stop_at_thirty(name: str, _bucket: str, _key: str, _number: int) -> None:
        if name == "put" and crew.tally.done >= 30:
            crew.stop.set()

    crew.target = pair.side(pair.west, EVERYTHING, stop_at_thirty)
    with pytest.raises(Interrupted):
        await Backfill(crew, Scope()).run()
    assert 30 <= crew.tally.done < 200
    assert len(pair.west.dump(BUCKET)) == crew.tally.done
    await pair.run()
    assert pair.equal()


async def test_a_foreign_write_on_the_target_is_a_conflict_and_is_kept() -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"one")
    await pair.run()
    await pair.west.put(BUCKET, "k", b"written in the west")
    await pair.east.put(BUCKET, "k", b"two")
    tally = await pair.run()
    assert tally.reasons == {"CONFLICT": 1}
    assert pair.west.dump(BUCKET)[0].body == b"written in the west"


async def test_an_emptied_source_empties_nothing() -> None:
    pair = await Pair().ready()
    for number in range(20):
        await pair.east.put(BUCKET, f"k{number}", b"body")
    await pair.run()
    kept = pair.shape(pair.west)
    for held in pair.east.dump(BUCKET):
        await pair.east.delete(BUCKET, held.version.key, held.version.version_id)
    await pair.run()
    assert pair.shape(pair.west) == kept


async def test_an_interrupted_upload_goes_on_with_the_parts_that_stand() -> None:
    pair = await Pair().ready()
    await upload(pair.east, "big", [b"a" * 9, b"b" * 9, b"c" * 9, b"d" * 4])
    crash: Script = on("complete_upload", Fail(lambda a: Denied(f"{a}: no", code="AccessDenied")))
    await pair.run(quiet, crash)
    assert pair.west.dump(BUCKET) == []
    sent: list[str] = []

    def watch(name: str, _bucket: str, _key: str, _number: int) -> None:
        sent.append(name)

    await pair.run(quiet, watch)
    assert "put_part" not in sent
    assert pair.equal()
    assert pair.west.dump(BUCKET)[0].version.etag == pair.east.dump(BUCKET)[0].version.etag
    assert pair.journal.uploads == {}


async def test_a_stamp_that_finds_no_room_in_metadata_goes_into_a_tag() -> None:
    pair = await Pair().ready()
    full = Attributes(metadata=(("m", "x" * 2040),))
    crowded = replace(full, tags=tuple((f"t{n}", "v") for n in range(10)))
    await pair.east.put(BUCKET, "full", b"1", full)
    await pair.east.put(BUCKET, "crowded", b"2", crowded)
    tally = await pair.run()
    assert (tally.stamped_by_tag, tally.unstamped) == (1, 1)
    assert pair.equal()
    assert (await pair.run()).done == 0


class OneConnection(Wrapper):
    """A site whose only connection is busy while a body is open: another request would hang."""

    busy = False

    async def around(self, operation: Operation, call: Callable[[], Awaitable[T]]) -> T:
        assert not self.busy, f"{operation.name} waits for the connection that a GET holds"
        return await call()

    def get(
        self,
        bucket: str,
        key: str,
        version_id: str = "",
        *,
        first: int = 0,
        last: int | None = None,
    ) -> AbstractAsyncContextManager[ObjectRead]:
        return self._holding(super().get(bucket, key, version_id, first=first, last=last))

    @asynccontextmanager
    async def _holding(
        self, opening: AbstractAsyncContextManager[ObjectRead]
    ) -> AsyncIterator[ObjectRead]:
        async with opening as opened:
            self.busy = True
            try:
                yield opened
            finally:
                self.busy = False


@pytest.mark.parametrize("size", [10, IN_MEMORY_BYTES + 1])
async def test_tags_are_asked_for_while_no_body_holds_a_connection(size: int) -> None:
    """With as many GETs open as there are connections, all would wait for each other."""
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "tagged", b"x" * size, ATTRIBUTES)
    crew = pair.crew()
    crew.source = replace(crew.source, store=OneConnection(crew.source.store))
    await Backfill(crew, Scope()).run()
    assert crew.tally.copied == 1
    assert pair.equal()


async def test_a_deep_history_outlasts_faults_between_which_it_gets_on() -> None:
    pair = await Pair().ready()
    for number in range(60):
        await pair.east.put(BUCKET, "deep", str(number).encode())
    puts = 0

    def every_third(name: str, _bucket: str, _key: str, _number: int) -> Fail | None:
        nonlocal puts
        puts += name == "put"
        return server_fault() if name == "put" and puts % 3 == 0 else None

    tally = await pair.run(quiet, every_third)
    assert tally.failures == 0
    assert pair.equal()


async def test_one_broken_connection_after_a_quiet_time_does_not_end_the_run() -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, "k", b"body")
    crew = pair.crew(quiet, on("put", unreachable()))
    pair.clock.advance(60)
    await Backfill(crew, Scope()).run()
    assert pair.equal()


class EncryptingStore(MemoryStore):
    """Its buckets encrypt by default with SSE-KMS: ETags are no MD5s, and HEAD says why."""

    async def put(self, *arguments: Any, **options: Any) -> Written:
        written = await super().put(*arguments, **options)
        return written._replace(etag="0" * 32)

    async def head(self, *arguments: Any, **options: Any) -> ObjectInfo:
        info = await super().head(*arguments, **options)
        return replace(
            info, etag="0" * 32, attributes=replace(info.attributes, encryption="aws:kms")
        )


async def test_a_target_that_encrypts_by_default_keeps_its_replicas() -> None:
    pair = await Pair().ready()
    pair.west = EncryptingStore("west", clock=pair.clock, seed=2)
    await pair.west.create_bucket(BUCKET)
    await pair.west.put_versioning(BUCKET, True)
    await pair.east.put(BUCKET, "k", b"one")
    tally = await pair.run()
    assert (tally.failures, tally.copied) == (0, 1)
    assert [held.body for held in pair.west.dump(BUCKET)] == [b"one"]
