"""Every metric: its name, what it says, and what people know it as elsewhere.

The exporter, docs/metrics.md and the tests of rules and dashboards all read this table.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]


class Metric(NamedTuple):
    """`labels` come beside `pair`, which every metric has. `kin`: names in other systems."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    kin: str = ""


EXPOSURE = Metric(
    "farshore_exposure_seconds",
    "gauge",
    "Seconds of changes that could be lost at most with the source; absent while not known.",
    kin="AWS ReplicationLatency, Backbeat s3_replication_rpo_seconds",
)
WATERMARK = Metric(
    "farshore_watermark_timestamp_seconds",
    "gauge",
    "Everything written on the source before this time is on the target.",
)
WATERMARK_KNOWN = Metric(
    "farshore_watermark_known",
    "gauge",
    "1 when the watermark is known, 0 before the first complete scan.",
)
PROVED = Metric(
    "farshore_proved_timestamp_seconds",
    "gauge",
    "The same as the watermark, as shown by the last complete scan alone.",
)
UNDERSTATEMENTS = Metric(
    "farshore_understatements_total",
    "counter",
    "Times that something older than the watermark was found missing.",
)
BACKLOG = Metric(
    "farshore_backlog_versions",
    "gauge",
    "Changed keys that wait, each one counted once.",
    kin="AWS OperationsPendingReplication, MinIO minio_node_replication_recent_backlog_count",
)
BACKLOG_BYTES = Metric(
    "farshore_backlog_bytes",
    "gauge",
    "About how many bytes wait.",
    kin="AWS BytesPendingReplication",
)
BACKLOG_AGE = Metric(
    "farshore_backlog_oldest_age_seconds",
    "gauge",
    "Age of the oldest change that waits; 0 when nothing waits. Rises all through an outage.",
)
NOT_REPLICATED = Metric(
    "farshore_not_replicated",
    "gauge",
    "What is not on the target, by reason and cause.",
    labels=("reason", "cause"),
    kin="AWS failureReason",
)
FAILED = Metric(
    "farshore_failed_versions",
    "gauge",
    "What could not be copied (FAILED or CONFLICT), in all; always there, 0 when none.",
    kin="AWS OperationsFailedReplication",
)
EXPIRED = Metric(
    "farshore_expired_total",
    "counter",
    "Versions that were gone from the source before they were copied, as long as the state "
    "folder remembers.",
)
CANCELLED = Metric(
    "farshore_deletes_cancelled_total",
    "counter",
    "Deletes that waited until their rule no longer wanted them, as long as the state folder "
    "remembers.",
)
LATE = Metric(
    "farshore_late_writes_total",
    "counter",
    "Writes without an answer that arrived late at the target, above newer ones, and were taken "
    "back, as long as the state folder remembers.",
)
DELETES_HELD = Metric("farshore_deletes_held", "gauge", "Deletes that the delete guard holds back.")
IN_FLIGHT = Metric(
    "farshore_in_flight",
    "gauge",
    "Keys in lanes now.",
    kin="MinIO minio_node_replication_current_active_workers",
)
DESTINATION_UP = Metric(
    "farshore_destination_up",
    "gauge",
    "1 when the target answers the daemon, 0 when not.",
    labels=("site",),
    kin="MinIO minio_node_replication_link_online",
)
SOURCE_UP = Metric(
    "farshore_source_up",
    "gauge",
    "1 when the source answers the daemon, 0 when not.",
    labels=("site",),
)
FEED_UP = Metric(
    "farshore_feed_up", "gauge", "1 when a feed is connected, 0 when not.", labels=("feed",)
)
HEARTBEAT_AGE = Metric(
    "farshore_heartbeat_age_seconds",
    "gauge",
    "Age of the newest heartbeat that came through a feed, of the slowest bucket; absent "
    "without feeds.",
)
LAST_SCAN = Metric(
    "farshore_last_scan_timestamp_seconds", "gauge", "When the last complete scan ended."
)
LAST_SCAN_SECONDS = Metric(
    "farshore_last_scan_duration_seconds", "gauge", "How long the last complete scan took."
)
LAST_SWEEP = Metric(
    "farshore_last_sweep_timestamp_seconds",
    "gauge",
    "When the last sweep (tags, retention, legal holds) ended; absent before one.",
)
SWEEP_MENDED = Metric(
    "farshore_sweep_mended_total",
    "counter",
    "Versions whose tags, retention or legal hold a sweep has set on the target.",
)
SWEEP_LEFT = Metric(
    "farshore_sweep_left",
    "gauge",
    "Versions that the last sweep could not bring in line, or not look at.",
)
SWEEP_ACCOUNTS = Metric(
    "farshore_sweep_account_grants",
    "gauge",
    "Versions with grants to accounts of the source, which cannot be copied (UNSUPPORTED), as the "
    "last sweep saw them.",
)
LAST_VERIFY = Metric(
    "farshore_last_verify_timestamp_seconds",
    "gauge",
    "When the last `farshore verify` of everything began; absent without one.",
)
LAST_VERIFY_DIFFERENCES = Metric(
    "farshore_last_verify_differences", "gauge", "Differences that the last verify found."
)
PAUSED = Metric("farshore_paused", "gauge", "1 when a person has paused replication.")
CLOCK_OFFSET = Metric(
    "farshore_clock_offset_seconds",
    "gauge",
    "A site's clock minus the daemon's, by its Date header.",
    labels=("site",),
)
BUILD = Metric("farshore_build_info", "gauge", "Always 1: which version runs.", labels=("version",))
LATENCY = Metric(
    "farshore_replication_latency_seconds",
    "histogram",
    "From a version's write on the source until it can be read on the target; observed when "
    "it is, so it says nothing during an outage: watch the exposure.",
    kin="MinIO minio_bucket_replication_latency_ms, Backbeat s3_replication_latency_seconds",
)
COPIED = Metric(
    "farshore_copied_total",
    "counter",
    "Versions copied.",
    kin="MinIO minio_bucket_replication_sent_count",
)
COPIED_BYTES = Metric(
    "farshore_copied_bytes_total",
    "counter",
    "Bytes copied.",
    kin="MinIO minio_bucket_replication_sent_bytes",
)
MARKERS = Metric("farshore_delete_markers_total", "counter", "Delete markers written.")
FAILURES = Metric(
    "farshore_failures_total",
    "counter",
    "Attempts that failed, by cause; those that succeed later are among them.",
    labels=("cause",),
    kin="MinIO minio_bucket_replication_total_failed_count",
)
HINTS = Metric("farshore_hints_total", "counter", "Hints that a feed brought.", labels=("feed",))
UNREADABLE = Metric(
    "farshore_unreadable_messages_total",
    "counter",
    "Messages that may have told of a change and could not be read or kept; each makes a scan.",
    labels=("feed",),
)
MISSED = Metric(
    "farshore_heartbeats_lost_total",
    "counter",
    "Heartbeats that were written and that a feed which brings others never brought; each makes "
    "a scan.",
    labels=("feed",),
)
NOTICES = Metric(
    "farshore_notices_total",
    "counter",
    "Messages that a person must see: a subscription that wants to be confirmed, or has ended.",
    labels=("feed", "kind"),
)
REQUESTS = Metric(
    "farshore_webhook_requests_total",
    "counter",
    "Requests to the webhook, by how they ended: accepted, foreign (another bucket), notice, "
    "denied (bad token), malformed, too_long, late, busy.",
    labels=("feed", "outcome"),
)
FEEDS_WHOLE = Metric(
    "farshore_feeds_whole",
    "gauge",
    "1 when no feed may have lost anything that no scan has made good yet; else heartbeats "
    "prove nothing.",
)
FEEDS_LATE = Metric(
    "farshore_feeds_late_seconds",
    "gauge",
    "By how much hints may be late; the watermark stays this far behind the heartbeats.",
)

