"""One run: two sites, clients, a daemon that dies now and then, and a checker that looks on."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import get_args

from farshore.core.plan import LATE_WRITE
from farshore.daemon import service
from farshore.engine import dispatch
from farshore.errors import BucketMissing, FarshoreError, StateError
from farshore.feed.hint import Hint
from farshore.journal.deletes import Verdict
from farshore.testing.store.faults import Fault
from farshore.testing.store.scripts import Rates, seeded
from tests.simulation.clients import Clients
from tests.simulation.feed import Events, SimulatedFeed
from tests.simulation.fortunes import Fortunes
from tests.simulation.ground import MORE, Fortune, buckets_of, is_paired
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import (
    LATE_S,
    Network,
)
from tests.simulation.outcome import Outcome
from tests.simulation.plan import Plan, Step
from tests.simulation.played import played
from tests.simulation.process import Process, SimulatedClock
from tests.simulation.replaced import Place, by_seed, replaced
from tests.simulation.sites import Omitting, Watched, sites_of
from tests.simulation.truth import BUCKET, Broken, Truth, Truths
from tests.simulation.witness import Witness
from tests.unit.sites import TOML, config_of

BEGAN = 1_767_225_600.0
"""2026-01-01T00:00:00Z"""

SETTLES_WITHIN_S = 3_000.0
"""Once nothing goes wrong any more, all is in step after so long at the latest."""

SWEEP_EVERY_S = 15.0
"""A sweep that ends so long after all is calm has begun after it."""

DAEMON = """
[daemon]
scan_every = 20
sweep_every = {sweep}
sweep_versions_per_s = 1000
deletes_count = {deletes}
deletes_share = 0.0
"""

SLOWER: list[Place] = [
    (dispatch, "IDLE_S", 2.0),
    (service, "PUBLISH_EVERY_S", 10.0),
]
"""What is only polled or told now and then is so less often here: runs are cheaper."""

BEGIN_AGAIN_S = 0.7
AWAY_MAX_S = 45.0
DISK_FULL_S = 2.0


class World:
    """Everything that outlives a process."""

    def __init__(self, plan: Plan, loop: SimulatedLoop, folder: Path) -> None:
        self.plan, self.loop, self.folder = plan, loop, folder
        self.rng = random.Random(plan.seed + 1)
        self.log: list[str] = []
        self.clock = SimulatedClock(BEGAN, 0.0)
        self.site_clock = SimulatedClock(BEGAN, 0.0)
        self.east, self.west, self.can = sites_of(plan, self.site_clock)
        self.truth = Truths(
            (
                bucket,
                Truth(self.east, self.west, bucket, strict=plan.strict, names_all=plan.names_all),
            )
            for bucket in (BUCKET, *MORE)
        )
        self.seen: Counter[str] = Counter()
        self.witness = Witness(plan, self.truth, self.seen, self._broke, loop.time)
        self.clients = Clients(self.east, self.site_clock.now, self.rng)
        self.events = Events(self.rng, plan.hints, plan.settles)
        self.east.told = self._told
        self.west.appended = self.witness.appended
        self.west.marked = self.witness.marked
        self.away = {"east": 0.0, "west": 0.0}
        self.calm_at = 0.0
        self.sweeps: set[float | None] = set()  # when those ended that ended while all was calm
        self.forgetful = False  # the journal was lost, and with it what was given up
        self.own: set[asyncio.Task[None]] = set()
        self.process: Process | None = None
        self.config = config_of(
            TOML
            + buckets_of(plan.ground)
            + DAEMON.format(sweep=SWEEP_EVERY_S, deletes=plan.deletes_count),
            folder / "farshore.toml",
        )
        control = self.config.target.control_bucket
        self.fortunes = Fortunes(self.east, self.west, control, self.witness.losing)

    def say(self, text: str) -> None:
        """One line of the log; what goes on all the time is left out once all is calm."""
        if self.witness.calm and ("heartbeat" in text or "farshore-control" in text):
            return
        self.log.append(f"{self.loop.time():9.3f} {text}")

    # -- what the sites do by themselves ---------------------------------------------

    def _told(self, bucket: str, key: str, at: float, size: int, named: tuple[str, ...]) -> None:
        if is_paired(bucket):
            self.events.tell(Hint(bucket, key, at, "", size, named))

    def _missed(self, began: float) -> None:
        """A bucket is missing: whoever asks once more knows whether it is the target's."""
        gone = any(not self.west.has(bucket) for bucket in self.fortunes.buckets)
        if gone and self.away["west"] <= self.loop.time():
            self.witness.scanned(began)

    def _said(self, watermark: float | None) -> None:
        self._excuse_held()
        process = self.process
        rows = process.backlog.rows if process is not None and not self.forgetful else None
        try:
            for bucket, truth in self.truth.items():
                truth.said(watermark)
                if truth.strays and rows is not None:
                    known = {row.key for row in rows() if row.bucket == bucket}
                    truth.strays_are_known(known)
        except Broken as error:
            self._broke(error)

    def _excuse_held(self) -> None:
        """What the delete guard holds back is not owed."""
        if self.process is not None and self.plan.deletes_count <= 1000:
            for delete in self.process.waiting.rows():
                self.truth[delete.bucket].excused.add(delete.key)

    def _broke(self, error: Broken) -> None:
        """Whoever did it would swallow the error: the run ends with it."""
        if self.broken is None:
            self.broken = error
            self.say(f"BROKEN: {error}")

    broken: Broken | None = None

    # -- processes -----------------------------------------------------------------------

    def _way(self, store: Watched, seed: int) -> Network:
        script = seeded(seed, self.plan.rates)
        quiet = seeded(seed, Rates())

        def fault(operation: str, bucket: str, key: str, number: int) -> Fault | None:
            return (quiet if self.witness.calm else script)(operation, bucket, key, number)

        way = Network(
            store, fault, self.rng, self.plan.latency_s, self.plan.late_answers, self.say,
            self.plan.weather, self.seen,
        )  # fmt: skip
        way.is_away = lambda: self.away[store.site] > self.loop.time() and not self.witness.calm
        way.offset = lambda: float(int(self.site_clock.now())) - self.clock.now()
        way.arriving = partial(self.witness.arriving, self.witness.starts)
        way.repeating = self.witness.repeating
        way.blind = self.witness.without_condition
        if store is self.east:
            way.passing = self.witness.at_source
        return way

    def start(self) -> None:
        self.witness.starts += 1
        seed = self.plan.seed * 1000 + self.witness.starts
        ways = (self._way(self.east, seed), self._way(self.west, seed + 500))
        if self.witness.calm:
            for way in ways:
                way.calm()
        self.process = Process(
            self.config, self.folder, self.clock, ways, self.can, self.rng,
            self._said, self.plan.remembered_max, self.plan.ground,
        )  # fmt: skip
        self.process.reporter.scanned = self.witness.scanned
        self.process.reporter.missed = self._missed
        self.process.reporter.left_out = self.witness.left_out
        mine = ways[0]
        feed = SimulatedFeed(self.events, self.rng, lambda: not mine.dead and not mine.is_away())
        self.process.service.feeds.append(feed)
        self.process.start()
        self.say("start")

    async def _restart(
        self, *, lose_journal: bool = False, gently: bool = False, powerless: bool = False
    ) -> None:
        process = self.process
        if process is None:
            return
        self.process = None
        self.witness.died()
        if powerless or lose_journal:
            self.forgetful = True
            self.witness.doubts_are_gone()
        if powerless:
            self.seen["power cut that undid commits"] += await process.lose_power(self.own)
        else:
            await (process.stop(self.own) if gently else process.kill(self.own))
        if lose_journal:
            for path in sorted(self.folder.glob("*.db*")):
                path.unlink()
        await asyncio.sleep(BEGIN_AGAIN_S)
        self.start()

    async def _watch(self) -> None:
        """A supervisor: what ends by itself is started again."""
        while True:
            await asyncio.sleep(1.0)
            process = self.process
            if process is None or (error := process.ended) is None:
                continue
            self.say(f"it ended: {str(error).replace(str(self.folder), '')}")
            if not isinstance(error, StateError):
                self._broke(Broken(f"the daemon died of {error!r}"))
            await self._restart()

    # -- clients and troubles --------------------------------------------------------------

    def spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self.own.add(task)
        task.add_done_callback(self.own.discard)
        return task

    async def _story(self) -> None:
        doing: list[asyncio.Task[None]] = []
        for step in self.plan.steps:
            await asyncio.sleep(max(0.0, step.at - self.loop.time()))
            self.say(f"step: {step.kind} {step.bucket}/{step.key} {step.amount}")
            doing.append(self.spawn(self._do(step)))
        for task in doing:
            await task

    async def _do(self, step: Step) -> None:
        self.seen[step.kind] += 1
        match step.kind:
            case "kill":
                await self._restart()
            case "kill and lose the journal":
                await self._restart(lose_journal=True)
            case "stop":
                await self._restart(gently=True)
            case "power cut":
                await self._restart(powerless=True)
            case "jump":
                self.clock.skew += (step.amount % 200) / 10 - 10
            case "away":
                self.away[step.key] = self.loop.time() + step.amount % AWAY_MAX_S
            case "cut the feed":
                self.events.cut()
            case "disk full":
                self.loop.disk_full = True
                await asyncio.sleep(DISK_FULL_S)
                self.loop.disk_full = False
            case "foreign":
                self.truth[BUCKET].touched.add(step.key)
                with contextlib.suppress(BucketMissing):
                    await self.west.put(BUCKET, step.key, b"theirs %d" % step.amount)
            case "empty":
                shown = [held.version for held in self.west.dump(BUCKET)]
                self.witness.endangered = frozenset(
                    one.key for one in shown if one.is_latest and not one.is_marker
                )
                for key in sorted(self.truth[BUCKET].histories):
                    await self._client(Step(step.at, "delete", key, 0))
            case _ if step.kind in get_args(Fortune):
                await self.fortunes.befall(step)
            case _:
                await self._client(step)

    async def _client(self, step: Step) -> None:
        if step.bucket in self.fortunes.buckets:
            await self.clients.do(step, self.truth[step.bucket])

    # -- from the beginning to the end -----------------------------------------------------

    async def run(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        self.own.add(me)
        await self.fortunes.begin([BUCKET, *self.plan.ground.buckets])
        self.start()
        watching = self.spawn(self._watch())
        story = self.spawn(self._story())
        await story
        await self._settle()
        watching.cancel()
        if self.process is not None:
            await self.process.kill(self.own)
        omitted = sum(one.omitted for one in (self.east, self.west) if isinstance(one, Omitting))
        self.seen["listing that omits what stands"] += omitted
        if self.broken is None:
            for truth in self.truth.values():
                truth.settled()

    async def _settle(self) -> None:
        """Nothing goes wrong any more: wait until all is in step."""
        self.witness.calm, self.calm_at = True, self.clock.now()
        self.say("calm")
        await asyncio.sleep(LATE_S)  # what is late has arrived by then
        began = self.site_clock.now()
        if self.process is not None:
            for way in self.process.ways:
                way.calm()
            self.process.service.scan_now.set()
        until = self.loop.time() + SETTLES_WITHIN_S
        while not self._in_step(began):
            if self.broken is not None:
                return
            if self.loop.time() > until:
                rows = self.process.backlog.rows() if self.process else []
                raise Broken(f"it never settles: {rows[:3]}")
            await asyncio.sleep(2.0)
            await self._approve()

    async def _approve(self) -> None:
        """A person looks at what the delete guard holds, and lets it through."""
        process = self.process
        if process is None or not process.waiting.any_held():
            return
        self._excuse_held()  # they count from now on (`_look_again`)
        rows = process.waiting.rows()
        process.waiting.decide(rows, Verdict("released", "anna", "desk", self.clock.now()))
        with contextlib.suppress(FarshoreError):
            await process.service._look_again(
                [row.held() for row in process.waiting.standing() if row.decision == "released"]
            )

    async def end(self) -> None:
        """The process, and then all others."""
        me = asyncio.current_task()
        assert me is not None
        if self.process is not None and not self.process.ways[0].dead:
            await self.process.kill({me})
        for task in [task for task in asyncio.all_tasks() if task is not me]:
            task.cancel()
            await asyncio.wait([task])

    def _in_step(self, since: float) -> bool:
        """A scan has begun after `since`, a second sweep has ended, and nothing waits. The first
        may have begun long before, and been over a version before its tags changed."""
        process = self.process
        if process is None:
            return False
        mark, sweep = process.reporter.mark, process.reporter.sweep
        if mark.scanned_at is None or mark.scanned_at < since:
            return False
        if sweep is not None and (sweep.finished_at or 0.0) > self.calm_at:
            self.sweeps.add(sweep.finished_at)
        swept = len(self.sweeps) > 1
        if any(step.kind == "tag" for step in self.plan.steps) and not swept:
            return False
        rows = process.backlog.rows()
        for row in rows:
            truth = self.truth[row.bucket]
            if (row.reason, row.cause) == ("FAILED", LATE_WRITE):
                self.seen["late write that is locked"] += row.key not in truth.touched
                truth.touched.add(row.key)
            if (row.reason, row.cause) == ("FAILED", "Gap") and row.key in truth.torn:
                self.seen["gap after a loss, for a person"] += row.key not in truth.touched
                truth.touched.add(row.key)
        return all(row.key in self.truth[row.bucket].touched for row in rows)


def simulate(plan: Plan) -> Outcome:
    """One run."""
    with replaced([*SLOWER, *by_seed(random.Random(f"dice {plan.seed}"))]):
        return played(plan, SimulatedLoop(random.Random(plan.seed + 2)), partial(World, plan))
