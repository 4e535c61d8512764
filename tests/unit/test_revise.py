"""Deletes that wait are cancelled, and shown, when their rule goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farshore.config.values import BucketMap
from farshore.config.values import Pair as PairValues
from farshore.core.plan import DELAYED_MARKER, DELETE_GUARD
from farshore.core.rules import Rule
from farshore.engine.dispatch import Dispatcher
from farshore.engine.guard import GuardLimits
from farshore.engine.revise import revise
from farshore.journal.ledger import Ledgers
from tests.unit.pairs import BUCKET, Pair
from tests.unit.test_dispatch import Live

WEEK_S = 7 * 86400.0
AFTER = Rule(delete_markers="after", delay_s=WEEK_S)


class Restarted(Live):
    """A live pair that can be started again with other rules."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledgers = Ledgers.at()
        self.restart(tuple(self.pair.rules))

    def restart(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.crew.rules = rules
        self.dispatcher = Dispatcher(
            {BUCKET: self.crew},
            self.backlog,
            self.guard,
            self.pair.clock,
            lambda work, _: self.done.append(work),
            self.ledgers,
        )

    async def revise(self) -> int:
        values = PairValues("east-west", "east", "west", (BucketMap(BUCKET, BUCKET),), self.rules)
        return await revise(self.backlog, values, self.pair.clock)

    async def waiting(self, *keys: str) -> None:
        """A file under each key, copied, then deleted; the deletes wait."""
        for key in keys:
            await self.pair.east.put(BUCKET, key, b"one")
        async with self.running():
            await self.note(*keys)
            await self.until(lambda: self.count() == 0)
            for key in keys:
                await self.pair.east.delete(BUCKET, key)
            await self.note(*keys)
            await self.until(lambda: sum(self.summary().causes.values()) == len(keys))

    def cancelled(self) -> list[str]:
        return sorted(row.key for row in self.ledgers.cancelled.latest(100))

    def markers(self) -> int:
        return sum(held.version.is_marker for held in self.pair.west.dump(BUCKET))


CHANGES = pytest.mark.parametrize(
    "rules",
    [
        pytest.param((Rule(delete_markers="never"),), id="never"),
        pytest.param((Rule(exclude=True),), id="exclude"),
        pytest.param((Rule(prefix="elsewhere/"),), id="no rule covers it"),
    ],
)


@CHANGES
async def test_a_delayed_delete_is_cancelled_when_its_rule_goes(rules: tuple[Rule, ...]) -> None:
    live = Restarted(await Pair(rules=(AFTER,)).ready())
    await live.revise()
    await live.waiting("a", "b")
    assert live.summary().causes == {DELAYED_MARKER: 2}
    live.restart(rules)
    assert await live.revise() == 2
    async with live.running():
        await live.until(lambda: live.count() == 0)
    assert (live.cancelled(), live.markers()) == (["a", "b"], 0)
    live.pair.clock.advance(WEEK_S + 1)
    assert await live.revise() == 0, "once is enough"
    assert live.count() == 0


@CHANGES
async def test_a_held_delete_is_cancelled_and_waits_for_nobody(rules: tuple[Rule, ...]) -> None:
    live = Restarted(await Pair().ready(), limits=GuardLimits(count=0, share=0.0))
    await live.revise()
    await live.waiting("a", "b")
    assert live.summary().causes == {DELETE_GUARD: 2}
    live.restart(rules)
    assert await live.revise() == 2
    async with live.running():
        await live.until(lambda: live.count() == 0)
    assert (live.cancelled(), live.markers()) == (["a", "b"], 0)
    assert not live.guard.tripped


async def test_a_held_delete_whose_rule_now_delays_it_is_asked_for_later() -> None:
    live = Restarted(await Pair().ready(), limits=GuardLimits(count=0, share=0.0))
    await live.waiting("a")
    live.restart((AFTER,))
    assert await live.revise() == 1
    async with live.running():
        await live.until(lambda: live.summary().causes == {DELAYED_MARKER: 1})
    assert not live.guard.tripped, "nothing waits for a person now"
    live.pair.clock.advance(WEEK_S + 1)
    async with live.running():
        await live.until(lambda: live.summary().causes == {DELETE_GUARD: 1})
    assert (live.cancelled(), live.markers()) == ([], 0)


async def test_the_same_rules_wake_nothing() -> None:
    live = Restarted(await Pair(rules=(AFTER,)).ready())
    await live.revise()
    await live.waiting("a")
    live.restart((replace(AFTER),))
    assert await live.revise() == 0


async def test_a_shorter_delay_counts_at_once() -> None:
    live = Restarted(await Pair(rules=(AFTER,)).ready())
    await live.revise()
    await live.waiting("a")
    live.pair.clock.advance(100.0)
    live.restart((replace(AFTER, delay_s=60.0),))
    await live.revise()
    async with live.running():
        await live.until(lambda: live.count() == 0)
    assert (live.cancelled(), live.markers()) == ([], 1)
