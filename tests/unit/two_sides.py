"""Two control buckets in memory, and people at them who may each see another half."""

from __future__ import annotations

import asyncio
import heapq
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from farshore.control.audit import Stored
from farshore.control.both import BothSides
from farshore.control.ledger import SIDE_SECONDS_MAX, Ledger, pair_key, record_name
from farshore.control.record import IN_A_HURRY, ControlPlane
from farshore.core.record import ControlRecord
from farshore.core.roles import Event
from farshore.errors import FarshoreError
from farshore.s3.store import Store
from farshore.s3.wrap import Retrying
from farshore.testing.clock import ManualClock
from farshore.testing.store.call import Call
from farshore.testing.store.faults import Fault, Faulty, Rates, Script, seeded, unreachable
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import config_of

BUCKET = "farshore-control"
PAIR = pair_key("east", "west")
SITES = ("east", "west")
WEAK = replace(EVERYTHING, conditional_create=False, conditional_replace=False)


IDLE_ROUNDS = 40
"""Rounds of the event loop in which nobody had anything to do: then time passes."""


class Hours(ManualClock):
    """A clock for several people at once: a `sleep` ends when its time has come, no earlier."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._count += 1
        heapq.heappush(self._asleep, (self.now() + seconds, self._count, woken))
        await woken.wait()

    async def pass_for_ever(self) -> None:
        """Wake whoever is next, once everybody else waits."""
        while True:
            for _ in range(IDLE_ROUNDS):
                await asyncio.sleep(0)
            if self._asleep:
                moment, _, woken = heapq.heappop(self._asleep)
                self.advance(max(moment - self.now(), 0.0))
                woken.set()


class Jostle:
    """A store's hook that lets others go first, as often as its seed says."""

    def __init__(self, seed: int, clock: ManualClock) -> None:
        self._rng = random.Random(seed)
        self._clock = clock

    async def before(self, _call: Call) -> None:
        for _ in range(self._rng.randrange(4)):
            await self._clock.sleep(0.001)

    async def after(self, call: Call) -> None:
        await self.before(call)


class Once:
    """A store's hook: something happens around the next PUT of a key, once."""

    def __init__(
        self,
        store: MemoryStore,
        key: str,
        act: Callable[[], Awaitable[object]],
        *,
        after: bool = False,
    ) -> None:
        self._store = store
        self._key = key
        self._act = act
        self._after = after

    async def before(self, call: Call) -> None:
        if not self._after:
            await self._happen(call)

    async def after(self, call: Call) -> None:
        if self._after:
            await self._happen(call)

    async def _happen(self, call: Call) -> None:
        if (call.operation, call.key) == ("put", self._key):
            self._store.hook = None
            await self._act()


class Person:
    """Somebody with a plane of their own.

    `cut`: the sites that they cannot reach now. `raises`: their changes raise the epoch.
    """

    def __init__(
        self, world: World, name: str, script: Script | None = None, *, only: str = ""
    ) -> None:
        self.name = name
        self._only = only  # the script is of that site's requests
        self.cut: set[str] = set()
        self.raises = False
        self._script = script
        config = config_of()
        ledgers = [
            Ledger(
                config.site(site),
                self._store(world, site),
                PAIR,
                strong=world.strong,
                clock=world.clock,
                sleep=world.clock.sleep,
                seconds_max=world.seconds_max,
            )
            for site in SITES
        ]
        self.plane = ControlPlane(BothSides(SITES, ledgers, primary="east"), world.clock)

    def _store(self, world: World, site: str) -> Store:
        def script(operation: str, bucket: str, key: str, number: int) -> Fault | None:
            if site in self.cut:
                return unreachable()
            if self._script is None or self._only not in ("", site):
                return None
            return self._script(operation, bucket, key, number)

        faulty = Faulty(world.stores[site], script)
        return Retrying(faulty, IN_A_HURRY, rng=random.Random(1), sleep=world.clock.sleep)

    async def adds(self, word: str) -> ControlRecord:
        """A change that leaves its word in the record; `raises`: under a higher epoch."""

        def decide(record: ControlRecord) -> ControlRecord:
            drivers = (*record.switch.drivers, (word, ""))
            switch = replace(record.switch, drivers=drivers)
            return replace(record, switch=switch, epoch=record.epoch + self.raises)

        return await self.plane.change(decide, by=self.name, why=word, action="switch")

    async def records(self, event: Event, *, primary: str = "") -> ControlRecord:
        """An event has happened."""

        def decide(record: ControlRecord) -> ControlRecord:
            return record.stepped(event, primary=primary)

        return await self.plane.change(decide, by=self.name, why="a test", action=event)

    async def tries(self, word: str) -> ControlRecord | FarshoreError:
        """As `adds`; what was raised instead of raising it."""
        try:
            return await self.adds(word)
        except FarshoreError as error:
            return error


class World:
    """East and west, with a control bucket each."""

    def __init__(
        self,
        *,
        seed: int = 0,
        jostle: bool = False,
        strong: bool = True,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.strong = strong
        self.seconds_max = SIDE_SECONDS_MAX
        able = EVERYTHING if strong else WEAK
        self.stores = {
            site: MemoryStore(site, clock=self.clock, capabilities=able, seed=number)
            for number, site in enumerate(SITES)
        }
        if jostle:
            for number, store in enumerate(self.stores.values()):
                store.hook = Jostle(seed + number, self.clock)

    async def ready(self) -> World:
        for store in self.stores.values():
            await store.create_bucket(BUCKET)
            await store.put_versioning(BUCKET, True)
        return self

    def person(self, name: str, *, seed: int = 0, rates: Rates | None = None) -> Person:
        return Person(self, name, seeded(seed, rates) if rates else None)

    def bodies(self, site: str, prefix: str) -> list[dict[str, object]]:
        """All versions of all documents below a prefix, as a listing shows them."""
        held = self.stores[site].dump(BUCKET)
        return [json.loads(h.body) for h in held if h.version.key.startswith(prefix) and h.body]

    def records(self, site: str) -> list[ControlRecord]:
        """Every record that ever stood at a site, the newest first."""
        return [ControlRecord.from_json(body) for body in self.bodies(site, record_name(PAIR))]

    def history(self, site: str) -> list[ControlRecord]:
        """The records that were kept because they lost."""
        return [ControlRecord.from_json(body) for body in self.bodies(site, "history/")]

    async def entries(self, site: str) -> list[Stored]:
        """The audit log."""
        person = self.person("auditor")
        return await person.plane.both.log(site).everything()


def words_of(record: ControlRecord) -> list[str]:
    """The words that changes have left in a record."""
    return [word for word, _ in record.switch.drivers]
