"""What a run about roles knows: every version that a client ever wrote, and the record that stands.

A *native* is a version that a site got from a client, or from a person who adopted it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile

from farshore.core import stamp
from farshore.core.record import ControlRecord, initial
from farshore.testing.store.memory import Held
from tests.simulation.region import Region

PAIR = "east-west"

Identity = tuple[str, str]
"""Where an entry was written first, and the id that it has there."""

Tags = tuple[tuple[str, str], ...]

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
class RolesModel:
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

    def other(self, site: str) -> Region:
        return next(region for name, region in self.regions.items() if name != site)

    # -- where versions stand ------------------------------------------------------------

    def identity(self, site: str, held: Held) -> Identity:
        """Of an entry that stands at `site`."""
        mark = None if held.version.is_marker else stamp.find(held.attributes)
        return self.origin(held.version.key, mark) if mark else (site, held.version.version_id)

    def origin(self, key: str, mark: stamp.Stamp) -> Identity:
        """Where it was written first: what is copied home to lost disks is a replica's replica."""
        if self.loss is not None:
            for held in self.regions[mark.site].history(key):
                before = stamp.find(held.attributes)
                if held.version.version_id == mark.version_id and before is not None:
                    return before[:2]
        return mark[:2]

    def is_on(self, region: Region, native: Native) -> bool:
        """Whether that region has it, too: a marker by its place in the history."""
        here = self.regions[native.site].history(native.key)
        there = region.history(native.key)
        if not native.is_marker:
            wanted = (native.site, native.version_id)
            return any(self.identity(region.site, held) == wanted for held in there)
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
        base = self.identity(native.site, below[len(markers)])
        above = takewhile(lambda held: self.identity(region.site, held) != base, there)
        newer = list(above)[::-1]
        known = len(newer) < len(there)
        return known and len(list(takewhile(_is_marker, newer))) >= len(markers)

    def stood_since(self, region: Region, native: Native) -> float:
        """When it came to stand there, as listings tell; infinite for what does not."""
        for held in region.history(native.key):
            if self.identity(region.site, held) == (native.site, native.version_id):
                return datetime.fromisoformat(held.version.modified).timestamp()
        return math.inf

    def may_differ(self, site: str) -> bool:
        """Whether it may have got versions that nobody else has: switchovers leave nothing."""
        fenceless = self.loss is not None or site in self.policed_late
        return self.failovers > 0 or fenceless


def _is_marker(held: Held) -> bool:
    return held.version.is_marker
