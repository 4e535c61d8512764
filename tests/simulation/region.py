"""A simulated region: a store that obeys policies, tells its events, and is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from farshore.clock import Clock
from farshore.core.model import Attributes
from farshore.core.rules import OWN_PREFIX
from farshore.s3.capabilities import Capabilities
from farshore.s3.store import ALWAYS, Condition, Deleted, Written
from farshore.testing.store.bucket import Bucket
from farshore.testing.store.memory import Held
from farshore.testing.store.policed import Police, Policed, caller
from tests.simulation.network import Paged, Told
from tests.simulation.truth import BUCKET


class Arrival(NamedTuple):
    """A version or marker that has come to stand. `before`: the key's history, newest first."""

    site: str
    user: str
    key: str
    version_id: str
    is_marker: bool
    attributes: Attributes
    before: list[Held]


class Region(Paged):
    """One site. `arrived` sees whatever is written to the pair's bucket, `recorded` every
    control record and run."""

    told: Told
    arrived: Callable[[Arrival], None]
    recorded: Callable[[str, str, bytes], None]

    def __init__(self, site: str, *, clock: Clock, capabilities: Capabilities, seed: int) -> None:
        super().__init__(site, clock=clock, capabilities=capabilities, seed=seed)
        self.hook = Police(self.policy)

    def policy(self, bucket: str) -> str:
        return self._buckets[bucket].policy if bucket in self._buckets else ""

    def as_user(self, user: str) -> Policed:
        """What that user sees."""
        return Policed(self, user)

    def refuses(self, user: str) -> bool:
        """Whether a policy keeps that user from writing to the pair's bucket."""
        return "FarshoreFence" in self.policy(BUCKET) and user == f"{self.site}-app"

    def history(self, key: str) -> list[Held]:
        """Newest first, without counting as a call."""
        held = self._bucket("dump", BUCKET)
        entries = held.newest_first(key)
        return [Held(self._listed(held, one), one.body, one.attributes) for one in entries]

    def keys(self) -> list[str]:
        return [key for key in self._bucket("dump", BUCKET).keys if not key.startswith(OWN_PREFIX)]

    def _write(
        self,
        bucket: Bucket,
        key: str,
        content: bytes,
        etag: str,
        attributes: Attributes,
        part_sizes: tuple[int, ...] = (),
    ) -> Written:
        watched = bucket.name == BUCKET and not key.startswith(OWN_PREFIX)
        before = self.history(key) if watched else []
        written = super()._write(bucket, key, content, etag, attributes, part_sizes)
        if watched:
            came = Arrival(self.site, caller(), key, written.version_id, False, attributes, before)
            self.arrived(came)
        if key.startswith(("record/", "runs/")):
            self.recorded(self.site, key, content)
        self.told(bucket.name, key, self._now(), len(content), (written.version_id,))
        return written

    async def delete(
        self, bucket: str, key: str, version_id: str = "", *, condition: Condition = ALWAYS
    ) -> Deleted:
        watched = bucket == BUCKET and not version_id and not key.startswith(OWN_PREFIX)
        before = self.history(key) if watched else []
        deleted = await super().delete(bucket, key, version_id, condition=condition)
        if watched:
            none = Attributes()
            came = Arrival(self.site, caller(), key, deleted.version_id, True, none, before)
            self.arrived(came)
        self.told(bucket, key, self._now(), 0, ())
        return deleted

    async def put_tags(
        self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
    ) -> None:
        await super().put_tags(bucket, key, version_id, tags)
        self.told(bucket, key, self._now(), 0, ())
