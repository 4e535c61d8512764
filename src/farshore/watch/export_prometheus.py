"""Alert rules for Prometheus, with the pair's own objectives as thresholds.

Two voices: `severity: page` for what cannot wait, `severity: ticket` for what can.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from farshore.config import Voice
from farshore.core.verdict import CLOCKS_APART_MAX_S, HEARTBEAT_AGE_MAX_S, NEAR_SHARE, Objectives

SEVERITY: dict[Voice, str] = {"loud": "page", "gentle": "ticket"}


class Alert(NamedTuple):
    """`expr` has `{}` where the pair is chosen. `hold`: how long it must be so, as Prometheus
    writes it."""

    name: str
    voice: Voice
    expr: str
    hold: str
    summary: str
    remedy: str


def alerts(objectives: Objectives) -> tuple[Alert, ...]:
    """All of them, the loud ones first."""
    return (*_loud(objectives), *_gentle(objectives))


def _loud(o: Objectives) -> tuple[Alert, ...]:
    return (
        Alert(
            "FarshoreDown",
            "loud",
            "absent(farshore_build_info{})",
            "2m",
            "farshore itself does not answer Prometheus.",
            "See whether `farshore run` runs, and its log.",
        ),
        Alert(
            "FarshoreDestinationDown",
            "loud",
            "farshore_destination_up{} == 0",
            "1m",
            "The target does not answer: there is nowhere to switch to.",
            "See whether the target is up, and the way to it.",
        ),
        Alert(
            "FarshoreSourceDown",
            "loud",
            "farshore_source_up{} == 0",
            "1m",
            "The source does not answer: nothing new can be copied.",
            "Bring the source back, or decide to switch.",
        ),
        Alert(
            "FarshoreExposure",
            "loud",
            f"farshore_exposure_seconds{{}} > {o.rpo_s:g}",
            "0s",
            f"More than the objective of {o.rpo_s:g} s of changes may not be on the target.",
            "Run `farshore status`: it says why.",
        ),
        Alert(
            "FarshoreUnknown",
            "loud",
            "farshore_watermark_known{} == 0",
            "1h",
            "It is not known what the target has: no scan has ended.",
            "See the log of `farshore run`.",
        ),
        Alert(
            "FarshoreFailuresRising",
            "loud",
            "delta(farshore_failed_versions{}[15m]) > 0",
            "0s",
            "More and more versions cannot be copied.",
            "See `farshore backlog list --failed`.",
        ),
        Alert(
            "FarshoreHeartbeatSilent",
            "loud",
            f"farshore_heartbeat_age_seconds{{}} > {HEARTBEAT_AGE_MAX_S:g}",
            "1m",
            "No heartbeat comes through: changes are learnt from scans only.",
            "See to the feed (webhook, queue or filer).",
        ),
        Alert(
            "FarshoreDifferences",
            "loud",
            "farshore_last_verify_differences{} > 0",
            "0s",
            "The last verify found differences.",
            "Run `farshore repair`, then `farshore verify`.",
        ),
    )


def _gentle(o: Objectives) -> tuple[Alert, ...]:
    return (
        Alert(
            "FarshoreBacklog",
            "gentle",
            f"farshore_backlog_oldest_age_seconds{{}} > {o.rpo_s * NEAR_SHARE:g}",
            "10m",
            f"Changes have waited for more than {o.rpo_s * NEAR_SHARE:g} s, for ten minutes.",
            "See `farshore status` and `farshore backlog list`.",
        ),
        Alert(
            "FarshoreVerifyOld",
            "gentle",
            f"time() - farshore_last_verify_timestamp_seconds{{}} > {o.verify_max_age_s:g} "
            "or farshore_watermark_known{} "
            "unless on (pair) farshore_last_verify_timestamp_seconds{}",
            "1h",
            "The last verify of everything is too old, or there is none.",
            "Run `farshore verify`.",
        ),
        Alert(
            "FarshoreScanOld",
            "gentle",
            f"time() - farshore_last_scan_timestamp_seconds{{}} > {o.scan_max_age_s:g}",
            "15m",
            "The last complete scan is too old.",
            "See why `farshore run` ends none.",
        ),
        Alert(
            "FarshoreNotReplicated",
            "gentle",
            'sum by (pair, reason) (farshore_not_replicated{reason!~"EXCLUDED|PENDING"}) > 0',
            "1h",
            "Some versions are not on the target and waiting does not mend it.",
            "See `farshore backlog list --failed`.",
        ),
        Alert(
            "FarshorePaused",
            "gentle",
            "farshore_paused{} == 1",
            "1h",
            "Replication has been paused for an hour.",
            "Go on with `farshore resume`.",
        ),
        Alert(
            "FarshoreDeletesHeld",
            "gentle",
            "farshore_deletes_held{} > 0",
            "15m",
            "The delete guard holds deletes back.",
            "Look at them with `farshore deletes`.",
        ),
        Alert(
            "FarshoreUnderstated",
            "gentle",
            "increase(farshore_understatements_total{}[1h]) > 0",
            "0s",
            "A scan found what no feed had told of: the exposure had been understated.",
            "See to the feed; scan more often until it is mended.",
        ),
        Alert(
            "FarshoreUnreadable",
            "gentle",
            "increase(farshore_unreadable_messages_total{}[1h]) "
            "+ increase(farshore_heartbeats_lost_total{}[1h]) > 0",
            "0s",
            "A feed lost messages, or nobody can read them; a scan looked for what they told.",
            "See `farshore status` for the feed, and who sends to it.",
        ),
        Alert(
            "FarshoreNotice",
            "gentle",
            "increase(farshore_notices_total{}[1h]) > 0",
            "0s",
            "A feed brought a message that a person must act upon.",
            "Read it in `farshore status`, or in the log of `farshore run`.",
        ),
        Alert(
            "FarshoreClocks",
            "gentle",
            f"abs(farshore_clock_offset_seconds{{}}) > {CLOCKS_APART_MAX_S:g}",
            "10m",
            "A site's clock is off.",
            "Set it by NTP.",
        ),
    )


def rules(pair: str, objectives: Objectives) -> dict[str, Any]:
    """The rules file as a document."""
    found = [_rule(alert, pair) for alert in alerts(objectives)]
    return {"groups": [{"name": f"farshore-{pair}", "rules": found}]}


def _rule(alert: Alert, pair: str) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": chosen(alert.expr, pair),
        "for": alert.hold,
        "labels": {"severity": SEVERITY[alert.voice], "pair": pair},
        "annotations": {"summary": f"{pair}: {alert.summary}", "description": alert.remedy},
    }


def chosen(expr: str, pair: str) -> str:
    """The expression for one pair: a site's name is a-z, 0-9 and dashes, so nothing is quoted."""
    return expr.replace("{}", f'{{pair="{pair}"}}').replace("{reason", f'{{pair="{pair}", reason')


def yaml(value: Any, indent: int = 0) -> str:
    """A document of tables, lists, text and numbers as YAML; text is quoted as in JSON."""
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join(f"{pad}{name}:{_below(below, indent)}" for name, below in value.items())
    if isinstance(value, list):
        items = (yaml(item, indent + 1) for item in value)
        return "".join(f"{pad}- {item[len(pad) + 2 :]}" for item in items)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"


def _below(value: Any, indent: int) -> str:
    if isinstance(value, dict | list):
        return "\n" + yaml(value, indent + 1)
    return " " + yaml(value)
