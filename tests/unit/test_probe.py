"""The probe: what it says of stores whose abilities are known, and that it leaves nothing."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from farshore.errors import Refused, ServerFault, StoreError
from farshore.s3.capabilities import Capabilities
from farshore.s3.probe import PROBE_PREFIX, ProbeReport, probe
from farshore.s3.probe.neighbours import CROWD, keys
from farshore.testing.clock import ManualClock
from farshore.testing.store.call import Call
from farshore.testing.store.lossy import LossyListingStore
from farshore.testing.store.memory import EVERYTHING, WITH_ACLS, MemoryStore

SWITCHES = [
    field.name
    for field in fields(Capabilities)
    if field.name not in {"server", "probed_at", "listing", "object_lock", "tags_per_version"}
]
"""The lock is a bucket's property too; the memory store always keeps tags per version."""

IMPLIED = {
    "conditional_create": {"conditional_complete"},
    "conditional_replace": {"conditional_delete"},
}
"""What the memory store cannot do either when the first is switched off."""


async def ready(store: MemoryStore) -> MemoryStore:
    await store.create_bucket("control")
    await store.put_versioning("control", True)
    await store.put("control", "mine", b"kept")
    return store


async def probed(store: MemoryStore, filer: LossyListingStore | None = None) -> ProbeReport:
    return await probe(store, "control", filer=filer, clock=ManualClock())


def left(store: MemoryStore) -> list[str]:
    return [held.version.key for held in store.dump("control")]


async def test_a_store_that_can_everything_is_found_so() -> None:
    clock = ManualClock()
    clock.advance(0.25)  # a fraction of a second that listings can show
    store = await ready(MemoryStore("west", clock=clock))
    report = await probed(store)
    expected = replace(EVERYTHING, probed_at="2026-01-01T00:00:00+00:00", object_lock=False)
    assert replace(report.capabilities, object_lock=False) == expected
    total = sum(len(entries) for _, entries in keys(""))
    assert f"plain walk: all {total} versions" in report.evidence[0]
    assert left(store) == ["mine"]
    assert await store.list_uploads("control") == []


@pytest.mark.parametrize("switch", SWITCHES)
async def test_each_ability_that_is_missing_is_found_missing(switch: str) -> None:
    clock = ManualClock()
    clock.advance(0.25)
    able = Capabilities.from_json({**WITH_ACLS.to_json(), switch: False})
    report = await probed(await ready(MemoryStore("west", clock=clock, capabilities=able)))
    found = report.capabilities.to_json()
    assert found[switch] is False
    missing = {name for name in SWITCHES if not found[name]}
    assert missing <= {switch} | IMPLIED.get(switch, set())


async def test_tags_that_go_to_the_current_version_are_not_tags_per_version() -> None:
    class CurrentTags(MemoryStore):
        async def put_tags(
            self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
        ) -> None:
            await super().put_tags(bucket, key, "", tags)

    report = await probed(await ready(CurrentTags("west", clock=ManualClock())))
    assert not report.capabilities.tags_per_version
    assert report.capabilities.tags_on_multipart


async def test_a_store_that_loses_keys_is_walked_through_its_filer() -> None:
    store = LossyListingStore("west", clock=ManualClock())
    await ready(store)
    report = await probed(store, store)
    assert report.capabilities.listing == "filer"
    plain, filed = report.evidence[:2]
    assert "keys are wrong" in plain
    assert "photos-old" in plain
    assert "through the filer: all" in filed
    assert left(store) == ["mine"]


async def test_a_store_that_loses_keys_and_has_no_filer_is_refused_with_evidence() -> None:
    store = LossyListingStore("west", clock=ManualClock())
    await ready(store)
    report = await probed(store)
    assert report.capabilities.listing is None
    assert "split by prefixes: " in report.evidence[1]
    assert "HEAD and the listing contradict each other" in report.evidence[1]
    assert left(store) == ["mine"]


async def test_a_filer_that_is_not_this_stores_own_is_not_believed() -> None:
    store, other = (LossyListingStore("west", clock=ManualClock()) for _ in range(2))
    await ready(store)
    await ready(other)
    report = await probed(store, other)
    assert report.capabilities.listing is None
    assert "the filer does not name it" in report.evidence[1]


async def test_a_bucket_without_versions_is_refused() -> None:
    store = MemoryStore("west", clock=ManualClock())
    await store.create_bucket("control")
    with pytest.raises(Refused, match="keeps no versions"):
        await probed(store)


class Failing:
    """Fails one kind of operation from its nth call on, until it is healed."""

    def __init__(self, operation: str, calls: int, error: StoreError) -> None:
        self.operation = operation
        self.calls = calls
        self.error = error

    async def before(self, call: Call) -> None:
        if call.operation == self.operation:
            self.calls -= 1
            if self.calls == 0:
                raise self.error

    async def after(self, call: Call) -> None:
        return None


@pytest.mark.parametrize(
    ("operation", "calls"),
    [("put", 500), ("list_versions", 3), ("head", 1), ("complete_upload", 2), ("put_tags", 1)],
)
async def test_a_probe_that_fails_says_nothing_and_leaves_nothing(
    operation: str, calls: int
) -> None:
    store = await ready(MemoryStore("west", clock=ManualClock()))
    store.hook = Failing(operation, calls, ServerFault("out of disk", status=500))
    with pytest.raises(ServerFault, match="out of disk"):
        await probed(store)
    assert left(store) == ["mine"]
    assert await store.list_uploads("control") == []


async def test_what_a_killed_probe_left_is_purged_first() -> None:
    store = await ready(MemoryStore("west", clock=ManualClock()))
    await store.put("control", f"{PROBE_PREFIX}family/a", b"from before")
    await store.delete("control", f"{PROBE_PREFIX}family/a")
    report = await probed(store)
    assert report.capabilities.listing == "plain"
    assert left(store) == ["mine"]


def test_the_neighbours_are_more_than_a_page_and_few_enough() -> None:
    entries = dict(keys("p/"))
    assert CROWD > 1000
    assert 1050 < sum(map(len, entries.values())) < 1600
    assert len(entries) == len(list(keys("p/")))
