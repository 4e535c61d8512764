"""What must be so while roles change: each promise a check of its own, named after it.

The model knows every version that a client ever wrote, where, and when its client was told.
A *native* is a version that a site got from a client, or from a person who adopted it.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from itertools import takewhile

from farshore.core import stamp
from farshore.core.model import Attributes, Lock
from farshore.core.record import ControlRecord, initial
from farshore.testing.store.memory import Held
from tests.simulation.region import Arrival, Region
from tests.simulation.truth import Broken

PAIR = "east-west"

Identity = tuple[str, str]
"""Where an entry was written first, and the id that it has there."""

Tags = tuple[tuple[str, str], ...]

TAGS_FOLLOW_S = 60.0
"""A daemon that is too far behind for a switchover has not followed what was set so long ago."""

REFENCED_S = 60.0
"""A fence that was lost with the disks, or to a policy that arrived late, stands again so long
after that."""

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
    homeless: bool = False  # the disks that it was written to are lost


@dataclass(slots=True)
class Loss:
    """The disks of `site` were lost. `stood`: all entries (key, version id) that the other site
    had then; `readable`: keys of which it had an object; `deleted`: by clients since. `hollow`: it
    was primary, and has been ever since."""

    site: str
    stood: frozenset[tuple[str, str]]
    readable: frozenset[str]
    hollow: bool
    made_at: float = math.inf
    deleted: set[str] = field(default_factory=set)


@dataclass(slots=True)
class RolesTruth:
    """The model of both regions and of the record that stands."""

    regions: Mapping[str, Region]
    strict: bool = True
    natives: dict[tuple[str, str], Native] = field(default_factory=dict)
    records: dict[str, ControlRecord] = field(default_factory=dict)
    runs: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    untold: dict[str, list[tuple[float, str, Native]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    listed: set[tuple[str, str]] = field(default_factory=set)
    parted: set[str] = field(default_factory=set)
    tags: dict[tuple[str, Identity], tuple[Tags, float]] = field(default_factory=dict)
    turned_at: list[float] = field(default_factory=list)
    now: Callable[[], float] = lambda: 0.0
    strays: set[tuple[str, str]] = field(default_factory=set)
    raced: set[str] = field(default_factory=set)
    loss: Loss | None = None
    policed_late: dict[str, float] = field(default_factory=dict)
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
        """Whether some site shows a run in which something can still be done. Of two that were
        saved as often, the one that is over counts, as in the product."""
        latest: dict[str, tuple[int, bool]] = {}
        for (_, run), (revision, state) in self.runs.items():
            came = (revision, state in ENDED)
            latest[run] = max(latest.get(run, came), came)
        return any(not over for _, over in latest.values())

    @property
    def is_hollow(self) -> bool:
        """The primary has lost its disks, and nobody has made the other site primary since."""
        return self.loss is not None and self.loss.hollow and self.record.primary == self.loss.site

    def recorded(self, site: str, key: str, body: bytes) -> None:
        """A control record, a run, or what a daemon says of itself, was written at that site."""
        document = json.loads(body)
        if key.startswith("status/"):
            self.nothing_vouched_that_was_lost(site, document["watermark"])
            return
        if key.startswith("runs/"):
            self.runs[site, key] = (int(document["revision"]), str(document["state"]))
            return
        if self.loss is not None and document["primary"] != self.loss.site:
            self.loss.hollow = False
        primary = self.record.primary
        self.records[site] = ControlRecord.from_json(document)
        self.nothing_decided_by_empty_disks(site, self.records[site])
        if self.record.primary != primary:
            self.turned_at.append(self.now())
        if document["phase"] == "given_up":
            self.failovers += 1

    def other(self, site: str) -> Region:
        return next(region for name, region in self.regions.items() if name != site)

    # -- at every write ----------------------------------------------------------------

    def arrived(self, came: Arrival, shown: set[str], *, stray: bool) -> Native | None:
        """`shown`: the sites that the switch shows now. `stray`: its answer had been given up, or
        it arrives again. The native that it is, if it is one."""
        by_client = came.user.endswith("-app")
        mark = None if came.is_marker else stamp.find(came.attributes)
        if by_client:
            self.one_writable_side(came.site, shown)
            if came.is_marker and self.loss is not None:
                self.loss.deleted.add(came.key)
        elif stray:
            self.strays.add((came.site, came.version_id))
            self.raced.add(came.key)
        if mark is not None:
            if not stray:
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
        if self._is_being_fenced_again(site):
            return
        raise Broken(
            f"two writable sides: {site} took a write under epoch {record.epoch} "
            f"({record.phase}, primary {primary}, fences {record.fences}, switch {sorted(shown)})"
        )

    def _is_being_fenced_again(self, site: str) -> bool:
        """Its fence went with its disks, or another policy of ours arrived late above it: no
        policy is written under a condition. A daemon finds out, and puts the fence up again."""
        made_at = self.loss.made_at if self.loss is not None and site == self.loss.site else 0.0
        since = max(made_at, self.policed_late.get(site, 0.0))
        return self.now() < since + REFENCED_S

    def _may_differ(self, site: str) -> bool:
        """Whether it may have got versions that nobody else has: switchovers leave nothing."""
        fenceless = self.loss is not None or site in self.policed_late
        return self.failovers > 0 or fenceless

    def nothing_doubled(self, came: Arrival, mark: stamp.Stamp) -> None:
        """No version stands twice on a side."""
        self.checks += 1
        if mark.site == came.site and any(
            held.version.version_id == mark.version_id for held in came.before
        ):
            raise Broken(f"doubled: {came.key} {mark.version_id} came back to {came.site}")
        if any(
            self._identity(came.site, held) == self._origin(came.key, mark) for held in came.before
        ):
            raise Broken(f"doubled: {came.key} {mark.version_id} stands twice at {came.site}")

    def in_its_place(self, came: Arrival, mark: stamp.Stamp) -> None:
        """Above all that is older at the primary, and beneath nothing."""
        self.checks += 1
        theirs = self.other(came.site)
        order = [self._identity(theirs.site, held) for held in theirs.history(came.key)]
        places = {identity: place for place, identity in enumerate(reversed(order))}
        place = places.get(self._origin(came.key, mark))
        if place is None:
            return  # purged there meanwhile
        for held in came.before:
            if places.get(self._identity(came.site, held), -1) > place:
                raise Broken(
                    f"out of place: {came.key} {mark.version_id} was put above "
                    f"{held.version.version_id} at {came.site}"
                )

    def _identity(self, site: str, held: Held) -> Identity:
        mark = None if held.version.is_marker else stamp.find(held.attributes)
        return self._origin(held.version.key, mark) if mark else (site, held.version.version_id)

    def _origin(self, key: str, mark: stamp.Stamp) -> Identity:
        """Where it was written first: what is copied home to lost disks is a replica's replica."""
        if self.loss is not None:
            for held in self.regions[mark.site].history(key):
                before = stamp.find(held.attributes)
                if held.version.version_id == mark.version_id and before is not None:
                    return before[:2]
        return mark[:2]

    # -- when a region's disks are lost -----------------------------------------------------

    def disks_lost(self, site: str) -> None:
        """Right before. What that region had alone is gone, and nobody's fault."""
        other = self.other(site)
        held = {key: other.history(key) for key in sorted(other.keys())}
        stood = {(key, one.version.version_id) for key, row in held.items() for one in row}
        readable = {key for key, row in held.items() if row and not row[0].version.is_marker}
        was = self.record.primary
        self.records.pop(site, None)
        self.runs = {place: came for place, came in self.runs.items() if place[0] != site}
        hollow = was == site == self.record.primary
        for place, native in list(self.natives.items()):
            native.homeless = native.site == site
            if native.homeless and (native.is_marker or not self._is_on(other, native)):
                del self.natives[place]
        lost = self.regions[site]
        self.untold[site].clear()
        self.untold[other.site] = [
            row for row in self.untold[other.site] if not self._is_on(lost, row[2])
        ]
        heapify(self.untold[other.site])
        self.loss = Loss(site, frozenset(stood), frozenset(readable), hollow)

    def nothing_vouched_that_was_lost(self, site: str, watermark: str | None) -> None:
        """A daemon says at a site that had lost its disks up to when it has everything."""
        if self.loss is None or self.loss.site != site or watermark is None:
            return
        until = datetime.fromisoformat(watermark).timestamp()
        for native in self.natives.values():
            self.checks += 1
            since = max(native.acked_at, self._stood_since(self.other(site), native))
            if since < until and not self._is_on(self.regions[site], native):
                raise Broken(
                    f"exposure understated: {site} has lost its disks, lacks {native.key} "
                    f"{native.version_id}, acknowledged at {native.acked_at:.3f}, and is said to "
                    f"have everything up to {until:.3f}"
                )

    def nothing_decided_by_empty_disks(self, site: str, came: ControlRecord) -> None:
        """What is recorded where the disks were lost comes of what the other site has."""
        if self.loss is None or site != self.loss.site:
            return
        self.checks += 1
        stands = self.records.get(self.other(site).site)
        if stands is not None and not (came.comes_from(stands) or stands.comes_from(came)):
            raise Broken(
                f"decided by empty disks: {site} took {came.phase}, primary {came.primary}, epoch "
                f"{came.epoch}, which does not come of epoch {stands.epoch} at the other site"
            )

    def _stood_since(self, region: Region, native: Native) -> float:
        """When it came to stand there, as listings tell; infinite for what does not."""
        for held in region.history(native.key):
            if self._identity(region.site, held) == (native.site, native.version_id):
                return datetime.fromisoformat(held.version.modified).timestamp()
        return math.inf

    def nothing_emptied(self, loss: Loss) -> None:
        """What stood at the other site when the disks were lost stands there, and is read there
        unless a client has deleted it since."""
        other = self.other(loss.site)
        for key, version_id in sorted(loss.stood):
            self.checks += 1
            is_late = (other.site, version_id) in self.strays  # and may have been taken back
            if not is_late and all(
                held.version.version_id != version_id for held in other.history(key)
            ):
                raise Broken(f"emptied: {key} {version_id} is gone from {other.site}")
        for key in sorted(loss.readable - loss.deleted):
            if other.history(key)[0].version.is_marker:
                raise Broken(f"emptied: {key} is hidden at {other.site}, and nobody deleted it")

    def fences_stand(self) -> None:
        """A fence that is recorded to stand is written at its site, whatever befell it."""
        for fence in self.record.fences:
            self.checks += 1
            if fence.state != "pending" and not self.regions[fence.site].refuses(
                f"{fence.site}-app"
            ):
                raise Broken(f"no fence: {fence.site} is recorded as fenced, and is not")

    # -- tags ----------------------------------------------------------------------------------

    def tagged(self, site: str, user: str, key: str, held: Held) -> None:
        """A version got other tags."""
        if user.endswith("-app"):
            tags = stamp.without(held.attributes).tags
            self.tags[key, self._identity(site, held)] = tags, self.now()

    def tags_stand(self, primary: Region) -> None:
        """Only a failover may leave tags behind: they are then those of the new primary; and a
        switchover those that were set right before, and whose event had not been followed."""
        if self.failovers or self.loss is not None:
            return
        for (key, identity), (tags, at) in self.tags.items():
            self.checks += 1
            if any(0.0 <= turned - at < TAGS_FOLLOW_S for turned in self.turned_at):
                continue
            found = [h for h in primary.history(key) if self._identity(primary.site, h) == identity]
            if not found or stamp.without(found[0].attributes).tags != tags:
                raise Broken(f"tags lost: {key} {identity} was given {tags}")

    # -- at every move of a watermark -----------------------------------------------------

    def exposure_not_understated(self, source: str, watermark: float | None) -> None:
        """All that clients of the primary were told before the watermark is on the other side."""
        if watermark is None or not self.strict or self.record.primary != source:
            return
        rows = self.untold[source]
        while rows and rows[0][0] < watermark:
            acked_at, _, native = heappop(rows)
            self.checks += 1
            kept = (native.site, native.version_id) in self.listed  # by a person: it counts no more
            if not kept and not self._is_on(self.other(source), native):
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
        if self.loss is not None or self.failovers:
            return self._marker_is_above(region, native, here, there)
        ids = [held.version.version_id for held in here]
        ours = len(ids) - ids.index(native.version_id)
        return len(there) >= ours and there[-ours].version.is_marker

    def _marker_is_above(
        self, region: Region, native: Native, here: list[Held], there: list[Held]
    ) -> bool:
        """Above the same version, or above nothing known: where disks were lost, or a failover left
        something behind, histories do not begin alike."""
        ids = [held.version.version_id for held in here]
        below = here[ids.index(native.version_id) :]
        markers = list(takewhile(_is_marker, below))
        if len(markers) == len(below):
            return any(held.version.is_marker for held in there)
        base = self._identity(native.site, below[len(markers)])
        above = takewhile(lambda held: self._identity(region.site, held) != base, there)
        newer = list(above)[::-1]
        known = len(newer) < len(there)
        return known and len(list(takewhile(_is_marker, newer))) >= len(markers)

    # -- what a person is shown ----------------------------------------------------------

    def shown_divergent(self, found: list[tuple[str, str, str]]) -> None:
        """`farshore divergent list` has named these: (site, key, version). Only a failover may
        leave anything behind: a switchover loses nothing."""
        self.checks += 1
        if found and not self._may_differ(found[0][0]):
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
        self.tags_stand(primary)
        self.fences_stand()
        if self.loss is not None:
            self.nothing_emptied(self.loss)

    def same_history(self, key: str, primary: Region, other: Region) -> None:
        """The primary's history is the other side's, in its order, with its bytes; what that
        side has beside it are divergent natives of its own. Those that a person was shown are
        left out first: of two delete markers, nothing else tells which is which."""
        self.checks += 1
        ours, left = self._undecided(key, primary), self._undecided(key, other)
        theirs = list(left)
        for held in ours:
            while left and not self._alike(held, left[0]):
                self._must_be_divergent(key, other.site, left.pop(0))
            if not left:
                raise Broken(f"not the same: {key}: {_told(ours)} here, {_told(theirs)} there")
            left.pop(0)
        for held in left:
            self._must_be_divergent(key, other.site, held)

    def _undecided(self, key: str, region: Region) -> list[Held]:
        """Oldest first, without those that a person was shown."""
        history = region.history(key)[::-1]
        return [held for held in history if self._identity(region.site, held) not in self.listed]

    def _alike(self, one: Held, other: Held) -> bool:
        return _look(one) == _look(other)

    def _must_be_divergent(self, key: str, site: str, held: Held) -> None:
        locked = held.attributes.lock != Lock()
        if locked and (site, held.version.version_id) in self.strays:
            return  # nobody can purge it: its key is FAILED (`LateWrite`)
        native = self.natives.get((site, held.version.version_id))
        if native is None or not self._may_differ(site):
            raise Broken(f"an extra: {key} {held.version.version_id} stands at {site} alone")

    def nothing_acknowledged_lost(self, native: Native, primary: Region) -> None:
        """It stands where it was written, and at the primary, or a person was shown it."""
        self.checks += 1
        home, wanted = self.regions[native.site], (native.site, native.version_id)
        at_home = home.history(native.key)
        rebuilt = native.is_marker and self.loss is not None and self.loss.site == native.site
        stands = any(self._identity(home.site, held) == wanted for held in at_home)
        if not (native.homeless or rebuilt or stands):
            raise Broken(f"lost: {native.key} {native.version_id} is gone from {native.site}")
        if native.is_marker or native.site == primary.site or self._is_on(primary, native):
            return
        if (native.site, native.version_id) not in self.listed:
            raise Broken(
                f"lost: {native.key} {native.version_id}, acknowledged by {native.site}, is not "
                f"at {primary.site}, and nobody was told"
            )


def _is_marker(held: Held) -> bool:
    return held.version.is_marker


def _look(held: Held) -> tuple[bool, bytes, Attributes]:
    return held.version.is_marker, held.body, stamp.without(held.attributes)


def _told(history: list[Held]) -> str:
    return " ".join("marker" if held.version.is_marker else held.body.decode() for held in history)
