"""One run about roles: two regions, two daemons, operators, clients, and a switch between."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from farshore.control.recorded import write_record
from farshore.errors import StateError
from farshore.feed.hint import Hint
from farshore.switch.driver import SwitchDriver
from farshore.testing.store.faults import Fault
from farshore.testing.store.memory import EVERYTHING
from farshore.testing.store.scripts import WRITES, Rates, seeded
from tests.simulation.entrance import Host, register, simulated
from tests.simulation.feed import Events, SimulatedFeed
from tests.simulation.loop import SimulatedLoop
from tests.simulation.outcome import Outcome
from tests.simulation.plan import Step
from tests.simulation.played import played
from tests.simulation.process import SimulatedClock
from tests.simulation.region import Arrival, Region
from tests.simulation.roles_clients import Clients
from tests.simulation.roles_daemon import live, on_machine
from tests.simulation.roles_loss import disks_lost
from tests.simulation.roles_model import Native
from tests.simulation.roles_network import RolesNetwork
from tests.simulation.roles_plan import CLIENTS, RolesPlan
from tests.simulation.roles_story import Story
from tests.simulation.roles_tags import tagged
from tests.simulation.roles_truth import RolesTruth
from tests.simulation.switchboard import Operated, Switchboard
from tests.simulation.truth import BUCKET, Broken
from tests.simulation.weather import FAIR
from tests.unit.sites import TOML, config_of

BEGAN = 1_767_225_600.0
"""2026-01-01T00:00:00Z"""

SITES = ("east", "west")
DAEMON = """
[daemon]
scan_every = 20
sweep_every = 30
sweep_versions_per_s = 1000
deletes_share = 0.0
[switch]
freeze_max = 10
"""

EAGER_MAX = 30
"""Writes of clients beside those of the plan."""


class RolesWorld:
    """Everything that outlives a process."""

    def __init__(self, plan: RolesPlan, loop: SimulatedLoop, folder: Path) -> None:
        self.plan, self.loop, self.folder = plan, loop, folder
        self.rng = random.Random(f"world {plan.seed}")
        self.log: list[str] = []
        self.site_clock = SimulatedClock(BEGAN, 0.0)
        self.skews = dict(plan.skews)
        can = EVERYTHING
        if not plan.conditions:
            can = replace(
                can, conditional_create=False, conditional_replace=False,
                conditional_complete=False, conditional_delete=False,
            )  # fmt: skip
        self.can = can
        self.regions = {
            name: Region(name, clock=self.site_clock, capabilities=can, seed=number)
            for number, name in enumerate(SITES)
        }
        self.events = {name: Events(self.rng, "in order", "applied") for name in SITES}
        self.board = Switchboard(SITES, ("proxy one", "proxy two"), self.site_clock)
        self.truth = RolesTruth(self.regions, now=self.site_clock.now)
        for region in self.regions.values():
            region.told = self._teller(region.site)
            region.arrived = self._arrived
            region.recorded = self._recorded
            region.tagged = partial(tagged, self.truth)
            region.policed = self._policed
            region.page_max = plan.weather.page
        self.away: dict[tuple[str, str], float] = {}
        self.dead: dict[str, float] = {}
        self.mute_until = self.lossy_until = 0.0
        self.calm = self.no_daemons = False
        self.hosts: dict[int, Host] = {}
        self.daemons: dict[str, Host] = {}
        self.natives: dict[str, Native] = {}
        self.broken: Broken | None = None
        self.extra: list[asyncio.Task[None]] = []
        self.seen: Counter[str] = Counter()
        self.clients = Clients(self)
        self.story = Story(self)
        self.outside = contextvars.copy_context()  # of no process
        self.config = config_of(TOML + DAEMON, folder / "farshore.toml")
        self.config = replace(self.config, state_dir=folder)

    # -- the log ------------------------------------------------------------------------

    def say(self, text: str) -> None:
        if "heartbeat" in text or "status/" in text:
            return
        self.log.append(f"{self.loop.time():9.3f} {text}")

    def broke(self, error: Broken) -> None:
        """Whoever did it would swallow the error: the run ends with it."""
        if self.broken is None:
            self.broken = error
            self.say(f"BROKEN: {error}")

    # -- what the regions do by themselves ------------------------------------------------

    def _teller(self, site: str) -> Any:
        def told(bucket: str, key: str, at: float, size: int, named: tuple[str, ...]) -> None:
            if bucket == BUCKET:
                self.events[site].tell(Hint(bucket, key, at, "", size, named))

        return told

    late = False
    """A request arrives just now whose answer was given up."""

    repeated = False
    """A request arrives just now for the second time."""

    def _arriving(self, late: bool) -> None:
        self.late = late

    def _repeating(self, repeated: bool) -> None:
        self.repeated = repeated

    def _arrived(self, came: Arrival) -> None:
        try:
            # A lane whose conditions were refused looks, and writes without them: what is late
            # may arrive in between. It is taken back: in the end each stands once (`settled`).
            stray = self.late or self.repeated or came.key in self.truth.raced
            native = self.truth.arrived(came, self.board.shown(), stray=stray)
        except Broken as error:
            self.broke(error)
            return
        if native is not None:
            self.natives[came.version_id] = native

    def _policed(self, site: str) -> None:
        if self.late:
            self.seen["policy that arrived late"] += 1
            self.truth.policed_late[site] = self.site_clock.now()

    def _recorded(self, site: str, key: str, body: bytes) -> None:
        try:
            self.truth.recorded(site, key, body)
        except Broken as error:
            self.broke(error)

    def _said(self, source: str, watermark: float | None) -> None:
        try:
            self.truth.exposure_not_understated(source, watermark)
        except Broken as error:
            self.broke(error)

    def shown_divergent(self, found: list[tuple[str, str, str]]) -> None:
        try:
            self.truth.shown_divergent(found)
        except Broken as error:
            self.broke(error)

    # -- ways (`entrance.Way`) -------------------------------------------------------------

    def line(self, host: Host, site: str, user: str) -> RolesNetwork:
        seed = self.plan.seed * 10_000 + host.number * 100 + len(host.lines)
        script, quiet = seeded(seed, self.plan.rates), seeded(seed, Rates())

        def fault(operation: str, bucket: str, key: str, number: int) -> Fault | None:
            return (quiet if self.calm else script)(operation, bucket, key, number)

        latency = 0.005 if self.calm else self.plan.latency_s
        store = self.regions[site].as_user(user)
        way = RolesNetwork(
            store, fault, self.rng, latency, 0.0, lambda text: self._logged(host, text),
            FAIR if self.calm else self.plan.weather, self.seen,
        )  # fmt: skip
        way.is_away = lambda: self._is_away(host.machine, site)
        way.offset = lambda: float(int(self.site_clock.now())) - self.clock(host.machine).now()
        way.arriving, way.repeating = self._arriving, self._repeating
        way.passing = partial(self._passing, host)
        if host.dead:
            way.die()
        host.lines.append(way)
        return way

    def _passing(self, host: Host, action: str, *, after: bool) -> None:
        """Right before or after a request has its effect. Clients write at the worst moments."""
        host.passing(after=after)
        if not host.name.startswith("operator") or action.split()[0] not in WRITES or self.calm:
            return
        if len(self.extra) < EAGER_MAX and self.rng.random() < self.plan.eager:
            now, amount = self.loop.time(), self.rng.randrange(10**6)
            keys = sorted({step.key for step in self.plan.steps if str(step.kind) in CLIENTS})
            if keys:
                kind = "tag" if self.plan.eager_tags and amount % 5 == 0 else "put"
                step = Step(now, kind, keys[amount % len(keys)], amount)
                client = self.clients.do(step, stuck=amount % 4 == 0)
                self.extra.append(self.outside.run(asyncio.create_task, client))

    def _logged(self, host: Host, text: str) -> None:
        if not text.startswith(("get ", "list_", "head ", "server_time")):
            self.say(f"{host.name}: {text}")

    def drivers(self, host: Host) -> list[SwitchDriver]:
        if not self.plan.proxies:
            return [self._driver(host)]
        return [self._driver(host)]

    def _driver(self, host: Host) -> Operated:
        driver = Operated(
            self.board, self.rng, self.plan.latency_s, self._lossy, lambda text: self.say(text)
        )
        driver.freezes = self.plan.proxies
        driver.mute = lambda: self.mute_until > self.loop.time() and not self.calm
        driver.dead = host.dead
        host.drivers.append(driver)
        return driver

    def _lossy(self) -> float:
        return 0.5 if self.lossy_until > self.loop.time() and not self.calm else 0.0

    def is_alive(self, number: int) -> bool:
        return number in self.hosts and not self.hosts[number].dead

    def _is_away(self, machine: str, site: str) -> bool:
        now = self.loop.time()
        if self.dead.get(site, 0.0) > now:
            return True
        return self.away.get((machine, site), 0.0) > now and not self.calm

    def clock(self, machine: str) -> SimulatedClock:
        return SimulatedClock(BEGAN, self.skews.get(machine, 0.0))

    # -- processes ------------------------------------------------------------------------

    def host(self, name: str, machine: str) -> Host:
        host = Host(name, machine, len(self.hosts) + 1, self)
        self.hosts[host.number] = host
        return host

    def start_daemon(self, machine: str) -> None:
        host = self.host(f"daemon {machine}", machine)
        self.daemons[machine] = host
        config = on_machine(self.config, machine)

        def feed_of(source: str) -> SimulatedFeed:
            may = lambda: not host.dead and not self._is_away(machine, source)  # noqa: E731
            return SimulatedFeed(self.events[source], self.rng, may)

        def say(text: str) -> None:
            self.say(f"{host.name}: {text}".replace(str(self.folder), ""))

        host.run(live(config, self.clock(machine), self.rng, feed_of, say, self._said))

    async def kill(self, host: Host) -> None:
        self.say(f"{host.name} is killed")
        host.die()
        await host.bury()

    async def _watch(self) -> None:
        """A supervisor: daemons that end are started again."""
        while True:
            await asyncio.sleep(1.0)
            for machine, host in list(self.daemons.items()):
                if not host.tasks and not host.dead and not isinstance(host.error, StateError):
                    self.broke(Broken(f"{host.name} ended by itself: {host.error!r}"))
                if (host.dead or not host.tasks) and not self.no_daemons:
                    await host.bury()
                    self.start_daemon(machine)

    # -- regions ----------------------------------------------------------------------------

    async def prepare(self, region: Region) -> None:
        """As `farshore apply` leaves a site."""
        for bucket in (BUCKET, self.config.target.control_bucket):
            await region.create_bucket(bucket)
            await region.put_versioning(bucket, True)
        await write_record(region, self.config.site(region.site), self.can)
        if self.truth.loss is not None:
            self.truth.loss.made_at = self.site_clock.now()

    def lose_disks(self, site: str) -> None:
        """All that a region has is gone."""
        disks_lost(self.truth, site)
        self.regions[site].lose_disks()

    async def lift_holds(self, version_ids: Sequence[str]) -> None:
        """A person ends the legal hold of these, wherever they stand."""
        for region in self.regions.values():
            for key in list(region.keys()):
                for held in region.history(key):
                    version = held.version.version_id
                    if version in version_ids and held.attributes.lock.legal_hold:
                        await region.put_legal_hold(BUCKET, key, version, False)

    async def purge(self, version_ids: Sequence[str]) -> None:
        """A person purges these of the site whose disks were lost."""
        loss = self.truth.loss
        if loss is None:
            return
        for version_id in version_ids:
            native = self.truth.natives.pop((loss.site, version_id), None)
            if native is not None:
                await self.regions[loss.site].delete(BUCKET, native.key, version_id)

    # -- from the beginning to the end -----------------------------------------------------

    async def run(self) -> None:
        for region in self.regions.values():
            await self.prepare(region)
        for machine in self.plan.daemons:
            self.start_daemon(machine)
        watching = asyncio.create_task(self._watch())
        happening = asyncio.create_task(self.story.happen())
        await self.story.tell()
        await happening
        for task in self.extra:
            await task
        await self.story.settle()
        watching.cancel()
        if self.broken is None:
            self.truth.settled()
        for host in self.daemons.values():
            await host.bury()

    async def end(self) -> None:
        """What the world does by itself ends first: its supervisor would start daemons again."""
        me = asyncio.current_task()
        of_hosts = {task for host in self.hosts.values() for task in host.tasks}
        for task in [task for task in asyncio.all_tasks() if task not in (me, *of_hosts)]:
            task.cancel()
            await asyncio.wait([task])
        for host in self.hosts.values():
            await host.bury()


def simulate_roles(plan: RolesPlan) -> Outcome:
    """One run."""
    rng = random.Random(f"loop {plan.seed}")
    loop = SimulatedLoop(rng, commits_first=True)
    loop.begun = register
    with simulated(rng):
        return played(plan, loop, partial(RolesWorld, plan))
