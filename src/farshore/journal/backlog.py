"""The backlog: keys that are known to have changed and are not yet in step on the target.

The unit of work is a *dirty key*, never an event: whoever takes one reads both histories
and does what their alignment asks for. So work that is done twice costs a look and nothing
else, and only forgetting is dangerous. Losing the whole backlog costs time: a reconcile
finds every key anew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from farshore.core.plan import holds_back, is_watched

BACKGROUND = 0
"""What a reconcile or a backfill found."""
LIVE = 1
"""What a feed told."""
ASKED = 2
"""What a person asked for: `farshore sync PREFIX`."""
PRIORITY_MAX = 9

SIZE_MAX = 1 << 50
"""Bytes. Events come from outside: a size beyond any object is cut to this."""

WORDS_MAX = 1_000
"""Characters of a cause or an explanation that are kept."""

NAMED_MAX = 100
"""Versions of one key that are remembered by their ids until the key is in step."""

NOT_FAILED = ("", "PENDING")
"""Reasons of work that waits for its turn or its time; every other one is a failure."""


class Change(Protocol):
    """A hint, as feeds bring it: see `farshore.feed.hint.Hint`."""

    @property
    def bucket(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def size(self) -> int: ...
    @property
    def versions(self) -> tuple[str, ...]: ...


class Work(NamedTuple):
    """One dirty key.

    `since`: Unix seconds by the source's clock of the oldest change that is not applied.
    `generation`: rises with every note of the key and is never used again for it.
    `due_at`: not to be taken before. `size`: bytes, a guess from the hints.
    `reason`: "" until it was put back with one of `core.plan.Reason`; then `cause` is a
    stable word and `explanation` a sentence. `attempts`: how often it failed so far.
    """

    bucket: str
    key: str
    since: float
    generation: int
    priority: int
    attempts: int
    due_at: float
    size: int
    reason: str
    cause: str
    explanation: str


Taker = Callable[[Work], bool]
"""Told of a key that was just noted and that nobody has taken; True: it takes it, as of now."""


@dataclass(frozen=True, slots=True)
class BacklogSummary:
    """All of the backlog in numbers.

    `count` and `bytes` are over every row, whatever its reason, but those of `watched` keys:
    there all is done, and a late write may still arrive (`core.plan.is_watched`).
    `oldest_since` (None when there is none) is of those that hold the watermark back
    (`core.plan.holds_back`). `failed`
    counts rows by reason, without those that only wait ("" and PENDING: `held` of them are
    PENDING), `owed` the same by reason and cause; `causes` counts every row that has one.
    `due`: rows that need not wait. `in_flight`: taken by this process, not yet given back.
    """

    count: int
    bytes: int
    watched: int
    oldest_since: float | None
    due: int
    held: int
    failed: Mapping[str, int]
    owed: Mapping[str, Mapping[str, int]]
    causes: Mapping[str, int]
    in_flight: int


class Backlog(Protocol):
    """Pending work, at most one row a key. Every method raises only `StateError`.

    After a `StateError` nothing of that call has happened, and it may be called again;
    work that could not be marked as done or put back is then due once more.
    """

    async def note(
        self,
        hints: Sequence[Change],
        *,
        now: float,
        priority: int = LIVE,
        durable: bool = True,
    ) -> list[tuple[str, str, int]]:
        """Remember that these keys changed: on the disk when it returns. Without `durable` a
        power cut (not a kill) may undo it, for those who can repeat the hints.

        Answers (bucket, key, generation), one for each hint in its order; hints of one key
        share a generation. A key that waits already keeps its row: the earlier `since`
        (`at`, or `now` where the hint does not say), the earlier due time (`now` at the
        latest), the higher priority and the larger size count. Where its older changes do
        not hold the watermark back and this one is later, only this one counts: the reason
        is gone, and `since` is its time.
        """
        ...

    async def take(self, now: float, limit: int) -> list[Work]:
        """Up to `limit` rows that are due and that this process has not taken.

        The higher priority first, then what is due longest, then what was noted first. It
        sees what other processes wrote. Every one must come back by `done`, `put_back` or
        `release`; a process that ends gives back everything.
        """
        ...

    def offer_to(self, taker: Taker | None) -> None:
        """From now on, offer keys to `taker` while they are noted, before they are on the disk.

        It must not wait, and must give back what it takes as if `take` had answered it. Once
        it takes none, the rest of that note is not offered. Should the note fail, its work
        was never there: `done` and `put_back` of it change nothing. None: offer no more.
        """
        ...

    async def done(self, work: Work) -> bool:
        """The key is in step, as of when it was taken.

        Noted again meanwhile: it stays, without its reason and attempts, due at once, and
        `since` is the time of the earliest newer note. Answers whether this process did so.
        """
        ...

    def named(self, work: Work) -> list[str]:
        """Ids of versions that hints named and that are owed since: kept until `done`, at most
        `NAMED_MAX` a key. Those that were named after the work was taken are left out.
        """
        ...

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
        """The key is not in step: say why, and when to try again. On the disk when it returns,
        however it was noted.

        Noted again meanwhile (answered as by `done`): it is due at once in spite of `due_at`;
        and if the reason does not hold the watermark back, only the newer notes count, as after
        `done`. Where the reason so far did not, and this one does, `since` is not before the
        work was due.
        """
        ...

    def release(self, work: Work) -> None:
        """Give taken work back unchanged: this object, if it is still the one that is taken."""
        ...

    async def applied(self, bucket: str, key: str, generation: int) -> None:
        """Wait until that note was done, or put back with a reason, by this process."""
        ...

    async def retry(self, prefix: str = "") -> int:
        """Make due at once what failed (attempts, or a reason other than PENDING).

        Only keys that begin with `prefix`. Attempts begin anew; the reason stays until the
        next one ends. Answers how many rows.
        """
        ...

    def summary(self, now: float) -> BacklogSummary:
        """Numbers as of the last commit."""
        ...

    def rows(self, *, failed: bool = False, prefix: str = "", limit: int = 1000) -> list[Work]:
        """Rows for people, the oldest `since` first. `failed`: without those that only wait."""
        ...

    def cursor(self, name: str) -> str:
        """A feed's resume point, or ""."""
        ...

    async def set_cursor(self, name: str, value: str) -> None:
        """Never on the disk before notes that were made earlier."""
        ...

    async def aclose(self) -> None:
        """End what is under way and give the file back. Those who wait are cancelled."""
        ...


