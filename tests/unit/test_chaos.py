"""The pure parts of `make chaos`: one seed is one schedule, and the checker can fail."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from farshore.core.model import Attributes, Version
from farshore.core.stamp import STAMP_NAME, Stamp
from farshore.testing.store.memory import Held
from tests.chaos import summary
from tests.chaos.flat import Sample, findings, table, verdicts
from tests.chaos.ledger import (
    MARKER,
    SAME,
    UNDERSTATED,
    Entry,
    Ledger,
    Seen,
    Strays,
    Violation,
    is_beginning,
    lags,
    written_at,
)
from tests.chaos.operations import CLIENTS, MIX, VERSIONS_MAX, body, operations
from tests.chaos.schedule import KINDS, LAST_S, LASTS_S, faults
from tests.chaos.settled import in_step, waits_for_nothing
from tests.chaos.wire import Both, compared, newest_first, undone
from tests.lab.witness import Row

# -- one seed is one run -----------------------------------------------------------------


def test_one_seed_is_one_schedule() -> None:
    assert faults(7, 900.0) == faults(7, 900.0)
    assert faults(7, 900.0) != faults(8, 900.0)


def test_a_lane_is_broken_by_one_thing_at_a_time_and_nothing_outlasts_the_run() -> None:
    found = faults(7, 900.0)
    for lane in KINDS:
        mine = [fault for fault in found if fault.lane == lane]
        for earlier, later in itertools.pairwise(mine):
            assert earlier.at + earlier.lasts < later.at
    assert all(fault.at < 900.0 - LAST_S for fault in found)
    assert all(fault.at + fault.lasts <= 900.001 for fault in found)
    assert {fault.kind for fault in found} == set(LASTS_S), "every kind within 15 minutes"


def test_one_seed_is_one_sequence_of_operations() -> None:
    for number in range(len(CLIENTS)):
        first, again = (list(itertools.islice(operations(7, number), 500)) for _ in range(2))
        assert first == again
        assert first != list(itertools.islice(operations(8, number), 500))
        assert {one.kind for one in first} == set(MIX[CLIENTS[number]])


def test_keys_of_one_client_are_no_other_s_and_are_left_in_time() -> None:
    keys = [
        {one.key for one in itertools.islice(operations(7, number), 500)}
        for number, ground in enumerate(CLIENTS)
        if ground != "shared"
    ]
    for one, other in itertools.combinations(keys, 2):
        assert not one & other
    counts = [one.key for one in itertools.islice(operations(7, 5), 2000)]
    assert max(map(counts.count, set(counts))) == VERSIONS_MAX


def test_no_two_bodies_are_the_same() -> None:
    assert body(7, 1, 0) != body(7, 2, 0)
    assert body(7, 1, 100) == body(7, 1, 100)
    assert len(body(7, 1, 100)) == 100


# -- the order of a key --------------------------------------------------------------------


def entries(*tokens: str) -> list[Entry]:
    """Acknowledged, but for those that begin with ?: their outcome is not known."""
    return [
        Entry(n, "k", token.lstrip("?"), n, math.inf if token.startswith("?") else n + 0.5)
        for n, token in enumerate(tokens)
    ]


@pytest.mark.parametrize(
    ("source", "far", "is_good"),
    [
        ("a b c", "", True),
        ("a b c", "a b", True),
        ("a b c", "a b c", True),
        ("a b c", "a c", False),  # missing beneath
        ("a b c", "b", False),
        ("a b c", "a b b", False),  # doubled
        ("a b c", "b a", False),  # out of place
        ("a b c", "a x", False),  # nobody wrote it
        ("a marker b", "a marker", True),
        ("a marker b", "a b", False),  # a marker that was forgotten
        ("a marker b", "a marker marker", False),
        ("a ?b c", "a c", True),  # its outcome was not known
        ("a ?b c", "a b c", True),
        ("a ?b c", "a b b c", False),
        ("a ?a a", "a a a", True),  # equal bytes
        ("a ?a a", "a a a a", False),
        ("?marker a ?marker marker", "a marker marker", True),
    ],
)
def test_the_far_side_is_a_beginning_of_the_source(source: str, far: str, is_good: bool) -> None:
    assert is_beginning(entries(*source.split()), far.split()) is is_good


@pytest.mark.parametrize(
    ("source", "far", "is_whole"),
    [("a b", "a b", True), ("a b", "a", False), ("a ?b", "a", True), ("?a b", "a", False)],
)
def test_in_the_end_all_that_was_acknowledged_stands(source: str, far: str, is_whole: bool) -> None:
    assert is_beginning(entries(*source.split()), far.split(), whole=True) is is_whole


# -- promises ------------------------------------------------------------------------------


def told(*tokens: str, unordered: tuple[str, ...] = ()) -> Ledger:
    """A ledger of one key whose entries were acknowledged at 1, 2, 3 …"""
    ledger = Ledger(unordered)
    for n, token in enumerate(tokens, 1):
        ledger.acknowledge(ledger.begin("k", token, n - 0.5), f"id{n}", float(n))
    return ledger


def promises(found: Sequence[Violation]) -> set[str]:
    return {one.promise for one in found}


def test_what_was_promised_and_stands_is_no_violation() -> None:
    ledger = told("a", "b", "c")
    assert ledger.promised(2.5, 10.0, "somebody") == 2
    assert ledger.due == {"k"}
    assert ledger.look("k", [Seen("b", 2.1), Seen("a", 1.1)], 11.0) == []
    assert ledger.due == set()
    assert ledger.checks == {"promised": 2, "order": 1}
    assert lags(ledger) == pytest.approx([0.1, 0.1])


def test_what_was_promised_and_is_not_there_is_an_understatement() -> None:
    ledger = told("a", "b")
    ledger.promised(2.5, 10.0, "somebody")
    found = ledger.look("k", [Seen("a", 1.1)], 11.0)
    assert promises(found) == {UNDERSTATED}
    assert "b (operation 2) was acknowledged at 2.000, somebody promised it" in found[0].what


def test_what_came_after_it_was_promised_is_an_understatement_also_when_it_is_there_by_now() -> (
    None
):
    ledger = told("a")
    ledger.promised(1.5, 10.0, "somebody")
    (found,) = ledger.look("k", [Seen("a", 10.2)], 11.0)
    assert found.what.endswith("it came 0.200 s later")


def test_one_of_two_equal_versions_stands_for_one_only() -> None:
    ledger = told("a", "a")
    ledger.promised(9.0, 10.0, "somebody")
    assert promises(ledger.look("k", [Seen("a", 1.1)], 11.0)) == {UNDERSTATED}


def test_what_was_purged_or_in_doubt_is_not_owed() -> None:
    ledger = told("a", "b")
    ledger.purge(ledger.purgeable("k")[0])
    ledger.doubt(ledger.begin("k", "c", 3.0))
    ledger.promised(9.0, 10.0, "somebody")
    assert ledger.look("k", [Seen("b", 2.1)], 11.0) == []
    assert ledger.purged_keys == {"k"}
    assert [entry.token for entry in ledger.purgeable("k")] == ["b"]


def test_a_purge_that_never_reached_the_server_takes_nothing_away() -> None:
    ledger = told("a", "b")
    entry = ledger.purgeable("k")[0]
    ledger.purge(entry)
    ledger.promised(9.0, 10.0, "somebody")
    assert ledger.look("k", [Seen("b", 2.1)], 11.0) == []
    ledger.spared(entry)
    assert ledger.due == {"k"}, "it was promised meanwhile"
    assert promises(ledger.look("k", [Seen("b", 2.1)], 12.0)) == {UNDERSTATED, SAME}


def test_what_never_reached_the_server_must_not_stand() -> None:
    ledger = told("a")
    ledger.refused(ledger.begin("k", "b", 2.0))
    assert promises(ledger.look("k", [Seen("b", 2.1), Seen("a", 1.1)], 11.0)) == {SAME}


def test_keys_that_are_fought_over_have_no_order_and_still_are_owed() -> None:
    ledger = told("a", "b", unordered=("k",))
    ledger.promised(9.0, 10.0, "somebody")
    assert ledger.look("k", [Seen("a", 1.1), Seen("b", 2.1)], 11.0) == []
    assert promises(ledger.look("k", [Seen("a", 1.1)], 11.0)) == {UNDERSTATED}


def test_a_listing_made_while_the_server_writes_is_read_by_its_ids() -> None:
    """Seen: the newest is listed, and the one before it is still called the latest."""
    newest, before = Row("5a", False, False, "b"), Row("6b", False, True, "a")
    assert newest_first([before, newest]) == [newest, before]


def test_what_stood_out_of_order_must_have_been_told() -> None:
    strays = Strays()
    one, other = (Violation(SAME, key, "", 0.0) for key in "ab")
    assert strays.seen(one)
    assert not strays.seen(Violation(SAME, "a", "again", 1.0))
    assert strays.unexplained() == [one]
    assert strays.says(1) == 1
    assert strays.unexplained() == []
    assert strays.seen(other)
    assert strays.says(1) == 0
    assert strays.unexplained() == [one, other]
    assert strays.says(0) == 0, "a journal was lost"
    assert strays.says(1) == 1
    assert strays.unexplained() == []


def test_the_time_of_a_version_is_in_its_id() -> None:
    at = 1_795_399_000.25
    assert written_at(f"{2**63 - 1 - int(at * 1e9):016x}" + "0" * 16) == pytest.approx(at)


# -- the end, by the simulation's checker -----------------------------------------------------


def held(version_id: str, content: bytes | None, origin: str = "") -> Held:
    """One entry as it was read; None is a marker. `origin`: of a replica."""
    mark = ((STAMP_NAME, Stamp("east", origin, "", "").encode()),) if origin else ()
    version = Version("k", version_id, content is None, False, str(content), 1, "", "")
    return Held(version, content or b"", Attributes(metadata=mark))


HERE = [held("1c", b"c"), held("2m", None), held("3b", b"b"), held("4a", b"a")]
THERE = [held("5", b"c", "1c"), held("6", None), held("7", b"b", "3b"), held("8", b"a", "4a")]
KNOWN = [
    Entry(n, "k", MARKER if e.version.is_marker else e.version.etag, n, n + 0.5, e.version[1])
    for n, e in enumerate(reversed(HERE))
]


def judged(
    here: list[Held], there: list[Held], known: Sequence[Entry] = tuple(KNOWN)
) -> list[Violation]:
    return list(compared({"k": Both(here, there)}, {"k": known}, 0.0))


def test_equal_histories_are_no_violation() -> None:
    assert judged(HERE, THERE) == []


DAMAGE: dict[str, Callable[[list[Held]], list[Held]]] = {
    "missing": lambda there: there[1:],
    "missing beneath": lambda there: [*there[:2], there[3]],
    "doubled": lambda there: [there[0], *there],
    "doubled beneath": lambda there: [*there, held("9", b"a", "4a")],
    "a marker too many": lambda there: [there[0], there[1], *there[1:]],
    "a marker too few": lambda there: [there[0], *there[2:]],
    "out of place": lambda there: [there[0], there[1], there[3], there[2]],
    "other bytes": lambda there: [held("5", b"x", "1c"), *there[1:]],
    "somebody else's": lambda there: [held("9", b"x"), *there],
    "of nobody": lambda there: [held("9", b"x", "0z"), *there],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_far_side_is_a_violation(kind: str) -> None:
    found = judged(HERE, DAMAGE[kind](THERE))
    assert promises(found) == {SAME}


def test_other_attributes_are_a_violation() -> None:
    odd = THERE[0]._replace(attributes=Attributes(metadata=THERE[0].attributes.metadata, tags=()))
    good = HERE[0]._replace(attributes=Attributes(tags=(("n", "1"),)))
    assert judged([good, *HERE[1:]], [odd, *THERE[1:]])


def test_what_the_source_itself_lost_is_a_violation() -> None:
    found = judged(HERE[1:], THERE[1:])
    assert promises(found) == {"nothing acknowledged lost"}


def test_the_replica_of_a_purged_version_may_stand_or_not() -> None:
    known = [replace(entry) for entry in KNOWN]
    known[1].purged = True  # b
    here = [HERE[0], HERE[1], HERE[3]]
    assert judged(here, THERE, known) == []
    assert judged(here, [THERE[0], THERE[1], THERE[3]], known) == []
    assert judged(here, THERE[1:], known) != []


def test_only_a_purge_that_was_acknowledged_can_be_undone_by_the_source() -> None:
    known = [replace(entry) for entry in KNOWN]
    found = {"k": Both(HERE, THERE)}
    known[1].purged = True  # b: nobody was told
    assert list(undone(found, {"k": known})) == []
    known[1].gone_at = 9.0
    assert list(undone(found, {"k": known})) == [("k", "3b")]
    assert list(undone({"k": Both([HERE[0]], THERE)}, {"k": known})) == []
    assert judged(HERE, [*THERE[:2], THERE[3]], known) != [], "it excuses no gap"


# -- when it has settled, and what is told ---------------------------------------------------


def test_it_has_settled_when_nothing_waits_and_scan_and_sweep_have_begun_since() -> None:
    def at(second: int) -> str:
        return f"2026-01-01T00:00:{second:02}.000Z"

    calm, sweep_s = 1_767_225_610.0, 20.0
    good = {
        "watermark": at(13),
        "scan": {"started_at": at(11)},
        "sweep": {"finished_at": at(31)},
    }
    assert in_step(good, calm, calm, sweep_s)
    for wrong in (
        {"watermark": None},
        {"watermark": at(9)},
        {"scan": None},
        {"scan": {"started_at": at(9)}},
        {"sweep": {"finished_at": None}},
        {"sweep": {"finished_at": at(29)}},
    ):
        assert not in_step(good | wrong, calm, calm, sweep_s), wrong
    assert waits_for_nothing([{"cause": "LateWrite"}])
    assert not waits_for_nothing([{"cause": "LateWrite"}, {"cause": ""}])


def test_the_summary_names_seed_violations_and_figures() -> None:
    broken = Violation("nothing acknowledged lost", "k", "a is gone", 3.25)
    result = summary.Result(
        7, 60.0, "2026-01-01T00:00:00Z",
        {"faults": {"kill east": 2}, "violations": {broken.promise: 1}},
        {"exposure, s": 1.5}, [0.1, 0.2, 0.9], (broken,),
    )  # fmt: skip
    document = summary.document(result)
    assert document["lag_s"] == {"count": 3, "p50": 0.2, "p99": 0.9, "max": 0.9}
    assert document["violations"] == [broken._asdict()]
    assert document["faults"] == {"kill east": 2}
    text = "\n".join(summary.lines(result))
    assert "BROKEN at 3.250 s: nothing acknowledged lost: k: a is gone" in text
    assert "SEED=7" in text
    kept = summary.lines(result._replace(counts={}, violations=(), lags=[]))
    assert kept[-1] == "no violation"


# -- whether figures are flat ------------------------------------------------------------------


def over_time(name: str, values: Sequence[float]) -> list[Sample]:
    return [Sample(60.0 * minute, {name: value}) for minute, value in enumerate(values)]


def is_flat(name: str, values: Sequence[float]) -> bool:
    return next(one for one in findings(over_time(name, values)) if one.name == name).is_flat


@pytest.mark.parametrize(
    ("name", "values", "flat"),
    [
        ("memory", [80.0] * 20, True),
        ("memory", [60 + 2 * n for n in range(10)] + [80.0] * 10, True),  # it has grown up
        ("memory", [80 + n for n in range(20)], False),
        ("memory", [80.0] * 15 + [200.0] + [80.0] * 4, True),  # one odd minute
        ("memory", [80.0] * 3, False),  # too few
        ("open files", [20 + n % 3 for n in range(20)], True),
        ("open files", [20 + 3 * n for n in range(20)], False),
        ("state folder", [500 + 100 * n for n in range(20)], False),
        ("backlog", [0, 3, 0, 5] * 5, True),
        ("backlog", [5 * n for n in range(20)], False),
        ("lag p50", [12, 15, 11, 14] * 5, True),
        ("lag p50", [10 + 10 * n for n in range(20)], False),
        ("lag p99", [50 + 100 * n for n in range(20)], False),
    ],
)
def test_flat_is_what_does_not_grow_in_the_second_half(
    name: str, values: list[float], flat: bool
) -> None:
    assert is_flat(name, values) is flat


def test_a_figure_that_was_never_seen_is_not_flat() -> None:
    found = findings(over_time("memory", [80.0] * 20))
    assert {one.name for one in found if one.is_flat} == {"memory"}
    told = "\n".join(verdicts(found))
    assert "flat     memory: 80.0 MiB at the start, 80.0 MiB at the end" in told
    assert "NOT FLAT lag p50: 0 samples in the second half say nothing" in told


def test_the_table_has_a_line_for_each_sample() -> None:
    head, *rows = table(over_time("memory", [80.0, 81.5]))
    assert "memory, MiB" in head
    assert [row.split() for row in rows] == [["0.0", "80.0"], ["1.0", "81.5"]]
