"""Copies in parts: the same layout, the parts that stand used again, nothing wrong ever shown."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import pytest

from farshore.core.model import Attributes
from farshore.engine.multipart import (
    MIB,
    PART_ATTEMPTS,
    PARTS_AT_ONCE,
    composite_etag,
    equal_parts,
    likely_parts,
    parts_in,
)
from farshore.errors import BadRequest, Denied
from farshore.journal.sqlite import UploadName
from farshore.s3.store import Part
from farshore.testing.store.faults import (
    AlterBody,
    CutBody,
    Fail,
    Fault,
    Script,
    lost_answer,
    on,
    server_fault,
    throttled,
    unreachable,
)
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.pairs import BUCKET, Pair, quiet

DRESSED = Attributes(metadata=(("note", "x"),), tags=(("a", "b"),))
DENIED = Fail(lambda action: Denied(f"{action}: no", code="AccessDenied", action=action))


async def upload(store: MemoryStore, parts: list[bytes], key: str = "big") -> None:
    upload_id = await store.create_upload(BUCKET, key, DRESSED)
    etags = [
        (n, await store.put_part(BUCKET, key, upload_id, n, body))
        for n, body in enumerate(parts, 1)
    ]
    await store.complete_upload(BUCKET, key, upload_id, etags)


def etag_of(store: MemoryStore) -> str:
    return store.dump(BUCKET)[0].version.etag


class Counted:
    """A script that counts operations, and asks another one for faults."""

    def __init__(self, script: Script = quiet) -> None:
        self.calls: Counter[str] = Counter()
        self._script = script

    def __call__(self, name: str, bucket: str, key: str, number: int) -> Fault | None:
        self.calls[name] += 1
        return self._script(name, bucket, key, number)


LAYOUTS = {
    "one": [b"1" * 9],
    "one, empty": [b""],
    "equal": [b"a" * 9, b"b" * 9, b"c" * 9],
    "a rest": [b"a" * 9, b"b" * 9, b"c"],
    "larger last": [b"a" * 5, b"b" * 30],
    "unequal": [b"a" * 9, b"b" * 3, b"c" * 20, b"d" * 4],
    "unequal, as if equal": [b"a" * 9, b"b" * 11, b"c" * 8, b"d" * 4],
    "empty last": [b"a" * 9, b""],
    "many": [bytes([n]) * (1 + n % 3) for n in range(40)],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
async def test_the_same_layout_gives_the_same_etag(layout: list[bytes]) -> None:
    pair = await Pair().ready()
    await upload(pair.east, layout)
    sent = Counted()
    tally = await pair.run(quiet, sent)
    assert tally.failures == 0
    assert pair.equal()
    assert etag_of(pair.west) == etag_of(pair.east)
    assert sent.calls["put_part"] == len(layout)
    assert (await pair.prove()).differences == []


async def test_where_parts_cannot_be_asked_for_the_content_is_the_same() -> None:
    """The guess may be wrong: the ETag differs then, and the stamp vouches for it."""
    can = replace(EVERYTHING, part_number=False)
    pair = await Pair(source_can=can).ready()
    await upload(pair.east, [b"a" * 9, b"b" * 3, b"c" * 20])
    assert (await pair.run()).failures == 0
    assert pair.equal()
    assert etag_of(pair.west) != etag_of(pair.east)
    assert (await pair.prove()).differences == []
    assert (await pair.run()).done == 0


@pytest.mark.parametrize(
    "fault", [CutBody(3), AlterBody(1), throttled(), server_fault(), unreachable()]
)
async def test_a_part_that_fails_in_passing_is_sent_again(fault: Fault) -> None:
    pair = await Pair().ready()
    await upload(pair.east, [b"a" * 9, b"b" * 9, b"c" * 4])
    operation = "get" if isinstance(fault, CutBody | AlterBody) else "put_part"
    script = on(operation, fault, nth=2)
    source, target = (script, quiet) if operation == "get" else (quiet, script)
    tally = await pair.run(source, target)
    assert tally.failures == 0
    assert pair.equal()
    assert etag_of(pair.west) == etag_of(pair.east)
    assert pair.journal.uploads == {}
    assert await pair.west.list_uploads(BUCKET) == []


async def test_a_part_that_always_fails_leaves_its_upload_for_the_next_run() -> None:
    pair = await Pair().ready()
    await upload(pair.east, [b"a" * 9, b"b" * 9, b"c" * 4])
    sent = Counted(on("put_part", DENIED, nth=2, times=99))
    tally = await pair.run(quiet, sent)
    assert tally.causes == {"AccessDenied": 1}
    assert pair.west.dump(BUCKET) == []
    assert len(await pair.west.list_uploads(BUCKET)) == len(pair.journal.uploads) == 1
    assert sent.calls["put_part"] < 3 * PART_ATTEMPTS
    assert (await pair.run()).failures == 0
    assert pair.equal()
    assert await pair.west.list_uploads(BUCKET) == []


async def interrupted(pair: Pair) -> str:
    """All parts of an upload stand, and it is not completed. Answers its id."""
    await pair.run(quiet, on("complete_upload", DENIED))
    (upload_id,) = pair.journal.uploads.values()
    assert pair.west.dump(BUCKET) == []
    return upload_id


async def test_a_part_of_another_size_is_sent_again() -> None:
    pair = await Pair().ready()
    await upload(pair.east, [b"a" * 9, b"b" * 9, b"c" * 4])
    upload_id = await interrupted(pair)
    await pair.west.put_part(BUCKET, "big", upload_id, 2, b"short")
    sent = Counted()
    assert (await pair.run(quiet, sent)).failures == 0
    assert sent.calls["put_part"] == 1
    assert etag_of(pair.west) == etag_of(pair.east)


async def test_a_wrong_part_of_the_right_size_is_never_shown_and_all_begins_anew() -> None:
    pair = await Pair().ready()
    await upload(pair.east, [b"a" * 9, b"b" * 9, b"c" * 4])
    upload_id = await interrupted(pair)
    await pair.west.put_part(BUCKET, "big", upload_id, 2, b"x" * 9)
    sent = Counted()
    tally = await pair.run(quiet, sent)
    assert (tally.failures, tally.retries) == (0, 1)
    assert sent.calls["complete_upload"] == 1
    assert (sent.calls["abort_upload"], sent.calls["put_part"]) == (1, 3)
    assert pair.equal()
    assert await pair.west.list_uploads(BUCKET) == []
    assert pair.journal.uploads == {}


class ShowsReplacedParts(MemoryStore):
    """Lists a replaced part beside its replacement, as SeaweedFS does: the old one last."""

    replaced: tuple[Part, ...] = ()

    async def list_parts(self, bucket: str, key: str, upload_id: str) -> list[Part]:
        shown = await super().list_parts(bucket, key, upload_id)
        return sorted([*shown, *self.replaced], key=lambda part: part.number)


async def test_a_number_that_is_listed_twice_is_sent_again_and_nothing_is_given_up() -> None:
    pair = await Pair().ready()
    pair.west = ShowsReplacedParts("west", clock=pair.clock, capabilities=EVERYTHING, seed=2)
    await pair.west.create_bucket(BUCKET)
    await pair.west.put_versioning(BUCKET, True)
    await upload(pair.east, [b"a" * 9, b"b" * 9, b"c" * 4])
    await interrupted(pair)
    pair.west.replaced = (Part(2, hashlib.md5(b"y" * 9).hexdigest(), 9),)
    sent = Counted()
    tally = await pair.run(quiet, sent)
    assert (tally.failures, tally.retries) == (0, 0)
    assert (sent.calls["put_part"], sent.calls["abort_upload"]) == (1, 0)
    assert etag_of(pair.west) == etag_of(pair.east)


async def test_an_upload_that_was_aborted_meanwhile_is_begun_anew() -> None:
    pair = await Pair().ready()
    await upload(pair.east, [b"a" * 9, b"b" * 9])
    upload_id = await interrupted(pair)
    await pair.west.abort_upload(BUCKET, "big", upload_id)
    assert (await pair.run()).failures == 0
    assert pair.equal()
    assert pair.journal.uploads == {}


async def test_a_complete_whose_answer_was_lost_doubles_nothing() -> None:
    pair = await Pair().ready()
    await upload(pair.east, [b"a" * 9, b"b" * 9])
    assert (await pair.run(quiet, on("complete_upload", lost_answer()))).failures == 0
    assert pair.equal()
    assert len(pair.west.dump(BUCKET)) == 1


async def test_a_lost_journal_costs_time_and_no_truth() -> None:
    """The upload that nobody remembers stays open: the bucket's lifecycle ends it."""
    pair = await Pair().ready()
    await upload(pair.east, [b"a" * 9, b"b" * 9])
    await interrupted(pair)
    pair.journal.uploads.clear()
    assert (await pair.run()).failures == 0
    assert pair.equal()


