"""Our own objects in the users' buckets are neither counted nor replicated, by anybody."""

from __future__ import annotations

from farshore.core.rules import OWN_PREFIX
from farshore.engine.heartbeat import HEARTBEAT_KEY
from farshore.engine.reconcile import Scan, scan
from farshore.testing.backlog import MemoryBacklog
from tests.unit.pairs import BUCKET, Pair


async def beaten() -> Pair:
    """One file, and a heartbeat and a canary beside it."""
    pair = await Pair().ready()
    for key in ("!before", HEARTBEAT_KEY, HEARTBEAT_KEY, f"{OWN_PREFIX}1-aa", "after"):
        await pair.east.put(BUCKET, key, b"one")
    return pair


async def test_a_backfill_neither_counts_nor_excludes_them() -> None:
    tally = await (await beaten()).run()
    assert (tally.keys, tally.versions, tally.copied) == (2, 2, 2)
    assert not tally.reasons


async def test_a_scan_counts_the_users_files_alone() -> None:
    pair = await beaten()
    crew, tally = pair.crew(), Scan(pair.clock.now())
    await scan(crew.source, crew.target, (), MemoryBacklog(), pair.clock, tally)
    assert (tally.keys, tally.versions, tally.found) == (2, 2, 2)


async def test_a_source_with_nothing_but_a_heartbeat_is_empty() -> None:
    pair = await Pair().ready()
    await pair.east.put(BUCKET, HEARTBEAT_KEY, b"1\n")
    crew, tally = pair.crew(), Scan(pair.clock.now())
    await scan(crew.source, crew.target, (), MemoryBacklog(), pair.clock, tally)
    assert tally.versions == 0, "or nobody would be told that the bucket was emptied"


async def test_verify_counts_and_excludes_the_users_files_alone() -> None:
    pair = await beaten()
    await pair.run()
    proof = await pair.prove()
    assert (proof.keys, proof.versions, proof.excluded) == (2, 2, 0)
    assert proof.differences == []
