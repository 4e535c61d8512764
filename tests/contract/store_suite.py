"""The conformance suite of `farshore.s3.store.Store`: one class, every implementation.

A test file subclasses `StoreSuite` and gives the fixtures `store` (open, empty or not),
`traits` (what the server is known not to do, asserted as declared), `stranger` (the
same endpoint with a wrong secret; None for a store without an endpoint) and
`lock_bucket` (a bucket in which versions can be locked). Buckets are made anew for each
test.
"""

from __future__ import annotations

from .suite_keys import KeySuite
from .suite_listings import ListingSuite
from .suite_objects import ObjectSuite
from .suite_versions import VersionSuite
from .suite_writes import BucketSuite, ConditionSuite, MultipartSuite


class StoreSuite(
    ListingSuite,
    VersionSuite,
    ObjectSuite,
    ConditionSuite,
    MultipartSuite,
    BucketSuite,
    KeySuite,
):
    """All of the contract."""
