"""The heart as properties: whatever the history and wherever the crash, the target ends equal."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.core import stamp
from farshore.core.align import Alignment, align, always, compare, looks_alike
from farshore.core.model import NULL_VERSION, Version
from farshore.core.plan import Copy, KeyPlan, Mark, Step, plan_key
from farshore.core.stamp import Stamp

EAST = "east"


def version(number: int, content: int | None, *, latest: bool = False) -> Version:
    """A source entry; `content` None is a delete marker. Few contents, so ETags repeat."""
    marker = content is None
    etag = "" if marker else f"{content:032x}"
    size = 0 if content is None else content
    return Version("k", f"s{number}", marker, latest, etag, size, f"t{number}", "")


contents = st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=8)


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    """A source history, newest first."""
    made = draw(contents)
    rows = [version(n, c, latest=n == len(made) - 1) for n, c in enumerate(made)]
    return rows[::-1]


class Target:
    """A minting target as its listing and its stamps show it."""

    def __init__(self) -> None:
        self.rows: list[Version] = []
        self.stamps: dict[str, stamp.Stamp | None] = {}
        self.ids = itertools.count()

    def perform(self, step: Step, *, stamped: bool = True) -> None:
        origin = step.version
        name = f"w{next(self.ids)}"
        self.rows.insert(0, origin._replace(version_id=name, modified="later"))
        if isinstance(step, Copy):
            self.stamps[name] = stamp.of(origin, EAST) if stamped else None

    def write_natively(self, content: int | None) -> Version:
        name = f"n{next(self.ids)}"
        self.rows.insert(0, version(0, content)._replace(version_id=name))
        self.stamps[name] = None
        return self.rows[0]

    def plan(self, source: list[Version]) -> KeyPlan:
        return plan_key("k", self.align(source), self.rows)

    def align(self, source: list[Version]) -> Alignment:
        return compare(source, self.rows) or align(source, self.rows, self.stamps, EAST)


def shape(rows: list[Version]) -> list[tuple[bool, str, int]]:
    return [(row.is_marker, row.etag, row.size) for row in rows]


@given(histories(), st.lists(st.integers(0, 9), max_size=6), st.booleans())
def test_crashes_at_any_step_end_in_the_same_history(
    source: list[Version], crashes: list[int], stamped: bool
) -> None:
    target = Target()
    for steps_done in [*crashes, 99]:
        for step in target.plan(source).steps[:steps_done]:
            target.perform(step, stamped=stamped)
    assert shape(target.rows) == shape(source)
    assert target.plan(source).steps == ()


@given(histories(), st.integers(0, 8), st.integers(0, 8))
def test_a_source_that_grows_between_runs_is_followed(
    source: list[Version], seen: int, done: int
) -> None:
    target = Target()
    early = source[len(source) - min(seen, len(source)) :]
    for step in target.plan(early).steps[:done]:
        target.perform(step)
    for step in target.plan(source).steps:
        target.perform(step)
    assert shape(target.rows) == shape(source)


@given(histories(), st.data())
def test_purges_on_the_source_never_double_or_lose_the_rest(
    source: list[Version], data: st.DataObject
) -> None:
    """Entries purged after they were copied stay on the target as `extra`."""
    target = Target()
    for step in target.plan(source).steps[: data.draw(st.integers(0, 8))]:
        target.perform(step)
    kept = [row for row in source if row.is_marker or data.draw(st.booleans())]
    for step in target.plan(kept).steps:
        target.perform(step)
    final = target.align(kept)
    assert not final.missing
    assert not final.disordered
    assert not final.doubled
    have = [name.etag for name in reversed(target.rows) if not name.is_marker]
    want = [row.etag for row in reversed(kept) if not row.is_marker]
    remaining = iter(have)
    assert all(etag in remaining for etag in want), "the kept versions, in their order"


@given(histories().filter(bool), st.integers(1, 8), st.integers(4, 6))
def test_a_foreign_write_on_top_stops_the_key_and_is_named(
    source: list[Version], done: int, content: int
) -> None:
    target = Target()
    for step in target.plan(source).steps[:done]:
        target.perform(step)
    native = target.write_natively(content)
    outcome = align(source, target.rows, target.stamps, EAST)
    assert outcome.foreign == (native,)
    plan = plan_key("k", outcome, target.rows)
    assert plan.steps == ()
    assert (plan.reason == "CONFLICT") == bool(outcome.missing)


def test_a_key_purged_whole_on_the_source_stays_as_extra() -> None:
    target = Target()
    for step in target.plan([version(2, None, latest=True), version(1, 1)]).steps:
        target.perform(step)
    outcome = align([], target.rows, target.stamps, EAST)
    assert len(outcome.extra) == 2
    assert outcome.in_step


def test_an_undelete_on_the_source_is_seen_and_blocks_nothing() -> None:
    """Purging the top marker is how S3 users undelete; the next write must still arrive."""
    first, marker, second = version(1, 1), version(2, None), version(3, 2, latest=True)
    target = Target()
    for step in target.plan([marker, first]).steps:
        target.perform(step)
    hidden = target.align([first])
    assert [row.is_marker for row in hidden.foreign] == [True]
    assert not hidden.in_step
    for step in target.plan([second, first]).steps:
        target.perform(step)
    assert target.rows[0].etag == second.etag


@given(histories(), st.integers(0, 7))
def test_a_version_missing_beneath_is_a_gap_and_never_appended(
    source: list[Version], lost: int
) -> None:
    target = Target()
    for step in target.plan(source).steps:
        target.perform(step)
    bodies = [row for row in target.rows if not row.is_marker]
    if len(bodies) < 2:
        return
    victim = bodies[1:][lost % (len(bodies) - 1)]
    target.rows.remove(victim)
    outcome = align(source, target.rows, target.stamps, EAST)
    newest_body = bodies[0]
    assert newest_body in [t for _, t in outcome.pairs]
    assert [g for g in outcome.gap if not g.is_marker] != []
    for step in plan_key("k", outcome, target.rows).steps:
        assert isinstance(step, Mark), "a body beneath a copied one is never back-inserted"


@given(histories())
def test_stamped_alignment_agrees_with_the_listing_where_both_can_tell(
    source: list[Version],
) -> None:
    target = Target()
    for step in target.plan(source).steps[: len(source) // 2]:
        target.perform(step)
    quick = compare(source, target.rows)
    slow = align(source, target.rows, target.stamps, EAST)
    assert quick is None or (quick.missing, quick.pairs) == (slow.missing, slow.pairs)


@given(histories())
def test_markers_that_are_not_wanted_are_never_missing(source: list[Version]) -> None:
    def bodies_only(entry: Version) -> bool:
        return not entry.is_marker

    target = Target()
    for _ in range(2):
        outcome = compare(source, target.rows, bodies_only) or align(
            source, target.rows, target.stamps, EAST, bodies_only
        )
        for step in plan_key("k", outcome, target.rows).steps:
            target.perform(step)
    assert shape(target.rows) == [s for s in shape(source) if not s[0]]


def test_null_versions_are_told_apart_by_their_content() -> None:
    old = version(1, 1)._replace(version_id=NULL_VERSION, modified="monday")
    new = version(1, 2)._replace(version_id=NULL_VERSION, modified="tuesday")
    target = Target()
    for step in target.plan([old]).steps:
        target.perform(step)
    for step in target.plan([new]).steps:
        target.perform(step)
    assert [row.etag for row in target.rows] == [new.etag, old.etag]
    outcome = target.align([new])
    assert [row.etag for row in outcome.extra] == [old.etag]
    assert outcome.in_step


@given(histories(), st.one_of(st.none(), st.integers(4, 6)), st.data())
def test_a_null_version_that_is_listed_last_later_on_keeps_its_replica(
    elders: list[Version], content: int | None, data: st.DataObject
) -> None:
    """SeaweedFS lists a null version first while it is the latest, and last ever after."""
    null = version(90, content, latest=True)._replace(version_id=NULL_VERSION)
    target = Target()
    for step in target.plan([null, *elders]).steps:
        target.perform(step)
    newer = [version(100 + n, c) for n, c in enumerate(data.draw(contents))][::-1]
    newer.append(version(99, 7))  # not hidden by a further marker: those look all alike
    source = [*newer, *elders, null._replace(is_latest=False)]
    for step in target.plan(source).steps:
        target.perform(step)
    assert shape(target.rows) == shape([*newer, null, *elders])
    assert target.align(source).in_step


def test_an_old_null_version_that_was_never_copied_is_a_gap_and_never_on_top() -> None:
    elder, newer = version(1, 1), version(2, 2)
    target = Target()
    for step in target.plan([newer, elder]).steps:
        target.perform(step)
    for content in (3, None):
        null = version(3, content)._replace(version_id=NULL_VERSION)
        outcome = target.align([newer, elder, null])
        assert outcome.gap == (null,)
        assert not outcome.missing


def test_an_old_null_version_is_not_appended_in_the_middle() -> None:
    elder, newer = version(1, 1), version(2, 2)
    null = version(3, 3)._replace(version_id=NULL_VERSION)
    target = Target()
    for step in target.plan([elder]).steps:
        target.perform(step)
    outcome = target.align([newer, elder, null])
    assert (outcome.gap, outcome.missing) == ((null,), (newer,))


def test_a_foreign_marker_on_top_is_not_taken_for_an_old_null_marker() -> None:
    elder, newer = version(1, 1), version(2, 2)
    null = version(3, None)._replace(version_id=NULL_VERSION)
    target = Target()
    for step in target.plan([newer, elder]).steps:
        target.perform(step)
    foreign = target.write_natively(None)
    outcome = target.align([newer, elder, null])
    assert (outcome.gap, outcome.foreign) == ((null,), (foreign,))


def test_a_second_replica_is_not_owed_to_where_its_original_is() -> None:
    """It arrived late, is locked, and its site has become primary since."""
    below = version(1, 1)
    first, second, mine = version(11, 1), version(12, 1), version(13, 3)
    origins = {
        first.version_id: Stamp("west", below.version_id, "", below.etag),
        second.version_id: Stamp("west", below.version_id, "", below.etag),
    }
    stamps = {below.version_id: None}
    found = align((mine, second, first), (below,), stamps, "east", origins=origins)
    assert [pair[1] for pair in found.pairs] == [below]
    assert (found.missing, found.gap) == ((mine,), ())
    gone = align((mine, second, first), (), {}, "east", origins=origins)
    assert gone.missing == (first, second, mine), "where the original is gone, both are owed"


def test_a_replica_copied_twice_is_seen() -> None:
    source = [version(1, 1, latest=True)]
    target = Target()
    for step in [*target.plan(source).steps] * 2:
        target.perform(step)
    outcome = target.align(source)
    assert [row.version_id for row in outcome.doubled] == ["w1"]
    assert not outcome.in_step


def test_another_size_under_the_right_stamp_is_a_difference() -> None:
    source = [version(1, 1, latest=True)]
    target = Target()
    for step in target.plan(source).steps:
        target.perform(step)
    target.rows[0] = target.rows[0]._replace(size=77)
    assert len(target.align(source).differing) == 1


def test_another_etag_is_vouched_for_by_the_stamp() -> None:
    """Under SSE-KMS an ETag is no MD5 (S3-SEMANTICS, "Multipart, checksums, encryption")."""
    source = [version(1, 1, latest=True)]
    target = Target()
    for step in target.plan(source).steps:
        target.perform(step)
    target.rows[0] = target.rows[0]._replace(etag="encrypted")
    assert target.align(source).in_step


@settings(max_examples=50)
@given(histories(), histories())
def test_looking_alike_is_symmetric(left: list[Version], right: list[Version]) -> None:
    for a, b in zip(left, right, strict=False):
        assert looks_alike(a, b) == looks_alike(b, a)
        assert always(a)
