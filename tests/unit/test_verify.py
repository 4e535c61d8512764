"""Verify finds every kind of difference, names it rightly, and invents none."""

from __future__ import annotations

from typing import get_args

import pytest

from farshore.core.difference import DEEP_ONLY, Kind
from farshore.errors import BadListing, BadRequest, Corrupt, Denied, StoreError
from farshore.proof.verify import Proof, Question, verify
from farshore.testing.store.faults import AlterBody, CutBody, DisorderedListing, Fail, Script, on
from farshore.testing.store.memory import EVERYTHING
from tests.unit.pairs import BUCKET, Pair, quiet
from tests.unit.tampering import DAMAGES, Damage, copied, replica


def named(proof: Proof) -> tuple[tuple[str, str], ...]:
    return tuple((found.key, found.kind) for found in proof.differences)


async def examine(pair: Pair, source: Script = quiet, target: Script = quiet) -> Proof:
    """A deep proof whose stores go through scripts."""
    proof = Proof()
    question = Question(
        pair.side(pair.east, EVERYTHING, source),
        pair.side(pair.west, EVERYTHING, target),
        pair.rules,
        pair.clock,
        deep=True,
        sleep=pair.clock.sleep,
    )
    await verify(question, proof)
    return proof


async def test_equal_sides_have_no_difference_and_are_counted() -> None:
    pair = await copied()
    proof = await pair.prove()
    assert proof.differences == []
    assert proof.listed_completely
    assert (proof.keys, proof.versions, proof.markers) == (2, 6, 1)
    assert proof.versions_read == 2 * 5
    assert proof.bytes_read == 2 * len(b"onetwothreeonetwo")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_each_damage_is_found_and_named(damage: Damage) -> None:
    pair = await copied()
    await damage.do(pair)
    assert named(await pair.prove()) == damage.wrong


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_without_deep_only_what_the_listings_show_is_found(damage: Damage) -> None:
    pair = await copied()
    await damage.do(pair)
    shown = tuple(row for row in damage.wrong if row[1] not in DEEP_ONLY)
    assert named(await pair.prove(deep=False)) == shown
    assert bool(shown) == damage.shallow


@pytest.mark.parametrize("kind", get_args(Kind))
def test_no_kind_is_left_untried(kind: Kind) -> None:
    tried = {found for damage in DAMAGES.values() for _, found in damage.wrong} | {
        "unreadable",
        "held",
    }  # see test_repair
    assert kind in tried


async def test_a_difference_says_where_and_what() -> None:
    pair = await copied()
    await DAMAGES["tags"].do(pair)
    (found,) = (await pair.prove()).differences
    assert (found.bucket, found.key) == (BUCKET, "k")
    assert found.target_version == replica(pair, b"two").version.version_id
    assert found.source_version in {held.version.version_id for held in pair.east.dump(BUCKET)}
    assert "a+b c" in found.detail
    assert "other" in found.detail


async def test_all_damages_of_a_key_are_found_at_once() -> None:
    pair = await copied()
    for name in ("tags", "lock", "foreign marker", "gap of a marker"):
        await DAMAGES[name].do(pair)
    wrong = (("k", "foreign-marker"), ("k", "lock"), ("k", "tags"), ("m", "gap"))
    assert named(await pair.prove()) == wrong


async def test_bytes_that_only_reading_shows() -> None:
    """Listing, ETag and size agree; one byte of the body does not."""
    pair = await copied()
    proof = await examine(pair, target=on("get", AlterBody(0), times=99, key="m"))
    assert named(proof) == (("m", "bytes"), ("m", "bytes"))


@pytest.mark.parametrize("kind", [Denied, Corrupt, BadRequest])
async def test_what_cannot_be_read_is_said_and_the_rest_is_read(kind: type[StoreError]) -> None:
    pair = await copied()
    refusal = Fail(lambda action: kind(f"{action}: no", action=action))
    proof = await examine(pair, target=on("get", refusal, times=99, key="m"))
    assert named(proof) == (("m", "unreadable"), ("m", "unreadable"))
    assert all("no" in found.detail for found in proof.differences)


async def test_a_body_that_comes_short_once_is_read_again() -> None:
    pair = await copied()
    proof = await examine(pair, source=on("get", CutBody(1)))
    assert proof.differences == []


async def test_a_listing_out_of_order_is_an_error_and_no_proof() -> None:
    pair = await copied()
    with pytest.raises(BadListing):
        await examine(pair, target=on("list_versions", DisorderedListing()))


async def test_history_that_the_source_purged_is_kept_and_no_difference() -> None:
    pair = await copied()
    for held in pair.east.dump(BUCKET):
        if held.body in (b"one", b"three"):
            await pair.east.delete(BUCKET, held.version.key, held.version.version_id)
    proof = await pair.prove()
    assert proof.differences == []
    assert proof.retained == 3
    assert (await pair.run()).done == 0


async def test_a_source_that_is_replicated_while_verify_reads_shows_no_difference() -> None:
    """Writes, deletes and purges between the listing and the reading, all of them copied."""
    pair = await copied()
    changed = 0

    async def change(number: int) -> None:
        await pair.east.put(BUCKET, "k", f"new {number}".encode())
        await pair.east.delete(BUCKET, "m")
        oldest = [h.version for h in pair.east.dump(BUCKET) if h.version.key == "k"][-1]
        await pair.east.delete(BUCKET, "k", oldest.version_id)
        await pair.run()

    class Busy:
        async def before(self, call: object) -> None:
            nonlocal changed
            if changed < 2 and "'get'" in repr(call):
                changed += 1
                await change(changed)

        async def after(self, call: object) -> None:
            """The change comes first."""

    pair.east.hook = Busy()
    proof = await pair.prove()
    assert changed == 2
    assert proof.differences == []


async def test_what_is_written_between_the_two_listings_is_looked_at_again() -> None:
    pair = await copied()
    wrote = False

    class Writes:
        async def before(self, call: object) -> None:
            nonlocal wrote
            if not wrote and "list_versions" in repr(call):
                wrote = True
                await pair.west.delete(BUCKET, "k")

        async def after(self, call: object) -> None:
            held = pair.west.dump(BUCKET)[0]
            if wrote and held.version.is_marker and "list_versions" in repr(call):
                await pair.west.delete(BUCKET, "k", held.version.version_id)

    pair.west.hook = Writes()
    proof = await pair.prove()
    assert wrote
    assert proof.differences == []
