"""`sync PREFIX`: noted first, waited for, and what is left of it."""

from __future__ import annotations

import math

from farshore.engine.asked import Asked, ask, progress
from farshore.engine.reconcile import Scan
from farshore.engine.session import Sides
from farshore.errors import Denied
from farshore.feed.hint import Hint
from farshore.journal.backlog import ASKED, LIVE
from farshore.journal.deletes import WaitingDeletes
from farshore.testing.store.faults import Fail, on, unreachable
from tests.unit.pairs import BUCKET, Pair
from tests.unit.test_dispatch import Live


async def asked_for(live: Live, prefix: str) -> Asked:
    clock, crew = live.pair.clock, live.crew
    sides = [Sides(crew.source, crew.target)]
    return await ask(sides, (), prefix, live.backlog, WaitingDeletes(), clock, Scan(clock.now()))


async def test_what_is_below_the_prefix_goes_first_and_nothing_else_is_asked_for() -> None:
    live = Live(await Pair().ready())
    for key in ("a/1", "a/2", "b"):
        await live.pair.east.put(BUCKET, key, b"one")
    await live.note("a/2", "b")
    asked = await asked_for(live, "a/")
    assert {work.key: work.priority for work in live.backlog.rows()} == {
        "a/1": ASKED,
        "a/2": ASKED,
        "b": LIVE,
    }
    assert [work.key for work in progress(live.backlog, asked).waiting] == ["a/1", "a/2"]
    async with live.running():
        await live.until(lambda: not progress(live.backlog, asked).waiting)
    assert progress(live.backlog, asked).left == []


async def test_what_is_written_later_or_in_another_bucket_is_not_waited_for() -> None:
    live = Live(await Pair().ready())
    asked = await asked_for(live, "")
    live.pair.clock.advance(10)
    now = live.pair.clock.now()
    await live.backlog.note([Hint(BUCKET, "new", now), Hint("other", "k", 1.0)], now=now)
    assert progress(live.backlog, asked) == progress(Live(live.pair).backlog, asked)
    await live.backlog.note([Hint(BUCKET, "new", asked.until)], now=now)
    assert len(progress(live.backlog, asked).waiting) == 1


async def test_what_fails_is_left_with_its_reason_and_what_has_no_answer_waits() -> None:
    def refusal(action: str) -> Denied:
        return Denied(f"{action}: AccessDenied", status=403, code="AccessDenied")

    denied = Live(await Pair().ready(), target_script=on("put", Fail(refusal), times=99, key="bad"))
    away = Live(await Pair().ready(), target_script=on("put", unreachable(), times=9999))
    for live in (denied, away):
        for key in ("bad", "good"):
            await live.pair.east.put(BUCKET, key, b"one")
    away.pair.clock.advance(3600)
    asked = await asked_for(denied, "")
    async with denied.running():
        await denied.until(lambda: not progress(denied.backlog, asked).waiting)
    (left,) = progress(denied.backlog, asked).left
    assert (left.key, left.reason, left.cause) == ("bad", "FAILED", "AccessDenied")
    again = await asked_for(denied, "")
    assert [work.key for work in progress(denied.backlog, again).waiting] == ["bad"], "not tried"

    asked = await asked_for(away, "")
    async with away.running():
        await away.until(lambda: away.summary().causes.get("Unreachable") == 2)
    assert len(progress(away.backlog, asked).waiting) == 2


async def test_a_held_delete_is_left_and_a_delayed_marker_is_not_asked_for() -> None:
    live = Live(await Pair().ready())
    asked = Asked("", frozenset({BUCKET}), live.pair.clock.now(), math.inf)
    for key, cause in (("held", "DeleteGuard"), ("delayed", "DelayedMarker")):
        await live.note(key)
        (work,) = await live.backlog.take(live.pair.clock.now(), 9)
        await live.backlog.put_back(
            work, due_at=math.inf, reason="PENDING", cause=cause, explanation="", attempts=0
        )
    stands = progress(live.backlog, asked)
    assert (list(stands.waiting), [work.key for work in stands.left]) == ([], ["held"])
