"""One end of a replication: a site's store, a bucket in it, and what the endpoint can do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import TracebackType

from farshore.control.kept import KeptVersions
from farshore.core.late import Doubt
from farshore.core.model import Version
from farshore.errors import OutcomeUnknown, ServerFault
from farshore.journal.doubts import Doubts
from farshore.s3.capabilities import Capabilities
from farshore.s3.listing import Lister
from farshore.s3.store import Store

UNANSWERED = (OutcomeUnknown, ServerFault, asyncio.CancelledError)
"""Ends of a write behind which it may still take place."""


async def _unguarded() -> None:
    """No record says who may write there."""


@dataclass(frozen=True, slots=True)
class Side:
    """`store` speaks to the site, `lister` walks it completely, `bucket` is the one meant.

    `kept`: divergent versions there that a person decided about; they explain themselves.
    `doubts`: what was written there and not answered; None where nobody keeps them.
    `require_ours`: `Refused` once the right to write there has ended. To be asked ahead of what
    overwrites: nothing that is only added needs it.
    """

    site: str
    bucket: str
    store: Store
    lister: Lister
    capabilities: Capabilities
    kept: KeptVersions | None = None
    doubts: Doubts | None = None
    require_ours: Callable[[], Awaitable[None]] = _unguarded

    def doubts_about(self, key: str) -> list[Doubt]:
        """Writes of that key that were not answered, and may still arrive."""
        return self.doubts.of(self.bucket, key) if self.doubts is not None else []

    def writing(self, version: Version, above: Version | None) -> Writing:
        """`with`: the block writes the source's `version` here, on top of `above`."""
        return Writing(self, version, above)

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


class Writing:
    """Around one write: should its answer be lost, that is noted before anybody looks again."""

    __slots__ = ("_above", "_side", "_version")

    def __init__(self, side: Side, version: Version, above: Version | None) -> None:
        self._side, self._version, self._above = side, version, above

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        doubts = self._side.doubts
        if doubts is not None and kind is not None and issubclass(kind, UNANSWERED):
            version, above = self._version, self._above
            doubts.note(
                self._side.bucket,
                version.key,
                version.version_id,
                above.version_id if above is not None else "",
                is_marker=version.is_marker,
            )
