"""Apply: the pure plan, and both sites prepared and proved in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from farshore.config import Config
from farshore.control.bucket import Access, perform
from farshore.control.canary import CANARY_PREFIX, SWEEP_AFTER_SECONDS
from farshore.control.documents import read_document, write_document
from farshore.control.preparation import Preparation
from farshore.control.prepare import (
    CreateBucket,
    EnableVersioning,
    Need,
    RecordCapabilities,
    SiteState,
    needs,
    plan,
)
from farshore.control.recorded import read_record, require_capabilities
from farshore.errors import (
    ClockSkew,
    ConfigError,
    Corrupt,
    Denied,
    OutcomeUnknown,
    Precondition,
    Refused,
    StateError,
    StoreError,
    Unsupported,
)
from farshore.s3.capabilities import Capabilities
from farshore.s3.store import Body, Written
from farshore.testing.store.call import Call
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import TOML, Faults, ManualClock, access_of, config_of, store_of

CONTROL = "farshore-control"

Refuse = Callable[[Call], StoreError | None]


async def found_all(access: Access) -> Capabilities:
    return EVERYTHING


def ignore(text: str) -> None:
    """Progress that no test reads."""


class Pair:
    """Two sites in memory with a source bucket that has no versioning yet."""

    def __init__(self, config: Config | None = None) -> None:
        self.clock = ManualClock()
        self.config = config or config_of()
        self.east = store_of("east", self.clock)
        self.west = store_of("west", self.clock)
        self.source = access_of(self.config, self.east)
        self.target = access_of(self.config, self.west)

    async def begin(self) -> Preparation:
        return await Preparation.begin(
            self.config, self.source, self.target, probe=found_all, clock=self.clock
        )

    async def apply(self) -> int:
        """Plan and carry out; answers the number of changes."""
        preparation = await self.begin()
        found = await preparation.plan()
        await preparation.carry_out(found, ignore)
        return len(found.changes)


@pytest.fixture
async def pair() -> Pair:
    made = Pair()
    await made.east.create_bucket("files")
    return made


def left_behind(*stores: MemoryStore) -> list[str]:
    """Canary keys that are still in any data or control bucket."""
    return [
        held.version.key
        for store in stores
        for bucket in ("files", CONTROL)
        for held in store.dump(bucket)
        if held.version.key.startswith(CANARY_PREFIX)
    ]


# -- the plan ------------------------------------------------------------------


def test_the_plan_makes_buckets_then_versioning_then_records() -> None:
    wanted = needs(config_of(), [("files", "files")])
    east = SiteState("east", {"files": "", CONTROL: None}, recorded=False)
    west = SiteState("west", {"files": None, CONTROL: "Suspended"}, recorded=True)
    assert plan(wanted, [west, east]).changes == (
        CreateBucket("east", CONTROL),
        CreateBucket("west", "files"),
        EnableVersioning("east", CONTROL, ""),
        EnableVersioning("east", "files", ""),
        EnableVersioning("west", CONTROL, "Suspended"),
        EnableVersioning("west", "files", ""),
        RecordCapabilities("east"),
    )


def test_a_missing_source_bucket_is_a_problem_and_never_made() -> None:
    wanted = [Need("east", "files", may_create=False)]
    found = plan(wanted, [SiteState("east", {"files": None}, recorded=True)])
    assert found.changes == ()
    assert 'the source bucket "files" does not exist at east' in found.problems[0]


def test_suspended_versioning_is_shown_as_such() -> None:
    assert EnableVersioning("east", "b", "Suspended").row()[2:] == ("suspended", "on")
    assert EnableVersioning("east", "b", "").row()[2:] == ("off", "on")


# -- carried out ---------------------------------------------------------------


async def test_both_sites_are_prepared_and_a_second_run_has_nothing_to_do(pair: Pair) -> None:
    assert await pair.apply() == 9
    for store in (pair.east, pair.west):
        for bucket in ("files", CONTROL):
            assert await store.get_versioning(bucket) == "Enabled"
    assert left_behind(pair.east, pair.west) == []
    assert await require_capabilities(pair.west, pair.config.target) == EVERYTHING
    assert await pair.apply() == 0


async def test_every_interrupted_prefix_can_be_run_again(pair: Pair) -> None:
    whole = (await (await pair.begin()).plan()).changes
    for done in range(len(whole) + 1):
        again = Pair()
        await again.east.create_bucket("files")
        sides = {"east": again.source, "west": again.target}
        for change in whole[:done]:
            await perform(change, sides[change.site], found_all)
        assert await again.apply() <= len(whole) - done
        assert await again.apply() == 0


async def test_what_exists_is_left_alone(pair: Pair) -> None:
    await pair.east.put_versioning("files", True)
    await pair.east.put("files", "a", b"1")
    before = pair.east.dump("files")
    await pair.apply()
    assert pair.east.dump("files") == before


async def test_a_missing_source_bucket_stops_everything() -> None:
    pair = Pair()
    with pytest.raises(ConfigError) as caught:
        await pair.apply()
    assert len(caught.value.problems) == 1
    assert await pair.west.list_buckets() == []


async def test_patterns_pick_the_buckets_of_the_source() -> None:
    text = TOML.replace('source = "files"', 'source = "prod-*"\ntarget = "dr-*"')
    pair = Pair(config_of(text))
    with pytest.raises(ConfigError, match="No bucket at east matches"):
        await pair.apply()
    for bucket in ("prod-a", "prod-b", "other"):
        await pair.east.create_bucket(bucket)
    await pair.apply()
    assert await pair.west.list_buckets() == ["dr-a", "dr-b", CONTROL]


@pytest.mark.parametrize("skew", [-901.0, 901.0])
async def test_clocks_too_far_apart_stop_before_anything_else(skew: float) -> None:
    pair = Pair()
    west = store_of("west", pair.clock, skew_seconds=skew)
    pair.target = access_of(pair.config, west)
    with pytest.raises(ClockSkew, match="clock of west is 901 s"):
        await pair.apply()
    assert await west.list_buckets() == []


async def test_two_names_of_one_store_are_found_out(pair: Pair) -> None:
    pair.target = Access(pair.config.target, pair.east, pair.east, pair.east)
    with pytest.raises(Refused, match="are the same store"):
        await pair.apply()
    assert left_behind(pair.east) == []


async def test_two_names_of_one_store_are_found_out_by_any_bucket_that_both_use() -> None:
    text = TOML.replace("[sites.west]\n", '[sites.west]\ncontrol_bucket = "control-2"\n')
    pair = Pair(config_of(text))
    await pair.east.create_bucket("files")
    pair.target = Access(pair.config.target, pair.east, pair.east, pair.east)
    with pytest.raises(Refused, match="written to files at east stands at west too"):
        await pair.apply()
    assert left_behind(pair.east) == []


# -- rights --------------------------------------------------------------------


class Refusing(MemoryStore):
    """The same objects as another store's, seen by a principal who lacks a right."""

    def __init__(self, store: MemoryStore, clock: ManualClock, refuse: Refuse) -> None:
        super().__init__(store.site, clock=clock, hook=Faults(refuse))
        self._buckets = store._buckets
        self._uploads = store._uploads
        self._seed = 1  # its version ids must not meet the other's


