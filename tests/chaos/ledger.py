"""What clients were told, and what must therefore be seen on the far side. Pure; not for threads.

An entry is one version or marker. Its `token` is what a listing shows of it: the ETag, or
`MARKER`. An entry is *owed* once its client was told and while nobody purged it; one whose
outcome nobody knows may stand or not.

At every look at a key on the far side:

- its history is a beginning of the source's, oldest first, in which only what is not owed may be
  left out: nothing lost beneath, nothing doubled, nothing out of place, markers in place;
- all that was promised stands, and stood when it was promised: by the far server's own clock,
  which is in its version ids.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

MARKER = "marker"

ID_DIGITS = 16


def written_at(version_id: str) -> float:
    """When SeaweedFS wrote a version, Unix seconds: the first half of its id counts down."""
    return float((2**63 - 1 - int(version_id[:ID_DIGITS], 16)) / 1e9)


UNDERSTATED = "exposure never understated"
SAME = "the same history, nothing doubled"
"""Promises, as they are called in a report."""


class Seen(NamedTuple):
    """One line of a listing of the far side. `at`: Unix seconds by that server."""

    token: str
    at: float


class Violation(NamedTuple):
    """A promise that was broken: which, where, and what was seen. Unix seconds."""

    promise: str
    where: str
    what: str
    at: float


@dataclass(slots=True, eq=False)
class Entry:
    """One version or marker that a client wants, in the order of its key. Unix seconds.

    `doubtful`: its outcome is not known; `purged`: somebody has begun to take it away, and was
    told at `gone_at` that it is gone.
    `promised_at`, `by`: when and by whom it was first said to be on the far side.
    """

    number: int
    key: str
    token: str
    began: float
    acked_at: float = math.inf
    version_id: str = ""
    doubtful: bool = False
    purged: bool = False
    gone_at: float = math.inf
    promised_at: float = math.inf
    by: str = ""
    seen_at: float = math.inf

    @property
    def owed(self) -> bool:
        """Its client was told, and it was not taken away."""
        return self.acked_at < math.inf and not self.purged


@dataclass(slots=True)
class Ledger:
    """All entries by key. `unordered`: begins of keys whose order is not known here."""

    unordered: tuple[str, ...] = ()
    histories: dict[str, list[Entry]] = field(default_factory=dict)
    due: set[str] = field(default_factory=set)
    checks: Counter[str] = field(default_factory=Counter)
    latest: float = 0.0
    _untold: list[tuple[float, int, Entry]] = field(default_factory=list)
    _count: int = 0

    # -- what clients do -----------------------------------------------------------------

    def begin(self, key: str, token: str, at: float) -> Entry:
        """A request goes out."""
        self._count += 1
        entry = Entry(self._count, key, token, at)
        self.histories.setdefault(key, []).append(entry)
        return entry

    def acknowledge(self, entry: Entry, version_id: str, at: float) -> None:
        """Its client was told."""
        entry.acked_at, entry.version_id = at, version_id
        self.latest = max(self.latest, at)
        heappush(self._untold, (at, entry.number, entry))

    def refused(self, entry: Entry) -> None:
        """It never reached the server."""
        self.histories[entry.key].remove(entry)

    def doubt(self, entry: Entry) -> None:
        """No answer, or an error: it may stand or not."""
        entry.doubtful = True

    def purge(self, entry: Entry) -> None:
        """Somebody begins to take it away."""
        entry.purged = True

    def gone(self, entry: Entry, at: float) -> None:
        """Who took it away was told so."""
        entry.gone_at = at

    def spared(self, entry: Entry) -> None:
        """The purge never reached the server: it is owed as before."""
        entry.purged = False
        if entry.promised_at < math.inf:
            self.due.add(entry.key)

    def purgeable(self, key: str) -> list[Entry]:
        """Versions of a key that are known by their id."""
        return [e for e in self.histories.get(key, ()) if e.owed and e.token != MARKER]

    @property
    def purged_keys(self) -> set[str]:
        """Keys of which something was purged."""
        return {e.key for entries in self.histories.values() for e in entries if e.purged}

    # -- what is said ----------------------------------------------------------------------

    def promised(self, watermark: float, at: float, by: str) -> int:
        """All that was acknowledged before the watermark is on the far side, somebody said at
        `at`. Answers how many entries were not promised before; their keys are due for a look."""
        new = 0
        while self._untold and self._untold[0][0] < watermark:
            entry = heappop(self._untold)[2]
            entry.promised_at, entry.by = at, by
            self.due.add(entry.key)
            new += 1
        return new

    # -- what is seen ------------------------------------------------------------------------

    def look(self, key: str, seen: Sequence[Seen], at: float) -> list[Violation]:
        """A listing of the key on the far side, newest first, that was read before `at`."""
        self.due.discard(key)
        entries, oldest_first = self.histories.get(key, []), list(reversed(seen))
        found = list(self._understated(key, entries, oldest_first, at))
        if not key.startswith(self.unordered):
            found += self._in_order(key, entries, oldest_first, at)
        _note_arrivals(entries, oldest_first)
        return found

    def _understated(
        self, key: str, entries: Sequence[Entry], seen: Sequence[Seen], at: float
    ) -> Iterable[Violation]:
        """Of each token as many as were promised, by then. Equal bytes are one token: what is
        owed is counted, so that none stands in for two."""
        left: dict[str, list[float]] = {}
        for one in seen:
            left.setdefault(one.token, []).append(one.at)
        for times in left.values():
            times.sort(reverse=True)
        promised = [e for e in entries if e.owed and e.promised_at < math.inf]
        for entry in sorted(promised, key=lambda e: e.promised_at):
            self.checks["promised"] += 1
            times = left.get(entry.token, [])
            came = times.pop() if times else math.inf
            if came > entry.promised_at:
                yield Violation(UNDERSTATED, key, _late(entry, came), at)

    def _in_order(
        self, key: str, entries: Sequence[Entry], seen: Sequence[Seen], at: float
    ) -> Iterable[Violation]:
        self.checks["order"] += 1
        if not is_beginning(entries, [one.token for one in seen]):
            yield Violation(SAME, key, _compared(entries, seen), at)


def is_beginning(entries: Sequence[Entry], tokens: Sequence[str], *, whole: bool = False) -> bool:
    """Whether `tokens` are the first of `entries`, in their order, some that are not owed left
    out; `whole`: and all of them."""
    places = _past(entries, {0})
    for token in tokens:
        on = {p + 1 for p in places if p < len(entries) and entries[p].token == token}
        places = _past(entries, on)
        if not places:
            return False
    return not whole or len(entries) in places


def _past(entries: Sequence[Entry], places: set[int]) -> set[int]:
    """The places, and those behind entries that may be left out."""
    reached = set(places)
    for place in range(min(places, default=0), len(entries)):
        if place in reached and not entries[place].owed:
            reached.add(place + 1)
    return reached


def _note_arrivals(entries: Sequence[Entry], seen: Sequence[Seen]) -> None:
    """When each came to the far side, for the lag."""
    times: dict[str, list[float]] = {}
    for one in reversed(seen):
        times.setdefault(one.token, []).append(one.at)
    for entry in entries:
        if entry.owed and times.get(entry.token):
            entry.seen_at = min(entry.seen_at, times[entry.token].pop())


@dataclass(slots=True)
class Strays:
    """Keys that were seen out of order while it went on: a write that was not answered may have
    come late. farshore has to take it back, and to say so."""

    first: dict[str, Violation] = field(default_factory=dict)
    told: int = 0
    _last: int = 0

    def seen(self, found: Violation) -> bool:
        """Whether it is the first of its key."""
        return self.first.setdefault(found.where, found) is found

    def says(self, total: int) -> int:
        """farshore has taken back so many in all; with a lost journal it begins at 0 again.
        Answers how many are new."""
        new = total - self._last if total >= self._last else total
        self._last = total
        self.told += new
        return new

    def unexplained(self) -> list[Violation]:
        """All of them, when farshore has said less than was seen."""
        return list(self.first.values()) if self.told < len(self.first) else []


def lags(ledger: Ledger) -> list[float]:
    """Seconds from the acknowledgement to the far side, sorted, of all that was seen there."""
    entries = [e for history in ledger.histories.values() for e in history]
    return sorted(
        max(0.0, e.seen_at - e.acked_at) for e in entries if e.owed and e.seen_at < math.inf
    )


def _late(entry: Entry, came: float) -> str:
    when = "is not there" if came == math.inf else f"came {came - entry.promised_at:.3f} s later"
    return (
        f"{entry.token} (operation {entry.number}) was acknowledged at {entry.acked_at:.3f}, "
        f"{entry.by} promised it at {entry.promised_at:.3f}, and it {when}"
    )


TOLD_MAX = 12


def _compared(entries: Sequence[Entry], seen: Sequence[Seen]) -> str:
    """The first place where they part, and what stands around it."""
    tokens = [one.token for one in seen]
    good = next(n for n in range(len(tokens), -1, -1) if is_beginning(entries, tokens[:n]))
    around = max(0, good - TOLD_MAX // 2)
    owed = [f"{'' if e.owed else '?'}{e.token}" for e in entries]
    return (
        f"its entry {good} (oldest first) is {tokens[good]}; entries from {around} on: "
        f"{tokens[around : around + TOLD_MAX]}, where the source has "
        f"{owed[around : around + TOLD_MAX]} (?: may be left out)"
    )
