"""What the daemon says of itself: the watermark kept, how things stand told on demand."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence

from farshore import __version__
from farshore.clock import Clock
from farshore.config import Config
from farshore.control.pacing import Held
from farshore.control.status import (
    BacklogState,
    DaemonState,
    FeedReport,
    LeftOutState,
    LimitState,
    NamedVersion,
    ScanState,
    ShrunkBucket,
    StatusReport,
    SweepState,
    read_local,
)
from farshore.core.plan import DISCARDED_DELETE
from farshore.core.shrinkage import Shrunk
from farshore.core.watermark import Watermark
from farshore.daemon.heard import Heard
from farshore.daemon.left_over import left_over
from farshore.daemon.rates import Rates
from farshore.daemon.site_clocks import SiteClocks
from farshore.engine.dispatch import Dispatcher
from farshore.engine.lane import Crew
from farshore.engine.reconcile import Scan
from farshore.errors import FarshoreError, Refused, StoreError
from farshore.journal.backlog import Backlog, Work
from farshore.journal.ledger import Ledger, Ledgers
from farshore.journal.pause import paused

EXPIRED_TOLD_S = 86400.0
"""How long a version that expired before it was replicated makes the pair AT RISK."""

LEFT_OUT_SHOWN_MAX = 20
"""So many entries of a ledger, the latest, stand in the status by name."""


class Reporter:
    """Hears of everything that happens, and answers how things stand."""

    def __init__(
        self,
        config: Config,
        backlog: Backlog,
        clock: Clock,
        ledgers: Ledgers | None = None,
    ) -> None:
        self._config = config
        self._backlog = backlog
        self._clock = clock
        self.ledgers = ledgers or Ledgers.at()
        self.sweep: SweepState | None = None
        self._shrunk: tuple[ShrunkBucket, ...] = ()
        self._unversioned: tuple[str, ...] = ()
        self._target_unversioned: tuple[str, ...] = ()
        self._daemon = DaemonState(socket.gethostname(), os.getpid(), __version__, clock.now())
        self._dispatcher: Dispatcher | None = None
        self._crews: list[Crew] = []
        self._speed = Rates()
        self._clocks = SiteClocks(clock)
        self._source_answers: bool | None = None
        self.target_answers: bool | None = None
        self._scan: ScanState | None = None
        self._tell_latency: Callable[[float], None] = lambda _: None
        self._tell_failure: Callable[[str], None] = lambda _: None
        self._standing_still = "not started yet"
        self._troubles: dict[str, str] = {}
        self._other_works = True  # as long as nobody knows: the folder may be shared
        self._promised: float | None = None
        self._is_void = False  # what was published
        self._tell_news: Callable[[], None] = lambda: None
        self._limits: Callable[[], Sequence[Held]] = tuple
        self._feeds: Callable[[], Mapping[str, FeedReport]] = dict
        self._stopped_at: float | None = None
        self.heard = Heard()
        last = read_local(config.state_dir, config.pair.name)
        self.mark = self._resumed(last)

    # -- what happens ------------------------------------------------------------

    def working(self, dispatcher: Dispatcher | None, crews: list[Crew]) -> None:
        """Replication begins (or, with None, has ended)."""
        self._dispatcher, self._crews = dispatcher, crews
        self.heard.begin([crew.source.bucket for crew in crews])
        self._speed.clear()
        if dispatcher is not None:
            self._standing_still, self._other_works = "", False
            self._troubles.clear()

    def standing_by(self, why: str) -> None:
        """Another daemon replicates this pair."""
        self._standing_still, self._other_works = why, True

    def stopped(self, error: FarshoreError) -> None:
        """Replication cannot go on for now."""
        self._standing_still, self._other_works = error.message, False
        self.mark = self.mark.feed_lost()

    def target_lost(self) -> None:
        """The target has lost a bucket, and all that was in it: what was promised is void until a
        scan has closed."""
        self.forget_target()
        self._tell_news()

    def feed_lost(self, feed: str) -> None:
        """Hints of this feed may have been lost: heartbeats prove nothing until a scan that
        begins later has closed."""
        self.heard.lost(feed)
        self.mark = self.mark.feed_lost()

    def buckets_changed(self) -> None:
        """Others are replicated from now on. What was told of the new ones has been dropped:
        heartbeats prove nothing until a scan that begins later has closed."""
        self.mark = self.mark.feed_lost()

    def heartbeat_heard(self, bucket: str, feed: str, at: float, until: float) -> None:
        """A heartbeat of `at` came through a feed, which has told all changes before `until`."""
        self.heard.beat(bucket, feed, at, until)
        self._feeds_told()

    def buckets_listed(self, at: float, unserved: Sequence[str]) -> None:
        """Patterns were looked up at `at`: which buckets match, and are not replicated."""
        self.heard.buckets_listed(at, unserved)
        self._feeds_told()

    def _feeds_told(self) -> None:
        until = self.heard.complete_until
        if until is None or (self.mark.known_until is not None and until <= self.mark.known_until):
            return
        self._refresh_pending()
        self.mark = self.mark.told_until(until)

    def replicated(self, work: Work, now: float) -> None:
        """One key is in step: tell how long after its oldest change."""
        self._tell_latency(now + self.offset() - work.since)

    def failed(self, cause: str) -> None:
        """An attempt at a key failed."""
        self._tell_failure(cause)

    def tell_latency(self, listener: Callable[[float], None]) -> None:
        """Whom to tell the seconds from each change to its replica."""
        self._tell_latency = listener

    def tell_failures(self, listener: Callable[[str], None]) -> None:
        """Whom to tell the cause of each attempt that failed."""
        self._tell_failure = listener

    def tell_news(self, listener: Callable[[], None]) -> None:
        """Whom to tell that how things stand has changed all at once."""
        self._tell_news = listener

    def tell_feeds(self, feeds: Callable[[], Mapping[str, FeedReport]]) -> None:
        """Whom to ask how the feeds are."""
        self._feeds = feeds

    def tell_limits(self, limits: Callable[[], Sequence[Held]]) -> None:
        """Whom to ask which rates hold now."""
        self._limits = limits

    def scan_started(self, tally: Scan) -> None:
        self._promised = self.mark.watermark
        self.mark = self.mark.scan_started(tally.started_at)

    def scan_failed(self, tally: Scan, error: StoreError | Refused) -> None:
        """The listing broke off, or did not show all: it proves nothing. But what it has found
        missing is missing."""
        mark, left = self.mark, self._left_by(tally)
        mark = mark.scan_closed(tally.started_at, complete=False, left_over=None)
        if left is not None and mark.watermark is not None and left < mark.watermark:
            mark = mark.found_missing(left)
        self.mark = mark
        self._troubles["scan"] = f"the last scan proved nothing: {error.message}"

    def scan_closed(self, tally: Scan) -> None:
        """Everything that stood on the source at the scan's start is known, unless there
        are buckets that nobody has read."""
        if self.heard.unserved:
            self.scan_failed(tally, Refused(f"{self.heard.unserved_text()} not replicated."))
            return
        self._troubles.pop("scan", None)
        self._scan = ScanState(tally.started_at, tally.finished_at, tally.keys, tally.versions)
        left = self._left_by(tally)
        self.mark = self.mark.scan_closed(tally.started_at, complete=True, left_over=left)
        self._tell_news()

    def buckets_looked_at(
        self, shrunk: Sequence[Shrunk], here: Sequence[str], there: Sequence[str]
    ) -> None:
        """What a scan has seen of the buckets as such. `here`, `there`: those of the source and of
        the target that keep no versions."""
        self._shrunk = tuple(ShrunkBucket(o.bucket, o.before, o.left, o.at) for o in shrunk)
        self._unversioned, self._target_unversioned = tuple(here), tuple(there)

    def swept(self, state: SweepState) -> None:
        """How the comparison of tags and locks stands."""
        self.sweep = state

    def source_answered(self) -> None:
        self._source_answers = True
        self._troubles.pop("source", None)

    def source_failed(self, why: str) -> None:
        self._source_answers = False
        self._troubles["source"] = f"{self._config.pair.source}: {why}"

    def target_answered(self) -> None:
        """It took a status."""
        self._troubles.pop("target", None)

    def target_failed(self, why: str) -> None:
        """It took none. `why` goes on after its name."""
        self.target_answers = False
        self._troubles["target"] = f"{self._config.pair.target}{why}"

    async def measure_clocks(self, crews: list[Crew]) -> None:
        """Ask both servers for their time: who does not tell it does not answer."""
        for crew in crews[:1]:
            answers = await self._clocks.measure(crew.source.store, crew.target.store)
            self._source_answers, self.target_answers = answers
            if not self.target_answers:
                self.target_failed(" does not answer")

    async def measure_again(self) -> None:
        """The same, between the sites that are worked with."""
        await self.measure_clocks(self._crews)

    def go_on_from(self, last: StatusReport | None) -> None:
        """What stands published on the target, None for nothing; replication begins."""
        if last is None:
            self.forget_target()
        elif self._scan is None and not self._is_void:
            self.mark = self._resumed(last)

    def forget_target(self) -> None:
        """Of what the target has, nothing is known until a scan has closed, whatever was
        published."""
        self.mark, self._scan, self._is_void = Watermark(), None, True

    def stop(self) -> None:
        """This daemon ends: what is told from now on says so."""
        self._stopped_at = self._stopped_at or self.now()

    # -- answers -----------------------------------------------------------------

    def offset(self) -> float:
        """The source's clock minus ours."""
        return self._clocks.offset()

    @property
    def knows_best(self) -> bool:
        """Whether what it says may replace what this machine has kept. Not while another daemon
        works: it may share the folder, and knows better."""
        return self.mark.watermark is not None and not self._other_works

    def ready(self) -> str:
        """What keeps us from replicating; "" when nothing does."""
        return self._standing_still or next(iter(self._troubles.values()), "")

    def now(self) -> float:
        """The source's time, as well as we know it."""
        return self._clock.now() + self.offset()

    def report(self) -> StatusReport:
        """How things stand now."""
        self._refresh_pending()
        now = self._clock.now()
        summary = self._backlog.summary(now)
        versions, size = self._rates()
        mark, pause = self.mark, paused(self._backlog)
        return StatusReport(
            pair=self._config.pair.name,
            written_at=now + self.offset(),
            daemon=self._daemon,
            watermark=mark.watermark,
            proved_at=mark.proved_at,
            basis=mark.basis,
            understatements=mark.understatements,
            backlog=BacklogState(summary.count, summary.bytes, summary.oldest_since),
            not_replicated={**summary.owed, **self._discarded(), **self._expired_lately(now)},
            deletes_held=summary.causes.get("DeleteGuard", 0),
            in_flight=self._dispatcher.flying if self._dispatcher else 0,
            versions_per_s=versions,
            bytes_per_s=size,
            scan=self._scan,
            heartbeat_at=self.heard.heard_at,
            feeds=self._feeds(),
            feeds_whole=mark.feed_whole,
            feeds_late_s=self.heard.late_s,
            unheard=self.heard.unheard,
            unserved=self.heard.unserved,
            stopped_at=self._stopped_at,
            source_answers=self._source_answers,
            target_answers=self.target_answers,
            source_offset_s=self._clocks.source_offset_s,
            target_offset_s=self._clocks.target_offset_s,
            paused_by=pause.who if pause else "",
            paused_at=pause.at + self.offset() if pause else None,
            expired=_left_out(self.ledgers.expired),
            cancelled=_left_out(self.ledgers.cancelled),
            late=_left_out(self.ledgers.late),
            sweep=self.sweep,
            shrunk=self._shrunk,
            unversioned=self._unversioned,
            target_unversioned=self._target_unversioned,
            scope=self._config.pair.scope,
            limits={h.site: LimitState(*h.rates, h.window) for h in self._limits()},
        )

    def _left_by(self, tally: Scan) -> float | None:
        return left_over(self._oldest(), tally.oldest, self._promised, self.mark.watermark)

    def _discarded(self) -> dict[str, dict[str, int]]:
        waiting = self._crews[0].waiting if self._crews else None
        count = waiting.count("discarded") if waiting is not None else 0
        return {"EXCLUDED": {DISCARDED_DELETE: count}} if count else {}

    def _expired_lately(self, now: float) -> dict[str, dict[str, int]]:
        """A day long everybody hears of it; the count and the list stay."""
        count = self.ledgers.expired.since(now - EXPIRED_TOLD_S)
        return {"EXPIRED_BEFORE_REPLICATED": {"Gone": count}} if count else {}

    def _oldest(self) -> float | None:
        return self._backlog.summary(self._clock.now()).oldest_since

    def _refresh_pending(self) -> None:
        self.mark = self.mark.backlog_oldest(self._oldest())

    def _rates(self) -> tuple[float, float]:
        """Versions and bytes per second."""
        if not self._crews:
            return 0.0, 0.0
        tally = self._crews[0].tally  # all crews have the same one
        return self._speed.at(self._clock.monotonic(), tally.done, tally.copied_bytes)

    def _resumed(self, last: StatusReport | None) -> Watermark:
        """What a report of other buckets or rules promised says nothing of these."""
        if last is None or last.scope not in ("", self._config.pair.scope):
            return Watermark()
        return Watermark.resumed(last.watermark, last.proved_at)


def _left_out(ledger: Ledger) -> LeftOutState:
    latest = ledger.latest(LEFT_OUT_SHOWN_MAX)
    return LeftOutState(ledger.total(), tuple(NamedVersion(*row) for row in latest))