def lacking(operation: str, bucket: str, *, nth: int = 1) -> Refuse:
    """Deny an operation in one bucket, on canaries, from the nth time on."""
    seen = 0

    def refuse(call: Call) -> StoreError | None:
        nonlocal seen
        if (call.operation, call.bucket) != (operation, bucket):
            return None
        if not call.key.startswith(CANARY_PREFIX):
            return None
        seen += 1
        return Denied("no", status=403, code="AccessDenied") if seen >= nth else None

    return refuse


@pytest.mark.parametrize(
    ("operation", "nth", "right"),
    [
        ("put", 1, "s3:PutObject"),
        ("get", 1, "s3:GetObjectVersion"),
        ("list_versions", 2, "s3:ListBucketVersions"),
        ("delete", 1, "s3:DeleteObject "),
        ("delete", 2, "s3:DeleteObjectVersion"),
    ],
)
@pytest.mark.parametrize("bucket", ["files", CONTROL])
async def test_a_right_that_the_replicator_lacks_is_named(
    pair: Pair, operation: str, nth: int, right: str, bucket: str
) -> None:
    seen_by = Refusing(pair.east, pair.clock, lacking(operation, bucket, nth=nth))
    pair.source = replace(pair.source, replicator=seen_by)
    with pytest.raises(Denied) as caught:
        await pair.apply()
    assert "The replicator at east lacks" in str(caught.value)
    assert right.strip() in str(caught.value)
    assert f"in the bucket {bucket}" in str(caught.value)
    assert left_behind(pair.east) == []


@pytest.mark.parametrize(("operation", "right"), [("put", "PutObject"), ("get", "GetObject")])
async def test_a_right_that_the_app_lacks_is_named(pair: Pair, operation: str, right: str) -> None:
    seen_by = Refusing(pair.west, pair.clock, lacking(operation, "files"))
    pair.target = replace(pair.target, app=seen_by)
    with pytest.raises(Denied, match=f"The app at west lacks s3:{right} in the bucket files"):
        await pair.apply()
    assert left_behind(pair.east, pair.west) == []


async def test_wrong_keys_are_not_called_a_missing_right(pair: Pair) -> None:
    def refuse(call: Call) -> StoreError | None:
        return Denied("no", status=403, code="InvalidAccessKeyId")

    pair.target = replace(pair.target, app=Refusing(pair.west, pair.clock, refuse))
    with pytest.raises(Denied) as caught:
        await pair.apply()
    told = str(caught.value)
    assert told == "The keys of the app at west are not accepted (InvalidAccessKeyId)."


