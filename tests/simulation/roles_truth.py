"""What must be so while roles change: each promise a check of its own, named after it."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush

from farshore.core import stamp
from farshore.core.model import Attributes, Lock
from farshore.core.record import ControlRecord
from farshore.testing.store.memory import Held
from tests.simulation.region import Arrival, Region
from tests.simulation.roles_loss import (
    fences_stand,
    nothing_decided_by_empty_disks,
    nothing_emptied,
    nothing_vouched_that_was_lost,
)
from tests.simulation.roles_model import Native, RolesModel
from tests.simulation.roles_tags import tags_stand
from tests.simulation.truth import Broken

REFENCED_S = 60.0
"""A fence that was lost with the disks, or to a policy that arrived late, stands again so long
after that."""


@dataclass(slots=True)
class RolesTruth(RolesModel):
    """The promises, held against the model."""

    def recorded(self, site: str, key: str, body: bytes) -> None:
        """A control record, a run, or what a daemon says of itself, was written at that site."""
        document = json.loads(body)
        if key.startswith("status/"):
            nothing_vouched_that_was_lost(self, site, document["watermark"])
            return
        if key.startswith("runs/"):
            self.runs[site, key] = (int(document["revision"]), str(document["state"]))
            return
        if self.loss is not None and document["primary"] != self.loss.site:
            self.loss.hollow = False
        primary = self.record.primary
        self.records[site] = ControlRecord.from_json(document)
        nothing_decided_by_empty_disks(self, site, self.records[site])
        if self.record.primary != primary:
            self.turned_at.append(self.now())
        if document["phase"] == "given_up":
            self.failovers += 1

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

    def nothing_doubled(self, came: Arrival, mark: stamp.Stamp) -> None:
        """No version stands twice on a side."""
        self.checks += 1
        if mark.site == came.site and any(
            held.version.version_id == mark.version_id for held in came.before
        ):
            raise Broken(f"doubled: {came.key} {mark.version_id} came back to {came.site}")
        if any(
            self.identity(came.site, held) == self.origin(came.key, mark) for held in came.before
        ):
            raise Broken(f"doubled: {came.key} {mark.version_id} stands twice at {came.site}")

    def in_its_place(self, came: Arrival, mark: stamp.Stamp) -> None:
        """Above all that is older at the primary, and beneath nothing."""
        self.checks += 1
        theirs = self.other(came.site)
        order = [self.identity(theirs.site, held) for held in theirs.history(came.key)]
        places = {identity: place for place, identity in enumerate(reversed(order))}
        place = places.get(self.origin(came.key, mark))
        if place is None:
            return  # purged there meanwhile
        for held in came.before:
            if places.get(self.identity(came.site, held), -1) > place:
                raise Broken(
                    f"out of place: {came.key} {mark.version_id} was put above "
                    f"{held.version.version_id} at {came.site}"
                )

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
            if not kept and not self.is_on(self.other(source), native):
                raise Broken(
                    f"exposure understated: {native.key} {native.version_id} was acknowledged at "
                    f"{acked_at:.3f} by {source}, the watermark is {watermark:.3f}, and the other "
                    "side lacks it"
                )

    # -- what a person is shown ----------------------------------------------------------

    def shown_divergent(self, found: list[tuple[str, str, str]]) -> None:
        """`farshore divergent list` has named these: (site, key, version). Only a failover may
        leave anything behind: a switchover loses nothing."""
        self.checks += 1
        if found and not self.may_differ(found[0][0]):
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
        tags_stand(self, primary)
        fences_stand(self)
        if self.loss is not None:
            nothing_emptied(self, self.loss)

    def same_history(self, key: str, primary: Region, other: Region) -> None:
        """The primary's history is the other side's, in its order, with its bytes; what that
        side has beside it are divergent natives of its own. Those that a person was shown are
        left out first: of two delete markers, nothing else tells which is which."""
        self.checks += 1
        ours, left = self._undecided(key, primary), self._undecided(key, other)
        theirs = list(left)
        known = Counter(self.identity(primary.site, held) for held in ours)
        for held in ours:
            stray = (primary.site, held.version.version_id) in self.strays
            if stray and known[self.identity(primary.site, held)] > 1:
                continue  # it arrived late there, and its site has become primary since
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
        return [held for held in history if self.identity(region.site, held) not in self.listed]

    def _alike(self, one: Held, other: Held) -> bool:
        return _look(one) == _look(other)

    def _is_locked_stray(self, site: str, held: Held) -> bool:
        """Nobody can purge it: its key is FAILED (`LateWrite`) while the other side is primary."""
        locked = held.attributes.lock != Lock()
        return locked and (site, held.version.version_id) in self.strays

    def _must_be_divergent(self, key: str, site: str, held: Held) -> None:
        if self._is_locked_stray(site, held):
            return
        native = self.natives.get((site, held.version.version_id))
        if native is None or not self.may_differ(site):
            raise Broken(f"an extra: {key} {held.version.version_id} stands at {site} alone")

    def nothing_acknowledged_lost(self, native: Native, primary: Region) -> None:
        """It stands where it was written, and at the primary, or a person was shown it."""
        self.checks += 1
        home, wanted = self.regions[native.site], (native.site, native.version_id)
        at_home = home.history(native.key)
        rebuilt = native.is_marker and self.loss is not None and self.loss.site == native.site
        stands = any(self.identity(home.site, held) == wanted for held in at_home)
        if not (native.homeless or rebuilt or stands):
            raise Broken(f"lost: {native.key} {native.version_id} is gone from {native.site}")
        if native.is_marker or native.site == primary.site or self.is_on(primary, native):
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
