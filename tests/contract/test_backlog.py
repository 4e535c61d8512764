"""The contract on both backlogs, and the one in SQLite against the one in memory, at random."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from farshore.core.plan import DELAYED_MARKER
from farshore.feed.hint import Hint
from farshore.journal.backlog import PRIORITY_MAX, Backlog, Work
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.testing.backlog import MemoryBacklog

from .backlog_suite import BacklogSuite


class TestMemoryBacklog(BacklogSuite):
    @pytest.fixture
    def backlog(self) -> Backlog:
        return MemoryBacklog()


class TestSqliteBacklog(BacklogSuite):
    @pytest.fixture
    async def backlog(self, tmp_path: Path) -> AsyncIterator[Backlog]:
        backlog = SqliteBacklog(tmp_path / "journal.sqlite")
        yield backlog
        await backlog.aclose()


Result = TypeVar("Result")

KEYS = st.sampled_from(["a", "a/b", "b", "ü"])
MOMENTS = st.integers(0, 20).map(float)
HINTS = st.lists(
    st.builds(Hint, st.sampled_from(["one", "two"]), KEYS, MOMENTS, st.just(""), st.integers(0, 9)),
    max_size=4,
)
REASONS = st.sampled_from(["", "PENDING", "FAILED", "UNSUPPORTED"])


class Alike(RuleBasedStateMachine):
    """Whatever is done to both, and however often one is closed: they answer the same."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.model = MemoryBacklog()
        self.open()
        self.taken: list[tuple[Work, Work]] = []  # the same, as each of the two gave it
        self.owed: dict[tuple[str, str], int] = {}

    def open(self) -> None:
        self.sqlite = SqliteBacklog(Path(self.folder.name) / "journal.sqlite")

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(work)

    @rule(hints=HINTS, now=MOMENTS, priority=st.integers(0, PRIORITY_MAX))
    def note(self, hints: list[Hint], now: float, priority: int) -> None:
        answer = self.run(self.sqlite.note(hints, now=now, priority=priority))
        assert answer == self.run(self.model.note(hints, now=now, priority=priority))
        self.owed.update({(bucket, key): generation for bucket, key, generation in answer})

    @rule(now=MOMENTS, limit=st.integers(0, 5))
    def take(self, now: float, limit: int) -> None:
        found = self.run(self.sqlite.take(now, limit))
        model = self.run(self.model.take(now, limit))
        assert found == model
        self.taken += zip(found, model, strict=True)

    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        if self.taken:
            work, twin = self.one_of(data)
            self.run(self.sqlite.done(work))
            self.run(self.model.done(twin))
            if self.owed[work.bucket, work.key] == work.generation:
                del self.owed[work.bucket, work.key]

    @rule(data=st.data(), due_at=MOMENTS, reason=REASONS, attempts=st.integers(0, 3))
    def put_back(self, data: st.DataObject, due_at: float, reason: str, attempts: int) -> None:
        if self.taken:
            work, twin = self.one_of(data)
            for backlog, its in ((self.sqlite, work), (self.model, twin)):
                self.run(
                    backlog.put_back(
                        its,
                        due_at=due_at,
                        reason=reason,
                        cause=DELAYED_MARKER if reason == "PENDING" else reason.lower(),
                        explanation="because",
                        attempts=attempts,
                    )
                )

    def one_of(self, data: st.DataObject) -> tuple[Work, Work]:
        return self.taken.pop(data.draw(st.integers(0, len(self.taken) - 1)))

    @rule(prefix=st.sampled_from(["", "a", "a/", "ü", "x"]))
    def retry(self, prefix: str) -> None:
        assert self.run(self.sqlite.retry(prefix)) == self.run(self.model.retry(prefix))

    @rule(value=st.text(st.characters(codec="utf-8"), max_size=3))
    def set_cursor(self, value: str) -> None:
        self.run(self.sqlite.set_cursor("feed", value))
        self.run(self.model.set_cursor("feed", value))

    @rule()
    def close_and_open(self) -> None:
        self.run(self.sqlite.aclose())
        self.open()
        for _, twin in self.taken:
            self.model.release(twin)
        self.taken = []

    @invariant()
    def they_answer_the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        assert self.sqlite.rows() == self.model.rows()
        assert self.sqlite.rows(failed=True, prefix="a") == self.model.rows(failed=True, prefix="a")
        assert self.sqlite.summary(10.0) == self.model.summary(10.0)
        assert self.sqlite.cursor("feed") == self.model.cursor("feed")

    @invariant()
    def nothing_noted_is_forgotten(self) -> None:
        """Of each key, a row stands for the latest note until that note was done."""
        if hasattr(self, "model"):
            rows = {(row.bucket, row.key): row.generation for row in self.sqlite.rows()}
            assert rows == self.owed

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.run(self.sqlite.aclose())
            self.loop.close()
            self.folder.cleanup()


Alike.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAlike = Alike.TestCase
