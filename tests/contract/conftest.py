"""Fixtures that every implementation shares: buckets of their own, per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from farshore.s3.store import Store
from farshore.switch.export_haproxy import BackSite
from tests.contract.haproxy_ground import put
from tests.contract.haproxy_server import Haproxy, haproxies, plain_site
from tests.contract.switch_suite import EAST, WEST


@pytest.fixture(scope="session")
def bucket_names() -> Iterator[str]:
    """Names that no other test has."""
    return (f"contract-{number}" for number in itertools.count())


@pytest.fixture
async def plain_bucket(store: Store, bucket_names: Iterator[str]) -> str:
    """An empty bucket whose versioning was never set."""
    name = next(bucket_names)
    await store.create_bucket(name)
    return name


@pytest.fixture
async def bucket(store: Store, plain_bucket: str) -> str:
    """An empty bucket with versioning enabled."""
    await store.put_versioning(plain_bucket, True)
    return plain_bucket


@pytest.fixture
async def odd_bucket(store: Store) -> str:
    """The one bucket of all odd keys."""
    await store.create_bucket("odd-keys")
    await store.put_versioning("odd-keys", True)
    return "odd-keys"


@pytest.fixture(scope="module")
def proxies() -> Iterator[list[Haproxy]]:
    """Three proxies before two sites."""
    with (
        plain_site() as east,
        plain_site() as west,
        haproxies((BackSite(EAST, east), BackSite(WEST, west)), 3) as made,
    ):
        yield made


@pytest.fixture
def three(proxies: list[Haproxy]) -> list[Haproxy]:
    for proxy in proxies:
        if proxy.running is None:
            proxy.start()
        put(proxy, EAST)
    return proxies