AT_SCRAPE = (
    EXPOSURE,
    WATERMARK,
    WATERMARK_KNOWN,
    PROVED,
    UNDERSTATEMENTS,
    BACKLOG,
    BACKLOG_BYTES,
    BACKLOG_AGE,
    NOT_REPLICATED,
    FAILED,
    EXPIRED,
    CANCELLED,
    LATE,
    DELETES_HELD,
    IN_FLIGHT,
    DESTINATION_UP,
    SOURCE_UP,
    FEED_UP,
    FEEDS_WHOLE,
    FEEDS_LATE,
    HINTS,
    UNREADABLE,
    MISSED,
    NOTICES,
    REQUESTS,
    HEARTBEAT_AGE,
    LAST_SCAN,
    LAST_SCAN_SECONDS,
    LAST_SWEEP,
    SWEEP_MENDED,
    SWEEP_LEFT,
    SWEEP_ACCOUNTS,
    LAST_VERIFY,
    LAST_VERIFY_DIFFERENCES,
    PAUSED,
    CLOCK_OFFSET,
    BUILD,
)
"""Computed anew when Prometheus asks."""

AS_IT_HAPPENS = (LATENCY, COPIED, COPIED_BYTES, MARKERS, FAILURES)
"""Counted by the daemon."""

METRICS = (*AT_SCRAPE, *AS_IT_HAPPENS)


def series(metric: Metric) -> tuple[str, ...]:
    """The names under which Prometheus stores it."""
    if metric.kind != "histogram":
        return (metric.name,)
    return tuple(f"{metric.name}_{part}" for part in ("bucket", "count", "sum"))


def page() -> str:
    """docs/metrics.md."""
    made = "<!-- Made by `python -m farshore.cli.reference`: change the code, not this page. -->"
    lines = ["# Metrics", "", made, ""]
    lines += ["The daemon serves them at `/metrics`, for Prometheus. Every one has the label"]
    lines += ["`pair`. What is not known is absent, never 0. Gauges are computed when they are"]
    lines += ["asked for, so that ages and the exposure rise all through an outage."]
    lines += ["`farshore export prometheus-rules` and `farshore export grafana` make alert rules"]
    lines += ["and a dashboard of them.", ""]
    lines += ["| name | kind | labels | meaning | known elsewhere as |", "|---|---|---|---|---|"]
    for m in METRICS:
        labels = ", ".join(f"`{label}`" for label in m.labels)
        lines.append(f"| `{m.name}` | {m.kind} | {labels} | {m.help} | {m.kin} |")
    return "\n".join(lines) + "\n"
