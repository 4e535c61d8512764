"""Apply's hands: reads what both sites have, makes the changes of a plan.

Every change can be made again: making a bucket that is ours and enabling what is enabled
are no errors. A run that was killed is simply run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from farshore.config import Config, Site
from farshore.control.prepare import (
    ENABLED,
    Change,
    CreateBucket,
    EnableVersioning,
    Need,
    RecordCapabilities,
    SiteState,
)
from farshore.control.recorded import read_record, write_record
from farshore.errors import BucketMissing
from farshore.s3.capabilities import Capabilities
from farshore.s3.filer import Filer
from farshore.s3.store import Store

Answer = TypeVar("Answer")

READS_AT_ONCE = 16
"""How many buckets of one site are asked about at one time."""


@dataclass(frozen=True, slots=True)
class Access:
    """One site with an open store for each principal.

    `app` is None when it has no credentials, `filer` when there is none.
    """

    site: Site
    operator: Store
    replicator: Store
    app: Store | None
    filer: Filer | None = None


Probe = Callable[[Access], Awaitable[Capabilities]]
"""Finds out what a site's server can do, in its control bucket, and cleans up."""


async def resolve(config: Config, source: Access) -> list[tuple[str, str]]:
    """(source, target) of every bucket. The source is listed only for patterns."""
    names = await source.operator.list_buckets() if config.pair.has_patterns else []
    return config.resolve_buckets(names)


async def survey(access: Access, wanted: Sequence[Need]) -> SiteState:
    """What one site has of what it needs. Changes nothing."""
    gate = asyncio.Semaphore(READS_AT_ONCE)

    async def versioning(bucket: str) -> str | None:
        async with gate:
            try:
                return await access.operator.get_versioning(bucket)
            except BucketMissing:
                return None

    names = [need.bucket for need in wanted if need.site == access.site.name]
    found = await every([versioning(name) for name in names])
    state = dict(zip(names, found, strict=True))
    return SiteState(access.site.name, state, await _is_recorded(access, state))


async def every(jobs: Sequence[Awaitable[Answer]]) -> list[Answer]:
    """All answers, in order. The first error is raised once all jobs have ended, so that
    none is still cleaning up when the stores are closed."""
    answers = await asyncio.gather(*jobs, return_exceptions=True)
    done = [answer for answer in answers if not isinstance(answer, BaseException)]
    if len(done) < len(answers):
        raise next(answer for answer in answers if isinstance(answer, BaseException))
    return done


async def _is_recorded(access: Access, state: dict[str, str | None]) -> bool:
    if state.get(access.site.control_bucket) is None:
        return False
    record = await read_record(access.operator, access.site)
    return record is not None and record.holds_for(access.site)


async def perform(change: Change, access: Access, probe: Probe) -> None:
    """Make one change: buckets as the operator, the capabilities' record as the replicator."""
    match change:
        case CreateBucket(bucket=bucket):
            await access.operator.create_bucket(bucket)
        case EnableVersioning(bucket=bucket):
            if await access.operator.get_versioning(bucket) != ENABLED:
                await access.operator.put_versioning(bucket, True)
        case RecordCapabilities():
            found = await probe(access)
            await write_record(access.replicator, access.site, found)
