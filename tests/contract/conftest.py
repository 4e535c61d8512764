"""Fixtures that every implementation shares: buckets of their own, per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from farshore.s3.store import Store

pytest.register_assert_rewrite(
    "tests.contract.backlog_suite",
    "tests.contract.history",
    "tests.contract.suite_keys",
    "tests.contract.suite_listings",
    "tests.contract.suite_objects",
    "tests.contract.suite_versions",
    "tests.contract.suite_writes",
    "tests.contract.switch_suite",
)


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
