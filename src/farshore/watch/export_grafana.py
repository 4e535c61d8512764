"""A Grafana dashboard of farshore's metrics: are we safe, how far behind, why."""

from __future__ import annotations

from typing import Any, NamedTuple

from farshore.core.verdict import NEAR_SHARE, Objectives

WIDTH = 24
"""Columns of Grafana's grid."""


class Query(NamedTuple):
    """`expr` has `{}` where the pair is chosen."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """`kind`: Grafana's panel type. `warn`, `bad`: where colours change; None: nowhere."""

    title: str
    kind: str
    unit: str
    width: int
    height: int
    queries: tuple[Query, ...]
    warn: float | None = None
    bad: float | None = None
    help: str = ""


def panels(o: Objectives) -> tuple[Panel, ...]:
    """All of them, in reading order."""
    return (*_first_look(o), *_lag(o), *_why())


def _first_look(o: Objectives) -> tuple[Panel, ...]:
    return (
        Panel(
            "Exposure",
            "stat",
            "s",
            6,
            5,
            (Query("farshore_exposure_seconds{}"),),
            o.rpo_s * NEAR_SHARE,
            o.rpo_s,
            "Seconds of changes that could be lost at most. No data: not known.",
        ),
        Panel(
            "Everything before this is on the target",
            "stat",
            "dateTimeAsIso",
            6,
            5,
            (Query("farshore_watermark_timestamp_seconds{} * 1000"),),
        ),
        Panel(
            "Sites and feeds",
            "stat",
            "bool_on_off",
            6,
            5,
            (
                Query("farshore_source_up{}", "{{site}}"),
                Query("farshore_destination_up{}", "{{site}}"),
                Query("farshore_feed_up{}", "{{feed}}"),
                Query("farshore_feeds_whole{}", "feeds whole"),
            ),
        ),
        Panel(
            "Since the last verify",
            "stat",
            "s",
            3,
            5,
            (Query("time() - farshore_last_verify_timestamp_seconds{}"),),
            o.verify_max_age_s * NEAR_SHARE,
            o.verify_max_age_s,
        ),
        Panel(
            "Since the last scan",
            "stat",
            "s",
            3,
            5,
            (Query("time() - farshore_last_scan_timestamp_seconds{}"),),
            o.scan_max_age_s * NEAR_SHARE,
            o.scan_max_age_s,
        ),
    )


def _lag(o: Objectives) -> tuple[Panel, ...]:
    quantile = "histogram_quantile({}, sum by (le) (rate("
    latency = "farshore_replication_latency_seconds_bucket{}[$__rate_interval])))"
    return (
        Panel(
            "How far behind",
            "timeseries",
            "s",
            12,
            8,
            (
                Query("farshore_exposure_seconds{}", "exposure"),
                Query("farshore_backlog_oldest_age_seconds{}", "oldest that waits"),
                Query("farshore_heartbeat_age_seconds{}", "heartbeat"),
                Query("farshore_feeds_late_seconds{}", "feeds may be late"),
            ),
            o.rpo_s * NEAR_SHARE,
            o.rpo_s,
        ),
        Panel(
            "From write to readable copy",
            "timeseries",
            "s",
            12,
            8,
            tuple(
                Query(quantile.replace("{}", share) + latency, name)
                for share, name in (("0.5", "half"), ("0.99", "99 of 100"))
            ),
            help="Only of what was copied: silent during an outage.",
        ),
        Panel(
            "Waiting",
            "timeseries",
            "short",
            12,
            8,
            (
                Query("farshore_backlog_versions{}", "keys"),
                Query("farshore_in_flight{}", "in work"),
            ),
        ),
        Panel(
            "Copied",
            "timeseries",
            "Bps",
            12,
            8,
            (Query("rate(farshore_copied_bytes_total{}[$__rate_interval])", "bytes"),),
        ),
    )


def _why() -> tuple[Panel, ...]:
    return (
        Panel(
            "Not replicated, by reason",
            "timeseries",
            "short",
            8,
            8,
            (Query("farshore_not_replicated{}", "{{reason}} {{cause}}"),),
        ),
        Panel(
            "Failed attempts",
            "timeseries",
            "cps",
            8,
            8,
            (Query("rate(farshore_failures_total{}[$__rate_interval])", "{{cause}}"),),
        ),
        Panel(
            "Versions, markers and hints",
            "timeseries",
            "cps",
            8,
            8,
            (
                Query("rate(farshore_copied_total{}[$__rate_interval])", "versions"),
                Query("rate(farshore_delete_markers_total{}[$__rate_interval])", "markers"),
                Query("rate(farshore_hints_total{}[$__rate_interval])", "{{feed}}"),
                Query(
                    "rate(farshore_webhook_requests_total{}[$__rate_interval])",
                    "{{feed}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "For a person to look at",
            "stat",
            "short",
            WIDTH,
            4,
            (
                Query("farshore_failed_versions{}", "failed"),
                Query("farshore_deletes_held{}", "deletes held"),
                Query("farshore_paused{}", "paused"),
                Query("farshore_last_verify_differences{}", "differences"),
                Query("farshore_understatements_total{}", "understated"),
                Query("farshore_expired_total{}", "expired before copied"),
                Query("farshore_deletes_cancelled_total{}", "deletes cancelled"),
                Query("farshore_late_writes_total{}", "late writes taken back"),
                Query("farshore_sweep_mended_total{}", "tags and locks mended"),
                Query("farshore_sweep_left{}", "tags and locks that differ"),
                Query("farshore_sweep_account_grants{}", "grants to accounts"),
                Query(
                    "sum by (feed) (farshore_unreadable_messages_total{})", "{{feed}} unreadable"
                ),
                Query("sum by (feed) (farshore_heartbeats_lost_total{})", "{{feed}} beats lost"),
                Query("sum by (feed) (farshore_notices_total{})", "{{feed}} notices"),
            ),
            bad=1,
        ),
    )


def dashboard(pair: str, objectives: Objectives) -> dict[str, Any]:
    """The dashboard, to be imported: Grafana asks for the data source."""
    return {
        "title": f"farshore {pair}",
        "uid": f"farshore-{pair}"[:40],
        "tags": ["farshore"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                },
                {
                    "name": "pair",
                    "label": "Pair",
                    "type": "query",
                    "datasource": _SOURCE,
                    "query": "label_values(farshore_build_info, pair)",
                    "current": {"text": pair, "value": pair},
                    "refresh": 2,
                },
            ]
        },
        "panels": _placed(panels(objectives)),
    }


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _placed(found: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """From left to right; a panel that does not fit begins the next row."""
    placed: list[dict[str, Any]] = []
    x = y = row = 0
    for number, panel in enumerate(found, 1):
        if x + panel.width > WIDTH:
            x, y, row = 0, y + row, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        placed.append(_panel(number, panel, place))
        x, row = x + panel.width, max(row, panel.height)
    return placed


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "title": panel.title,
        "description": panel.help,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expr.replace("{}", '{pair="$pair"}'),
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": _steps(panel)},
            },
            "overrides": [],
        },
    }


def _steps(panel: Panel) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warn is not None:
        steps.append({"color": "orange", "value": panel.warn})
    if panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    return steps