async def test_uploads_of_two_versions_of_a_key_are_kept_apart() -> None:
    pair = await Pair().ready()
    await upload(pair.east, [b"a" * 9, b"b" * 9])
    await upload(pair.east, [b"c" * 9, b"d" * 9])
    versions = [held.version for held in pair.east.dump(BUCKET)]
    await interrupted(pair)
    assert list(pair.journal.uploads) == [
        UploadName("west", BUCKET, "big", f"east;{versions[-1].version_id}")
    ]
    assert (await pair.run()).copied == 2
    assert pair.equal()


async def test_no_more_parts_fly_at_once_than_allowed() -> None:
    pair = await Pair().ready()
    await upload(pair.east, [bytes([n]) for n in range(30)])
    flying = most = 0

    class Watch:
        async def before(self, call: object) -> None:
            nonlocal flying, most
            if "put_part" in repr(call):
                flying += 1
                most = max(most, flying)
                for _ in range(3):
                    await pair.clock.sleep(0)

        async def after(self, call: object) -> None:
            nonlocal flying
            flying -= "put_part" in repr(call)

    pair.west.hook = Watch()
    await pair.run()
    assert 1 < most <= PARTS_AT_ONCE
    assert pair.equal()


# -- the arithmetic ----------------------------------------------------------------------


def test_a_composite_etag_is_the_md5_of_the_parts_md5s() -> None:
    parts = [b"one", b"two"]
    whole = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert composite_etag([hashlib.md5(part).hexdigest() for part in parts]) == f"{whole}-2"


@pytest.mark.parametrize("etag", ["abc", "abc-", "abc-x", "abc-0", "abc-10001"])
def test_an_etag_that_states_no_parts_is_refused(etag: str) -> None:
    with pytest.raises(BadRequest):
        parts_in(etag)


@pytest.mark.parametrize(
    ("size", "count", "first", "sizes"),
    [
        (9, 1, 9, [9]),
        (10, 3, 4, [4, 4, 2]),
        (12, 3, 4, [4, 4, 4]),
        (12, 2, 4, None),
        (8, 3, 4, None),
    ],
)
def test_equal_parts(size: int, count: int, first: int, sizes: list[int] | None) -> None:
    assert equal_parts(size, count, first) == sizes


@pytest.mark.parametrize("count", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 64 * MIB, 64 * MIB + 1, 10_000 * MIB - 7])
def test_a_guess_always_covers_the_whole(size: int, count: int) -> None:
    assert sum(likely_parts(size, count)) == size
