"""Buckets that appear while the daemon runs, on two stores in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.config import Config
from farshore.control.replicated import Replicated
from farshore.daemon.newcomers import LOOKS_MAX, NewBuckets, lost, unserved
from tests.unit.pairs import Pair
from tests.unit.sites import TOML, config_of

PATTERN = TOML.replace('source = "files"', 'source = "files*"')


def config(tmp_path: Path, text: str = PATTERN) -> Config:
    return config_of(text, tmp_path / "farshore.toml")


async def test_where_buckets_are_named_none_is_looked_for(tmp_path: Path) -> None:
    pair = await Pair().ready()
    await pair.east.create_bucket("files-new")
    assert await unserved(config(tmp_path, TOML), [pair.crew()]) == []


async def test_a_bucket_is_named_until_it_is_ready_on_both_sides(tmp_path: Path) -> None:
    pair, found = await Pair().ready(), config(tmp_path)
    crews = [pair.crew()]
    assert await unserved(found, crews) == []
    await pair.east.create_bucket("other")
    await pair.east.create_bucket("files-new")
    assert await unserved(found, crews) == ["files-new"]
    await pair.east.put_versioning("files-new", True)
    await pair.west.create_bucket("files-new")
    assert await unserved(found, crews) == ["files-new"], "the target's has no versions"
    await pair.west.put_versioning("files-new", True)
    with pytest.raises(NewBuckets, match="files-new"):
        await unserved(found, crews)


async def test_a_flood_of_new_buckets_is_named_whole_and_looked_at_in_part(tmp_path: Path) -> None:
    pair = await Pair().ready()
    names = [f"files-{number:02}" for number in range(2 * LOOKS_MAX)]
    for name in names:
        await pair.east.create_bucket(name)
    assert await unserved(config(tmp_path), [pair.crew()]) == names


async def test_a_bucket_whose_replicas_are_gone_is_told_from_a_new_one(tmp_path: Path) -> None:
    pair, found = await Pair().ready(), config(tmp_path)
    control = found.target.control_bucket
    for store, bucket in ((pair.west, control), (pair.east, "files-1"), (pair.east, "files-2")):
        await store.create_bucket(bucket)
        await store.put_versioning(bucket, True)
    await Replicated(pair.west, found).remember([("files", "files"), ("files-1", "files-1")])
    crews = [pair.crew()]
    assert await lost(found, crews) == ["files-1"], "files-2 was never replicated"
    await pair.west.create_bucket("files-1")
    assert await lost(found, crews) == ["files-1"], "made anew, and not as it was"
    await pair.west.put_versioning("files-1", True)
    assert await lost(found, crews) == [], "it waits to be taken in"
    assert await lost(config(tmp_path, TOML), crews) == []
