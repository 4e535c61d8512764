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
    async def stranger(self, server: Server) -> AsyncIterator[Store | None]:
        client = S3Client("weed", server.endpoint, server.wrong_credentials)
        yield client
        await client.aclose()

    @pytest.fixture
    def lock_bucket(self, server: Server, bucket_names: Iterator[str]) -> str:
        return servers.make_lock_bucket(server, next(bucket_names))