async def test_a_bucket_that_locks_everything_is_named(pair: Pair) -> None:
    class Locking(MemoryStore):
        """A bucket with a default retention: every version is held from the start."""

        async def put(self, bucket: str, key: str, body: Body, *rest: Any, **more: Any) -> Written:
            written = await super().put(bucket, key, body, *rest, **more)
            if bucket == "files":
                until = "2024-01-01T00:00:00Z"
                await self.put_retention(bucket, key, written.version_id, "COMPLIANCE", until)
            return written

    east = Locking("east", clock=pair.clock)
    await east.create_bucket("files")
    pair.source = access_of(pair.config, east)
    with pytest.raises(Unsupported, match="COMPLIANCE until 2024"):
        await pair.apply()


async def test_every_missing_right_is_listed_at_once(pair: Pair) -> None:
    for name in ("source", "target"):
        access: Access = getattr(pair, name)
        store = pair.east if name == "source" else pair.west
        seen_by = Refusing(store, pair.clock, lacking("put", "files"))
        setattr(pair, name, replace(access, app=seen_by))
    with pytest.raises(Denied) as caught:
        await pair.apply()
    assert "The app at east lacks" in str(caught.value)
    assert "The app at west lacks" in str(caught.value)


async def test_without_an_app_that_proof_is_left_out(pair: Pair) -> None:
    pair.target = replace(pair.target, app=None)
    preparation = await pair.begin()
    proofs = await preparation.carry_out(await preparation.plan(), ignore)
    told = {(proof.site, proof.bucket, proof.principal) for proof in proofs}
    assert ("west", "files", "app") not in told
    assert ("east", "files", "app") in told
    assert ("west", CONTROL, "replicator") in told


async def test_a_write_without_an_answer_leaves_no_canary(pair: Pair) -> None:
    class Lost(Faults):
        async def after(self, call: Call) -> None:
            if call.operation == "put" and call.key.startswith(CANARY_PREFIX):
                raise OutcomeUnknown("no answer")

    pair.east.hook = Lost(lambda call: None)
    with pytest.raises(OutcomeUnknown):
        await pair.apply()
    assert left_behind(pair.east) == []


async def test_canaries_of_a_killed_run_are_swept_after_an_hour(pair: Pair) -> None:
    await pair.apply()
    old = f"{CANARY_PREFIX}{int(pair.clock.now()) - SWEEP_AFTER_SECONDS - 1}-aa"
    young = f"{CANARY_PREFIX}{int(pair.clock.now()) - 60}-bb"
    foreign = f"{CANARY_PREFIX}readme"
    for key in (old, young, foreign):
        await pair.east.put("files", key, b"x")
    await pair.apply()
    assert left_behind(pair.east) == [young, foreign]


# -- documents and the record --------------------------------------------------


async def test_another_endpoint_or_filer_is_probed_anew(pair: Pair) -> None:
    await pair.apply()
    site = replace(pair.config.target, filer="http://127.0.0.1:8888")
    config = replace(pair.config, sites={**pair.config.sites, "west": site})
    pair.config = config
    pair.target = replace(pair.target, site=site)
    assert await pair.apply() == 1
    record = await read_record(pair.west, site)
    assert record is not None
    assert record.filer == "http://127.0.0.1:8888"


async def test_a_site_that_cannot_be_listed_is_refused_each_time(pair: Pair) -> None:
    async def poor(access: Access) -> Capabilities:
        return replace(EVERYTHING, listing=None)

    for _ in range(2):
        preparation = await Preparation.begin(
            pair.config, pair.source, pair.target, probe=poor, clock=pair.clock
        )
        with pytest.raises(Unsupported, match="No way was found to list east"):
            await preparation.carry_out(await preparation.plan(), ignore)


async def test_without_a_record_work_is_refused(pair: Pair) -> None:
    with pytest.raises(StateError) as caught:
        await require_capabilities(pair.west, pair.config.target)
    assert "farshore apply" in caught.value.hint


async def test_documents_are_written_by_the_first_who_knows(pair: Pair) -> None:
    store = pair.east
    await store.put_versioning("files", True)
    assert await read_document(store, "files", "d") is None
    first = await write_document(store, "files", "d", {"a": 1}, absent=True)
    with pytest.raises(Precondition):
        await write_document(store, "files", "d", {"a": 2}, absent=True)
    await write_document(store, "files", "d", {"a": 3}, if_etag=first.etag)
    with pytest.raises(Precondition):
        await write_document(store, "files", "d", {"a": 4}, if_etag=first.etag)
    read = await read_document(store, "files", "d")
    assert read is not None
    assert read.body == {"a": 3}
    await store.delete("files", "d")
    assert await read_document(store, "files", "d") is None


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b'{"schema": true}', b'{"schema": "1"}', b"\xff", b" " * 2**21],
)
async def test_a_damaged_document_is_said_to_be(pair: Pair, data: bytes) -> None:
    await pair.east.put("files", "d", data)
    with pytest.raises(Corrupt, match="control document files/d at east is damaged"):
        await read_document(pair.east, "files", "d")


async def test_a_document_of_a_newer_farshore_asks_for_it(pair: Pair) -> None:
    await pair.east.put("files", "d", b'{"schema": 2}')
    with pytest.raises(StateError, match="newer farshore"):
        await read_document(pair.east, "files", "d")
