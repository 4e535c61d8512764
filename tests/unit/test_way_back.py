"""The same alignment after the direction has turned: replicas are known by their own stamps."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from farshore.core import stamp
from farshore.core.align import Alignment, align
from farshore.core.model import Version
from farshore.core.plan import Copy, plan_key

WRITES = st.lists(st.one_of(st.none(), st.integers(0, 2)), max_size=5)
"""What an application writes: a few contents, so that ETags repeat; None is a delete."""


class Site:
    """One site's history of one key, newest first, and the stamps of its replicas."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Version] = []
        self.stamps: dict[str, stamp.Stamp] = {}
        self._ids = itertools.count()

    def _put(self, version: Version) -> str:
        name = f"{self.name}{next(self._ids)}"
        self.rows.insert(0, version._replace(version_id=name))
        return name

    def write(self, contents: list[int | None]) -> None:
        for content in contents:
            etag = "" if content is None else f"{content:032x}"
            self._put(Version("k", "", content is None, False, etag, content or 0, "t", ""))

    def align_to(self, source: Site) -> Alignment:
        """How this site, as the target, stands to a source."""
        stamps = {row.version_id: self.stamps.get(row.version_id) for row in self.rows}
        origins = {v: mark for v, mark in source.stamps.items() if mark.site == self.name}
        return align(source.rows, self.rows, stamps, source.name, origins=origins)

    def follow(self, source: Site, steps_max: int = 100) -> None:
        """Bring what is missing, as the engine does."""
        plan = plan_key("k", self.align_to(source), self.rows)
        for step in plan.steps[:steps_max]:
            name = self._put(step.version)
            if isinstance(step, Copy):
                self.stamps[name] = stamp.of(step.version, source.name)

    def shape(self) -> list[tuple[bool, str]]:
        return [(row.is_marker, row.etag) for row in self.rows]


@given(WRITES, WRITES, WRITES, WRITES)
def test_there_and_back_and_there_again_nothing_is_doubled_or_lost(
    first: list[int | None],
    second: list[int | None],
    third: list[int | None],
    fourth: list[int | None],
) -> None:
    east, west = Site("e"), Site("w")
    writer, reader = east, west
    written: list[int | None] = []
    for writes in (first, second, third, fourth):
        writer.write(writes)
        written += writes
        reader.follow(writer)
        assert reader.shape() == writer.shape()
        assert reader.align_to(writer).in_step
        assert writer.align_to(reader).in_step, "turned round, nothing is owed"
        writer, reader = reader, writer
    assert len(east.rows) == len(written)


@given(WRITES, WRITES, WRITES, st.integers(0, 5))
def test_what_the_dead_primary_had_alone_diverges_and_is_never_taken_for_a_replica(
    first: list[int | None], lost: list[int | None], later: list[int | None], copied: int
) -> None:
    """East dies with `lost` not copied; west goes on; east comes back as the target."""
    east, west = Site("e"), Site("w")
    east.write(first)
    west.follow(east)
    east.write(lost)
    west.follow(east, copied)
    have = len(west.rows)
    west.write(later)
    found = east.align_to(west)
    alone = east.rows[: len(east.rows) - have]
    bodies_alone = [row for row in alone if not row.is_marker]
    paired = {target.version_id for _, target in found.pairs}
    for row in east.rows[len(alone) :]:
        if not row.is_marker:
            assert row.version_id in paired, "what was copied is known by its own id"
    natives = [row for row in west.rows if row.version_id not in west.stamps]
    if bodies_alone and not any(row.etag == b.etag for row in natives for b in bodies_alone):
        assert found.diverged
        assert {row.version_id for row in bodies_alone} <= {row.version_id for row in found.foreign}


def test_a_content_that_returns_is_told_apart_by_the_stamps_of_the_source() -> None:
    """A, B, A on east, all copied; then east lost its second A (a purge)."""
    east, west = Site("e"), Site("w")
    east.write([0, 1, 0])
    west.follow(east)
    oldest = east.rows[-1]
    east.rows.remove(oldest)
    found = east.align_to(west)
    assert [source.version_id for source, _ in found.pairs] == ["w1", "w2"]
    assert [row.version_id for row in found.gap] == ["w0"]
