"""What clients do at the source, and what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

from farshore.core.model import Attributes, Lock
from farshore.errors import Denied, Gone
from tests.simulation.sites import Watched
from tests.simulation.step import Step
from tests.simulation.truth import Truth

RETAINED_UNTIL = "2030-01-01T00:00:00Z"
ACK_S = 0.3


class Clients:
    """They write to `site`, and the model of their bucket knows. `now`: by the site's clock."""

    def __init__(self, site: Watched, now: Callable[[], float], rng: random.Random) -> None:
        self._site, self._now, self._rng = site, now, rng

    async def do(self, step: Step, truth: Truth) -> None:
        """One request, or several that belong together."""
        bucket, key, amount = step.bucket, step.key, step.amount
        site, entry = self._site, None
        match step.kind:
            case "put" | "again":
                body = b"%d" % amount if step.kind == "put" else b"again"
                written = await site.put(bucket, key, body, _attributes(amount))
                entry = truth.written(key, written.version_id)
            case "multipart":
                entry = truth.written(key, await self._upload(bucket, key, amount))
            case "delete":
                deleted = await site.delete(bucket, key)
                entry = truth.written(key, deleted.version_id, is_marker=True)
            case "purge":
                await self._purge(step, truth)
            case "tag":
                with contextlib.suppress(Gone):
                    await site.put_tags(bucket, key, "", (("tag", str(amount)),))
        if entry is not None:
            await asyncio.sleep(self._rng.random() * ACK_S)
            truth.acknowledged(entry, self._now())

    async def _upload(self, bucket: str, key: str, amount: int) -> str:
        site = self._site
        upload = await site.create_upload(bucket, key, _attributes(amount))
        parts = []
        for number in range(1, 2 + amount % 3):
            body = b"%d-%d" % (amount, number)
            parts.append((number, await site.put_part(bucket, key, upload, number, body)))
            await asyncio.sleep(self._rng.random() * ACK_S)
        return (await site.complete_upload(bucket, key, upload, parts)).version_id

    async def _purge(self, step: Step, truth: Truth) -> None:
        bucket, key = step.bucket, step.key
        found = [held.version for held in self._site.dump(bucket) if held.version.key == key]
        if found:
            with contextlib.suppress(Denied):  # it is locked
                await self._site.delete(bucket, key, found[step.amount % len(found)].version_id)
                truth.purged.add(key)


def _attributes(amount: int) -> Attributes:
    tags = (("n", str(amount % 7)),) if amount % 3 == 0 else ()
    return Attributes(metadata=(("amount", str(amount)),), tags=tags, lock=_lock(amount))


def _lock(amount: int) -> Lock:
    """Some versions are locked: they cannot be purged, neither here nor there."""
    if amount % 11 == 5:
        return Lock("COMPLIANCE", RETAINED_UNTIL)
    return Lock(legal_hold=amount % 11 == 7)
