"""A server that cannot list in order is refused by the probe at once, in words, and left clean."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from farshore.errors import BadListing, Unsupported
from farshore.s3.client import S3Client
from farshore.s3.probe import probe
from farshore.testing.clock import ManualClock

from . import servers

SECONDS_MAX = 10.0
"""Writing the probe's crowd alone takes moto far longer."""


@pytest.fixture
async def store() -> AsyncIterator[S3Client]:
    with servers.moto() as server:
        client = S3Client("moto", server.endpoint, server.credentials)
        await client.create_bucket("control")
        await client.put_versioning("control", True)
        yield client
        await client.aclose()


async def test_the_probe_says_so_before_it_writes_much(store: S3Client) -> None:
    began = time.monotonic()
    with pytest.raises(Unsupported, match="moto does not list keys in order") as caught:
        await probe(store, "control", filer=None, clock=ManualClock())
    assert time.monotonic() - began < SECONDS_MAX
    assert "cannot work with this server" in caught.value.hint
    assert (await store.list_versions("control")).entries == []


async def test_a_listing_out_of_order_names_the_site_and_the_bucket(store: S3Client) -> None:
    await store.put("control", "a", b"1")
    await store.delete("control", "a")
    await store.put("control", "b", b"1")
    with pytest.raises(BadListing, match=r"^moto, bucket control: a listing is out of order"):
        await store.list_versions("control")
