"""One backfill of a whole pair: the lease held, every bucket in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import replace
from functools import partial

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.held import HeldDocuments
from farshore.control.keeper import EXCHANGE_SECONDS_MAX, Keeper
from farshore.control.lease import hold, obeys_conditions
from farshore.control.mandate import require_still, under_mandate
from farshore.control.record import open_plane
from farshore.control.replicated import Replicated, Vanished
from farshore.control.sites import open_store
from farshore.engine.backfill import Backfill, Scope
from farshore.engine.gate import COUNT_MIN, Gate, GateLimits
from farshore.engine.lane import Crew
from farshore.engine.session import Sides, open_sides
from farshore.engine.tally import Tally
from farshore.errors import StoreError
from farshore.fence.waiting import put_up_all
from farshore.journal.deletes import HeldDelete, WaitingDeletes
from farshore.journal.doubts import Doubts
from farshore.journal.sqlite import SqliteJournal
from farshore.s3.capabilities import Capabilities
from farshore.s3.pace import Throttle
from farshore.s3.store import Store
from farshore.s3.wrap import Retrying

JOURNAL_FILE = "journal.sqlite"


def lease_name(config: Config) -> str:
    """Whoever writes replicas of this pair holds this lease."""
    return f"replicate-{config.pair.name}"


async def backfill_all(
    config: Config,
    scope: Scope,
    tally: Tally,
    stop: asyncio.Event,
    clock: Clock,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Copy what is missing in every bucket of the pair, one worker at a time.

    Counts in `tally`; `say` is told of buckets that are gone. Raises `Refused` when another
    worker holds the lease, `Interrupted` after an orderly stop, `Unreachable` when a site is
    lost, `StateError`.
    """
    async with working_crews(config, tally, stop, clock) as crews:
        for gone in await vanished_buckets(config, crews[0]) if crews else ():
            say(f"{gone.text(config)}.")
        for crew in crews:
            await Backfill(crew, scope).run()


@asynccontextmanager
async def working_crews(
    config: Config,
    tally: Tally,
    stop: asyncio.Event,
    clock: Clock,
    throttle: Throttle | None = None,
    waiting: WaitingDeletes | None = None,
    *,
    leaving_out: bool = False,
) -> AsyncIterator[list[Crew]]:
    """A crew for every pair of buckets, while the source is primary and the lease is held.

    `waiting`: the held deletes, for who keeps them; else they are read from the target, and
    those that come into step leave the list there at the end.
    `leaving_out`: see `open_sides`.
    Fences that wait for a site are put up before anything else is done with it.
    `Refused` when another worker holds the lease, or the control record forbids copying, or
    another pair writes into one of the buckets.
    """
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(open_plane(config, clock))
        await put_up_all(config, plane, clock, await plane.peek())
        buckets = await stack.enter_async_context(
            open_sides(config, retrying=False, throttle=throttle, leaving_out=leaving_out)
        )
        if not buckets:
            yield []
            return
        journal = SqliteJournal(config.state_dir / JOURNAL_FILE)
        stack.callback(journal.close)
        mandate = under_mandate(plane, config.pair.source, clock=clock)
        epoch = await stack.enter_async_context(mandate)
        require_ours = partial(require_still, plane, config.pair.source, epoch)
        control = open_store(config, config.pair.target, "replicator")
        stack.push_async_callback(control.aclose)
        capabilities = buckets[0].target.capabilities
        await stack.enter_async_context(
            hold(
                Retrying(control),
                config.target.control_bucket,
                lease_name(config),
                capabilities=capabilities,
                clock=clock,
            )
        )
        replicated = Replicated(Retrying(control), config, strong=obeys_conditions(capabilities))
        pairs = [(sides.source.bucket, sides.target.bucket) for sides in buckets]
        await replicated.remember(pairs)
        await replicated.require_sole_writer(pairs, clock)
        if waiting is None:
            documents = held_documents(config, control, capabilities)
            waiting = await stack.enter_async_context(kept_up_to_date(documents))
        doubts = stack.enter_context(closing(Doubts(clock, config.state_dir / JOURNAL_FILE)))
        crews = [make_crew(config, sides, tally, stop, clock, journal) for sides in buckets]
        for crew in crews:
            crew.waiting = waiting
            crew.target = replace(crew.target, doubts=doubts, require_ours=require_ours)
        yield crews


async def vanished_buckets(config: Config, sides: Sides | Crew) -> list[Vanished]:
    """Buckets of a pattern that were replicated and are gone from the source."""
    if not config.pair.has_patterns:
        return []
    replicated = Replicated(Retrying(sides.target.store), config)
    return await replicated.vanished(await Retrying(sides.source.store).list_buckets())


def held_documents(config: Config, store: Store, capabilities: Capabilities) -> HeldDocuments:
    """The pair's held deletes on the target; `store` is the target's, without retries."""
    bucket, pair = config.target.control_bucket, config.pair.name
    return HeldDocuments(Retrying(store), bucket, pair, strong=obeys_conditions(capabilities))


async def standing_deletes(documents: HeldDocuments) -> WaitingDeletes:
    """What people decided about deletes, read now. Raises what documents raise."""
    return WaitingDeletes.of((await documents.read()).rows.values())


@asynccontextmanager
async def kept_up_to_date(documents: HeldDocuments) -> AsyncIterator[WaitingDeletes]:
    """Held deletes in memory, for a run that holds the lease and is no daemon. What has been
    settled of them is published when it ends. Raises what documents raise, at the beginning.

    What it does not reach is looked at by the next daemon: the edition is another one then.
    """
    with closing(WaitingDeletes()) as waiting:
        keeper = Keeper(documents, waiting, _not_now)
        await keeper.exchange()
        try:
            yield waiting
        finally:
            # Should this fail, the first scan of the next daemon does the same.
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(EXCHANGE_SECONDS_MAX):
                    await keeper.exchange()


async def _not_now(_: Sequence[HeldDelete]) -> None:
    """The run looks at every key by itself."""


def make_crew(
    config: Config,
    sides: Sides,
    tally: Tally,
    stop: asyncio.Event,
    clock: Clock,
    journal: SqliteJournal,
) -> Crew:
    """What the lanes of one pair of buckets share."""
    most = config.limits.concurrency_max
    limits = GateLimits(min(COUNT_MIN, most), most, config.limits.memory_bytes)
    return Crew(
        source=sides.source,
        target=sides.target,
        rules=config.pair.rules,
        clock=clock,
        journal=journal,
        gate=Gate(limits, clock),
        tally=tally,
        stop=stop,
    )
