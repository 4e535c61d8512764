"""What clients were told, and what must therefore be so: the promises, as invariants."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import dropwhile, pairwise
from typing import Protocol

from farshore.core import stamp
from farshore.core.model import Attributes
from farshore.daemon.left_over import LISTING_RESOLUTION_S
from farshore.testing.store.memory import Held
from tests.simulation.step import BUCKET

__all__ = ["BUCKET", "Broken", "Entry", "Side", "Truth", "Truths"]


class Broken(AssertionError):
    """A promise was broken. Says which, and where."""


class Side(Protocol):
    """A site, simulated or real."""

    def dump(self, bucket: str) -> list[Held]:
        """All entries of a bucket, in the order of a listing."""
        ...


@dataclass(slots=True)
class Entry:
    """One version or marker of the source; `acked_at` by the source's clock."""

    key: str
    version_id: str
    is_marker: bool
    place: int
    acked_at: float = math.inf


@dataclass(slots=True)
class Truth:
    """The model: every entry that ever stood in a bucket of the source, in its order.

    `lost`: versions that stood on the target when its disk was lost, and since when; `found`:
    those that a scan has missed since. `beneath`: by key, markers that were under way then, and
    have come to stand on nothing: no condition shows that, and farshore was told that they stand.
    `torn`: keys of which a version that was under way stands where older ones are missing.
    """

    source: Side
    target: Side
    bucket: str = BUCKET
    histories: dict[str, list[Entry]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    purged: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    untold: list[tuple[float, int, Entry]] = field(default_factory=list)
    excused: set[str] = field(default_factory=set)
    strict: bool = True
    names_all: bool = True
    strays: set[str] = field(default_factory=set)
    raced: set[str] = field(default_factory=set)
    late_markers: set[str] = field(default_factory=set)
    lost: dict[str, float] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    beneath: Counter[str] = field(default_factory=Counter)
    torn: set[str] = field(default_factory=set)
    checks: int = 0

    def written(self, key: str, version_id: str, *, is_marker: bool = False) -> Entry:
        """The source holds it from now on; nobody was told yet."""
        history = self.histories.setdefault(key, [])
        entry = Entry(key, version_id, is_marker, len(history))
        history.append(entry)
        self.places[version_id] = entry.place
        return entry

    def acknowledged(self, entry: Entry, at: float) -> None:
        """Its client was told."""
        entry.acked_at = at
        heappush(self.untold, (at, entry.place, entry))

    # -- at every step ---------------------------------------------------------------

    def said(self, watermark: float | None) -> None:
        """Everything that was acknowledged before the watermark is on the target."""
        if watermark is None or not self.strict:
            return
        late: list[tuple[float, int, Entry]] = []
        while self.untold and self.untold[0][0] < watermark:
            row = heappop(self.untold)
            self.checks += 1
            entry = row[2]
            excused = entry.key in self.excused or entry.key in self.strays
            if excused or (self._is_lost(entry, watermark) and not self._stands(entry)):
                late.append(row)
            elif not self._stands(entry):
                raise Broken(
                    f"the exposure is understated: {entry.key} {entry.version_id} was "
                    f"acknowledged at {row[0]:.3f}, the watermark is {watermark:.3f}, and the "
                    "target lacks it"
                )
        self.untold += late
        heapify(self.untold)

    def about_to_lose(self, at: float) -> None:
        """The target's disk will be gone, and nobody is told. All is owed again; what was said of
        it cannot be taken back by anybody before a scan has seen it."""
        known = [entry for history in self.histories.values() for entry in history]
        self.lost |= {entry.version_id: at for entry in known if self._stands(entry)}
        self.untold = [(e.acked_at, e.place, e) for e in known if e.acked_at < math.inf]
        heapify(self.untold)
        self.beneath.clear()
        self.torn.clear()

    def marked(self, key: str, before: list[Held]) -> None:
        """A marker was put on top of `before` at the target."""
        lost = any(entry.version_id in self.lost for entry in self.histories.get(key, ()))
        self.beneath[key] += lost and not before

    def is_newest(self, key: str, before: list[Held]) -> bool:
        """Whether a marker that was put on `before` is the newest entry of its key. An older one
        is history, and is covered by the next version."""
        here = self._here(key)
        deleted = bool(here) and here[0].version.is_marker
        return deleted and _markers(before) + 1 >= _markers(here)

    def late_markers_that_stand(self) -> set[str]:
        """Keys with a marker that arrived late, and more of them at the target than here."""
        return {
            key
            for key in self.late_markers
            if _markers(self._there(key)) > _markers(self._here(key))
        }

    def noticed(self, since: float) -> None:
        """A scan that began at `since` ends now: what was lost before is known to be missing."""
        before = self.lost
        self.lost = {version_id: at for version_id, at in before.items() if at >= since}
        self.found |= before.keys() - self.lost.keys()

    def forgotten(self, at: float) -> None:
        """Whoever knew what is missing is gone, and may not have told anybody."""
        known = [entry for history in self.histories.values() for entry in history]
        missing = {
            e.version_id for e in known if e.version_id in self.found and not self._stands(e)
        }
        self.lost |= dict.fromkeys(missing, at)
        self.found -= missing

    def _is_lost(self, entry: Entry, watermark: float) -> bool:
        """What nobody has noticed yet; or what a listing, in its resolution, does not show to be
        older than the watermark that was said before."""
        recent = watermark - entry.acked_at < LISTING_RESOLUTION_S
        return entry.version_id in self.lost or (recent and entry.version_id in self.found)

    def is_stray(self, key: str, before: list[Held], added: Attributes) -> bool:
        """A write that farshore had given up, or that arrives again, has come to stand; whether
        where it should not."""
        try:
            self.appended(key, before, added)
        except Broken:
            self.strays.add(key)
            return True
        return False

    def strays_are_known(self, known: Container[str]) -> None:
        """Of every late or repeated write that stands where it should not, farshore knows that it
        may."""
        for key in sorted(self.strays):
            there = self._there(key)
            if not self._is_disordered(there):
                self.strays.discard(key)
            elif key not in known:
                stands = f"{key}: a write stands where it should not, and nobody looks for it"
                raise Broken(f"{stands}: {_told(there)}")
            self.checks += 1

    def _is_disordered(self, there: list[Held]) -> bool:
        places = [self.places[origin] for held in there if (origin := _origin(held))]
        return any(newer <= older for newer, older in pairwise(places))

    def appended(self, key: str, before: list[Held], added: Attributes) -> None:
        """A version was put on top of `before` (newest first) at the target."""
        mark = stamp.find(added)
        if mark is None:
            return
        top = before[0] if before else None
        if top is not None and not top.version.is_marker and stamp.find(top.attributes) is None:
            raise Broken(f"{key}: {mark.version_id} was put on top of somebody else's version")
        self.checks += 1
        place = self.places[mark.version_id]
        self._note_torn(key, place, before)
        for held in before:
            other = stamp.find(held.attributes)
            if other is None:
                continue
            if other.version_id == mark.version_id:
                raise Broken(f"{key}: {mark.version_id} stands twice on the target")
            if self.places[other.version_id] > place:
                raise Broken(f"{key}: {mark.version_id} was put above {other.version_id}")

    def _note_torn(self, key: str, place: int, before: list[Held]) -> None:
        """See `torn`."""
        there = {_origin(held) for held in before}
        older = self.histories[key][:place]
        lost = {entry.version_id for entry in older if entry.version_id in self.lost}
        if not lost <= there:
            self.torn.add(key)

    # -- after the dust has settled ----------------------------------------------------

    def settled(self) -> None:
        """Every history is the same on both sides, its bytes and attributes, too."""
        for key in sorted(self.histories):
            self.checks += 1
            here, there = self._here(key), self._there(key)
            if key in self.touched:
                continue
            if key in self.purged:
                self._in_order(key, here, there)
            elif not any(_shape(here) == _shape(kept) for kept in self._without_beneath(key)):
                raise Broken(f"{key} is not the same: {_told(here)} here, {_told(there)} there")

    def _in_order(self, key: str, here: list[Held], there: list[Held]) -> None:
        """Something was purged: its replica may have been kept. The rest stands, in order.

        A version with the bytes of the purged one may stand as its replica, where farshore was
        not told its name: listings show no difference (docs/decisions/0005).
        """
        if self.names_all:
            self._in_order_by_stamps(key, here, there)
            return
        bodies = iter([held.body for held in there if not held.version.is_marker])
        for held in here:
            if not held.version.is_marker and held.body not in bodies:
                raise Broken(f"{key}: {_told(here)} here, {_told(there)} there")

    def _in_order_by_stamps(self, key: str, here: list[Held], there: list[Held]) -> None:
        looks = {h.version.version_id: _look(h) for h in here if not h.version.is_marker}
        replicas = [held for held in there if _origin(held) in looks]
        if [_origin(held) for held in replicas] != list(looks):
            raise Broken(f"{key}: {_told(here)} here, {_told(there)} there")
        for held in replicas:
            if looks[_origin(held)] != _look(held):
                raise Broken(f"{key}: {_origin(held)} has other bytes or attributes there")

    def _here(self, key: str) -> list[Held]:
        return [held for held in self.source.dump(self.bucket) if held.version.key == key]

    def _there(self, key: str) -> list[Held]:
        return [held for held in self.target.dump(self.bucket) if held.version.key == key]

    def _stands(self, entry: Entry) -> bool:
        here = self._here(entry.key)
        if all(held.version.version_id != entry.version_id for held in here):
            return True  # purged: nothing is owed
        there = self._there(entry.key)
        if not entry.is_marker:
            alike = [h.body for h in here if h.version.version_id == entry.version_id]
            purged = entry.key in self.purged
            return any(
                _origin(held) == entry.version_id or (purged and held.body in alike)
                for held in there
            )
        if entry.key in self.purged:
            return True  # what it stood on may be gone: its place cannot be told
        ours = list(dropwhile(lambda h: h.version.version_id != entry.version_id, here))
        if entry.key in self.touched:  # nor where somebody else's versions stand between
            return _markers(there) >= _markers(ours)
        return any(
            len(kept) >= len(ours) and kept[-len(ours)].version.is_marker
            for kept in self._without_beneath(entry.key)
        )

    def _without_beneath(self, key: str) -> Iterator[list[Held]]:
        """The target's history; then without one marker after the other of those `beneath`."""
        there = self._there(key)
        yield there
        for _ in range(self.beneath[key]):
            if there and there[-1].version.is_marker:
                there = there[:-1]
                yield there


class Truths(dict[str, Truth]):
    """Of each bucket."""

    @property
    def checks(self) -> int:
        return sum(truth.checks for truth in self.values())


def _markers(history: list[Held]) -> int:
    return sum(held.version.is_marker for held in history)


def _origin(held: Held) -> str:
    mark = stamp.find(held.attributes)
    return mark.version_id if mark else ""


def _look(held: Held) -> tuple[bool, bytes, Attributes]:
    return held.version.is_marker, held.body, stamp.without(held.attributes)


def _shape(history: list[Held]) -> list[tuple[bool, bytes, Attributes]]:
    return [_look(held) for held in history]


def _told(history: list[Held]) -> str:
    return " ".join(
        "marker" if h.version.is_marker else f"{h.version.version_id}<{_origin(h)}" for h in history
    )
