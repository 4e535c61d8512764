"""Who sees what comes to stand at the target, and how: and asks the model whether it may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from farshore.core.rules import OWN_PREFIX
from farshore.testing.store.memory import Held
from farshore.testing.store.scripts import WRITES
from tests.simulation.ground import is_paired
from tests.simulation.plan import Plan
from tests.simulation.sites import Change
from tests.simulation.step import BUCKET
from tests.simulation.truth import Broken, Truths


class Witness:
    """`broke` is told of the first promise that is broken, and of those after it. `now`: seconds
    of the run. `endangered`: what could be read at the target when the source was emptied;
    `starts`: of processes; `forgotten`: so many processes' doubts are gone, with their journal or
    with the machine's power; `calm`: nothing goes wrong any more."""

    def __init__(
        self,
        plan: Plan,
        truth: Truths,
        seen: Counter[str],
        broke: Callable[[Broken], None],
        now: Callable[[], float],
    ) -> None:
        self._plan, self._truth, self._seen = plan, truth, seen
        self._broke, self._now = broke, now
        self.endangered: frozenset[str] = frozenset()
        self.starts = self.forgotten = 0
        self.calm = False
        self._hidden = 0

    # -- requests, as they arrive ------------------------------------------------------

    late = False
    """A request arrives just now whose answer was given up."""

    repeated = False
    """A request arrives just now for the second time."""

    blind = False
    """A request arrives just now that has no condition: not even where servers have some, once
    several in a row have failed (`Lane._may_go_on`)."""

    sender = 0

    def arriving(self, sender: int, late: bool) -> None:
        self.late, self.sender = late, sender

    def repeating(self, repeated: bool) -> None:
        self.repeated = repeated

    def without_condition(self, blind: bool) -> None:
        self.blind = blind

    def at_source(self, action: str, *, after: bool) -> None:
        """Farshore writes nothing there but what is its own."""
        name, _, where = action.partition(" ")
        bucket, _, key = where.partition("/")
        if name in WRITES and is_paired(bucket) and not key.startswith(OWN_PREFIX):
            self._broke(Broken(f"farshore changes the source: {action}"))

    # -- what comes to stand -------------------------------------------------------------

    def appended(self, change: Change, before: list[Held]) -> None:
        """A version is put on top of `before`."""
        key, attributes, truth = change.key, change.attributes, self._truth[change.bucket]
        if self.late:
            truth.raced.add(key)
        raced = key in truth.raced and self._is_unguarded(change, before)
        try:
            if not (self.late or self.repeated or raced):
                truth.appended(key, before, attributes)
            elif truth.is_stray(key, before, attributes):
                self._seen["late or repeated write that stood where it should not"] += 1
        except Broken as error:
            self._broke(error)

    def _is_unguarded(self, change: Change, before: list[Held]) -> bool:
        """Whether no condition shows to this write that a late one was faster: it has none, or
        the late one brought the same bytes."""
        same = bool(before) and before[0].body == change.content
        return self.blind or same or not self._plan.conditions

    def marked(self, change: Change, before: list[Held]) -> None:
        """A marker was put on top of `before`."""
        truth, key = self._truth[change.bucket], change.key
        truth.marked(key, before)
        if self.late:
            self._seen["marker that arrived late"] += 1
            truth.raced.add(key)
            truth.late_markers.add(key)
            if self.sender <= self.forgotten:
                self._seen["late marker that nobody remembers"] += 1
                truth.touched.add(key)
        if change.bucket == BUCKET and key in self.endangered and truth.is_newest(key, before):
            self._hidden += bool(before) and not before[0].version.is_marker
        if self._hidden > self._plan.deletes_count * self.starts and not self.calm:
            self._broke(Broken(f"{self._hidden} objects were hidden: the delete guard slept"))

    # -- what goes, and who knows --------------------------------------------------------

    def losing(self, buckets: Sequence[str]) -> None:
        """The target's disk goes: what was on it can be read, or hidden, no more."""
        for bucket in buckets:
            self._truth[bucket].about_to_lose(self._now())
        if BUCKET in buckets:
            self.endangered = frozenset()

    def scanned(self, began: float) -> None:
        """A scan ends that has seen everything since it began."""
        for truth in self._truth.values():
            truth.noticed(began)

    def left_out(self, buckets: Sequence[str]) -> None:
        """A pattern's buckets that are not ready: what was promised of them is known to be void."""
        for bucket in buckets:
            self._truth[bucket].noticed(self._now())

    def doubts_are_gone(self) -> None:
        """What was noted of unanswered writes is lost, with the journal or the machine's power."""
        self.forgotten = self.starts
        for truth in self._truth.values():
            unseen = truth.late_markers_that_stand() - truth.touched
            self._seen["late marker that nobody remembers"] += len(unseen)
            truth.touched |= unseen

    def died(self) -> None:
        """A process ends, and with it what it alone knew."""
        for truth in self._truth.values():
            truth.forgotten(self._now())
