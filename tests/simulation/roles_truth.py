"""What must be so while roles change: each promise a check of its own, named after it.

The model knows every version that a client ever wrote, where, and when its client was told.
A *native* is a version that a site got from a client, or from a person who adopted it.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from farshore.core import stamp
from farshore.core.model import Attributes
from farshore.core.record import ControlRecord, initial
from farshore.testing.store.memory import Held
from tests.simulation.region import Arrival, Region
from tests.simulation.truth import Broken

PAIR = "east-west"

ENDED = ("declined", "done", "aborted")
"""States of runs."""


@dataclass(slots=True)
class Native:
    """One entry that a client wrote at `site`. `acked_at` by the sites' clock."""

    site: str
    key: str
    version_id: str
    is_marker: bool
    acked_at: float = math.inf


@dataclass(slots=True)
class RolesTruth:
    """The model of both regions and of the record that stands."""

    regions: Mapping[str, Region]
    strict: bool = True
    natives: dict[tuple[str, str], Native] = field(default_factory=dict)
    records: dict[str, ControlRecord] = field(default_factory=dict)
    runs: dict[str, tuple[int, str]] = field(default_factory=dict)
    untold: dict[str, list[tuple[float, str, Native]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    listed: set[tuple[str, str]] = field(default_factory=set)
    parted: set[str] = field(default_factory=set)
    tagged: set[str] = field(default_factory=set)
    failovers: int = 0
    checks: int = 0

    @property
    def record(self) -> ControlRecord:
        """The record that stands: the highest that was ever accepted anywhere."""
        if not self.records:
            return initial(PAIR, "east")
        return max(self.records.values(), key=lambda record: record.place)

    @property
    def has_open_run(self) -> bool:
        """Whether some site shows a run in which something can still be done."""
        return any(state not in ENDED for _, state in self.runs.values())

    def recorded(self, site: str, key: str, body: bytes) -> None:
        """A control record, or a run, was written at that site."""
        document = json.loads(body)
        if key.startswith("runs/"):
            came = (int(document["revision"]), str(document["state"]))
            self.runs[key] = max(self.runs.get(key, came), came)
            return
        self.records[site] = ControlRecord.from_json(document)
        if document["phase"] == "given_up":
            self.failovers += 1

    def other(self, site: str) -> Region:
        return next(region for name, region in self.regions.items() if name != site)

    # -- at every write ----------------------------------------------------------------

    def arrived(self, came: Arrival, shown: set[str]) -> Native | None:
        """`shown`: the sites that the switch shows now. The native that it is, if it is one."""
        by_client = came.user.endswith("-app")
        mark = None if came.is_marker else stamp.find(came.attributes)
        if by_client:
            self.one_writable_side(came.site, shown)
        if mark is not None:
            self.nothing_doubled(came, mark)
            self.in_its_place(came, mark)
        elif by_client or not came.is_marker or came.site == self.record.primary:
            native = Native(came.site, came.key, came.version_id, came.is_marker)
            self.natives[came.site, came.version_id] = native
            return native
        return None

    def acknowledged(self, native: Native, at: float) -> None:
        """Its client was told."""
        native.acked_at = at
        heappush(self.untold[native.site], (at, native.version_id, native))

    def one_writable_side(self, site: str, shown: set[str]) -> None:
        """Never two writable sides under one epoch.

        A client's write was let through at `site`. The primary takes writes; another site only
        while clients are being sent there and the primary refuses them; and one that was given
        up, and could not be fenced yet, is recorded as such.
        """
        self.checks += 1
        record = self.record
        primary, ours = record.primary, record.fence_of(site)
        if site == primary or (ours is not None and ours.state == "pending"):
            return
        theirs = record.fence_of(primary)
        shut = self.regions[primary].refuses(f"{primary}-app")
        waits = theirs is not None and theirs.state == "pending"
        if site in shown and (shut or waits):
            return
        raise Broken(
            f"two writable sides: {site} took a write under epoch {record.epoch} "
            f"({record.phase}, primary {primary}, fences {record.fences}, switch {sorted(shown)})"
        )

    def nothing_doubled(self, came: Arrival, mark: stamp.Stamp) -> None:
        """No version stands twice on a side."""
        self.checks += 1
        if mark.site == came.site and any(
            held.version.version_id == mark.version_id for held in came.before
        ):
            raise Broken(f"doubled: {came.key} {mark.version_id} came back to {came.site}")
        if any(self._identity(came.site, held) == mark[:2] for held in came.before):
            raise Broken(f"doubled: {came.key} {mark.version_id} stands twice at {came.site}")

    def in_its_place(self, came: Arrival, mark: stamp.Stamp) -> None:
        """Above all that is older at the primary, and beneath nothing."""
        self.checks += 1
        theirs = self.other(came.site)
        order = [self._identity(theirs.site, held) for held in theirs.history(came.key)]
        places = {identity: place for place, identity in enumerate(reversed(order))}
        place = places.get(mark[:2])
        if place is None:
            return  # purged there meanwhile
        for held in came.before:
            if places.get(self._identity(came.site, held), -1) > place:
                raise Broken(
                    f"out of place: {came.key} {mark.version_id} was put above "
                    f"{held.version.version_id} at {came.site}"
                )

    def _identity(self, site: str, held: Held) -> tuple[str, str]:
        mark = None if held.version.is_marker else stamp.find(held.attributes)
        return (mark.site, mark.version_id) if mark else (site, held.version.version_id)

    # -- at every move of a watermark -----------------------------------------------------

    def exposure_not_understated(self, source: str, watermark: float | None) -> None:
        """All that clients of the primary were told before the watermark is on the other side."""
        if watermark is None or not self.strict or self.record.primary != source:
            return
        rows = self.untold[source]
        while rows and rows[0][0] < watermark:
            acked_at, _, native = heappop(rows)
            self.checks += 1
            if not self._is_on(self.other(source), native):
                raise Broken(
                    f"exposure understated: {native.key} {native.version_id} was acknowledged at "
                    f"{acked_at:.3f} by {source}, the watermark is {watermark:.3f}, and the other "
                    "side lacks it"
                )

    def _is_on(self, region: Region, native: Native) -> bool:
        here = self.regions[native.site].history(native.key)
        there = region.history(native.key)
        if not native.is_marker:
            wanted = (native.site, native.version_id)
            return any(self._identity(region.site, held) == wanted for held in there)
        if native.key in self.parted:
            return True  # histories with divergent entries: a marker's place cannot be told
        ids = [held.version.version_id for held in here]
        ours = len(ids) - ids.index(native.version_id)
        return len(there) >= ours and there[-ours].version.is_marker

    # -- what a person is shown ----------------------------------------------------------

    def shown_divergent(self, found: list[tuple[str, str, str]]) -> None:
        """`farshore divergent list` has named these: (site, key, version). Only a failover may
        leave anything behind: a switchover loses nothing."""
        self.checks += 1
        if found and not self.failovers:
            raise Broken(f"a switchover left behind: {found[0]} and {len(found) - 1} more")
        for site, key, version_id in found:
            self.listed.add((site, version_id))
            self.parted.add(key)

    # -- after the dust has settled --------------------------------------------------------

    def settled(self) -> None:
        """Both sides hold the same; what is left over at one of them was listed."""
        primary = self.regions[self.record.primary]
        other = self.other(primary.site)
        for key in sorted({*primary.keys(), *other.keys()}):
            self.same_history(key, primary, other)
        for native in self.natives.values():
            if native.acked_at < math.inf:
                self.nothing_acknowledged_lost(native, primary)

    def same_history(self, key: str, primary: Region, other: Region) -> None:
        """The primary's history is the other side's, in its order, with its bytes; what that
        side has beside it are divergent natives of its own. Those that a person was shown are
        left out first: of two delete markers, nothing else tells which is which."""
        self.checks += 1
        ours, theirs = primary.history(key)[::-1], other.history(key)[::-1]
        left = [held for held in theirs if (other.site, held.version.version_id) not in self.listed]
        for held in ours:
            while left and not self._alike(key, held, left[0]):
                self._must_be_divergent(key, other.site, left.pop(0))
            if not left:
                raise Broken(f"not the same: {key}: {_told(ours)} here, {_told(theirs)} there")
            left.pop(0)
        for held in left:
            self._must_be_divergent(key, other.site, held)

    def _alike(self, key: str, one: Held, other: Held) -> bool:
        """Tags that were set on a version, and not with it, follow by the next sweep: they are
        compared in the stories about copying."""
        looks = [_look(held) for held in (one, other)]
        if key in self.tagged:
            looks = [(*look[:2], replace(look[2], tags=())) for look in looks]
        return looks[0] == looks[1]

    def _must_be_divergent(self, key: str, site: str, held: Held) -> None:
        native = self.natives.get((site, held.version.version_id))
        if native is None or not self.failovers:
            raise Broken(f"an extra: {key} {held.version.version_id} stands at {site} alone")

    def nothing_acknowledged_lost(self, native: Native, primary: Region) -> None:
        """It stands where it was written, and at the primary, or a person was shown it."""
        self.checks += 1
        at_home = self.regions[native.site].history(native.key)
        if all(held.version.version_id != native.version_id for held in at_home):
            raise Broken(f"lost: {native.key} {native.version_id} is gone from {native.site}")
        if native.is_marker or native.site == primary.site or self._is_on(primary, native):
            return
        if (native.site, native.version_id) not in self.listed:
            raise Broken(
                f"lost: {native.key} {native.version_id}, acknowledged by {native.site}, is not "
                f"at {primary.site}, and nobody was told"
            )


def _look(held: Held) -> tuple[bool, bytes, Attributes]:
    return held.version.is_marker, held.body, stamp.without(held.attributes)


def _told(history: list[Held]) -> str:
    return " ".join("marker" if held.version.is_marker else held.body.decode() for held in history)
