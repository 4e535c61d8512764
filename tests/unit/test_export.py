"""Alert rules and dashboard: every query names a metric, and the rules ring when they should.

The rules are run by Prometheus' own `promtool test rules` on outages that are recorded from
the daemon's metrics, scrape by scrape.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from farshore.cli import main
from farshore.control.status import (
    BacklogState,
    DaemonState,
    FeedReport,
    ProofRecord,
    ScanState,
    StatusReport,
)
from farshore.core.verdict import Objectives
from farshore.watch.catalogue import METRICS, series
from farshore.watch.export_grafana import WIDTH, dashboard
from farshore.watch.export_prometheus import SEVERITY, alerts, rules, yaml
from farshore.watch.metrics import Metrics, Reading
from tests.debian import server
from tests.unit.sites import TOML

ROOT = Path(__file__).parents[2]
PAIR = "east-west"
SCRAPE_S = 30
NAMES = {name for metric in METRICS for name in series(metric)}
METRIC = re.compile(r"\bfarshore_\w+")


def promtool() -> str:
    """Prometheus' own tool. Missing, the test fails: a skipped test proves nothing."""
    return server("promtool")


# -- every query names a metric --------------------------------------------------


def rule_queries() -> Iterator[str]:
    for rule in rules(PAIR, Objectives())["groups"][0]["rules"]:
        yield rule["expr"]


def dashboard_queries() -> Iterator[str]:
    made = dashboard(PAIR, Objectives())
    yield made["templating"]["list"][1]["query"]
    for panel in made["panels"]:
        yield from (target["expr"] for target in panel["targets"])


@pytest.mark.parametrize("query", [*rule_queries(), *dashboard_queries()])
def test_every_query_names_metrics_that_exist_and_one_pair(query: str) -> None:
    named = METRIC.findall(query)
    assert named
    assert [name for name in named if name not in NAMES] == []
    assert "{}" not in query
    if "label_values" not in query:
        assert query.count('pair="') == len(named)


def test_the_dashboard_shows_nearly_every_metric() -> None:
    shown = set(METRIC.findall(" ".join(dashboard_queries())))
    left = {m.name for m in METRICS if not shown & set(series(m))}
    assert left <= {
        "farshore_watermark_known",
        "farshore_proved_timestamp_seconds",
        "farshore_backlog_bytes",
        "farshore_last_scan_duration_seconds",
        "farshore_last_sweep_timestamp_seconds",
        "farshore_clock_offset_seconds",
    }


