"""One end of a replication: a site's store, a bucket in it, and what the endpoint can do."""

from __future__ import annotations

from dataclasses import dataclass

from farshore.s3.capabilities import Capabilities
from farshore.s3.listing import Lister
from farshore.s3.store import Store


@dataclass(frozen=True, slots=True)
class Side:
    """`store` speaks to the site, `lister` walks it completely, `bucket` is the one meant."""

    site: str
    bucket: str
    store: Store
    lister: Lister
    capabilities: Capabilities
