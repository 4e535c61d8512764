"""The isolated drill: scratch objects in the real buckets, a switch of its own, nothing else.

write ──> replicas ──> read, presign at both ──> test switch: flip ──> a live client follows,
writes there ──> flip back ──> purge everything on both sides, and see that it is gone

The record, the drivers and the fences of the pair are read before and after, and must be the
same. A step that fails ends the drill; the clean-up is made in any case.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farshore.config.switches import FileSwitch
from farshore.control.bucket import Access
from farshore.control.contact import make_contact
from farshore.control.lease import holder
from farshore.core.model import Version
from farshore.core.plan import DeleteLimits
from farshore.drill.follower import Follower, open_follower
from farshore.drill.hall import Ask, Hall
from farshore.drill.scratch import Place, own_prefix, place_for, purge, require_purgeable
from farshore.drill.sheet import CalledOff, LeftOut, Sheet
from farshore.engine.backfill import Scope
from farshore.engine.run import backfill_all, lease_name
from farshore.engine.tally import Tally
from farshore.errors import ConfigError, Corrupt, NotSafe, Refused, Unreachable
from farshore.faultpoints import reached
from farshore.s3.by_url import by_url, context_of
from farshore.s3.store import Store
from farshore.switch.file import FileDriver
from farshore.switch.flip import flip, plan_flip, survey

REPLICATE_S_MAX = 60.0
"""How long the replicas are waited for."""

LOOK_S = 0.1
CONTACT_S_MAX = 5.0
URL_S = 60
BODIES = {f"object-{number}": b"farshore drill, object %d\n" % number for number in range(3)}
AGAIN = b"farshore drill, written over\n"
DELETED = "deleted"


async def isolated(hall: Hall, ask: Ask, sheet: Sheet) -> None:
    """The whole drill. `CalledOff` when a step failed or a criterion was met."""
    async with hall.accesses() as (source, target):
        before = await _production(hall)
        buckets = await hall.buckets(source)
        if not buckets:
            raise CalledOff("the pair has no bucket to drill with")
        place = place_for(hall.config.pair.rules, sheet.drill.id)
        with tempfile.TemporaryDirectory(prefix="farshore-drill-") as folder:
            scene = Scene(hall, sheet.drill.id, source, target, *buckets[0], place, Path(folder))
            try:
                await _play(scene, sheet, ask)
            finally:
                await sheet.step(
                    "clean", "Purge the scratch objects on both sides; see them gone.", scene.clean
                )
                await sheet.step(
                    "untouched",
                    "See that the record and the drivers of the pair are as before.",
                    lambda: _same(hall, before),
                )


async def _play(scene: Scene, sheet: Sheet, ask: Ask) -> None:
    del ask
    one, other = scene.source.site.name, scene.target.site.name
    await sheet.must("ready", f"The app has keys; {one} and {other} answer.", scene.ready)
    await sheet.must(
        "write", f"Write, overwrite and delete below {scene.place.prefix} as the app.", scene.write
    )
    reached("drill.written")
    await sheet.must("replicate", f"Wait until {other} has the same.", scene.replicate)
    for access, bucket in scene.both:
        site = access.site.name

        async def read(at: Access = access, where: str = bucket) -> Mapping[str, Any]:
            return await scene.read(at, where)

        async def sign(at: Access = access, where: str = bucket) -> Mapping[str, Any]:
            return await scene.presign(at, where)

        await sheet.must(f"read {site}", f"Read everything at {site} as the app.", read)
        await sheet.must(f"presign {site}", f"GET and PUT by presigned URLs at {site}.", sign)
    await sheet.must("aim", f"Make a test switch that shows {one}.", scene.aim)
    try:
        await sheet.must("follow", f"A live client starts at {one}.", scene.start)
        await sheet.must("flip", f"Flip the test switch to {other}.", lambda: scene.flip(other))
        reached("drill.flipped")
        await sheet.must("followed", f"The client reads at {other}.", lambda: scene.at(other))
        await sheet.must("write there", f"It writes at {other}.", scene.write_there)
        await sheet.must("flip back", f"Flip the test switch to {one}.", lambda: scene.flip(one))
        await sheet.must("back", f"The client reads at {one} again.", lambda: scene.at(one))
    finally:
        scene.close()


@dataclass(slots=True)
class Scene:
    """The things of one drill; each method is one step and answers what it saw."""

    hall: Hall
    drill: str
    source: Access
    target: Access
    bucket: str
    target_bucket: str
    place: Place
    folder: Path
    follower: Follower | None = None

    @property
    def both(self) -> tuple[tuple[Access, str], tuple[Access, str]]:
        return (self.source, self.bucket), (self.target, self.target_bucket)

    @property
    def current(self) -> dict[str, bytes]:
        """What a reader finds below the prefix."""
        return {f"{self.place.prefix}{name}": body for name, body in BODIES.items()} | {
            f"{self.place.prefix}object-0": AGAIN
        }

    async def ready(self) -> Mapping[str, Any]:
        for access, bucket in self.both:
            name = access.site.name
            if access.app is None:
                raise ConfigError(
                    f"There are no keys of the app for {name}: its path cannot be drilled.",
                    hint=f'Write [sites.{name}.credentials] app = {{ env = "…" }}',
                )
            site = access.site
            await make_contact(access.app, site, "app", seconds_max=CONTACT_S_MAX)
            if await access.replicator.get_versioning(bucket) != "Enabled":
                raise Refused(f"{bucket} at {name} keeps no versions.", hint="farshore apply")
        for side in await self.hall.sides(self.source, self.target):
            await require_purgeable(side)
        return {"bucket": self.bucket, "prefix": self.place.prefix}

    async def write(self) -> Mapping[str, Any]:
        app, prefix, carried = _app(self.source), self.place.prefix, self.place.attributes
        for name, body in BODIES.items():
            await app.put(self.bucket, f"{prefix}{name}", body, carried)
        await app.put(self.bucket, f"{prefix}object-0", AGAIN, carried)
        if self.place.markers:
            await app.put(self.bucket, f"{prefix}{DELETED}", AGAIN, carried)
            await app.delete(self.bucket, f"{prefix}{DELETED}")
        return {"objects": len(BODIES), "overwritten": 1, "deleted": int(self.place.markers)}

    async def replicate(self) -> Mapping[str, Any]:
        """By whoever replicates this pair; where nobody does, here, through the same engine."""
        began = self.hall.clock.monotonic()
        by = await self._copier()
        for _ in range(int(REPLICATE_S_MAX / LOOK_S)):
            if await self._shape(*self.both[0]) == await self._shape(*self.both[1]):
                took = self.hall.clock.monotonic() - began
                return {"by": by, "seconds": round(took, 3)}
            await asyncio.sleep(LOOK_S)
        raise NotSafe(
            f"{self.target.site.name} does not have the scratch objects after "
            f"{REPLICATE_S_MAX:g} s.",
            hint="See `farshore status` and `farshore backlog list`.",
        )

    async def _copier(self) -> str:
        config = self.hall.config
        found = await holder(
            self.target.replicator,
            config.target.control_bucket,
            lease_name(config),
            clock=self.hall.clock,
        )
        if found is not None:
            return f"the running farshore (process {found.pid} on {found.host})"
        limits = DeleteLimits(config.daemon.deletes_count, config.daemon.deletes_share)
        scope = Scope(self.place.prefix, limits)
        await backfill_all(config, scope, Tally(), asyncio.Event(), self.hall.clock)
        return "this command: no `farshore run` is running"

    async def _shape(self, access: Access, bucket: str) -> list[tuple[str, bool, int]]:
        page = await access.replicator.list_versions(bucket, prefix=self.place.prefix)
        return [_outline(entry) for entry in page.entries]

    async def read(self, access: Access, bucket: str) -> Mapping[str, Any]:
        for key, body in self.current.items():
            async with _app(access).get(bucket, key) as answer:
                if await answer.read() != body:
                    raise Corrupt(f"{bucket}/{key} at {access.site.name} has other bytes.")
        return {"read": len(self.current)}

    async def presign(self, access: Access, bucket: str) -> Mapping[str, Any]:
        """What is written stands outside replication: a write at the other side is no change."""
        app, context = _app(access), context_of(access.site.ca_file)
        key, body = next(iter(self.current.items()))
        url = app.presign("GET", bucket, key, expires_s=URL_S)
        if await by_url("GET", url, context=context) != body:
            raise Corrupt(f"A presigned GET of {bucket}/{key} at {access.site.name} differs.")
        if await self._fenced(access):
            return {"get": 1, "put": f"not tried: {access.site.name} is fenced, as it should be"}
        own = f"{own_prefix(self.drill)}by-url"
        url = app.presign("PUT", bucket, own, expires_s=URL_S)
        await by_url("PUT", url, AGAIN, context=context)
        async with app.get(bucket, own) as answer:
            if await answer.read() != AGAIN:
                raise Corrupt(f"{bucket}/{own} does not hold what the presigned URL wrote.")
        return {"get": 1, "put": 1}

    async def _fenced(self, access: Access) -> bool:
        record = (await self.hall.plane.read()).record
        return record.fence_of(access.site.name) is not None

    # -- the test switch -----------------------------------------------------------

    @property
    def _driver(self) -> FileDriver:
        values = {access.site.name: access.site.endpoint for access, _ in self.both}
        return FileDriver(FileSwitch("drill", self.folder / "endpoint.json", "json", values))

    async def aim(self) -> Mapping[str, Any]:
        return await self.flip(self.source.site.name)

    async def flip(self, to: str) -> Mapping[str, Any]:
        drivers = (self._driver,)
        view = await flip(drivers, await plan_flip(drivers, to))
        return {"test switch": view.sentence()}

    async def start(self) -> Mapping[str, Any]:
        config, path = self.hall.config, self.folder / "endpoint.json"
        self.follower = await open_follower(config, path)
        return await self.at(self.source.site.name)

    async def at(self, site: str) -> Mapping[str, Any]:
        """The live client reads, and it is that site which answers."""
        follower = self._follower
        bucket = self.bucket if site == self.source.site.name else self.target_bucket
        key, body = next(iter(self.current.items()))
        answer = await follower.get(bucket, key)
        if answer.body != body:
            raise Corrupt(f"The client read other bytes of {bucket}/{key} than were written.")
        return _at(answer.url, self.hall.config.site(site).endpoint)

    async def write_there(self) -> Mapping[str, Any]:
        if await self._fenced(self.target):
            raise LeftOut(f"{self.target.site.name} is fenced, as it should be: nothing writes.")
        key = f"{own_prefix(self.drill)}by-the-client"
        url = await self._follower.put(self.target_bucket, key, AGAIN)
        async with _app(self.target).get(self.target_bucket, key) as answer:
            if await answer.read() != AGAIN:
                raise Corrupt(f"{self.target_bucket}/{key} does not hold what was written.")
        return _at(url, self.target.site.endpoint)

    @property
    def _follower(self) -> Follower:
        if self.follower is None:
            raise LeftOut("boto3 is not installed: pip install 'farshore[app]'")
        return self.follower

    def close(self) -> None:
        if self.follower is not None:
            self.follower.close()

    # -- afterwards ----------------------------------------------------------------

    async def clean(self) -> Mapping[str, Any]:
        sides = await self.hall.sides(self.source, self.target)
        count = await purge(sides, self.hall.config.pair.rules)
        return {"purged": count, "left": 0}


def _app(access: Access) -> Store:
    if access.app is None:
        raise ConfigError(f"There are no keys of the app for {access.site.name}.")
    return access.app


def _outline(entry: Version) -> tuple[str, bool, int]:
    return entry.key, entry.is_marker, entry.size


def _at(url: str, endpoint: str) -> Mapping[str, Any]:
    """`Unreachable` when the request went elsewhere."""
    if not url.startswith(f"{endpoint.rstrip('/')}/"):
        raise Unreachable(f"The client went to {url.partition('?')[0]}, not to {endpoint}.")
    return {"endpoint": endpoint}


async def _production(hall: Hall) -> Mapping[str, Any]:
    """What no drill may change: who is primary, the fences, what every driver shows."""
    record = (await hall.plane.read()).record
    view = await survey(hall.drivers)
    return {
        "primary": record.primary,
        "phase": record.phase,
        "epoch": record.epoch,
        "fences": sorted(f"{fence.site}: {fence.state}" for fence in record.fences),
        "switch": view.sentence(),
    }


async def _same(hall: Hall, before: Mapping[str, Any]) -> Mapping[str, Any]:
    now = await _production(hall)
    other = [
        f"{name} was {before[name]}, now {now[name]}" for name in now if now[name] != before[name]
    ]
    if other:
        raise NotSafe(f"Something else changed meanwhile: {'; '.join(other)}.")
    return now