class Noted(NamedTuple):
    """All hints of one key in one call, as one."""

    bucket: str
    key: str
    since: float
    size: int
    versions: tuple[str, ...] = ()


def merged(hints: Iterable[Change], now: float) -> list[Noted]:
    """One entry a key, in order of first mention. Values from outside are made sane."""
    found: dict[tuple[str, str], Noted] = {}
    for hint in hints:
        name = (hint.bucket, hint.key)
        since = hint.at if 0 < hint.at < math.inf else now
        size = min(max(hint.size, 0), SIZE_MAX)
        versions = hint.versions
        if (seen := found.get(name)) is not None:
            since, size = min(since, seen.since), max(size, seen.size)
            versions = (*seen.versions, *versions)[:NAMED_MAX]
        found[name] = Noted(*name, since, size, versions)
    return list(found.values())


def storable(text: str) -> str:
    """A cause or explanation as a database takes it: valid Unicode, and not too long."""
    return text[:WORDS_MAX].encode("utf-8", "backslashreplace").decode("utf-8")


class Group(NamedTuple):
    """Rows of one reason and cause."""

    reason: str
    cause: str
    rows: int
    bytes: int
    oldest_since: float
    due: int


def folded(groups: Sequence[Group], in_flight: int) -> BacklogSummary:
    """All groups as one summary."""
    owing = [group for group in groups if not is_watched(group.reason, group.cause)]
    failed: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    owed: dict[str, Counter[str]] = {}
    for group in groups:
        failed[group.reason] += group.rows
        causes[group.cause] += group.rows
        if group.reason not in NOT_FAILED:
            owed.setdefault(group.reason, Counter())[group.cause] += group.rows
    return BacklogSummary(
        count=sum(group.rows for group in owing),
        bytes=sum(group.bytes for group in owing),
        watched=sum(group.rows for group in groups) - sum(group.rows for group in owing),
        oldest_since=min(
            (g.oldest_since for g in groups if holds_back(g.reason, g.cause)), default=None
        ),
        due=sum(group.due for group in groups),
        held=sum(group.rows for group in owing if group.reason == "PENDING"),
        failed={reason: n for reason, n in failed.items() if reason not in NOT_FAILED},
        owed={reason: dict(counts) for reason, counts in owed.items()},
        causes={cause: n for cause, n in causes.items() if cause},
        in_flight=in_flight,
    )
