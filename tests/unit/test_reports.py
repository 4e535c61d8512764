"""What a closed scan leaves over, and what it says of the watermark."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.control.status import DaemonState, StatusReport, read_local, write_local
from farshore.daemon.left_over import left_over
from farshore.daemon.publisher import Publisher
from farshore.daemon.reports import Reporter
from farshore.engine.reconcile import Scan
from farshore.errors import Unreachable
from farshore.feed.hint import Hint
from farshore.testing.backlog import MemoryBacklog
from farshore.testing.clock import ManualClock
from tests.unit.pairs import Pair
from tests.unit.sites import TOML, config_of

MARK = 100.0


@pytest.mark.parametrize(
    ("waiting", "shown", "promised", "left"),
    [
        pytest.param(None, 50.0, 90.0, None, id="all that was found is applied"),
        pytest.param(120.0, None, 90.0, 120.0, id="younger than the watermark"),
        pytest.param(0.0, None, 90.0, MARK, id="an old event, and nothing is missing"),
        pytest.param(89.0, 89.0, 89.5, MARK, id="under way while it was listed"),
        pytest.param(95.0, 95.0, 90.0, MARK, id="written since the scan began"),
        pytest.param(50.0, 50.0, 90.0, 50.0, id="promised and missing"),
        pytest.param(0.0, 50.0, 90.0, 50.0, id="promised and missing, and an old event"),
        pytest.param(99.5, 50.0, 90.0, MARK, id="missing on purpose, and a fresh write"),
        pytest.param(50.0, 50.0, None, MARK, id="nothing had been promised"),
    ],
)
def test_only_a_broken_promise_lowers_the_watermark(
    waiting: float | None, shown: float | None, promised: float | None, left: float | None
) -> None:
    assert left_over(waiting, shown, promised, MARK) == left


def test_without_a_watermark_all_that_waits_counts() -> None:
    assert left_over(7.0, None, None, None) == 7.0


@pytest.mark.parametrize(
    ("scope", "goes_on"), [("", True), ("ours", True), ("0" * 16, False)], ids=str
)
def test_a_daemon_goes_on_only_from_a_report_of_the_same_buckets(
    scope: str, goes_on: bool, tmp_path: Path
) -> None:
    config = config_of(TOML, tmp_path / "farshore.toml")
    daemon = DaemonState("host-a", 42, "0.1.0", 0.0)
    known = config.pair.scope if scope == "ours" else scope
    write_local(
        config.state_dir, StatusReport("east-west", 90.0, daemon, watermark=80.0, scope=known)
    )
    reporter = Reporter(config, MemoryBacklog(), ManualClock(100.0))
    assert reporter.mark.watermark == (80.0 if goes_on else None)


# -- what feeds and patterns tell ------------------------------------------------


def reporter(tmp_path: Path) -> Reporter:
    """A scan has just closed, and bucket a is replicated."""
    config = config_of(TOML, tmp_path / "farshore.toml")
    made = Reporter(config, MemoryBacklog(), ManualClock(MARK))
    made.heard.begin(["a"])
    tally = Scan(MARK - 10)
    made.scan_started(tally)
    made.scan_closed(tally)
    assert made.mark.watermark == MARK - 10
    return made


def test_heartbeats_move_the_watermark_until_a_feed_has_lost_something(tmp_path: Path) -> None:
    told = reporter(tmp_path)
    told.heartbeat_heard("a", "log", MARK, MARK - 2)
    assert told.report().watermark == MARK - 2
    told.feed_lost("log")
    told.heartbeat_heard("a", "log", MARK + 4, MARK + 2)
    report = told.report()
    assert (report.watermark, report.feeds_whole) == (MARK - 2, False)
    assert report.heartbeat_at == MARK + 4, "it beats, and proves nothing"
    tally = Scan(MARK + 1)
    told.scan_started(tally)
    told.scan_closed(tally)
    told.heartbeat_heard("a", "log", MARK + 8, MARK + 6)
    assert told.report().watermark == MARK + 6


def test_a_bucket_that_is_not_replicated_keeps_scans_from_proving_anything(tmp_path: Path) -> None:
    told = reporter(tmp_path)
    told.buckets_listed(MARK, ["new"])
    tally = Scan(MARK)
    told.scan_started(tally)
    told.scan_closed(tally)
    told.heartbeat_heard("a", "log", MARK + 4, MARK + 2)
    report = told.report()
    assert (report.watermark, list(report.unserved)) == (MARK - 10, ["new"])
    assert report.scan is not None
    assert report.scan.started_at == MARK - 10, "it is not called complete"


def test_new_buckets_hold_the_watermark_until_a_scan_has_ended(tmp_path: Path) -> None:
    told = reporter(tmp_path)
    told.buckets_changed()
    told.heartbeat_heard("a", "log", MARK + 4, MARK + 2)
    assert told.report().watermark == MARK - 10
    tally = Scan(MARK + 5)
    told.scan_started(tally)
    told.scan_closed(tally)
    assert told.report().watermark == MARK + 5


async def test_what_a_scan_that_proves_nothing_has_missed_is_missing(tmp_path: Path) -> None:
    told = reporter(tmp_path)
    told.buckets_listed(MARK, ["new"])
    tally = Scan(MARK)
    told.scan_started(tally)
    await told._backlog.note([Hint("a", "k", MARK - 60)], now=MARK, priority=0)
    tally.found, tally.oldest = 1, MARK - 60
    told.scan_closed(tally)
    report = told.report()
    assert (report.watermark, report.understatements) == (MARK - 60, 1)


def test_a_target_without_its_bucket_has_nothing_that_was_promised(tmp_path: Path) -> None:
    told = reporter(tmp_path)
    told.target_lost()
    told.heartbeat_heard("a", "log", MARK + 4, MARK + 2)
    assert told.report().watermark is None
    tally = Scan(MARK + 5)
    told.scan_started(tally)
    told.scan_closed(tally)
    assert told.report().watermark == MARK + 5


# -- what stands published on the target -------------------------------------------


def published(watermark: float, scope: str = "") -> StatusReport:
    daemon = DaemonState("host-a", 42, "0.1.0", 0.0)
    return StatusReport("east-west", MARK, daemon, watermark=watermark, scope=scope)


def begun(tmp_path: Path) -> Reporter:
    """A daemon that has just begun, on a machine that was promised something."""
    config = config_of(TOML, tmp_path / "farshore.toml")
    write_local(config.state_dir, published(MARK - 20))
    made = Reporter(config, MemoryBacklog(), ManualClock(MARK))
    assert made.mark.watermark == MARK - 20
    return made


def test_a_daemon_goes_on_from_what_stands_on_the_target(tmp_path: Path) -> None:
    told = begun(tmp_path)
    told.go_on_from(published(MARK - 30))
    assert told.mark.watermark == MARK - 30, "another machine knows better than this one"
    told.go_on_from(published(MARK - 30, scope="0" * 16))
    assert told.mark.watermark is None, "said of other buckets"


def test_a_target_without_a_status_has_nothing_that_was_promised(tmp_path: Path) -> None:
    told = begun(tmp_path)
    told.go_on_from(None)
    told.go_on_from(published(MARK - 30))
    assert told.mark.watermark is None, "whatever comes to stand there before a scan has closed"


def test_what_its_own_scan_has_shown_counts_more_than_what_stands_published(
    tmp_path: Path,
) -> None:
    told = reporter(tmp_path)
    told.go_on_from(published(MARK - 30))
    assert told.mark.watermark == MARK - 10
    told.go_on_from(None)
    assert told.report().scan is None, "unless the target has lost it"


def test_a_void_promise_is_not_taken_up_again_from_the_status(tmp_path: Path) -> None:
    told = reporter(tmp_path)
    told.target_lost()
    told.go_on_from(published(MARK - 10))
    assert told.mark.watermark is None


def test_the_last_report_says_that_it_was_stopped(tmp_path: Path) -> None:
    told = reporter(tmp_path)
    publisher = Publisher(config_of(TOML, tmp_path / "farshore.toml"), told)
    before = read_local(tmp_path / ".farshore", "east-west")
    publisher.keep_last()
    assert read_local(tmp_path / ".farshore", "east-west") == before, "another may work here"
    told.stopped(Unreachable("east is away"))
    publisher.keep_last()
    assert told.report().stopped_at == MARK
    kept = read_local(tmp_path / ".farshore", "east-west")
    assert kept is not None
    assert kept.stopped_at == MARK


# -- clocks --------------------------------------------------------------------------


def test_it_says_how_fast_it_goes_since_replication_began(tmp_path: Path) -> None:
    clock, crew = ManualClock(), Pair().crew()
    told = Reporter(config_of(TOML, tmp_path / "farshore.toml"), MemoryBacklog(), clock)
    crew.tally.copied = 1000
    told.working(None, [crew])
    assert told.report().versions_per_s == 0.0
    clock.advance(10.0)
    crew.tally.copied += 20
    crew.tally.copied_bytes += 5000
    assert (told.report().versions_per_s, told.report().bytes_per_s) == (2.0, 500.0)


class SetClock(ManualClock):
    """A clock that somebody sets; the monotonic one goes on."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


async def test_a_clock_that_is_set_does_not_move_what_is_known_of_the_sources(
    tmp_path: Path,
) -> None:
    clock, pair = SetClock(), await Pair().ready()
    reporter = Reporter(config_of(TOML, tmp_path / "farshore.toml"), MemoryBacklog(), clock)
    await reporter.measure_clocks([pair.crew()])
    before = reporter.now()
    clock.ahead = 3600.0
    assert reporter.now() == pytest.approx(before)
    clock.advance(2.0)
    assert reporter.now() == pytest.approx(before + 2.0)
