"""Drills as data, and the reports that are made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from farshore.core.drill import (
    AbortIf,
    Client,
    Drill,
    DrillStep,
    Rpo,
    Rto,
    abort_if,
    exceeded,
    frozen_s,
    rpo_of,
    rto_of,
)
from farshore.core.loss import Loss, of_versions
from farshore.core.model import Version
from farshore.core.runbook import Approval, Plan, Run, Shown, StepPlan, StepRecord
from farshore.drill import html, markdown
from farshore.drill.account import of_drill, of_run
from farshore.drill.live import ROOM_S, agreed_exposure_s
from farshore.errors import Corrupt, Refused, StateError, UsageError
from farshore.runbook.preflight import EXPOSURE_MAX_S

STEP = DrillStep("write", "Write.", 10.0, 12.5, "ok", evidence={"keys": 2})
DRILL = Drill(
    "20260101-000000-drill-isolated",
    "isolated",
    "east.west",
    "east",
    "west",
    10.0,
    "because",
    hypothesis="clients notice nothing",
    criteria=(AbortIf("frozen_s", 3.0),),
    actors={"asked": "one@desk"},
    steps=(STEP,),
)
FULL = replace(
    DRILL.ended(20.0).noted("no runbook on the wall", "ops", "one@desk", 21.0),
    runs=("a-run",),
    rto=Rto(0.0, 1.0, 2.0, 3.0),
    rpo=Rpo(60.0, 1.5, None, None),
    client=Client(100, 2, 0, 1.25, 1.3),
)
EVIL = '<script>alert("x")</script>|\n# no'


def test_a_drill_is_read_as_it_was_written() -> None:
    for drill in (DRILL, FULL, FULL.closed(1, "two@desk", 30.0)):
        assert Drill.from_json(json.loads(json.dumps(drill.to_json()))) == drill


def test_what_readiness_asks_for_stands_at_the_top() -> None:
    body = FULL.to_json()
    assert list(body)[1:5] == ["level", "passed", "started_at", "ended_at"]
    assert (body["level"], body["passed"]) == ("isolated", True)
    assert DRILL.to_json()["ended_at"] is None


@pytest.mark.parametrize(
    ("drill", "verdict"),
    [
        (DRILL, "unfinished"),
        (DRILL.ended(20.0), "passed"),
        (DRILL.ended(20.0, "too slow"), "aborted"),
        (DRILL.stepped(replace(STEP, outcome="failed", note="x")).ended(20.0), "failed"),
        (DRILL.stepped(replace(STEP, outcome="unknown", note="x")).ended(20.0), "failed"),
        (DRILL.stepped(replace(STEP, outcome="skipped", note="x")).ended(20.0), "passed"),
        (replace(DRILL, steps=()).ended(20.0), "failed"),
    ],
)
def test_verdicts(drill: Drill, verdict: str) -> None:
    assert drill.verdict == verdict
    assert drill.passed == (verdict == "passed")


@pytest.mark.parametrize(
    "change",
    [
        {"level": "toy"},
        {"steps": [{"id": "x"}]},
        {"abort_if": ["weather>3"]},
        {"findings": None},
        {"rto": {"detect_s": "soon"}},
    ],
)
def test_documents_that_cannot_be(change: dict[str, object]) -> None:
    with pytest.raises(Corrupt):
        Drill.from_json({**FULL.to_json(), **change})


def test_a_newer_form_is_not_guessed_at() -> None:
    with pytest.raises(StateError):
        Drill.from_json({**FULL.to_json(), "schema": 2})


def test_findings_have_owners_and_are_closed_once() -> None:
    with pytest.raises(UsageError):
        DRILL.noted("x", " ", "one@desk", 1.0)
    closed = FULL.closed(1, "two@desk", 30.0)
    assert closed.open_findings == ()
    with pytest.raises(Refused):
        closed.closed(1, "two@desk", 31.0)
    with pytest.raises(UsageError):
        closed.closed(2, "two@desk", 31.0)


@pytest.mark.parametrize(
    ("known", "daemon_wanted", "agreed"),
    [
        (0.4, True, EXPOSURE_MAX_S),
        (EXPOSURE_MAX_S, True, EXPOSURE_MAX_S),
        (EXPOSURE_MAX_S + 1, True, None),
        (None, True, None),
        (None, False, None),
        (5.0, False, 5.0 + ROOM_S),
    ],
)
def test_a_word_for_a_live_drill_holds_for_so_much_exposure_and_no_more(
    known: float | None, daemon_wanted: bool, agreed: float | None
) -> None:
    assert agreed_exposure_s(Shown(exposure_s=known), daemon_wanted=daemon_wanted) == agreed


def test_a_way_of_a_drill_begins_with_less_exposure_than_was_agreed_to_and_with_no_more() -> None:
    plan = Plan("switchover", "east.west", "east", "west", 3, "abc", (StepPlan("flip", "Flip."),))
    agreed = replace(plan, shown=Shown(EXPOSURE_MAX_S, 100.0))
    approval = Approval("two@desk", 2.0, agreed.digest, True)
    run = Run("r1", agreed, "one@desk", 1.0, 1.0).approved(approval)
    assert run.begun(3.0, replace(plan, shown=Shown(12.0, 130.0))).state == "running"
    for other in (
        replace(plan, shown=Shown(EXPOSURE_MAX_S * 3, 130.0)),
        replace(agreed, epoch=4),
        replace(agreed, switch="xyz"),
    ):
        with pytest.raises(Refused, match="Things have changed"):
            run.begun(3.0, other)


@pytest.mark.parametrize(
    "text", ["", "frozen_s", "frozen_s>", "frozen_s>-1", "luck>1", "drill_s>inf"]
)
def test_criteria_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError):
        abort_if(text)


def test_criteria_are_met_above_their_limit() -> None:
    criteria = (abort_if("frozen_s>3"), abort_if("failed_probes>0"))
    assert exceeded(criteria, {"frozen_s": 3.0}) == ""
    assert "frozen" in exceeded(criteria, {"frozen_s": 3.1})
    assert "failed" in exceeded(criteria, {"failed_probes": 1})


# -- runs ----------------------------------------------------------------------------------


PLAN = Plan(
    "switchover",
    "east.west",
    "east",
    "west",
    1,
    "abc",
    tuple(StepPlan(name, f"{name}.") for name in ("freeze", "catch_up", "flip", "probe", "thaw")),
    Shown(exposure_s=1.5),
)
RUN = Run(
    "a-run",
    PLAN,
    "one@desk",
    asked_at=105.0,
    declared_at=100.0,
    approval=Approval("two@desk", 115.0, PLAN.digest, True, "because"),
    began_at=115.0,
    ended_at=121.0,
    steps=(
        StepRecord("freeze", 115.0, 116.0, "ok"),
        StepRecord("catch_up", 116.0, 117.0, "ok"),
        StepRecord("flip", 117.0, 118.0, "ok"),
        StepRecord("probe", 118.0, 120.0, "ok"),
        StepRecord("thaw", 120.0, 121.0, "ok"),
    ),
)


def test_the_time_to_recovery_is_split() -> None:
    rto = rto_of(RUN)
    assert rto == Rto(5.0, 10.0, 4.0, 2.0)
    assert rto.total_s == 21.0
    assert rto_of(replace(RUN, ended_at=0.0)) is None
    assert rto_of(replace(RUN, approval=None)) is None


def test_what_may_be_lost_is_zero_only_where_it_was_proved() -> None:
    assert rpo_of(RUN, 60.0)[:5] == (60.0, 1.5, 0.0, 0, 0)
    unproved = replace(RUN, steps=RUN.steps[:1])
    assert rpo_of(unproved, 60.0) == Rpo(60.0, 1.5, None, None)


LOST = Loss(200.0, "three@desk", "reprotect", 2, 120, 113.5, 40)


def test_what_was_found_afterwards_is_the_rpo_found_and_changes_nothing_of_the_run() -> None:
    later = RUN.found(LOST)
    assert replace(later, losses=()) == RUN
    assert rpo_of(later, 60.0)[2:5] == (4.5, 2, 120)
    assert Run.from_json(json.loads(json.dumps(later.to_json()))) == later
    for page in (markdown.page(of_run(later, 60.0)), html.page(of_run(later, 60.0))):
        assert "4.50 s, 2 versions missing" in page
        assert "three@desk" in page
    assert of_run(later, 60.0).document["rpo"]["found_versions"] == 2


def test_nothing_found_is_said_with_who_has_looked() -> None:
    none = RUN.found(LOST._replace(versions=0, bytes=0, oldest_at=None))
    assert rpo_of(none, 60.0)[2:5] == (0.0, 0, 0)
    assert "0 versions missing, by reprotect by three@desk" in html.page(of_run(none, 60.0))


def test_a_decision_does_not_make_a_loss_smaller() -> None:
    decided = LOST._replace(at=300.0, versions=0, bytes=0, oldest_at=None, decided=2)
    assert RUN.found(LOST).found(decided) == RUN.found(LOST)
    more = RUN.found(LOST).found(decided._replace(versions=1, bytes=5, oldest_at=117.0))
    assert rpo_of(more, 60.0)[2:5] == (4.5, 3, 120)


def test_nothing_is_found_before_the_flip_or_while_a_run_is_open() -> None:
    with pytest.raises(Refused):
        RUN.found(LOST._replace(at=117.5))
    with pytest.raises(Refused):
        replace(RUN, steps=RUN.steps[:-1]).found(LOST)
    with pytest.raises(Refused):
        replace(RUN, steps=RUN.steps[:2], aborted="no").found(LOST)


def test_a_run_of_an_older_farshore_has_no_findings() -> None:
    body = RUN.to_json()
    del body["losses"]
    assert Run.from_json(body) == RUN


def test_a_drill_s_report_tells_what_was_found_after_its_runs() -> None:
    account = of_drill(replace(FULL, rpo=Rpo(60.0, 1.5, 0.0, 0)), [RUN, RUN.found(LOST)])
    assert "4.50 s, 2 versions missing" in markdown.page(account)
    assert account.document["found_afterwards"]["a-run"][0]["by"] == "three@desk"
    clean = of_drill(replace(FULL, rpo=Rpo(60.0, 1.5, 0.0, 0)), [RUN])
    assert clean.document["rpo"]["found_versions"] == 0


def test_a_loss_is_summed_up_from_the_versions() -> None:
    old = Version("k", "v1", False, True, "e", 7, "1970-01-01T00:01:50.000Z", "")
    odd = old._replace(version_id="v2", is_marker=True, size=0, modified="yesterday")
    loss = of_versions([old, odd], at=200.0, by="me", how="verify", ahead_s=2.0)
    assert (loss.versions, loss.bytes, loss.oldest_at) == (2, 7, 108.0)


def test_a_freeze_counts_until_the_thaw_or_until_now() -> None:
    assert frozen_s(RUN, 500.0) == 6.0
    assert frozen_s(replace(RUN, steps=RUN.steps[:2], ended_at=0.0), 117.5) == 2.5
    assert frozen_s(replace(RUN, steps=()), 500.0) == 0.0


# -- reports -------------------------------------------------------------------------------


class Seen(HTMLParser):
    """Elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(v) for name, v in attrs if name in ("src", "href", "srcset", "data")]


