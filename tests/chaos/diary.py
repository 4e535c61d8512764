"""What all parts of a run write down: safe for threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.ledger import Ledger, Violation
from tests.chaos.summary import Result

VIOLATIONS_MAX = 200
"""More are counted, not kept."""


class Diary:
    """The ledger, the counts, the violations, and a log of it all in a file."""

    def __init__(self, path: Path, unordered: tuple[str, ...] = ()) -> None:
        self.began = time.time()
        self.counts: dict[str, Counter[str]] = {}
        self.violations: list[Violation] = []
        self.highest: dict[str, float] = {}
        self._ledger = Ledger(unordered)
        self._lock = threading.RLock()
        self._log = path.open("a", buffering=1, encoding="utf-8")

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, for one thread at a time."""
        with self._lock:
            yield self._ledger

    def say(self, text: str) -> None:
        """A line of the log, with its second of the run."""
        with self._lock:
            self._log.write(f"{time.time() - self.began:9.3f} {text}\n")

    def count(self, what: str, kind: str, by: int = 1) -> None:
        with self._lock:
            self.counts.setdefault(what, Counter())[kind] += by

    def highest_of(self, what: str, value: float) -> None:
        with self._lock:
            self.highest[what] = max(self.highest.get(what, value), value)

    def broken(self, found: Iterable[Violation]) -> None:
        """Promises that were broken, with the second of the run."""
        with self._lock:
            for one in found:
                self.say(f"BROKEN: {one.promise}: {one.where}: {one.what}")
                self.count("violations", one.promise)
                if len(self.violations) < VIOLATIONS_MAX:
                    self.violations.append(one._replace(at=round(one.at - self.began, 3)))

    def broke(self, promise: str, where: str, what: str) -> None:
        """One promise, now."""
        self.broken([Violation(promise, where, what, time.time())])

    def result(
        self, seed: int, seconds: float, checks: Counter[str], lags: Sequence[float] = ()
    ) -> Result:
        """All of it, when the run is over."""
        began = datetime.fromtimestamp(self.began, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        counts = {**self.counts, "checks": checks}
        return Result(seed, seconds, began, counts, self.highest, lags, tuple(self.violations))
