"""Listings on a real SeaweedFS: 5,000 keys that it loses between pages, all of them found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import NamedTuple

import pytest

from farshore.clock import SystemClock
from farshore.core.model import Version
from farshore.errors import BadListing
from farshore.s3.client import S3Client
from farshore.s3.filer import HttpFiler
from farshore.s3.http import HttpPool
from farshore.s3.listing import Lister
from farshore.s3.listing.directories import FilerLister
from farshore.s3.listing.plain import PlainLister
from farshore.s3.probe import probe
from farshore.s3.probe.scratch import Scratch, Wrote, in_parallel
from farshore.s3.store import VersionPage
from farshore.s3.wrap import Retrying
from tests.contract import servers
from tests.contract.servers import Server

REQUESTS_MAX = 250
"""Requests for the whole walk: tens, where a request per key would be thousands."""

NULLS = ("onlynull", "was-a-file", "photos/null", "a/null", "long-null")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.weed(tmp_path_factory.mktemp("w")) as running:
        yield running


class CountingClient(S3Client):
    """Counts its listings."""

    listings = 0

    async def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        version_marker: str = "",
        delimiter: str = "",
        limit: int = 1000,
    ) -> VersionPage:
        self.listings += 1
        return await super().list_versions(
            bucket,
            prefix=prefix,
            key_marker=key_marker,
            version_marker=version_marker,
            delimiter=delimiter,
            limit=limit,
        )


class Site(NamedTuple):
    store: CountingClient
    filer: HttpFiler


@pytest.fixture
async def site(server: Server) -> AsyncIterator[Site]:
    store = CountingClient("weed", server.endpoint, server.credentials)
    filer = HttpFiler(HttpPool("127.0.0.1", server.filer_port, None), site="weed")
    yield Site(store, filer)
    await filer.aclose()
    await store.aclose()


def nasty() -> dict[str, str]:
    """More than 5,000 keys; "." a version, "x" a delete marker."""
    keys = {f"photos/{n:04d}.jpg": "." for n in range(1300)}
    keys |= {f"photos-old/{n:04d}.jpg": "." for n in range(200)}
    keys |= {f"photos.d/{n}": ".x" for n in range(50)}
    keys |= {"photos": "." * 30, "photos-": "x", "photos.": ".", "photos0": "."}
    keys |= {f"a/{n:03d}": "." for n in range(700)}
    keys |= {"a": "." * 400, "a-b": "..", "a.b": ".", "a/b": "." * 400, "a0": ".", "a/b/c": "."}
    keys |= {"a/b-c": ".", "a/b/c/d": "...", "a.v": "."}
    keys |= {f"a-b/{n}": "." for n in range(300)}
    keys |= {f"flat{n:04d}": ".x"[: 1 + (n % 7 == 0)] for n in range(1200)}
    keys |= {f"d{n // 100}/e{n // 10 % 10}/f{n % 10}": "." for n in range(1000)}
    keys |= {f"exact/{n:03d}": "." for n in range(1000)} | {"exact-1": "."}
    keys |= {f"uni/é{n}": "." for n in range(20)} | {f"uni/日本{n}": "." for n in range(20)}
    keys |= {"uni/😀": ".x", "uni/\ufffd": ".", "pct%2F": ".", "sp ace": ".", "pl+us": "."}
    keys |= {"q?x": ".", "h#x": "..", '&<>"': ".", "long": "." * 1100, "long/x": "..."}
    keys |= {f"long-{n}": "." for n in range(300)}
    keys |= {f"was-a-file/{n:04d}": "." for n in range(1001)}
    return keys


def found_in(history: list[Version]) -> list[Wrote]:
    return [Wrote(version.version_id, version.is_marker) for version in history]


async def walked(lister: Lister, bucket: str, prefix: str = "") -> dict[str, list[Wrote]]:
    found: dict[str, list[Wrote]] = {}
    async for batch in lister.walk(bucket, prefix):
        for history in batch:
            assert not found or history[0].key > next(reversed(found))
            assert [version.is_latest for version in history].index(True) == 0
            found[history[0].key] = found_in(history)
    return found


async def filled(store: S3Client, bucket: str, keys: dict[str, str]) -> dict[str, list[Wrote]]:
    """Null versions first, then everything else; each key's entries, newest first."""
    await store.create_bucket(bucket)
    scratch = Scratch(store, bucket, "")
    for key in NULLS:
        await store.put(bucket, key, b"written before versioning")
        scratch.wrote[key] = [Wrote("null", False)]
    await store.put_versioning(bucket, True)
    longest_first = sorted(keys.items(), key=lambda item: -len(item[1]))
    await in_parallel(partial(scratch.write, key, entries) for key, entries in longest_first)
    return scratch.wrote


