"""A backlog in memory: for tests, and the plainest statement of what a backlog is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from farshore.core.plan import holds_back
from farshore.journal.backlog import (
    LIVE,
    NAMED_MAX,
    NOT_FAILED,
    BacklogSummary,
    Change,
    Group,
    Noted,
    Taker,
    Work,
    folded,
    merged,
    storable,
)
from farshore.journal.flight import Flight


class MemoryBacklog:
    """A `Backlog` that lives as long as the process."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Work] = {}
        self._settled: dict[tuple[str, str], int] = {}
        self._cursors: dict[str, str] = {}
        self._named: dict[tuple[str, str], dict[str, int]] = {}
        self._flight = Flight()
        self._notes = 0
        self._taker: Taker | None = None

    def offer_to(self, taker: Taker | None) -> None:
        self._taker = taker

    async def note(
        self,
        hints: Sequence[Change],
        *,
        now: float,
        priority: int = LIVE,
        durable: bool = True,
    ) -> list[tuple[str, str, int]]:
        """`durable` changes nothing: what is in memory is lost in every case."""
        taker = self._taker
        for entry in merged(hints, now):
            self._note(entry, now, priority)
            if taker is not None and not self._flight.has(entry.bucket, entry.key):
                taker = taker if self._offer(entry, taker) else None
        return [(h.bucket, h.key, self._rows[h.bucket, h.key].generation) for h in hints]

    def _note(self, entry: Noted, now: float, priority: int) -> None:
        self._notes += 1
        name = (entry.bucket, entry.key)
        self._flight.noted(*entry[:4])
        named = self._named.setdefault(name, {})
        for version_id in entry.versions:
            if version_id in named or len(named) < NAMED_MAX:
                named[version_id] = self._notes
        old = self._rows.get(name)
        if old is None:
            self._settled[name] = self._notes - 1
            self._rows[name] = Work(
                *name, entry.since, self._notes, priority, 0, now, entry.size, "", "", ""
            )
            return
        since = min(old.since, entry.since)
        if entry.since > old.since and not holds_back(old.reason, old.cause):
            since = entry.since
            old = old._replace(reason="", cause="", explanation="")
        self._rows[name] = old._replace(
            since=since,
            generation=self._notes,
            priority=max(old.priority, priority),
            due_at=min(old.due_at, now),
            size=max(old.size, entry.size),
        )

    def _offer(self, entry: Noted, taker: Taker) -> bool:
        work = Work(*self._rows[entry.bucket, entry.key])
        self._flight.take(work)
        if not taker(work):
            self._flight.release(work)
            return False
        return True

    async def take(self, now: float, limit: int) -> list[Work]:
        due = [
            work
            for name, work in self._rows.items()
            if work.due_at <= now and not self._flight.has(*name)
        ]
        due.sort(key=lambda work: (-work.priority, work.due_at))
        found = [Work(*work) for work in due[:limit]]  # each taking has its own object
        for work in found:
            self._flight.take(work)
        return found

    async def done(self, work: Work) -> bool:
        name = (work.bucket, work.key)
        named = self._named.get(name, {})
        self._named[name] = {v: at for v, at in named.items() if at > work.generation}
        row = self._rows.get(name)
        if row is not None and row.generation == work.generation:
            del self._rows[name], self._settled[name]
        elif row is not None:
            self._renew(row, work)
        again = self._flight.newer(work)[0] is not None
        self._flight.returned(work)
        self._flight.land(work)
        return again

    def _renew(self, row: Work, work: Work) -> None:
        since, size = self._flight.newer(work)
        name = (work.bucket, work.key)
        self._settled[name] = work.generation
        self._rows[name] = row._replace(
            since=row.since if since is None else since,
            size=row.size if since is None else size,
            attempts=0,
            reason="",
            cause="",
            explanation="",
        )

    def named(self, work: Work) -> list[str]:
        named = self._named.get((work.bucket, work.key), {})
        return sorted(v for v, at in named.items() if at <= work.generation)

    async def put_back(
        self,
        work: Work,
        *,
        due_at: float,
        reason: str,
        cause: str,
        explanation: str,
        attempts: int,
    ) -> bool:
        name = (work.bucket, work.key)
        row = self._rows.get(name)
        if row is not None and row.generation != work.generation and not holds_back(reason, cause):
            self._renew(row, work)
        elif row is not None:
            was_excused = holds_back(reason, cause) and not holds_back(row.reason, row.cause)
            self._rows[name] = row._replace(
                since=max(row.since, work.due_at) if was_excused else row.since,
                due_at=due_at if row.generation == work.generation else row.due_at,
                reason=reason,
                cause=storable(cause),
                explanation=storable(explanation),
                attempts=attempts,
            )
            if reason:
                self._settled[name] = work.generation
        again = self._flight.newer(work)[0] is not None
        self._flight.returned(work)
        if reason:
            self._flight.land(work)
        return again

    def release(self, work: Work) -> None:
        self._flight.release(work)

    async def applied(self, bucket: str, key: str, generation: int) -> None:
        if self._settled.get((bucket, key), math.inf) < generation:
            await self._flight.landed(bucket, key, generation)

    async def retry(self, prefix: str = "") -> int:
        failed = [
            name
            for name, work in self._rows.items()
            if name[1].startswith(prefix) and (work.attempts or work.reason not in NOT_FAILED)
        ]
        for name in failed:
            self._rows[name] = self._rows[name]._replace(due_at=0.0, attempts=0)
        return len(failed)

    def summary(self, now: float) -> BacklogSummary:
        groups = [
            Group(work.reason, work.cause, 1, work.size, work.since, work.due_at <= now)
            for work in self._rows.values()
        ]
        return folded(groups, len(self._flight))

    def rows(self, *, failed: bool = False, prefix: str = "", limit: int = 1000) -> list[Work]:
        found = [
            work
            for work in self._rows.values()
            if work.key.startswith(prefix) and not (failed and work.reason in NOT_FAILED)
        ]
        return sorted(found, key=lambda work: (work.since, *_in_order(work)))[:limit]

    def cursor(self, name: str) -> str:
        return self._cursors.get(name, "")

    async def set_cursor(self, name: str, value: str) -> None:
        self._cursors[name] = value

    async def aclose(self) -> None:
        self._flight.close()


def _in_order(work: Work) -> tuple[bytes, bytes]:
    """As S3 orders keys: by their bytes."""
    return work.bucket.encode("utf-8", "surrogatepass"), work.key.encode("utf-8", "surrogatepass")
