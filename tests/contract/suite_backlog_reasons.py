"""Contract of the backlog: why keys wait, what that holds back, and what people are shown."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from farshore.core.plan import LATE_WRITE
from farshore.journal.backlog import (
    WORDS_MAX,
    Backlog,
)

from .backlog_hands import (
    DELAYED,
    EXCUSED,
    FAILED,
    NOW,
    WATCHED,
    hint,
    noted,
    one,
    soon,
    taken,
)


class ReasonSuite:
    # -- what does not hold the watermark back ------------------------------------------

    @pytest.mark.parametrize("why", [EXCUSED, DELAYED])
    async def test_an_excuse_covers_no_later_change(
        self, backlog: Backlog, why: dict[str, Any]
    ) -> None:
        await noted(backlog, "a")
        await backlog.put_back(await one(backlog), due_at=math.inf, attempts=0, **why)
        assert backlog.summary(NOW).oldest_since is None
        await backlog.note([hint("a", NOW)], now=NOW + 1)  # the same, told again
        assert backlog.summary(NOW).oldest_since is None
        assert backlog.rows()[0].reason == why["reason"]
        await backlog.note([hint("a", NOW + 2)], now=NOW + 3)
        assert backlog.summary(NOW).oldest_since == NOW + 2
        assert backlog.rows()[0].reason == ""

    @pytest.mark.parametrize("why", [EXCUSED, DELAYED])
    async def test_an_excuse_covers_no_change_that_came_meanwhile(
        self, backlog: Backlog, why: dict[str, Any]
    ) -> None:
        ((*_, generation),) = await backlog.note([hint("a")], now=NOW)
        work = await one(backlog)
        await noted(backlog, "a", now=NOW + 2)
        await backlog.put_back(work, due_at=math.inf, attempts=0, **why)
        assert backlog.summary(NOW).oldest_since == NOW + 2
        await backlog.applied("files", "a", generation)
        assert (await one(backlog, NOW + 2)).reason == ""

    async def test_what_was_excused_and_fails_counts_from_its_due_time(
        self, backlog: Backlog
    ) -> None:
        await noted(backlog, "a")
        await backlog.put_back(await one(backlog), due_at=NOW + 900, attempts=0, **DELAYED)
        work = await one(backlog, NOW + 1000)
        await backlog.put_back(work, due_at=math.inf, attempts=1, **FAILED)
        assert backlog.summary(NOW).oldest_since == NOW + 900

    async def test_a_failure_is_as_old_as_its_oldest_change(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        await backlog.put_back(await one(backlog), due_at=math.inf, attempts=1, **FAILED)
        await noted(backlog, "a", now=NOW + 2)
        assert backlog.summary(NOW).oldest_since == NOW

    async def test_long_and_broken_words_are_kept_as_far_as_they_can(
        self, backlog: Backlog
    ) -> None:
        await noted(backlog, "a")
        await backlog.put_back(
            await one(backlog),
            due_at=NOW,
            attempts=1,
            reason="FAILED",
            cause="\udcff",
            explanation="x" * (WORDS_MAX + 1),
        )
        (row,) = backlog.rows()
        assert (row.cause, row.explanation) == ("\\udcff", "x" * WORDS_MAX)

    # -- applied ---------------------------------------------------------------------

    async def test_applied_waits_for_done(self, backlog: Backlog) -> None:
        ((*_, generation),) = await backlog.note([hint("a")], now=NOW)
        waiting = asyncio.ensure_future(backlog.applied("files", "a", generation))
        work = await one(backlog)
        assert not await soon(waiting)
        await backlog.done(work)
        await waiting
        await backlog.applied("files", "a", generation)

    async def test_applied_waits_for_its_own_generation(self, backlog: Backlog) -> None:
        ((*_, first),) = await backlog.note([hint("a")], now=NOW)
        work = await one(backlog)
        ((*_, second),) = await backlog.note([hint("a")], now=NOW)
        early = asyncio.ensure_future(backlog.applied("files", "a", first))
        late = asyncio.ensure_future(backlog.applied("files", "a", second))
        await backlog.done(work)
        await early
        assert not await soon(late)
        await backlog.applied("files", "a", first)
        await backlog.done(await one(backlog))
        await late

    @pytest.mark.parametrize("before", [True, False])
    async def test_applied_ends_with_a_reason_but_not_without(
        self, backlog: Backlog, before: bool
    ) -> None:
        ((*_, generation),) = await backlog.note([hint("a")], now=NOW)
        plain: dict[str, Any] = {"reason": "", "cause": "", "explanation": ""}
        await backlog.put_back(await one(backlog), due_at=NOW, attempts=1, **plain)
        waiting = asyncio.ensure_future(backlog.applied("files", "a", generation))
        assert not await soon(waiting)
        if before:
            waiting.cancel()
        await backlog.put_back(await one(backlog), due_at=NOW, attempts=1, **FAILED)
        await (backlog.applied("files", "a", generation) if before else waiting)

    async def test_an_old_reason_does_not_settle_a_new_note(self, backlog: Backlog) -> None:
        await noted(backlog, "a")
        await backlog.put_back(await one(backlog), due_at=NOW, attempts=1, **FAILED)
        ((*_, generation),) = await backlog.note([hint("a")], now=NOW)
        waiting = asyncio.ensure_future(backlog.applied("files", "a", generation))
        assert not await soon(waiting)
        await backlog.done(await one(backlog))
        await waiting

    async def test_applied_of_a_key_that_came_again(self, backlog: Backlog) -> None:
        ((*_, first),) = await backlog.note([hint("a")], now=NOW)
        await backlog.done(await one(backlog))
        await noted(backlog, "a")
        await backlog.applied("files", "a", first)

    async def test_those_who_wait_are_cancelled_at_the_end(self, backlog: Backlog) -> None:
        ((*_, generation),) = await backlog.note([hint("a")], now=NOW)
        waiting = asyncio.ensure_future(backlog.applied("files", "a", generation))
        assert not await soon(waiting)
        await backlog.aclose()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    # -- for people ------------------------------------------------------------------

    async def test_retry_makes_due_what_failed(self, backlog: Backlog) -> None:
        await noted(backlog, "a/failed", "a/again", "a/held", "b/failed", "a/new", now=NOW)
        ends: dict[str, tuple[str, int]] = {
            "a/failed": ("UNSUPPORTED", 0),
            "a/again": ("PENDING", 2),
            "a/held": ("PENDING", 0),
            "b/failed": ("FAILED", 1),
        }
        for work in await backlog.take(NOW, 4):
            reason, attempts = ends[work.key]
            await backlog.put_back(
                work,
                due_at=NOW + 900,
                attempts=attempts,
                reason=reason,
                cause="x",
                explanation="y",
            )
        assert await backlog.retry("a/") == 2
        due = await backlog.take(NOW, 9)
        assert [work.key for work in due] == ["a/failed", "a/again", "a/new"]
        assert [work.reason for work in due] == ["UNSUPPORTED", "PENDING", ""]
        assert {work.attempts for work in due} == {0}
        assert await backlog.retry() == 2
        assert await taken(backlog) == ["b/failed"]
        assert await backlog.retry("%") == 0

    async def test_retry_of_more_than_a_group(self, backlog: Backlog) -> None:
        await noted(backlog, *(f"{number:04}" for number in range(1100)))
        works = await backlog.take(NOW, 2000)
        puts = (backlog.put_back(w, due_at=NOW + 9, attempts=1, **FAILED) for w in works)
        await asyncio.gather(*puts)
        assert await taken(backlog) == []
        assert await backlog.retry() == 1100
        assert len(await taken(backlog, limit=2000)) == 1100

    async def test_an_empty_summary(self, backlog: Backlog) -> None:
        summary = backlog.summary(NOW)
        assert (summary.count, summary.bytes, summary.oldest_since) == (0, 0, None)
        assert (summary.due, summary.held, summary.in_flight) == (0, 0, 0)
        assert (summary.failed, summary.causes) == ({}, {})

    async def test_the_summary(self, backlog: Backlog) -> None:
        await backlog.note([hint(key, NOW - ord(key), 10) for key in "abcdef"], now=NOW)
        reasons = {
            "a": ("FAILED", "Denied"),
            "b": ("FAILED", "Throttled"),
            "c": ("UNSUPPORTED", "SSE-C"),
            "d": ("PENDING", "Throttled"),
        }
        for work in await backlog.take(NOW, 5):
            reason, cause = reasons.get(work.key, ("", ""))
            if reason:
                await backlog.put_back(
                    work,
                    due_at=NOW + 1,
                    attempts=1,
                    reason=reason,
                    cause=cause,
                    explanation="",
                )
        summary = backlog.summary(NOW)
        assert (summary.count, summary.bytes, summary.due) == (6, 60, 2)
        assert summary.oldest_since == NOW - ord("f")
        assert summary.failed == {"FAILED": 2, "UNSUPPORTED": 1}
        assert summary.causes == {"Denied": 1, "Throttled": 2, "SSE-C": 1}
        assert (summary.held, summary.in_flight) == (1, 1)
        assert backlog.summary(NOW + 1).due == 6

    async def test_a_key_that_is_only_watched_is_counted_apart(self, backlog: Backlog) -> None:
        await backlog.note([hint(key, NOW, 10) for key in "ab"], now=NOW)
        watched, failed = await backlog.take(NOW, 2)
        await backlog.put_back(watched, due_at=NOW + 9, attempts=0, **WATCHED)
        await backlog.put_back(
            failed, due_at=NOW + 9, attempts=1, **{**FAILED, "cause": LATE_WRITE}
        )
        summary = backlog.summary(NOW)
        assert (summary.count, summary.bytes, summary.watched) == (1, 10, 1)
        assert (summary.held, summary.failed) == (0, {"FAILED": 1})
        assert len(backlog.rows()) == 2
        assert backlog.summary(NOW + 9).due == 2

    async def test_rows(self, backlog: Backlog) -> None:
        await backlog.note([hint(k, at) for k, at in [("a/1", 9), ("a/2", 5), ("b", 1)]], now=NOW)
        assert [row.key for row in backlog.rows()] == ["b", "a/2", "a/1"]
        assert [row.key for row in backlog.rows(prefix="a/")] == ["a/2", "a/1"]
        assert [row.key for row in backlog.rows(limit=1)] == ["b"]
        assert backlog.rows(failed=True) == []
        for work in await backlog.take(NOW, 9):
            reason = "CONFLICT" if work.key == "a/1" else "PENDING"
            await backlog.put_back(
                work, due_at=NOW, attempts=1, reason=reason, cause="", explanation=""
            )
        assert [row.key for row in backlog.rows(failed=True)] == ["a/1"]

    async def test_cursors(self, backlog: Backlog) -> None:
        assert backlog.cursor("filer east") == ""
        await backlog.set_cursor("filer east", "1")
        await backlog.set_cursor("filer east", "2")
        await backlog.set_cursor("sqs", "ü")
        assert (backlog.cursor("filer east"), backlog.cursor("sqs")) == ("2", "ü")
