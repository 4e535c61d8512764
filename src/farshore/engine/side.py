"""One end of a replication: a site's store, a bucket in it, and what the endpoint can do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from farshore.control.kept import KeptVersions
from farshore.s3.capabilities import Capabilities
from farshore.s3.listing import Lister
from farshore.s3.store import Store


@dataclass(frozen=True, slots=True)
class Side:
    """`store` speaks to the site, `lister` walks it completely, `bucket` is the one meant.

    `kept`: divergent versions there that a person decided about; they explain themselves.
    """

    site: str
    bucket: str
    store: Store
    lister: Lister
    capabilities: Capabilities
    kept: KeptVersions | None = None

    def unconditional(self) -> Side:
        """The same side, as if its server ignored conditions on writes."""
        weaker = replace(
            self.capabilities,
            conditional_create=False,
            conditional_replace=False,
            conditional_complete=False,
            conditional_delete=False,
        )
        return replace(self, capabilities=weaker)
