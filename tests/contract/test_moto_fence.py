"""moto denies whomever a Deny names and looks at no condition: no fence can spare anybody there."""

from __future__ import annotations

import pytest

from farshore.clock import SystemClock
from farshore.control.bucket import Access
from farshore.core.policy import Spared
from farshore.fence.barrier import PolicyBarrier
from farshore.fence.bite import Teeth
from farshore.fence.site import SiteFence, Toothless
from farshore.s3.client import S3Client
from tests.unit.sites import config_of

from . import servers


async def no_pause(_: float) -> None:
    """moto obeys at once, or never."""


class Impatient(SystemClock):
    """Every look at the clock takes ten seconds: nothing here changes by waiting."""

    seen = 0.0

    def monotonic(self) -> float:
        self.seen += 10.0
        return self.seen


async def test_a_server_that_looks_at_no_condition_is_not_fenced() -> None:
    with servers.moto() as server:
        store = S3Client("moto", server.endpoint, server.credentials)
        await store.create_bucket("files")
        await store.put_versioning("files", True)
        access = Access(config_of().source, store, store, store)
        barrier = PolicyBarrier(store, Spared.of(["operator", "replicator"]))
        teeth = Teeth(access, Impatient(), pause=no_pause)
        fence = SiteFence("moto", ("files",), barrier, teeth)
        with pytest.raises(Toothless, match="the replicator's writes are denied"):
            await fence.put()
        assert await store.get_bucket_policy("files") == ""
        await store.put("files", "a", b"1")
        await store.aclose()