def evil() -> Drill:
    step = replace(STEP, id=EVIL, what=EVIL, note=EVIL, group=EVIL)
    drill = replace(DRILL, why=EVIL, hypothesis=EVIL, pair=EVIL, actors={EVIL: EVIL})
    return drill.stepped(step).ended(20.0, EVIL).noted(EVIL, EVIL, EVIL, 21.0)


def test_a_page_needs_nothing_else_and_runs_nothing() -> None:
    page = html.page(of_drill(evil()))
    seen = Seen(page)
    assert "svg" in seen.tags
    assert not {"script", "link", "img", "iframe", "object"} & set(seen.tags)
    assert seen.links == []
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert seen.tags.count("rect") == 2


def test_markdown_keeps_texts_in_their_cells() -> None:
    page = markdown.page(of_drill(evil()))
    rows = [line for line in page.splitlines() if line.startswith("| 1970")]
    assert len(rows) == 2
    assert "<script>" not in page
    assert not any(line.startswith("# no") for line in page.splitlines())


def test_reports_of_a_drill_say_what_was_measured() -> None:
    for page in (markdown.page(of_drill(FULL)), html.page(of_drill(FULL))):
        assert "6.00 s: detect 0.00 s, decide 1.00 s, act 2.00 s, verify 3.00 s" in page
        assert "clients notice nothing" in page
        assert "not known" in page
        assert "no runbook on the wall" in page
        assert "passed" in page


def test_a_run_has_a_report_too() -> None:
    account = of_run(RUN, 60.0)
    assert account.document["rto"]["total_s"] == 21.0
    assert account.good is True
    assert "two@desk" in html.page(account)
    assert "| " in markdown.page(account)


def test_an_empty_report_is_a_page() -> None:
    assert "No step was made" in html.page(of_drill(replace(DRILL, steps=())))