def test_panels_do_not_overlap_and_have_their_own_ids() -> None:
    panels = dashboard(PAIR, Objectives())["panels"]
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert all(x < WIDTH for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_both_voices_are_used_and_every_alert_has_its_remedy() -> None:
    found = alerts(Objectives())
    assert {a.voice for a in found} == set(SEVERITY)
    assert len({a.name for a in found}) == len(found)
    assert all(a.summary.endswith(".") and a.remedy.endswith(".") for a in found)


def test_thresholds_are_the_objectives() -> None:
    text = yaml(rules(PAIR, Objectives(rpo_s=321.0, verify_max_age_s=654.0, scan_max_age_s=987.0)))
    assert all(f"> {number}" in text for number in ("321", "160.5", "654", "987"))


# -- recorded outages ------------------------------------------------------------

State = Callable[[float], Reading | None]
"""The daemon's knowledge, so many seconds after the recording began; None: it is dead."""

GONE = 10 * 60.0
BACK = 25 * 60.0


def calm(at: float) -> Reading:
    """Copying, half a second behind; scanned every five minutes; verified an hour before."""
    report = StatusReport(
        pair=PAIR,
        written_at=at,
        daemon=DaemonState("host-a", 42, "0.1.0", -60.0),
        watermark=at - 0.5,
        proved_at=at - at % 300,
        basis="feed",
        scan=ScanState(at - at % 300 - 5, at - at % 300, 10, 25),
        heartbeat_at=at - 1,
        source_answers=True,
        target_answers=True,
        source_offset_s=0.0,
        target_offset_s=0.0,
        feeds={"sqs changes": FeedReport(up=True)},
    )
    proof = ProofRecord(PAIR, -3600.0, -3500.0, True, 10, 25, 0, "host-a")
    return Reading(at, report, proof)


def with_report(at: float, **changes: Any) -> Reading:
    reading = calm(at)
    return reading._replace(report=replace(reading.report, **changes))


def target_dies(at: float) -> Reading:
    if not GONE <= at < BACK:
        return calm(at)
    waiting = BacklogState(int(at - GONE) + 1, 4096, GONE)
    return with_report(at, target_answers=False, watermark=GONE, backlog=waiting)


def source_dies(at: float) -> Reading:
    if not GONE <= at < BACK:
        return calm(at)
    return with_report(at, source_answers=False, watermark=GONE, heartbeat_at=GONE)


def daemon_dies(at: float) -> Reading | None:
    return None if GONE <= at < BACK else calm(at)


def feed_falls_silent(at: float) -> Reading:
    return with_report(at, heartbeat_at=min(at, GONE)) if at < BACK else calm(at)


def copies_fail(at: float) -> Reading:
    failed = max(0, min(int(at - GONE) // 60, 10))
    return with_report(at, not_replicated={"FAILED": {"Denied": failed}})


def nothing_known(at: float) -> Reading:
    return with_report(at, watermark=None, proved_at=None, basis="nothing", scan=None)


def never_verified(at: float) -> Reading:
    return calm(at)._replace(proof=None)


def verified_long_ago(at: float) -> Reading:
    old = ProofRecord(PAIR, -8 * 86400.0, -8 * 86400.0, False, 10, 25, 0, "host-a")
    return calm(at)._replace(proof=old)


def verify_differs(at: float) -> Reading:
    bad = ProofRecord(PAIR, -60.0, -50.0, False, 10, 25, 3, "host-a")
    return calm(at)._replace(proof=bad)


def scans_stop(at: float) -> Reading:
    return with_report(at, scan=ScanState(-90000.0, -89000.0, 10, 25))


def left_alone(at: float) -> Reading:
    return with_report(
        at,
        paused_by="anna",
        deletes_held=7,
        target_offset_s=-45.0,
        understatements=int(at >= GONE),
    )


def odd_messages(at: float) -> Reading:
    odd = FeedReport(True, unreadable=int(at >= GONE), notices={"confirm": int(at >= GONE)})
    return with_report(at, feeds={"sqs changes": odd})


class Outage(NamedTuple):
    """What rings at which minute, with the labels beside pair and severity."""

    state: State
    rings: dict[int, dict[str, dict[str, str]]]


EAST, WEST = {"site": "east"}, {"site": "west"}
FAILED = {"reason": "FAILED"}
QUEUE = {"feed": "sqs changes"}
CONFIRM = {**QUEUE, "kind": "confirm"}

OUTAGES = {
    "calm": Outage(calm, {1: {}, 30: {}, 89: {}}),
    "the target dies": Outage(
        target_dies,
        {
            9: {},
            10: {},
            12: {"FarshoreDestinationDown": WEST, "FarshoreExposure": {}},
            24: {
                "FarshoreDestinationDown": WEST,
                "FarshoreExposure": {},
                "FarshoreBacklog": {},
            },
            27: {},
        },
    ),
    "the source dies": Outage(
        source_dies,
        {
            9: {},
            13: {
                "FarshoreSourceDown": EAST,
                "FarshoreExposure": {},
                "FarshoreHeartbeatSilent": {},
            },
            27: {},
        },
    ),
    "the daemon dies": Outage(daemon_dies, {9: {}, 11: {}, 13: {"FarshoreDown": {}}, 26: {}}),
    "the feed falls silent": Outage(
        feed_falls_silent, {9: {}, 12: {"FarshoreHeartbeatSilent": {}}, 26: {}}
    ),
    "copies fail": Outage(
        copies_fail,
        {
            10: {},
            12: {"FarshoreFailuresRising": {}},
            40: {},
            75: {"FarshoreNotReplicated": FAILED},
        },
    ),
    "nothing is known": Outage(nothing_known, {30: {}, 61: {"FarshoreUnknown": {}}}),
    "never verified": Outage(never_verified, {30: {}, 61: {"FarshoreVerifyOld": {}}}),
    "verified long ago": Outage(verified_long_ago, {30: {}, 61: {"FarshoreVerifyOld": {}}}),
    "verify found differences": Outage(verify_differs, {1: {"FarshoreDifferences": {}}}),
    "scans stop": Outage(scans_stop, {10: {}, 16: {"FarshoreScanOld": {}}}),
    "odd messages": Outage(
        odd_messages, {9: {}, 12: {"FarshoreUnreadable": QUEUE, "FarshoreNotice": CONFIRM}, 75: {}}
    ),
    "left alone": Outage(
        left_alone,
        {
            5: {},
            12: {"FarshoreClocks": WEST, "FarshoreUnderstated": {}},
            62: {"FarshoreClocks": WEST, "FarshoreUnderstated": {}, "FarshoreDeletesHeld": {},
                 "FarshorePaused": {}},
        },
    ),
}  # fmt: skip


def recorded(state: State, minutes: int) -> list[dict[str, str]]:
    """promtool's `input_series`: what Prometheus would hold after scraping for so long."""
    scrapes = range(0, minutes * 60 + SCRAPE_S, SCRAPE_S)
    moment = [0.0]

    def read() -> Reading:
        reading = state(moment[0])
        assert reading is not None
        return reading

    metrics = Metrics(PAIR, "west", "east", read)
    found: dict[str, dict[int, float]] = {}
    for number, second in enumerate(scrapes):
        moment[0] = float(second)
        if state(moment[0]) is None:
            continue
        for family in text_string_to_metric_families(metrics.render()[0].decode()):
            for sample in family.samples:
                labels = ",".join(f"{k}={json.dumps(v)}" for k, v in sorted(sample.labels.items()))
                found.setdefault(f"{sample.name}{{{labels}}}", {})[number] = sample.value
    count = len(scrapes)
    return [{"series": name, "values": _values(held, count)} for name, held in found.items()]


def _values(held: dict[int, float], count: int) -> str:
    """A scrape that brings nothing ends a series at once, as Prometheus does it."""
    words = []
    for number in range(count):
        missing = "stale" if number - 1 in held else "_"
        words.append(repr(held[number]) if number in held else missing)
    return " ".join(words)


def expectation(minute: int, name: str, ringing: dict[str, dict[str, str]]) -> dict[str, Any]:
    """One alert at one minute, exactly."""
    rule = next(r for r in rules(PAIR, Objectives())["groups"][0]["rules"] if r["alert"] == name)
    alert = {
        "exp_labels": {**rule["labels"], **ringing.get(name, {})},
        "exp_annotations": rule["annotations"],
    }
    found: dict[str, Any] = {"eval_time": f"{minute}m", "alertname": name}
    return {**found, "exp_alerts": [alert]} if name in ringing else found


@pytest.mark.parametrize("name", OUTAGES)
def test_the_rules_ring_on_recorded_outages_and_only_then(name: str, tmp_path: Path) -> None:
    outage = OUTAGES[name]
    (tmp_path / "rules.yml").write_text(yaml(rules(PAIR, Objectives())))
    written = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{SCRAPE_S}s",
        "tests": [
            {
                "interval": f"{SCRAPE_S}s",
                "input_series": recorded(outage.state, max(outage.rings)),
                "alert_rule_test": [
                    expectation(minute, alert.name, ringing)
                    for minute, ringing in outage.rings.items()
                    for alert in alerts(Objectives())
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(json.dumps(written))
    ran = subprocess.run(
        [promtool(), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_rings_in_some_outage() -> None:
    rung = {name for outage in OUTAGES.values() for r in outage.rings.values() for name in r}
    assert rung == {alert.name for alert in alerts(Objectives())}


# -- the command -----------------------------------------------------------------


def test_the_commands_print_what_prometheus_and_grafana_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "farshore.toml"
    path.write_text(TOML + '[objectives]\nrpo = "2m"\n')
    assert main.run(["--config", str(path), "export", "prometheus-rules"]) == 0
    written = capsys.readouterr().out
    assert 'farshore_exposure_seconds{pair=\\"east-west\\"} > 120' in written
    (tmp_path / "rules.yml").write_text(written)
    subprocess.run([promtool(), "check", "rules", "rules.yml"], cwd=tmp_path, check=True)
    assert main.run(["--config", str(path), "export", "prometheus-rules", "--json"]) == 0
    assert yaml(json.loads(capsys.readouterr().out)) == written
    assert main.run(["--config", str(path), "export", "grafana"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "farshore east-west"
