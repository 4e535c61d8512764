"""Clients of the pair while its roles change: they try until they are told that it stands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from farshore.core.model import Attributes, Lock
from farshore.errors import Denied, Gone, StoreError
from farshore.s3.store import Store
from tests.simulation.plan import Step
from tests.simulation.truth import BUCKET

if TYPE_CHECKING:
    from tests.simulation.roles_world import RolesWorld

HOLD_S = 2.0
"""A proxy keeps a frozen write for so long, and answers 503 then."""

WRITES_TRIED_MAX = 12
RETAINED_UNTIL = "2030-01-01T00:00:00Z"


class Clients:
    """All of them."""

    def __init__(self, world: RolesWorld) -> None:
        self._world = world

    async def do(self, step: Step, *, stuck: bool) -> None:
        """A client that tries until it is told that its write stands. A stuck one goes where the
        switch pointed when it began, past every proxy."""
        world = self._world
        proxy = world.rng.choice(world.board.proxies)
        first = world.board.site_at(proxy)
        for _ in range(WRITES_TRIED_MAX):
            if not stuck and world.plan.proxies and not await self._let_through(proxy):
                await asyncio.sleep(world.rng.random() * 3.0)
                continue
            site = first if stuck else world.board.site_at(proxy)
            try:
                await self._write(site, step, direct=stuck)
                return
            except StoreError as error:
                world.say(f"client: {step.kind} {step.key} at {site}: {type(error).__name__}")
                stuck = stuck and not (isinstance(error, Denied) and world.rng.random() < 0.5)
            await asyncio.sleep(world.rng.random() * 4.0)

    async def _let_through(self, proxy: str) -> bool:
        world = self._world
        until = world.loop.time() + HOLD_S
        while world.board.is_frozen(proxy):
            if world.loop.time() >= until:
                return False
            await asyncio.sleep(0.1)
        return True

    async def _write(self, site: str, step: Step, *, direct: bool) -> None:
        world = self._world
        if not direct:
            world.board.in_flight[site] += 1
        try:
            await self._way(site)
            store = world.regions[site].as_user(f"{site}-app")
            version_id = await self._sent(store, step)
            world.say(f"client: {step.kind} {step.key} {step.amount} at {site}: {version_id[:6]}")
            world.seen[f"client: {step.kind}"] += 1
            await self._way(site)
        finally:
            if not direct:
                world.board.in_flight[site] -= 1
        native = world.natives.get(version_id)
        if native is not None:
            world.truth.acknowledged(native, world.site_clock.now())

    async def _way(self, site: str) -> None:
        world = self._world
        await asyncio.sleep(world.rng.random() * world.plan.latency_s)
        if world.dead.get(site, 0.0) > world.loop.time():
            raise StoreError(f"{site} does not answer")

    async def _sent(self, store: Store, step: Step) -> str:
        """The version's id, "" where none was made."""
        kind, key, body = str(step.kind), step.key, f"{step.amount}.{step.at:.3f}".encode()
        if kind.endswith("delete"):
            return (await store.delete(BUCKET, key)).version_id
        if kind.endswith("multipart"):
            return await self._uploaded(store, step, body)
        if kind.endswith("tag"):
            return await self._tagged(store, step)
        written = await store.put(BUCKET, key, body, attributes_of(kind, step.amount))
        return written.version_id

    async def _uploaded(self, store: Store, step: Step, body: bytes) -> str:
        world, key = self._world, step.key
        upload = await store.create_upload(BUCKET, key, attributes_of("put", step.amount))
        parts = []
        for number in range(1, 2 + step.amount % 3):
            part = b"%d:%s" % (number, body)
            parts.append((number, await store.put_part(BUCKET, key, upload, number, part)))
            await asyncio.sleep(world.rng.random() * world.plan.latency_s)
        return (await store.complete_upload(BUCKET, key, upload, parts)).version_id

    async def _tagged(self, store: Store, step: Step) -> str:
        """Of the newest version; there may be none."""
        try:
            await store.put_tags(BUCKET, step.key, "", (("tag", str(step.amount)),))
        except Gone:
            return ""
        return ""


def attributes_of(kind: str, amount: int) -> Attributes:
    """What a client sends with the body."""
    tags = (("n", str(amount % 7)),) if amount % 3 == 0 else ()
    lock = Lock("COMPLIANCE", RETAINED_UNTIL) if kind == "lock" and amount % 2 else Lock()
    if kind == "lock" and not amount % 2:
        lock = Lock(legal_hold=True)
    return Attributes(metadata=(("amount", str(amount)),), tags=tags, lock=lock)
