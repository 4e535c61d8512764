"""Versions that were known to exist and are gone before they were copied: counted, by name."""

from __future__ import annotations

from pathlib import Path

from farshore.control.status import StatusReport
from farshore.core.model import Attributes
from farshore.core.rules import Rule
from farshore.daemon.reports import EXPIRED_TOLD_S, Reporter
from farshore.engine.dispatch import Dispatcher
from farshore.engine.expired import NOT_LISTED, named_in_vain
from farshore.engine.look import read_both
from farshore.engine.reconcile import Scan, scan
from farshore.feed.hint import Hint
from farshore.journal.ledger import PAGE_ROWS, PRUNE_EVERY, ROWS_MAX, Ledger, Ledgers, LeftOut
from farshore.testing.backlog import MemoryBacklog
from farshore.testing.clock import ManualClock
from farshore.testing.store.faults import LoseEntries, on
from tests.unit.pairs import BUCKET, Pair
from tests.unit.sites import TOML, config_of
from tests.unit.test_dispatch import Live


class Watched(Live):
    """A live pair whose ledger of expired versions can be looked at."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledgers = Ledgers.at()
        self.dispatcher = Dispatcher(
            {BUCKET: self.crew},
            self.backlog,
            self.guard,
            self.pair.clock,
            lambda work, _: self.done.append(work),
            self.ledgers,
        )

    async def name(self, key: str, *versions: str) -> None:
        now = self.pair.clock.now()
        await self.backlog.note([Hint(BUCKET, key, now, versions=versions)], now=now)
        self.dispatcher.wake()

    async def settled(self) -> list[tuple[str, str]]:
        """(key, version id) of all that expired, once nothing waits."""
        async with self.running():
            await self.until(lambda: self.count() == 0)
        return [(row.key, row.version_id) for row in self.ledgers.expired.latest(100)]


async def written(live: Watched, key: str, *bodies: bytes) -> list[str]:
    return [(await live.pair.east.put(BUCKET, key, body)).version_id for body in bodies]


async def test_a_version_that_is_purged_before_anybody_looked_is_counted_by_name() -> None:
    live = Watched(await Pair().ready())
    first, second, third = await written(live, "k", b"1", b"2", b"3")
    await live.pair.east.delete(BUCKET, "k", second)
    await live.name("k", first, second, third)
    assert await live.settled() == [("k", second)]
    assert live.pair.equal()
    assert live.summary().owed == {}


async def test_so_is_one_whose_key_is_gone_altogether() -> None:
    live = Watched(await Pair().ready())
    (only,) = await written(live, "k", b"1")
    await live.pair.east.delete(BUCKET, "k", only)
    await live.name("k", only)
    assert await live.settled() == [("k", only)]


async def test_one_that_was_copied_and_then_purged_has_not_expired() -> None:
    live = Watched(await Pair().ready())
    first, _ = await written(live, "k", b"1", b"2")
    await live.pair.run()
    await live.pair.east.delete(BUCKET, "k", first)
    await live.name("k", first)
    assert await live.settled() == []


async def test_what_a_rule_leaves_out_has_not_expired() -> None:
    live = Watched(await Pair(rules=(Rule("k", exclude=True),)).ready())
    (only,) = await written(live, "k", b"1")
    await live.pair.east.delete(BUCKET, "k", only)
    await live.name("k", only)
    assert await live.settled() == []


async def test_it_is_counted_once_however_often_it_is_told() -> None:
    live = Watched(await Pair().ready())
    (only,) = await written(live, "k", b"1")
    await live.pair.east.delete(BUCKET, "k", only)
    for _ in range(3):
        await live.name("k", only)
        assert await live.settled() == [("k", only)]
    assert live.ledgers.expired.total() == 1


async def test_what_a_scan_saw_and_a_lane_no_longer_sees_is_counted() -> None:
    live = Watched(await Pair().ready())
    first, second = await written(live, "k", b"1", b"2")
    tally = Scan(live.pair.clock.now())
    await scan(live.crew.source, live.crew.target, (), live.backlog, live.pair.clock, tally)
    await live.pair.east.delete(BUCKET, "k", first)
    assert await live.settled() == [("k", first)]
    assert [held.version.key for held in live.pair.west.dump(BUCKET)] == ["k"]
    assert second != first


async def test_where_a_replica_without_a_stamp_may_be_it_nothing_is_said() -> None:
    live = Watched(await Pair().ready())
    full = Attributes(metadata=(("m", "x" * 2040),), tags=tuple((f"t{n}", "") for n in range(10)))
    made = await live.pair.east.put(BUCKET, "k", b"1", full)
    await live.pair.run()
    await live.pair.east.delete(BUCKET, "k", made.version_id)
    await live.name("k", made.version_id)
    assert await live.settled() == []


async def test_a_version_that_is_there_and_not_listed_is_no_purge() -> None:
    pair = await Pair().ready()
    made = await pair.east.put(BUCKET, "k", b"1")
    crew = pair.crew(on("list_versions", LoseEntries(), times=99))
    both = await read_both(crew.source, crew.target, "k")
    (found,) = await named_in_vain(crew.source, crew.target, both, [made.version_id])
    assert (found.reason, found.cause) == ("UNSUPPORTED", NOT_LISTED)


async def test_no_request_is_made_where_all_that_was_named_is_listed() -> None:
    pair = await Pair().ready()
    made = await pair.east.put(BUCKET, "k", b"1")
    crew = pair.crew()
    both = await read_both(crew.source, crew.target, "k")
    asked = pair.crew(_refuse_all, _refuse_all)
    assert await named_in_vain(asked.source, asked.target, both, [made.version_id]) == []


def _refuse_all(name: str, _bucket: str, _key: str, _number: int) -> None:
    raise AssertionError(f"{name} was asked")


def test_the_ledger_counts_for_ever_and_keeps_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    ledger = Ledger("expired", path)
    ledger.record([LeftOut("b", f"k{n}", "v", float(n)) for n in range(ROWS_MAX + 5)])
    ledger.record([LeftOut("b", f"k{ROWS_MAX}", "v", 1.0)])
    ledger.close()
    again = Ledger("expired", path)
    assert again.total() == ROWS_MAX + 5
    assert [row.key for row in again.latest(2)] == [f"k{ROWS_MAX + 4}", f"k{ROWS_MAX + 3}"]
    assert again.since(ROWS_MAX) == 5
    for begin in range(0, 2 * PRUNE_EVERY, 100):
        again.record([LeftOut("b", f"m{n}", "v", 1e6 + n) for n in range(begin, begin + 100)])
    assert ROWS_MAX <= again.kept() <= ROWS_MAX + PRUNE_EVERY
    again.close()


def test_a_ledger_is_read_page_by_page_whatever_has_one_time(tmp_path: Path) -> None:
    ledger = Ledger("cancelled", tmp_path / "state.sqlite")
    rows = [
        LeftOut("b", f"{'ab'[n % 2]}/{n}", f"v{turn}", float(n // 700))
        for n in range(PAGE_ROWS + 200)
        for turn in range(2)
    ]
    ledger.record(rows)
    pages = list(ledger.pages())
    assert [len(page) for page in pages] == [PAGE_ROWS, PAGE_ROWS, 400]
    found = [row for page in pages for row in page]
    assert found == sorted(rows, key=lambda row: (-row.at, row.key, row.version_id))
    below = [row for page in ledger.pages("a/") for row in page]
    assert below == [row for row in found if row.key.startswith("a/")]
    assert (ledger.kept("a/"), ledger.kept("c")) == (len(below), 0)
    ledger.close()


def test_the_status_has_the_count_and_the_latest_names(tmp_path: Path) -> None:
    clock = ManualClock()
    ledgers = Ledgers.at()
    ledger = ledgers.expired
    long_ago, now = clock.now() - EXPIRED_TOLD_S - 1, clock.now() - 1
    ledger.record([LeftOut("b", "old", "v1", long_ago), LeftOut("b", "new", "v2", now)])
    config = config_of(TOML, tmp_path / "farshore.toml")
    report = Reporter(config, MemoryBacklog(), clock, ledgers).report()
    assert report.not_replicated == {"EXPIRED_BEFORE_REPLICATED": {"Gone": 1}}, "of the last day"
    assert (report.expired.total, [row.key for row in report.expired.latest]) == (2, ["new", "old"])
    assert StatusReport.from_json(report.to_json()).to_json() == report.to_json()
