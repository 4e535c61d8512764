"""What Prometheus is told. One `Metrics` for one daemon, with a registry of its own.

Ages, the exposure and the backlog are computed when Prometheus asks, from what the daemon
knows then: they rise while nothing happens. Only what happens is counted as it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from farshore.control.status import ProofRecord, StatusReport, SweepState
from farshore.engine.tally import CAUSES_MAX, OTHER_CAUSES
from farshore.watch import catalogue
from farshore.watch.catalogue import Metric

LATENCY_BUCKETS = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    3600.0,
)
"""Seconds. Goals are 0.1 (half of all) and 0.5 (99 of 100); an outage is minutes."""

NOTICE_KINDS = ("confirm", "ended")

STUCK = ("FAILED", "CONFLICT")


class Reading(NamedTuple):
    """What the daemon knows at a scrape. `now`: by the source's clock."""

    now: float
    report: StatusReport
    proof: ProofRecord | None = None


Sample = tuple[tuple[str, ...], float]
"""Values of the metric's own labels, and the number."""


class Metrics:
    """`read` is called at every scrape and must not block."""

    def __init__(self, pair: str, target: str, source: str, read: Callable[[], Reading]) -> None:
        self._pair = pair
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Scrape(pair, target, source, read))
        self._latency = self._histogram(catalogue.LATENCY).labels(pair)
        self._copied = self._counter(catalogue.COPIED).labels(pair)
        self._bytes = self._counter(catalogue.COPIED_BYTES).labels(pair)
        self._markers = self._counter(catalogue.MARKERS).labels(pair)
        self._failures = self._counter(catalogue.FAILURES)
        self._causes = set[str]()

    def _counter(self, metric: Metric) -> Counter:
        labels = ("pair", *metric.labels)
        return Counter(metric.name, metric.help, labels, registry=self._registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(
            metric.name,
            metric.help,
            ("pair",),
            registry=self._registry,
            buckets=LATENCY_BUCKETS,
        )

    # -- what happens ------------------------------------------------------------

    def copied(self, size: int) -> None:
        """A version of `size` bytes is on the target."""
        self._copied.inc()
        self._bytes.inc(size)

    def marked(self) -> None:
        """A delete marker is on the target."""
        self._markers.inc()

    def replicated(self, latency_s: float) -> None:
        """A key is in step, `latency_s` after its oldest change."""
        self._latency.observe(max(latency_s, 0.0))

    def failed(self, cause: str) -> None:
        """An attempt failed; `cause` is one stable word, an error's `cause_word` mostly."""
        if len(self._causes) < CAUSES_MAX:
            self._causes.add(cause)
        known = cause if cause in self._causes else OTHER_CAUSES
        self._failures.labels(self._pair, known).inc()

    def render(self) -> tuple[bytes, str]:
        """(body, content type) for `/metrics`."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Scrape(Collector):
    """The gauges, from one reading a scrape."""

    def __init__(self, pair: str, target: str, source: str, read: Callable[[], Reading]) -> None:
        self._pair = pair
        self._target = target
        self._source = source
        self._read = read

    def collect(self) -> Iterator[Family]:
        reading = self._read()
        found = {**_times(reading), **_counts(reading.report)}
        found |= _sites(reading, self._target, self._source)
        found |= _feeds(reading.report)
        for metric in catalogue.AT_SCRAPE:
            yield self._family(metric, found[metric])

    def _family(self, metric: Metric, samples: Iterable[Sample]) -> Family:
        labels = ("pair", *metric.labels)
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=labels)
        for values, number in samples:
            family.add_metric((self._pair, *values), number)
        return family


def _times(reading: Reading) -> dict[Metric, list[Sample]]:
    now, report, proof = reading.now, reading.report, reading.proof
    mark, scan, since = report.watermark, report.scan, report.backlog.oldest_since
    return {
        catalogue.EXPOSURE: _known(None if mark is None else max(now - mark, 0.0)),
        catalogue.WATERMARK: _known(mark),
        catalogue.WATERMARK_KNOWN: _known(float(mark is not None)),
        catalogue.PROVED: _known(report.proved_at),
        catalogue.BACKLOG_AGE: _known(0.0 if since is None else max(now - since, 0.0)),
        catalogue.HEARTBEAT_AGE: _known(
            None if report.heartbeat_at is None else max(now - report.heartbeat_at, 0.0)
        ),
        catalogue.LAST_SCAN: _known(scan.finished_at if scan else None),
        catalogue.LAST_SCAN_SECONDS: _known(scan.finished_at - scan.started_at if scan else None),
        **_sweep(report.sweep),
        catalogue.LAST_VERIFY: _known(proof.began_at if proof else None),
        catalogue.LAST_VERIFY_DIFFERENCES: _known(proof.differences if proof else None),
    }


def _sweep(sweep: SweepState | None) -> dict[Metric, list[Sample]]:
    ended = sweep.finished_at if sweep else None
    left = sweep.left if sweep and ended is not None else None
    return {
        catalogue.LAST_SWEEP: _known(ended),
        catalogue.SWEEP_MENDED: _known(sweep.mended_total if sweep else None),
        catalogue.SWEEP_LEFT: _known(left),
        catalogue.SWEEP_ACCOUNTS: _known(sweep.accounts if sweep and ended is not None else None),
    }


def _counts(report: StatusReport) -> dict[Metric, list[Sample]]:
    owed = [
        ((reason, cause), float(count))
        for reason, causes in report.not_replicated.items()
        for cause, count in causes.items()
    ]
    return {
        catalogue.UNDERSTATEMENTS: _known(report.understatements),
        catalogue.BACKLOG: _known(report.backlog.count),
        catalogue.BACKLOG_BYTES: _known(report.backlog.bytes),
        catalogue.NOT_REPLICATED: list(owed),
        catalogue.FAILED: _known(sum(n for (reason, _), n in owed if reason in STUCK)),
        catalogue.EXPIRED: _known(report.expired.total),
        catalogue.CANCELLED: _known(report.cancelled.total),
        catalogue.LATE: _known(report.late.total),
        catalogue.DELETES_HELD: _known(report.deletes_held),
        catalogue.IN_FLIGHT: _known(report.in_flight),
        catalogue.PAUSED: _known(float(bool(report.paused_by))),
        catalogue.BUILD: [((report.daemon.version,), 1.0)],
    }


def _sites(reading: Reading, target: str, source: str) -> dict[Metric, list[Sample]]:
    report = reading.report
    offsets = {target: report.target_offset_s, source: report.source_offset_s}
    return {
        catalogue.DESTINATION_UP: _known(report.target_answers, target),
        catalogue.SOURCE_UP: _known(report.source_answers, source),
        catalogue.CLOCK_OFFSET: [s for site, off in offsets.items() for s in _known(off, site)],
    }


def _feeds(report: StatusReport) -> dict[Metric, list[Sample]]:
    feeds = report.feeds.items()
    return {
        catalogue.FEEDS_WHOLE: _known(report.feeds_whole) if feeds else [],
        catalogue.FEEDS_LATE: _known(report.feeds_late_s) if feeds else [],
        catalogue.FEED_UP: [((name,), float(feed.up)) for name, feed in feeds],
        catalogue.HINTS: [((name,), float(feed.hints)) for name, feed in feeds],
        catalogue.UNREADABLE: [((name,), float(feed.unreadable)) for name, feed in feeds],
        catalogue.MISSED: [((name,), float(feed.missed)) for name, feed in feeds],
        catalogue.NOTICES: [
            ((name, kind), float(feed.notices.get(kind, 0)))
            for name, feed in feeds
            for kind in NOTICE_KINDS  # from 0 on, or Prometheus sees no increase
        ],
        catalogue.REQUESTS: [
            ((name, end), float(n)) for name, feed in feeds for end, n in feed.requests.items()
        ],
    }


def _known(number: float | None, *labels: str) -> list[Sample]:
    """One sample; none for what is not known."""
    return [] if number is None else [(labels, float(number))]
