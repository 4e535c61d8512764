"""The contract on moto's server through our own client, with moto's deviations declared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from farshore.s3.client import S3Client
from farshore.s3.store import Store

from . import servers
from .servers import Server
from .store_suite import StoreSuite
from .traits import Traits


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with servers.moto() as running:
        yield running


class TestMotoStore(StoreSuite):
    """moto 5: an imitation that keeps neither order nor null versions as S3 does."""

    @pytest.fixture
    async def store(self, server: Server) -> AsyncIterator[Store]:
        client = S3Client("moto", server.endpoint, server.credentials)
        yield client
        await client.aclose()

    @pytest.fixture
    def traits(self) -> Traits:
        return Traits(
            odd_keys="moto",
            interleaves_markers=False,
            shown_of_the_marked_key=1,
            key_marker_may_be_absent=False,
            resumes_behind_a_purged_version=False,
            marks_absent_keys=False,
            suspended_keeps_history=False,
            verifies_md5=False,
            acls_of_versions=False,
            checks_signatures=False,
            refuses_long_keys=False,
            lists_parts=False,
            tells_absent_upload=False,
            checks_policies=False,
        )

    @pytest.fixture
    async def stranger(self, server: Server) -> AsyncIterator[Store]:
        client = S3Client("moto", server.endpoint, server.wrong_credentials)
        yield client
        await client.aclose()

    @pytest.fixture
    def lock_bucket(self, server: Server, bucket_names: Iterator[str]) -> str:
        return servers.make_lock_bucket(server, next(bucket_names))
