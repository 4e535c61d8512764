"""Alignment: what one key's history on the source and on the target have in common.

Two steps. `compare` looks at what the listings show (order, size, ETag, markers) and
settles almost every key. Where listings alone cannot tell, its answer is None: the
caller reads the stamps of the target's entries and calls `align`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from farshore.core import stamp
from farshore.core.model import NULL_VERSION, History, Version
from farshore.core.stamp import Stamp

Pair = tuple[Version, Version]
"""An entry of the source and its replica on the target."""

NULL_PLACES_MAX = 200
"""Places that are tried for a null version that a server lists out of its order."""

Required = Callable[[Version], bool]
"""Whether a source entry must be on the target (some delete markers need not)."""


Origins = Mapping[str, Stamp]
"""Source version id to the stamp that names the target's entry which it is a replica of."""

NO_ORIGINS: Origins = MappingProxyType({})


def always(entry: Version) -> bool:
    """Every entry must be there."""
    return True


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a target's history stands to its source's. All tuples go oldest to newest.

    pairs: source entries with their replicas.
    missing: newer than everything copied: append them, in this order.
    gap: missing beneath something already copied: reported, never back-inserted.
    extra: replicas whose original is no longer on the source (purged there).
    foreign: entries of the target that no source entry explains, by nobody of ours.
    differing: pairs whose bytes cannot be the same.
    disordered: replicas that stand above others whose originals are newer.
    doubled: second replicas of an original that has one already, purged there or not.
    diverged: foreign versions (markers aside) stand above the last common entry.
    """

    pairs: tuple[Pair, ...] = ()
    missing: tuple[Version, ...] = ()
    gap: tuple[Version, ...] = ()
    extra: tuple[Version, ...] = ()
    foreign: tuple[Version, ...] = ()
    differing: tuple[Pair, ...] = ()
    disordered: tuple[Version, ...] = ()
    doubled: tuple[Version, ...] = ()
    diverged: bool = False

    @property
    def conflict(self) -> bool:
        """Both sides have entries of their own above the last common one."""
        return self.diverged and bool(self.missing)

    @property
    def undisturbed(self) -> bool:
        """The target holds a beginning of the source and kept history, all in order."""
        wrong = self.foreign or self.differing or self.disordered or self.doubled
        return not (self.gap or wrong)

    @property
    def in_step(self) -> bool:
        """Nothing is missing or wrong. `extra` is kept history, not a difference."""
        return self.undisturbed and not self.missing


def looks_alike(source: Version, target: Version) -> bool:
    """Whether two entries are the same as far as listings show."""
    return (
        source.etag == target.etag
        and source.size == target.size
        and source.is_marker == target.is_marker
    )


def identical(source: History, target: History) -> bool:
    """Whether two whole histories look the same, entry by entry. The hot path."""
    if len(source) != len(target):
        return False
    for s, t in zip(source, target):  # noqa: B905 (lengths compared; strict= costs time here)
        if s.etag != t.etag or s.size != t.size or s.is_marker != t.is_marker:
            return False
    return True


def compare(source: History, target: History, required: Required = always) -> Alignment | None:
    """Align by what the listings show; None when only the stamps can tell.

    Sound because replicas are appended oldest to newest: a target that shows the first
    entries of the source, each of them unlike every other, holds just these.
    """
    if identical(source, target):
        return Alignment(pairs=tuple(zip(reversed(source), reversed(target), strict=True)))
    source = [entry for entry in source if required(entry)]
    if not target:
        return Alignment(missing=tuple(reversed(source)))
    if len(target) > len(source) or (len(target) < len(source) and _repeats(source)):
        return None
    pairs = tuple(zip(reversed(source), reversed(target), strict=False))
    if not all(looks_alike(s, t) for s, t in pairs):
        return None
    rest = list(reversed(source))[len(pairs) :]
    return Alignment(pairs=pairs, missing=tuple(rest))


def _repeats(history: History) -> bool:
    """Whether two versions look alike, so that position alone could mislead."""
    bodies = [(e.etag, e.size) for e in history if not e.is_marker]
    return len(set(bodies)) != len(bodies)


def align(
    source: History,
    target: History,
    stamps: Mapping[str, Stamp | None],
    source_site: str,
    required: Required = always,
    *,
    origins: Origins = NO_ORIGINS,
) -> Alignment:
    """Align with the stamps of the target's versions, by target version id.

    `origins`: source entries that are replicas of the target's own entries, from the time
    when the pair was copied the other way: such an entry is known by the id in its stamp.

    A version without a stamp is taken for the replica of the first source version,
    from where we stand, that looks like it (its stamp found no room). A marker is known
    by the entry that it covers. An unstamped version that looks like nothing on the
    source, or one stamped by another site, is foreign.
    """
    found = _Aligner(source, target, stamps, source_site, required, origins).run()
    if found.undisturbed or len(source) < 2 or source[-1].version_id != NULL_VERSION:
        return found
    for placed in _other_places(source):
        other = _Aligner(placed, target, stamps, source_site, required, origins).run()
        if other.undisturbed and any(s.version_id == NULL_VERSION for s, _ in other.pairs):
            return other
    return found


def _other_places(source: History) -> Iterator[list[Version]]:
    """The source with the null entry, listed last, at the other places that it may have.

    SeaweedFS lists a null version beneath all others once it is no longer the latest,
    whenever it was written (S3-SEMANTICS, "Null versions"). Its replica was appended in
    its time, and stands right. Never on top: there it is listed where it belongs.
    """
    *rest, null = source
    for at in range(1, min(len(rest), NULL_PLACES_MAX + 1)):
        yield [*rest[:at], null, *rest[at:]]


class _Aligner:
    """One pass over the target, oldest to newest, with a finger in the source."""

    def __init__(
        self,
        source: History,
        target: History,
        stamps: Mapping[str, Stamp | None],
        source_site: str,
        required: Required,
        origins: Origins,
    ) -> None:
        self.source = list(reversed(source))
        self.target = list(reversed(target))
        self.places = {e.version_id: at for at, e in enumerate(self.source) if not e.is_marker}
        self.born = {
            origins[e.version_id].version_id: at
            for at, e in enumerate(self.source)
            if e.version_id in origins
        }
        there = {entry.version_id for entry in target}
        self.twins = {
            e.version_id
            for at, e in enumerate(self.source)
            if e.version_id in origins
            and origins[e.version_id].version_id in there
            and self.born[origins[e.version_id].version_id] != at
        }  # second replicas of entries that stand at the target: nobody owes them there
        self.origins = origins
        self.stamps = stamps
        self.site = source_site
        self.required = required
        self.finger = 0
        self.grounded = True  # the entry beneath is a replica: markers may pair on it
        self.retained = False  # the entry beneath is a replica whose original was purged
        self.purged: set[Stamp] = set()  # what the extras are replicas of
        self.pairs: list[Pair] = []
        self.skipped: list[Version] = []
        self.extra: list[Version] = []
        self.foreign: list[Version] = []
        self.disordered: list[Version] = []
        self.doubled: list[Version] = []
        self.diverged = False

    def run(self) -> Alignment:
        for entry in self.target:
            self._place(entry)
        missing = self.source[self.finger :]
        return Alignment(
            pairs=tuple(self.pairs),
            missing=tuple(filter(self._is_owed, missing)),
            gap=tuple(filter(self._is_owed, self.skipped)),
            extra=tuple(self.extra),
            foreign=tuple(self.foreign),
            differing=tuple(p for p in self.pairs if self._differs(*p)),
            disordered=tuple(self.disordered),
            doubled=tuple(self.doubled),
            diverged=self.diverged,
        )

    def _is_owed(self, entry: Version) -> bool:
        return entry.version_id not in self.twins and self.required(entry)

    def _place(self, entry: Version) -> None:
        if entry.is_marker:
            self._place_marker(entry)
            return
        mark = self.stamps.get(entry.version_id)
        if (at := self._copied_from(entry)) is not None:
            self._place_known(at, entry)
        elif mark is None:
            self._place_unstamped(entry)
        elif mark.site != self.site:
            self._stand_alone(entry)
        else:
            self._place_stamped(entry, mark)

    def _place_marker(self, entry: Version) -> None:
        """A marker pairs with the source's marker over the same entry.

        One that stands alone is foreign, but hides no bytes: newer source versions may
        still go on top of it, so it makes no conflict.
        """
        at = self.finger
        if self.grounded and at < len(self.source) and self.source[at].is_marker:
            self._pair(at, entry)
        elif self.retained:
            self.extra.append(entry)
        else:
            self.foreign.append(entry)
            self.grounded = False

    def _place_unstamped(self, entry: Version) -> None:
        for at in range(self.finger, len(self.source)):
            if looks_alike(self.source[at], entry):
                self._pair(at, entry)
                return
        self._stand_alone(entry)

    def _place_stamped(self, entry: Version, mark: Stamp) -> None:
        at = self.places.get(mark.version_id)
        if at is None or not stamp.names(mark, self.source[at]):
            if mark in self.purged:
                self.doubled.append(entry)
                return
            self.purged.add(mark)
            self.extra.append(entry)
            self.grounded = self.retained = True
        else:
            self._place_known(at, entry)

    def _copied_from(self, entry: Version) -> int | None:
        """Where the source has the replica of this very entry; None where it has none."""
        at = self.born.get(entry.version_id)
        if at is None:
            return None
        mark = self.origins[self.source[at].version_id]
        return at if not mark.etag or mark.etag == entry.etag else None

    def _place_known(self, at: int, entry: Version) -> None:
        if at >= self.finger:
            self._pair(at, entry)
        elif self.source[at] in self.skipped:
            self.disordered.append(entry)
        else:
            self.doubled.append(entry)

    def _pair(self, at: int, entry: Version) -> None:
        self.skipped.extend(self.source[self.finger : at])
        self.pairs.append((self.source[at], entry))
        self.finger = at + 1
        self.grounded = True
        self.retained = self.diverged = False

    def _stand_alone(self, entry: Version) -> None:
        self.foreign.append(entry)
        self.grounded = self.retained = False
        self.diverged = True

    def _differs(self, source: Version, target: Version) -> bool:
        """Another size, or another ETag that no stamp vouches for."""
        if source.size != target.size:
            return True
        if source.etag == target.etag:
            return False
        mark = self.stamps.get(target.version_id)
        born = self.origins.get(source.version_id)
        vouched = mark is not None and mark.etag == source.etag
        return not (vouched or (born is not None and born.etag == target.etag))
