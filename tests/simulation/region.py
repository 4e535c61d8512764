"""A simulated region: a store that obeys policies, tells its events, and is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from farshore.clock import Clock
from farshore.core.model import Attributes
from farshore.core.rules import OWN_PREFIX
from farshore.s3.capabilities import Capabilities
from farshore.testing.store.memory import Held
from farshore.testing.store.policed import Police, Policed, caller
from tests.simulation.sites import Change, Telling
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


class Region(Telling):
    """One site. `arrived` sees whatever is written to the pair's bucket, `recorded` every
    control record, run and status, `tagged` who gives a version other tags (site, user, key),
    `policed` every change of the policy of the pair's bucket."""

    arrived: Callable[[Arrival], None]
    recorded: Callable[[str, str, bytes], None]
    tagged: Callable[[str, str, str, Held], None]
    policed: Callable[[str], None]

    def __init__(self, site: str, *, clock: Clock, capabilities: Capabilities, seed: int) -> None:
        super().__init__(site, clock=clock, capabilities=capabilities, seed=seed)
        self.hook = Police(self.policy)

    def policy(self, bucket: str) -> str:
        return self._buckets[bucket].policy if bucket in self._buckets else ""

    def as_user(self, user: str) -> Policed:
        """What that user sees."""
        return Policed(self, user)

    def refuses(self, user: str) -> bool:
        """Whether a policy keeps that user from writing to the pair's bucket, or there is none."""
        if BUCKET not in self._buckets:
            return True
        return "FarshoreFence" in self.policy(BUCKET) and user == f"{self.site}-app"

    def history(self, key: str) -> list[Held]:
        """Newest first, without counting as a call."""
        if BUCKET not in self._buckets:
            return []
        held = self._bucket("dump", BUCKET)
        entries = held.newest_first(key)
        return [Held(self._listed(held, one), one.body, one.attributes) for one in entries]

    def keys(self) -> list[str]:
        if BUCKET not in self._buckets:
            return []
        return [key for key in self._bucket("dump", BUCKET).keys if not key.startswith(OWN_PREFIX)]

    def lose_disks(self) -> None:
        """Nothing is left, not even the buckets."""
        self._buckets.clear()
        self._uploads.clear()

    async def put_tags(
        self, bucket: str, key: str, version_id: str, tags: tuple[tuple[str, str], ...]
    ) -> None:
        await super().put_tags(bucket, key, version_id, tags)
        if bucket == BUCKET and not key.startswith(OWN_PREFIX):
            history = self.history(key)
            held = next((h for h in history if h.version.version_id == version_id), history[0])
            self.tagged(self.site, caller(), key, held)

    async def put_bucket_policy(self, bucket: str, document: str) -> None:
        await super().put_bucket_policy(bucket, document)
        if bucket == BUCKET:
            self.policed(self.site)

    async def delete_bucket_policy(self, bucket: str) -> None:
        await super().delete_bucket_policy(bucket)
        if bucket == BUCKET:
            self.policed(self.site)

    def changing(self, change: Change) -> list[Held]:
        return self.history(change.key) if _is_watched(change) else []

    def changed(self, change: Change, version_id: str, before: list[Held]) -> None:
        kind, key, content = change.kind, change.key, change.content
        if _is_watched(change):
            marker, attributes = kind == "marker", change.attributes
            came = Arrival(self.site, caller(), key, version_id, marker, attributes, before)
            self.arrived(came)
        if kind == "version" and key.startswith(("record/", "runs/", "status/")):
            self.recorded(self.site, key, content)
        super().changed(change, version_id, before)


def _is_watched(change: Change) -> bool:
    """An entry of the pair's bucket that is not farshore's own."""
    ours = change.bucket == BUCKET and not change.key.startswith(OWN_PREFIX)
    return ours and change.kind != "purge"
