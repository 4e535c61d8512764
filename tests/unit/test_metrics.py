"""Metrics: complete, documented, absent when unknown, rising through an outage."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from farshore.cli.reference import pages
from farshore.control.status import BacklogState, StatusReport
from farshore.engine.tally import CAUSES_MAX, OTHER_CAUSES
from farshore.watch.catalogue import AS_IT_HAPPENS, FAILURES, METRICS, series
from farshore.watch.metrics import Metrics, Reading
from tests.unit.test_status import NOW, PROOF, REPORT

ROOT = Path(__file__).parents[2]
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Source:
    """What a daemon would answer at a scrape."""

    def __init__(self, report: StatusReport = REPORT) -> None:
        self.reading = Reading(NOW, report, PROOF)

    def __call__(self) -> Reading:
        return self.reading


def metrics_of(source: Source) -> Metrics:
    return Metrics("east-west", "west", "east", source)


def values(metrics: Metrics) -> Values:
    """(name, labels but `pair`) to number."""
    body, kind = metrics.render()
    assert kind.startswith("text/plain")
    found: Values = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("pair") == "east-west"
            found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def plain(metrics: Metrics) -> dict[str, float]:
    """Those without labels of their own."""
    return {name: value for (name, labels), value in values(metrics).items() if not labels}


def everything_happened(source: Source) -> Metrics:
    metrics = metrics_of(source)
    metrics.copied(4096)
    metrics.marked()
    metrics.replicated(0.04)
    metrics.replicated(0.2)
    metrics.failed("Denied")
    return metrics


def test_every_metric_of_the_catalogue_is_served_and_no_other() -> None:
    served = {name for name, _ in values(everything_happened(Source()))}
    created = {m.name.removesuffix("_total") + "_created" for m in AS_IT_HAPPENS}
    assert served - created == {name for metric in METRICS for name in series(metric)}


def test_a_server_that_names_ever_new_causes_makes_no_series_without_end() -> None:
    metrics = metrics_of(Source())
    for number in range(CAUSES_MAX + 3):
        metrics.failed(f"Cause{number}")
    metrics.failed("Cause0")
    counted = {
        labels: number
        for (name, labels), number in values(metrics).items()
        if name == FAILURES.name
    }
    assert len(counted) == CAUSES_MAX + 1
    assert counted[(("cause", "Cause0"),)] == 2
    assert counted[(("cause", OTHER_CAUSES),)] == 3


def test_the_page_is_made_of_the_catalogue() -> None:
    written = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert written == pages()["metrics.md"], "run: python -m farshore.cli.reference"
    assert all(f"| `{metric.name}` |" in written for metric in METRICS)
    assert all(metric.help.endswith(".") for metric in METRICS)


def test_numbers_are_those_of_the_report() -> None:
    found = values(everything_happened(Source()))
    assert found["farshore_exposure_seconds", ()] == 2.5
    assert found["farshore_backlog_versions", ()] == 3
    assert found["farshore_not_replicated", (("cause", "rule"), ("reason", "EXCLUDED"))] == 2
    assert found["farshore_destination_up", (("site", "west"),)] == 1
    assert found["farshore_source_up", (("site", "east"),)] == 1
    assert found["farshore_feed_up", (("feed", "filer east"),)] == 1
    assert found["farshore_failures_total", (("cause", "Denied"),)] == 1
    assert found["farshore_hints_total", (("feed", "filer east"),)] == 3
    assert found["farshore_feeds_whole", ()] == 1
    assert found["farshore_feeds_late_seconds", ()] == 2
    hook = ("feed", "webhook")
    assert found["farshore_unreadable_messages_total", (hook,)] == 4
    assert found["farshore_notices_total", (hook, ("kind", "confirm"))] == 1
    assert found["farshore_webhook_requests_total", (hook, ("outcome", "denied"))] == 5
    assert found["farshore_copied_bytes_total", ()] == 4096
    assert found["farshore_replication_latency_seconds_count", ()] == 2
    assert found["farshore_replication_latency_seconds_bucket", (("le", "0.05"),)] == 1
    assert found["farshore_last_scan_duration_seconds", ()] == 10
    assert found["farshore_build_info", (("version", "0.1.0"),)] == 1


def test_gauges_rise_while_nothing_happens() -> None:
    source = Source()
    metrics = metrics_of(source)
    seen = []
    for second in range(0, 60, 15):
        source.reading = source.reading._replace(now=NOW + second)
        seen.append(plain(metrics))
    for name in (
        "farshore_exposure_seconds",
        "farshore_backlog_oldest_age_seconds",
        "farshore_heartbeat_age_seconds",
    ):
        ages = [found[name] for found in seen]
        assert [round(b - a, 6) for a, b in pairwise(ages)] == [15.0] * 3


def test_what_is_not_known_is_absent_and_never_zero() -> None:
    source = Source(StatusReport("east-west", NOW, REPORT.daemon))
    source.reading = Reading(NOW, source.reading.report)
    found = {name for name, _ in values(metrics_of(source))}
    assert found.isdisjoint(
        {
            "farshore_exposure_seconds",
            "farshore_watermark_timestamp_seconds",
            "farshore_destination_up",
            "farshore_heartbeat_age_seconds",
            "farshore_last_scan_timestamp_seconds",
            "farshore_last_verify_timestamp_seconds",
        }
    )
    assert plain(metrics_of(source))["farshore_watermark_known"] == 0


def test_failures_are_there_before_the_first_one() -> None:
    assert plain(metrics_of(Source()))["farshore_failed_versions"] == 0
    owed = {"FAILED": {"Denied": 2}, "CONFLICT": {"Conflict": 1}, "UNSUPPORTED": {"SSE-C": 9}}
    source = Source(replace(REPORT, not_replicated=owed, backlog=BacklogState()))
    found = plain(metrics_of(source))
    assert found["farshore_failed_versions"] == 3
    assert found["farshore_backlog_oldest_age_seconds"] == 0


def test_two_daemons_in_one_process_share_nothing() -> None:
    one, other = metrics_of(Source()), metrics_of(Source())
    one.copied(1)
    assert plain(one)["farshore_copied_total"] == 1
    assert plain(other)["farshore_copied_total"] == 0
