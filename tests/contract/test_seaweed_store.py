"""The contract on a real SeaweedFS through our own client, with its deviations declared."""

from __future__ import annotations

import asyncio
import random
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus

import pytest

from farshore.errors import ClockSkew
from farshore.s3.client import S3Client
from farshore.s3.store import Store
from farshore.testing.clock import ManualClock
from farshore.testing.store.lossy import LossyListingStore

from . import servers
from .history import PAGES_MAX, keys
from .servers import Server
from .store_suite import StoreSuite
from .traits import Traits


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.weed(tmp_path_factory.mktemp("w")) as running:
        yield running


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    client = S3Client("weed", server.endpoint, server.credentials)
    yield client
    await client.aclose()


HOUR_SECONDS = 3600


async def test_a_signature_of_an_hour_ago_is_refused(server: Server, store: Store) -> None:
    await store.create_bucket("skewed")
    await store.put("skewed", "k", b"1")
    clock = ManualClock(time.time() - HOUR_SECONDS)
    late = S3Client("weed", server.endpoint, server.credentials, clock=clock)
    with pytest.raises(ClockSkew):
        await late.put("skewed", "k", b"2")
    with pytest.raises(urllib.error.HTTPError) as caught:
        await asyncio.to_thread(
            urllib.request.urlopen, late.presign("GET", "skewed", "k", expires_s=900), None, 10
        )
    caught.value.close()
    assert caught.value.code == HTTPStatus.FORBIDDEN
    assert HOUR_SECONDS - 5 < await late.server_time_offset() < HOUR_SECONDS + 5
    await late.aclose()


class TestSeaweedStore(StoreSuite):
    """SeaweedFS 4.48."""

    @pytest.fixture
    def traits(self) -> Traits:
        return Traits(
            odd_keys="seaweed",
            default_content_type="text/plain; charset=utf-8",
            tells_current_marker=False,
            tells_marker_by_id=False,
            lists_null_in_its_place=False,
            purges_null_marker=False,
            keeps_website_redirect=False,
            keeps_empty_metadata=False,
            accepts_unparseable_expires=False,
            lists_replaced_parts=True,
        )

    @pytest.fixture
    async def stranger(self, server: Server) -> AsyncIterator[Store]:
        client = S3Client("weed", server.endpoint, server.wrong_credentials)
        yield client
        await client.aclose()

    @pytest.fixture
    def lock_bucket(self, server: Server, bucket_names: Iterator[str]) -> str:
        return servers.make_lock_bucket(server, next(bucket_names))


NEIGHBOURS = (
    "a", "a b", "a-b", "a.b", "a/b", "a/b-c", "a/b/c", "a0", "ab", "b", "b-", "b/x",
    "c.versionsx", "c/d-", "c/d/e", "photos", "photos-old/1", "photos/1", "photos/2", "é",
)  # fmt: skip
KEYS_PER_BUCKET = 12
WRITES_PER_KEY_MAX = 4
MARKER_SHARE = 0.2
LIMITS = (1, 2, 3, 5, 7, 1000)
NARROWED: tuple[dict[str, str], ...] = (
    {},
    {"delimiter": "/"},
    {"prefix": "a"},
    {"prefix": "a/", "delimiter": "/"},
)


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("seed", range(3))
async def test_the_model_of_its_listing_is_faithful(
    store: Store, bucket_names: Iterator[str], seed: int, versioned: bool
) -> None:
    """`LossyListingStore` shows, page by page, exactly what the real server shows."""
    model = LossyListingStore("model", clock=ManualClock())
    bucket = next(bucket_names)
    for side in (store, model):
        await side.create_bucket(bucket)
        if versioned:
            await side.put_versioning(bucket, True)
        await _fill(side, bucket, random.Random(seed), MARKER_SHARE if versioned else 0)
    lost = 0
    for narrowed in NARROWED:
        for limit in LIMITS:
            shown = await _pages(store, bucket, limit, narrowed)
            assert shown == await _pages(model, bucket, limit, narrowed), (narrowed, limit)
            if not narrowed:
                lost += len(model.dump(bucket)) - sum(len(names) for names, _, _ in shown)
    assert lost > 0


async def _fill(store: Store, bucket: str, rng: random.Random, marker_share: float) -> None:
    for key in rng.sample(NEIGHBOURS, KEYS_PER_BUCKET):
        for _ in range(rng.randint(1, WRITES_PER_KEY_MAX)):
            if rng.random() < marker_share:
                await store.delete(bucket, key)
            else:
                await store.put(bucket, key, b"x")


async def _pages(
    store: Store, bucket: str, limit: int, narrowed: dict[str, str]
) -> list[tuple[list[str], list[str], bool]]:
    """(keys, common prefixes, truncated) of every page of a walk."""
    shown = []
    key_marker = version_marker = ""
    for _ in range(PAGES_MAX):
        page = await store.list_versions(
            bucket,
            limit=limit,
            key_marker=key_marker,
            version_marker=version_marker,
            prefix=narrowed.get("prefix", ""),
            delimiter=narrowed.get("delimiter", ""),
        )
        shown.append((keys(page.entries), page.prefixes, page.truncated))
        key_marker, version_marker = page.next_key, page.next_version
        if not page.truncated:
            return shown
    raise AssertionError(f"the listing did not end in {PAGES_MAX} pages")
