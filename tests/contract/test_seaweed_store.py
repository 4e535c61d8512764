"""The contract on a real SeaweedFS through our own client, with its deviations declared."""

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.weed(tmp_path_factory.mktemp("w")) as running:
        yield running


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    client = S3Client("weed", server.endpoint, server.credentials)
    yield client
    await client.aclose()


class TestSeaweedStore(StoreSuite):
    """SeaweedFS 4.48."""

    @pytest.fixture
    def traits(self) -> Traits:
        return Traits(
            odd_keys="seaweed",
            default_content_type="text/plain",
            key_marker_excludes_its_key=False,
            resumes_behind_a_purged_version=False,
            tells_marker_by_id=False,
            purges_null_marker=False,
            keeps_website_redirect=False,
            keeps_unparseable_expires=False,
        )

    @pytest.fixture
    async def stranger(self, server: Server) -> AsyncIterator[Store | None]:
        client = S3Client("weed", server.endpoint, server.wrong_credentials)
        yield client
        await client.aclose()

    @pytest.fixture
    def lock_bucket(self, bucket: str) -> str:
        return bucket
