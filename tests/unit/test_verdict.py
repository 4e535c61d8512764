"""The verdict: every reason, its level and its remedy, and that the unknown is never SAFE."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.cli.reference import commands
from farshore.core.aftermath import STANDSTILL, Open
from farshore.core.checkup import Checkup, Wrong
from farshore.core.rehearsed import FINDINGS_MAX, JUDGED_FROM_NOW
from farshore.core.roles import COPYING, PHASES
from farshore.core.verdict import (
    Objectives,
    Snapshot,
    Verdict,
    at_text,
    duration_text,
    judge,
)

NOW = 1_777_644_131.4
GOOD = Snapshot(
    source="east",
    target="west",
    now=NOW,
    source_answers=True,
    target_answers=True,
    watermark=NOW - 0.4,
    scan_finished_at=NOW - 60,
    scan_versions=10,
    verified_at=NOW - 3600,
    verified_deep=True,
    verified_versions=10,
    reported_at=NOW - 1,
    heartbeat_age_s=2.0,
    waiting=0,
    clocks_apart_s=0.0,
    checkup=Checkup(NOW - 60),
    checkup_wanted=True,
    drilled=True,
    drilled_at=NOW - 3600,
)
LACKS = Wrong("rights", "west", "the app lacks s3:PutObject", "Grant it.")


def verdict(**changes: Any) -> Verdict:
    return judge(replace(GOOD, **changes), Objectives())


def test_all_well_is_safe_without_reasons() -> None:
    assert verdict() == Verdict("SAFE", ())


def test_every_phase_in_which_nothing_is_copied_says_what_ends_it() -> None:
    assert STANDSTILL.keys() == PHASES.keys() - COPYING


def test_while_nothing_may_be_copied_nobody_is_told_to_start_what_runs() -> None:
    said = verdict(
        standstill="`farshore commit`, then `farshore reprotect`",
        watermark=None,
        scan_finished_at=None,
        verified_at=None,
        reported_at=None,
        heartbeat_age_s=None,
        other_scope=True,
    )
    (only,) = said.reasons
    assert (said.word, only.name) == ("NOT SAFE", "nothing-copied")
    assert only.text.endswith("`farshore commit`, then `farshore reprotect`.")
    (late,) = verdict(standstill="`farshore reprotect`", watermark=NOW - 45).reasons
    assert late.text.endswith("near the limit of 60 s: `farshore reprotect`.")


def test_what_a_switch_has_left_is_not_told_twice() -> None:
    left = (Open("unprotected", "NOT SAFE", "Not copied: `farshore reprotect`."),)
    found = verdict(standstill="`farshore reprotect`", watermark=None, left_open=left)
    assert [reason.name for reason in found.reasons] == ["unprotected"]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"target_answers": False}, "NOT SAFE", "west does not answer"),
    ({"watermark": None}, "NOT SAFE", "Nothing is known of what west has"),
    ({"watermark": NOW - 61}, "NOT SAFE", "Up to 1 min 1 s of changes at east may not be on west"),
    ({"differences": 3}, "NOT SAFE", "found 3 differences"),
    ({"watermark": NOW - 31}, "AT RISK", "near the limit of 60 s"),
    ({"source_answers": False}, "AT RISK", "after 2026-05-01 14:02:11.0 UTC is unknown"),
    ({"source_answers": None}, "AT RISK", "whether east answers"),
    ({"target_answers": None}, "AT RISK", "whether west answers"),
    ({"reported_at": None}, "AT RISK", "has never reported"),
    ({"reported_at": NOW - 31}, "AT RISK", "has not reported since 2026-05-01 14:01:40.4 UTC"),
    ({"paused_by": "anna at laptop"}, "AT RISK", "paused by anna at laptop"),
    ({"heartbeat_age_s": 31.0}, "AT RISK", "No heartbeat has come through for 31 s"),
    ({"scan_finished_at": None}, "AT RISK", "No scan of everything has ended"),
    ({"scan_finished_at": NOW - 2 * 86400}, "AT RISK", "ended 2 d 0 h ago"),
    ({"scan_versions": 0}, "AT RISK", "saw nothing at all at east"),
    ({"verified_at": None}, "AT RISK", "never been verified"),
    ({"verified_at": NOW - 8 * 86400}, "AT RISK", "The last verify was 8 d 0 h ago"),
    ({"owed": {"FAILED": {"Denied": 2, "Corrupt": 1}}}, "AT RISK", "3 versions could not be"),
    ({"owed": {"FAILED": {"Denied": 1}}}, "AT RISK", "1 version could not be copied (Denied 1)"),
    ({"owed": {"CONFLICT": {"Conflict": 1}}}, "AT RISK", "entries of its own (Conflict 1)"),
    ({"owed": {"UNSUPPORTED": {"SSE-C": 1}}}, "AT RISK", "(SSE-C 1)"),
    (
        {"owed": {"EXPIRED_BEFORE_REPLICATED": {"Gone": 1}}},
        "AT RISK",
        "was purged on the source before it was copied",
    ),
    ({"deletes_held": 7}, "AT RISK", "holds back 7 deletes"),
    ({"clocks_apart_s": -45.0}, "AT RISK", "45 s apart"),
    ({"stopped_at": NOW - 1}, "AT RISK", "was stopped at 2026-05-01 14:02:10.4 UTC"),
    ({"unread": {"sqs changes": 2}}, "AT RISK", "2 messages of sqs changes could not be read"),
    ({"notices": ("webhook: SNS sends nothing.",)}, "AT RISK", "webhook: SNS sends nothing."),
    ({"checkup": None}, "AT RISK", "never checked: run `farshore doctor`"),
    ({"checkup": Checkup(NOW - 8 * 86400)}, "AT RISK", "ran 8 d 0 h ago"),
    ({"checkup": Checkup(NOW - 60, (LACKS,))}, "NOT SAFE", "rights at west was not ok 1 min 0 s"),
    (
        {"checkup": Checkup(NOW - 60, (LACKS._replace(site="east"),))},
        "AT RISK",
        "lacks s3:PutObject. Grant it; then run `farshore doctor`.",
    ),
    ({"drilled_at": None}, "AT RISK", "No drill has passed yet"),
    ({"drilled_at": NOW - 91 * 86400}, "AT RISK", "was 91 d 0 h ago, more than 90 d 0 h"),
    (
        {"checkup": Checkup(NOW - 60, (), ("rights at west", "ttl"), 4)},
        "AT RISK",
        "could not tell of rights at west, ttl: run it again",
    ),
    ({"verified_versions": 0}, "AT RISK", "found nothing to compare, and there are 10 versions at"),
    (
        {"conflicts": (("west is damaged.", "`farshore run` writes it anew"),)},
        "AT RISK",
        "west is damaged: `farshore run` writes it anew.",
    ),
    (
        {"left_open": (Open("unprotected", "NOT SAFE", "Not copied: `farshore reprotect`."),)},
        "NOT SAFE",
        "Not copied: `farshore reprotect`.",
    ),
    ({"unheard": ("a", "b")}, "AT RISK", "No heartbeat comes of a, b"),
    ({"unserved": tuple("abcdefg")}, "AT RISK", "Buckets a, b, c, d, e and 2 more are at east"),
]


@pytest.mark.parametrize(("changes", "word", "says"), BAD)
def test_each_trouble_has_its_level_and_one_sentence_with_its_remedy(
    changes: dict[str, Any], word: str, says: str
) -> None:
    found = verdict(**changes)
    assert found.word == word
    (reason,) = found.reasons
    assert says in reason.text
    assert re.fullmatch(r"[^\n]+[:;] [^\n]+\.", reason.text)


def test_a_daemon_that_was_stopped_is_not_called_silent_as_well() -> None:
    found = verdict(stopped_at=NOW - 3600, reported_at=NOW - 3600)
    assert [reason.name for reason in found.reasons] == ["daemon-stopped"]


def test_excluded_and_pending_versions_are_no_reason() -> None:
    assert verdict(owed={"EXCLUDED": {"rule": 5}, "PENDING": {"": 2}}).word == "SAFE"


def test_with_the_target_gone_nobody_can_say_that_it_was_never_verified() -> None:
    found = verdict(target_answers=False, verified_at=None)
    assert [r.name for r in found.reasons] == ["target-silent"]


def test_who_has_no_switch_and_never_drilled_is_not_asked_to() -> None:
    quiet = verdict(checkup=None, checkup_wanted=False, drilled=False, drilled_at=None)
    assert quiet == Verdict("SAFE", ())
    said = judge(
        replace(GOOD, drilled=False, drilled_at=None), Objectives(drill_wanted=True)
    ).reasons
    assert [reason.name for reason in said] == ["drill-never"], "the file says how old it may be"


@pytest.mark.parametrize("silent", ["target_answers", "source_answers"])
def test_with_one_side_silent_old_records_count_and_missing_ones_are_not_known(
    silent: str,
) -> None:
    old = Checkup(NOW - 8 * 86400)
    found = verdict(**{silent: False}, checkup=old, drilled_at=NOW - 91 * 86400)
    assert {"doctor-old", "drill-old"} <= {reason.name for reason in found.reasons}
    none = verdict(**{silent: False}, checkup=None, drilled_at=None)
    assert not {"doctor-never", "drill-never"} & {reason.name for reason in none.reasons}


def test_how_old_a_check_up_may_be_is_an_objective() -> None:
    snapshot = replace(GOOD, checkup=Checkup(NOW - 3 * 3600))
    assert judge(snapshot, Objectives()).word == "SAFE"
    (old,) = judge(snapshot, Objectives(doctor_max_age_s=2 * 3600)).reasons
    assert (old.name, old.level) == ("doctor-old", "AT RISK")
    assert "ran 3 h 0 min ago, more than 2 h 0 min" in old.text


def test_what_is_judged_from_now_is_not_told_again_by_an_old_check_up() -> None:
    told_elsewhere = [LACKS._replace(name=name) for name in sorted(JUDGED_FROM_NOW)]
    assert verdict(checkup=Checkup(NOW - 60, tuple(told_elsewhere))).word == "SAFE"
    parity = LACKS._replace(name="parity-cors", site="")
    many = verdict(checkup=Checkup(NOW - 60, (*[parity] * 6, LACKS)))
    assert (many.word, len(many.reasons)) == ("NOT SAFE", FINDINGS_MAX + 1)
    assert "2 more are not ok" in many.reasons[-1].text


def test_what_is_only_told_changes_no_verdict() -> None:
    fenced = Open("old-side-fenced", None, "east is fenced: leave it.")
    assert verdict(left_open=(fenced,)) == Verdict("SAFE", ())


def test_a_verify_of_nothing_is_not_told_twice_where_there_is_nothing() -> None:
    found = verdict(verified_versions=0, scan_versions=0)
    assert [reason.name for reason in found.reasons] == ["nothing-seen"]


def test_what_a_check_up_could_not_tell_from_now_is_judged_elsewhere() -> None:
    assert verdict(checkup=Checkup(NOW - 60, (), ("drill", "fence at east"), 9)).word == "SAFE"
    without = Checkup(NOW - 60, (), ("switch",), 9)
    assert verdict(checkup=without, checkup_wanted=False).word == "SAFE", "none is configured"
    assert verdict(checkup=without).word == "AT RISK"


def test_the_worst_comes_first() -> None:
    found = verdict(paused_by="anna", target_answers=False, scan_finished_at=None)
    assert [r.level for r in found.reasons] == ["NOT SAFE", "AT RISK", "AT RISK"]
    assert found.word == "NOT SAFE"


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"paused_by": "anna"}, "farshore resume"),
        ({"reported_at": None}, "start `farshore run`"),
        ({"waiting": 1200}, "1,200 keys wait, see `farshore backlog list`"),
        ({}, "wait for the scan"),
        ({"stopped_at": NOW - 200, "waiting": 5}, "start `farshore run`"),
        ({"unserved": ("new",)}, "Bucket new is not replicated"),
        ({"feeds_late_s": 92.0}, "set objectives.rpo well above it"),
    ],
)
def test_what_is_late_has_the_remedy_that_fits(changes: dict[str, Any], remedy: str) -> None:
    found = verdict(watermark=NOW - 100, **changes)
    assert remedy in found.reasons[0].text


MAY_BE_UNKNOWN = {"heartbeat_age_s", "waiting", "clocks_apart_s", "scan_versions", "stopped_at"}
OPTIONAL = [f.name for f in fields(Snapshot) if "None" in str(f.type)]


@pytest.mark.parametrize("name", sorted({*OPTIONAL} - MAY_BE_UNKNOWN))
def test_what_is_not_known_is_never_safe(name: str) -> None:
    unknown: dict[str, Any] = {name: None}
    assert verdict(**unknown).word != "SAFE"


def test_a_snapshot_that_knows_nothing_is_not_safe() -> None:
    assert judge(Snapshot("east", "west", NOW), Objectives()).word == "NOT SAFE"


@given(st.floats(0, 1e6), st.floats(1, 1e5))
def test_more_exposure_is_never_better(exposure: float, rpo: float) -> None:
    ranks = {"SAFE": 0, "AT RISK": 1, "NOT SAFE": 2}
    objectives = Objectives(rpo_s=rpo)
    word = judge(replace(GOOD, watermark=NOW - exposure), objectives).word
    worse = judge(replace(GOOD, watermark=NOW - exposure * 2 - 1), objectives).word
    assert ranks[word] <= ranks[worse]


def test_moments_are_cut_not_rounded() -> None:
    assert at_text(1_777_644_131.49) == "2026-05-01 14:02:11.4 UTC"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (42.9, "42 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (8 * 86400 + 10900, "8 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_every_command_that_a_remedy_names_exists() -> None:
    known = {name.split()[1] for name, _ in commands() if " " in name}
    said = " ".join(r.text for changes, _, _ in BAD for r in verdict(**changes).reasons)
    named = set(re.findall(r"`farshore (\w+)", said))
    assert named >= {"verify", "repair", "run"}
    assert named - known == set()


@pytest.mark.parametrize(("side", "name"), [("source_answers", "east"), ("target_answers", "west")])
def test_the_exposure_alone_says_which_site_is_silent(side: str, name: str) -> None:
    reasons = verdict(**{side: False, "watermark": NOW - 99, "waiting": 3}).reasons
    (exposure,) = (reason.text for reason in reasons if reason.name == "exposure")
    assert exposure.endswith(f"more than 60 s: {name} does not answer.")