async def test_every_version_of_5000_neighbouring_keys_is_found(site: Site) -> None:
    wrote = await filled(site.store, "nasty", nasty() | {"long-null": "." * 3})
    assert len(wrote) > 5000
    lister = FilerLister(site.store, site.filer)
    before = site.store.listings + site.filer.requests
    found = await walked(lister, "nasty")
    requests = site.store.listings + site.filer.requests - before
    assert [key for key in wrote if found.get(key) != wrote[key]] == []
    assert found.keys() == wrote.keys()
    assert requests < REQUESTS_MAX
    for prefix in ("a", "a/", "a.v", "photos", "photos/", "exact/", "long", "uni/日", "was-", "zz"):
        below = {key: entries for key, entries in wrote.items() if key.startswith(prefix)}
        assert await walked(lister, "nasty", prefix) == below, prefix
    for key in ("a", "a/b", "long", "long-null", "was-a-file", "q?x", "uni/日本3", "absent"):
        assert found_in(await lister.history("nasty", key)) == wrote.get(key, [])
        assert found_in(await site.filer.history("nasty", key)) == wrote.get(key, [])
    await _plain_is_not_complete(site.store, wrote)


async def _plain_is_not_complete(store: S3Client, wrote: dict[str, list[Wrote]]) -> None:
    """Else this test would prove nothing."""
    try:
        found = await walked(PlainLister(store), "nasty")
    except BadListing:
        return
    assert found != wrote


@pytest.mark.parametrize("count", [999, 1000, 1001])
async def test_a_page_that_is_just_full_is_complete(site: Site, count: int) -> None:
    keys = {f"top/mid/{n:04d}": "." for n in range(count)}
    bucket = f"just-{count}"
    wrote = await filled(site.store, bucket, keys)
    found = await walked(FilerLister(site.store, site.filer), bucket, "top/")
    assert found == {key: wrote[key] for key in sorted(keys)}
    page = await site.store.list_versions(bucket, prefix="top/")
    assert (page.truncated, len(page.entries)) == (count > 1000, min(count, 1000))


async def test_s3_and_the_filer_describe_versions_alike(site: Site) -> None:
    keys = {"k": "..x.", "folder/k": "..", "x": "x"}
    await filled(site.store, "alike", keys)
    await site.store.put_versioning("alike", False)
    await site.store.put("alike", "k", b"null and latest")
    await site.store.put("alike", "folder/k", b"null, then covered")
    await site.store.delete("alike", "x")
    await site.store.put_versioning("alike", True)
    await site.store.put("alike", "folder/k", b"newer")
    lister = FilerLister(site.store, site.filer)
    for key in (*keys, *NULLS, "absent"):
        by_s3 = await lister.history("alike", key)
        assert await site.filer.history("alike", key) == by_s3
        assert [version.is_latest for version in by_s3] == [n == 0 for n in range(len(by_s3))]


async def test_the_probe_finds_out_what_seaweed_can_do(site: Site) -> None:
    await site.store.create_bucket("control")
    await site.store.put_versioning("control", True)
    store = Retrying(site.store)
    async with asyncio.timeout(60):
        report = await probe(store, "control", filer=site.filer, clock=SystemClock())
    able = report.capabilities
    assert able.listing == "filer"
    assert able.server.startswith("SeaweedFS")
    assert "photos-old" in report.evidence[0]
    assert able.conditional_create
    assert able.conditional_replace
    assert able.part_number
    assert able.etag_is_md5
    assert not able.marker_by_id
    assert not able.encoding_type_url
    page = await site.store.list_versions("control")
    assert page.entries == []
    assert await site.store.list_uploads("control") == []


async def test_without_a_filer_seaweed_is_refused_with_evidence(site: Site) -> None:
    await site.store.create_bucket("unfiled")
    await site.store.put_versioning("unfiled", True)
    report = await probe(Retrying(site.store), "unfiled", filer=None, clock=SystemClock())
    assert report.capabilities.listing is None
    assert len(report.evidence) >= 2
