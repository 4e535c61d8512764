"""Probe: the application's own path at the new site, tried with its own keys.

Objects that it has had for long and objects that were changed last are read; one is read by
a presigned URL and one written by another, by a fresh client of the standard library. The
object that is written stands below our own prefix and is purged at once.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from farshore.config import Config
from farshore.control.canary import canary_key, purge_key
from farshore.control.sites import open_store
from farshore.core.model import Version
from farshore.core.rules import OWN_PREFIX
from farshore.errors import StoreError
from farshore.runbook.ground import Ground
from farshore.runbook.step import Found, StepFailed
from farshore.s3.by_url import by_url, context_of
from farshore.s3.client import S3Client
from farshore.s3.store import Store

KNOWN_MAX = 5
"""Objects of the listing's beginning that are read in each bucket."""

LATEST_MAX = 5
"""Objects changed last, of those on the first page, that are read in each bucket."""

BYTES_MAX = 1 << 20
"""A larger object is asked for, not read: the probe is made while clients wait."""

URL_SECONDS = 60

TRIES_MAX = 3
FRONT_TRIES_MAX = 10
TRY_AGAIN_S = 1.0
"""A site that asks to come again is asked again, as the SDKs do. A proxy may need a few checks
before it sends anything to a site that was down; nobody's writes wait for that any more."""

BODY = b"farshore probe: written by a presigned URL, and purged at once.\n"


@dataclass(slots=True)
class Probe:
    """The app reads and writes at the new site. `through_front`: by the URL that it uses itself,
    which needs writes to be thawed; else at the site directly."""

    ground: Ground
    through_front: bool = False
    id: str = "probe"
    lapses: bool = False
    _seen: dict[str, Any] | None = field(default=None, init=False)

    @property
    def what(self) -> str:
        ground = self.ground
        where = ground.config.switch.endpoint if self.through_front else ground.new
        return f"Read and write at {where} as the app: old and new objects, presigned URLs."

    async def look(self) -> Found:
        """Tried in this process, or not: what was tried before a kill is tried again."""
        if "app" not in self.ground.config.site(self.ground.new).credentials:
            return Found(True, f"not tried: there are no keys of the app for {self.ground.new}")
        if self.through_front and not self.ground.config.switch.endpoint:
            return Found(True, "not tried: [switch] endpoint is not set")
        return Found(self._seen is not None, "" if self._seen else "not tried", self._seen or {})

    async def act(self) -> None:
        ground = self.ground
        config = _at_front(ground.config, ground.new) if self.through_front else ground.config
        seen: dict[str, Any] = {}
        async with (
            aclosing(open_store(config, ground.new, "app")) as app,
            aclosing(open_store(ground.config, ground.new, "replicator")) as replicator,
        ):
            for bucket in _buckets(ground.config):
                try:
                    seen[bucket] = await self._patiently(config, app, replicator, bucket)
                except StoreError as error:
                    raise StepFailed(
                        f"The app's path does not work at {ground.new}: {error}"
                    ) from error
        self._seen = seen

    async def _patiently(
        self, config: Config, app: S3Client, replicator: Store, bucket: str
    ) -> dict[str, int]:
        """Try one bucket; again while the answer is to come again, and there are tries left."""
        for left in reversed(range(FRONT_TRIES_MAX if self.through_front else TRIES_MAX)):
            try:
                return await _try_bucket(self.ground, config, app, replicator, bucket)
            except StoreError as error:
                if not (error.retryable and left):
                    raise
            await self.ground.sleep(TRY_AGAIN_S)
        raise AssertionError("the last try answers or raises")

    async def undo(self) -> None:
        """Nothing was left behind."""


def _buckets(config: Config) -> list[str]:
    """The named buckets at the new site; patterns are proved by `farshore doctor`."""
    return [entry.target for entry in config.pair.buckets if not entry.is_pattern]


def _at_front(config: Config, site: str) -> Config:
    """The site by the URL that applications use."""
    front = replace(
        config.site(site), endpoint=config.switch.endpoint, ca_file=config.switch.ca_file
    )
    return replace(config, sites={**config.sites, site: front})


async def _try_bucket(
    ground: Ground, config: Config, app: S3Client, replicator: Store, bucket: str
) -> dict[str, int]:
    entries = await _chosen(replicator, bucket)
    for entry in entries:
        await _read(app, bucket, entry)
    context = context_of(config.site(ground.new).ca_file)
    if entries:
        url = app.presign("GET", bucket, entries[0].key, expires_s=URL_SECONDS)
        await by_url("GET", url, context=context)
    key = canary_key(ground.clock)
    try:
        url = app.presign("PUT", bucket, key, expires_s=URL_SECONDS)
        await by_url("PUT", url, BODY, context=context)
        await _read_back(app, bucket, key)
    finally:
        await purge_key(replicator, bucket, key)
    return {"read": len(entries), "presigned": 2 if entries else 1, "written": 1}


async def _chosen(store: Store, bucket: str) -> list[Version]:
    """The first objects of the listing, and of its first page those that were changed last."""
    page = await store.list_versions(bucket)
    visible = [
        entry
        for entry in page.entries
        if entry.is_latest and not entry.is_marker and not entry.key.startswith(OWN_PREFIX)
    ]
    latest = sorted(visible, key=lambda entry: entry.modified, reverse=True)[:LATEST_MAX]
    return list(dict.fromkeys([*latest, *visible[:KNOWN_MAX]]))


async def _read(app: Store, bucket: str, entry: Version) -> None:
    """Whole where it is small; a large one is only asked for."""
    if entry.size > BYTES_MAX:
        await app.head(bucket, entry.key)
        return
    async with app.get(bucket, entry.key) as answer:
        await answer.read()


async def _read_back(app: Store, bucket: str, key: str) -> None:
    async with app.get(bucket, key) as answer:
        if await answer.read() != BODY:
            raise StepFailed(f"{bucket}/{key} does not hold what the presigned URL wrote.")
