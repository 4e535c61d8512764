"""Contract of the backlog: what is noted is handed out, in order, until it is done."""

from __future__ import annotations

import asyncio
import math

import pytest

from farshore.feed.hint import Hint
from farshore.journal.backlog import (
    ASKED,
    BACKGROUND,
    LIVE,
    NAMED_MAX,
    SIZE_MAX,
    Backlog,
    Work,
)

from .backlog_hands import (
    FAILED,
    NOW,
    hint,
    naming,
    noted,
    one,
    taken,
    taking,
)


class WorkSuite:
    # -- note ----------------------------------------------------------------------

    async def test_a_new_key_waits_with_what_the_hint_says(self, backlog: Backlog) -> None:
        answer = await backlog.note([hint("a", NOW - 5, 17)], now=NOW)
        generation = answer[0][2]
        assert answer == [("files", "a", generation)]
        expected = Work("files", "a", NOW - 5, generation, LIVE, 0, NOW, 17, "", "", "")
        assert backlog.rows() == [expected]
        assert await backlog.take(NOW, 1) == [expected]

    async def test_nothing_noted_is_nothing(self, backlog: Backlog) -> None:
        assert await backlog.note([], now=NOW) == []
        assert backlog.rows() == []

    async def test_versions_are_named_until_their_key_is_in_step(self, backlog: Backlog) -> None:
        await backlog.note([naming("a", "v1", "v2"), naming("a", "v3")], now=NOW)
        await backlog.note([naming("a", "v2"), naming("b", "w")], now=NOW)
        first = next(work for work in await backlog.take(NOW, 10) if work.key == "a")
        await backlog.note([naming("a", "late")], now=NOW)
        assert sorted(backlog.named(first)) == ["v1", "v2", "v3"], "what came later is for later"
        await backlog.put_back(first, due_at=NOW, attempts=1, **FAILED)
        again = await one(backlog)
        assert sorted(backlog.named(again)) == ["late", "v1", "v2", "v3"]
        await backlog.done(again)
        await backlog.note([naming("a", "next")], now=NOW)
        assert backlog.named(await one(backlog)) == ["next"]

    async def test_names_that_come_while_a_key_is_in_flight_stay(self, backlog: Backlog) -> None:
        await backlog.note([naming("a", "v1")], now=NOW)
        work = await one(backlog)
        await backlog.note([naming("a", "v2")], now=NOW)
        await backlog.done(work)
        assert backlog.named(await one(backlog)) == ["v2"]

    async def test_the_names_of_one_key_are_bounded(self, backlog: Backlog) -> None:
        names = [f"v{n}" for n in range(NAMED_MAX + 50)]
        await backlog.note([naming("a", *names)], now=NOW)
        await backlog.note([naming("a", name) for name in names], now=NOW)
        assert len(backlog.named(await one(backlog))) == NAMED_MAX

    async def test_a_hint_without_a_time_counts_from_now(self, backlog: Backlog) -> None:
        await backlog.note([hint("a", 0.0)], now=NOW)
        assert backlog.rows()[0].since == NOW

    @pytest.mark.parametrize("at", [-1.0, math.nan, math.inf, -math.inf])
    async def test_a_senseless_time_counts_as_none(self, backlog: Backlog, at: float) -> None:
        await backlog.note([hint("a", at)], now=NOW)
        assert backlog.rows()[0].since == NOW

    @pytest.mark.parametrize(("size", "kept"), [(-1, 0), (1 << 80, SIZE_MAX)])
    async def test_a_senseless_size_is_cut(self, backlog: Backlog, size: int, kept: int) -> None:
        await backlog.note([hint("a", NOW, size), hint("b", NOW, size)], now=NOW)
        assert backlog.summary(NOW).bytes == 2 * kept

    @pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "ü\U0010ffff", "' OR 1 --"])
    async def test_every_key_comes_back_as_it_was(self, backlog: Backlog, key: str) -> None:
        await noted(backlog, key, "other")
        assert {row.key for row in backlog.rows()} == {key, "other"}
        assert [row.key for row in backlog.rows(prefix=key) if key] == [key] * bool(key)
        for work in await backlog.take(NOW, 10):
            await backlog.done(work)
        assert backlog.rows() == []

    async def test_a_key_that_waits_is_noted_again(self, backlog: Backlog) -> None:
        ((_, _, first),) = await backlog.note([hint("a", NOW - 1, 5)], now=NOW, priority=ASKED)
        ((_, _, second),) = await backlog.note([hint("a", NOW - 9, 3)], now=NOW + 1, priority=LIVE)
        assert second > first
        assert backlog.rows() == [Work("files", "a", NOW - 9, second, ASKED, 0, NOW, 5, "", "", "")]
        await backlog.note([hint("a", NOW + 7, 8)], now=NOW - 30, priority=BACKGROUND)
        (row,) = backlog.rows()
        assert row[2:8] == (NOW - 9, second + 1, ASKED, 0, NOW - 30, 8)

    async def test_hints_of_one_key_in_one_call_are_one_note(self, backlog: Backlog) -> None:
        answer = await backlog.note([hint("a", 7.0, 1), hint("b"), hint("a", 5.0, 9)], now=NOW)
        assert [key for _, key, _ in answer] == ["a", "b", "a"]
        assert answer[0] == answer[2]
        row = backlog.rows(prefix="a")[0]
        assert (row.since, row.size) == (5.0, 9)

    async def test_buckets_are_apart(self, backlog: Backlog) -> None:
        await backlog.note([Hint("one", "a"), Hint("two", "a")], now=NOW)
        assert [(work.bucket, work.key) for work in await backlog.take(NOW, 9)] == [
            ("one", "a"),
            ("two", "a"),
        ]

    async def test_a_generation_is_never_used_again(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        first = await one(backlog)
        await backlog.done(first)
        await noted(backlog, "a")
        second = await one(backlog)
        assert second.generation > first.generation
        await backlog.done(first)
        assert backlog.rows() == [second]

    async def test_more_than_a_group_at_once(self, backlog: Backlog) -> None:
        hints = [hint(f"{number:04}") for number in range(1201)]
        answer = await backlog.note(hints, now=NOW)
        assert [key for _, key, _ in answer] == [h.key for h in hints]
        assert len({generation for _, _, generation in answer}) == 1201
        assert backlog.summary(NOW).count == 1201

    async def test_many_callers_at_once(self, backlog: Backlog) -> None:
        calls = (noted(backlog, f"{number % 50}") for number in range(2000))
        await asyncio.gather(*calls)
        assert len(await taken(backlog)) == 50

    # -- take ----------------------------------------------------------------------

    async def test_the_order(self, backlog: Backlog) -> None:
        await noted(backlog, "late", now=NOW + 2)
        await noted(backlog, "b", now=NOW)
        await noted(backlog, "a", now=NOW)
        await noted(backlog, "early", now=NOW - 1)
        await noted(backlog, "back", now=NOW - 9, priority=BACKGROUND)
        await noted(backlog, "asked", now=NOW + 3, priority=ASKED)
        assert await taken(backlog, NOW + 5, 2) == ["asked", "early"]
        assert await taken(backlog, NOW + 5) == ["b", "a", "late", "back"]

    async def test_what_is_not_due_waits(self, backlog: Backlog) -> None:
        await noted(backlog, "a", now=NOW)
        assert await taken(backlog, NOW - 0.001) == []
        assert await taken(backlog, NOW) == ["a"]

    async def test_what_is_taken_is_not_taken_twice(self, backlog: Backlog) -> None:
        await noted(backlog, *(f"{number}" for number in range(30)))
        parts = await asyncio.gather(*(taken(backlog, limit=7) for _ in range(6)))
        assert sorted(len(part) for part in parts) == [0, 2, 7, 7, 7, 7]
        assert len({key for part in parts for key in part}) == 30
        assert backlog.summary(NOW).in_flight == 30

    async def test_a_limit_of_nothing(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        assert await taken(backlog, limit=0) == []
        assert await taken(backlog, limit=1) == ["a"]

    async def test_a_taker_who_is_cancelled_has_taken_nothing(self, backlog: Backlog) -> None:
        await noted(backlog, "a", "b")
        for turns in range(12):
            taker = asyncio.create_task(backlog.take(NOW, 1))
            for _ in range(turns):
                await asyncio.sleep(0)
            taker.cancel()
            ((outcome),) = await asyncio.gather(taker, return_exceptions=True)
            if isinstance(outcome, list):
                backlog.release(outcome[0])
        assert await taken(backlog) == ["a", "b"]

    async def test_released_work_can_be_taken_again(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        work = await one(backlog)
        backlog.release(work)
        backlog.release(work)
        assert await one(backlog) == work
        assert backlog.summary(NOW).in_flight == 1

    async def test_release_of_the_work_before_frees_nothing(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        first = await one(backlog)
        backlog.release(first)
        await one(backlog)
        backlog.release(first)
        assert await taken(backlog) == []

    # -- offers ------------------------------------------------------------------------

    async def test_what_is_noted_is_offered_and_counts_as_taken(self, backlog: Backlog) -> None:
        offered: list[Work] = []
        backlog.offer_to(taking(offered))
        await backlog.note([hint("a", NOW - 5, 17), naming("b", "v1")], now=NOW)
        assert offered == backlog.rows()
        assert [backlog.named(work) for work in offered] == [[], ["v1"]]
        assert backlog.summary(NOW).in_flight == 2
        assert await taken(backlog) == []
        assert [await backlog.done(work) for work in offered] == [False, False]
        assert backlog.rows() == []

    async def test_what_nobody_takes_is_there_to_be_taken(self, backlog: Backlog) -> None:
        offered: list[str] = []

        def first_only(work: Work) -> bool:
            offered.append(work.key)
            return len(offered) == 1

        backlog.offer_to(first_only)
        await noted(backlog, "a", "b", "c", "d")
        assert offered == ["a", "b"], "who has no room for one has none for the next"
        assert await taken(backlog) == ["b", "c", "d"]
        backlog.offer_to(None)
        await noted(backlog, "e")
        assert offered == ["a", "b"]

    async def test_what_is_in_flight_is_not_offered_again(self, backlog: Backlog) -> None:
        offered: list[Work] = []
        backlog.offer_to(taking(offered))
        ((*_, first),) = await backlog.note([hint("a", NOW - 5)], now=NOW)
        ((*_, second),) = await backlog.note([hint("a", NOW - 3)], now=NOW)
        (work,) = offered
        assert first == work.generation < second
        assert await backlog.done(work), "it was noted meanwhile"
        again = await one(backlog)
        assert (again.generation, again.since) == (second, NOW - 3)
        await noted(backlog, "a")
        assert await backlog.put_back(again, due_at=math.inf, attempts=1, **FAILED)
        assert await taken(backlog) == ["a"]

    async def test_what_is_done_while_it_is_noted_is_applied(self, backlog: Backlog) -> None:
        finishing: list[asyncio.Task[bool]] = []

        def finish(work: Work) -> bool:
            finishing.append(asyncio.ensure_future(backlog.done(work)))
            return True

        backlog.offer_to(finish)
        ((_, key, generation),) = await backlog.note([hint("a")], now=NOW)
        await backlog.applied("files", key, generation)
        await asyncio.gather(*finishing)
        assert backlog.rows() == []

    # -- done and put_back -----------------------------------------------------------

    async def test_what_is_done_is_gone(self, backlog: Backlog) -> None:
        await noted(backlog, "a", "b")
        first, _ = await backlog.take(NOW, 2)
        await backlog.done(first)
        assert [row.key for row in backlog.rows()] == ["b"]
        assert backlog.summary(NOW).in_flight == 1
        await backlog.done(first)
        assert [row.key for row in backlog.rows()] == ["b"]

    async def test_noted_while_in_flight(self, backlog: Backlog) -> None:
        await backlog.note([hint("a", NOW - 60, 100)], now=NOW)
        work = await one(backlog)
        assert await taken(backlog) == []
        await backlog.note([hint("a", NOW + 20, 7)], now=NOW + 21)
        ((_, _, last),) = await backlog.note([hint("a", NOW + 10, 9)], now=NOW + 22)
        assert await taken(backlog, NOW + 30) == []
        assert backlog.rows()[0].since == NOW - 60
        await backlog.done(work)
        again = await one(backlog, NOW + 22)
        assert (again.since, again.generation, again.size) == (NOW + 10, last, 9)
        await backlog.done(again)
        assert backlog.rows() == []

    async def test_note_and_done_in_one_breath(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        work = await one(backlog)
        await asyncio.gather(
            backlog.note([hint("a", NOW + 5)], now=NOW + 5),
            backlog.done(work),
        )
        assert (await one(backlog, NOW + 5)).since == NOW + 5

    async def test_put_back_says_why_and_when(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        work = await one(backlog)
        await backlog.put_back(work, due_at=NOW + 60, attempts=3, **FAILED)
        assert await taken(backlog, NOW + 59) == []
        assert await one(backlog, NOW + 60) == work._replace(due_at=NOW + 60, attempts=3, **FAILED)

    async def test_put_back_of_a_key_that_was_noted_again(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        work = await one(backlog)
        await noted(backlog, "a", now=NOW + 5)
        await backlog.put_back(work, due_at=NOW + 60, attempts=1, **FAILED)
        again = await one(backlog, NOW + 5)
        assert (again.since, again.attempts, again.reason) == (work.since, 1, "FAILED")
        await noted(backlog, "a", now=NOW + 6)
        await backlog.done(again)
        (row,) = backlog.rows()
        assert (row.since, row.attempts, row.reason, row.cause) == (NOW + 6, 0, "", "")

    async def test_a_note_makes_due_what_was_put_back(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        await backlog.put_back(await one(backlog), due_at=math.inf, attempts=1, **FAILED)
        assert await taken(backlog, NOW * 2) == []
        await noted(backlog, "a", now=NOW + 5)
        work = await one(backlog, NOW + 5)
        assert (work.reason, work.attempts) == ("FAILED", 1)

    async def test_put_back_of_what_is_gone(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        work = await one(backlog)
        await backlog.done(work)
        await backlog.put_back(work, due_at=NOW, attempts=1, **FAILED)
        assert backlog.rows() == []
