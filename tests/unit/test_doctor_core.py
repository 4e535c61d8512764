"""What a check-up concludes: never better than what was seen; and what buckets are told."""

from __future__ import annotations

import json

import pytest

from farshore.core.checkup import (
    SEEN_MAX,
    Finding,
    Sighting,
    State,
    checkup_of,
    exit_code,
    in_order,
    summed,
)
from farshore.core.lifecycle import DAY_S, LifecycleRule, outruns_at_source, outruns_at_target
from farshore.core.parity import carried_policy, differing, policy_facts, sentence
from farshore.core.policy import FENCE_SID, Spared, deny_writes, merged
from farshore.doctor.told import facts_of, lifecycle_rules, names_a_region, without_expiring
from farshore.s3.store import BucketConfig


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["ok", "ok"], 0),
        (["ok", "could not tell"], 3),
        (["could not tell", "not ok", "ok"], 4),
        ([], 3),
    ],
)
def test_it_ends_as_its_worst_finding_and_nothing_is_not_all(
    states: list[State], code: int
) -> None:
    assert exit_code(Finding("x", state, "seen") for state in states) == code


def test_what_cannot_be_asked_changes_no_outcome() -> None:
    asked = Finding("capacity", "could not tell", "no question for it", counts=False)
    fine = Finding("sites", "ok", "answers")
    assert exit_code([fine, asked]) == 0
    assert exit_code([asked]) == 3
    kept = checkup_of([fine, asked, Finding("rights", "not ok", "e", "r", "west")], 7.0)
    assert (kept.ok, kept.unknown, [wrong.name for wrong in kept.wrong]) == (1, (), ["rights"])
    assert [f.state for f in in_order([fine, asked])] == ["could not tell", "ok"]


def test_many_sightings_are_as_bad_as_the_worst_and_are_named() -> None:
    assert summed("x", [], well="all", remedy="r").state == "could not tell"
    assert summed("x", [Sighting("ok")], well="all", remedy="r") == Finding("x", "ok", "all")
    bad = [Sighting("not ok", f"b{n}") for n in range(SEEN_MAX + 2)]
    found = summed("x", [Sighting("could not tell", "u"), *bad], well="all", remedy="r")
    assert (found.state, found.evidence) == ("not ok", "b0; b1; b2 and 2 more")


def test_lifecycle_that_outruns_replication() -> None:
    rules = [
        LifecycleRule("quick", noncurrent=7),
        LifecycleRule("slow", noncurrent=8),
        LifecycleRule("hides", "tmp/", expires=1),
    ]
    (at_source,) = outruns_at_source(rules, 7 * DAY_S)
    assert 'rule "quick" purges older versions after 7 d' in at_source
    assert len(list(outruns_at_target(rules))) == 3
    assert list(outruns_at_target([LifecycleRule("uploads")])) == []
    assert "at a date" in next(outruns_at_target([LifecycleRule("", expires=-1)]))


LIFECYCLE = """<?xml version="1.0"?>
<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
 <Rule><ID>a</ID><Filter><And><Prefix>tmp/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And>
 </Filter><Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>
 <Rule><ID>b</ID><Prefix>old/</Prefix><Status>Enabled</Status>
 <NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays></NoncurrentVersionExpiration></Rule>
 <Rule><ID>c</ID><Status>Disabled</Status><Expiration><Days>1</Days></Expiration></Rule>
 <Rule><ID>d</ID><Filter/><Status>Enabled</Status><AbortIncompleteMultipartUpload>
 <DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
 <Rule><ID>e</ID><Filter/><Status>Enabled</Status><Expiration>
 <ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>
</LifecycleConfiguration>"""


def test_lifecycle_rules_are_read() -> None:
    assert list(lifecycle_rules(LIFECYCLE)) == [
        LifecycleRule("a", "tmp/", expires=9),
        LifecycleRule("b", "old/", noncurrent=3),
        LifecycleRule("d"),
        LifecycleRule("e", markers=True),
    ]
    assert list(lifecycle_rules("")) == []


def test_what_expires_is_no_part_of_parity_and_is_not_carried() -> None:
    (fact,) = facts_of("lifecycle", LIFECYCLE)
    assert "AbortIncompleteMultipartUpload" in fact
    carried = without_expiring(LIFECYCLE)
    assert list(lifecycle_rules(carried)) == [LifecycleRule("d")]
    assert facts_of("lifecycle", carried) == {fact}


def cors(*origins: str, identity: str = "") -> str:
    rules = "".join(
        f"<CORSRule><ID>{identity}{n}</ID><AllowedOrigin>{origin}</AllowedOrigin></CORSRule>"
        for n, origin in enumerate(origins)
    )
    return f"<CORSConfiguration>{rules}</CORSConfiguration>"


def test_order_and_ids_made_up_by_servers_make_no_difference() -> None:
    one, other = facts_of("cors", cors("a", "b")), facts_of("cors", cors("b", "a", identity="x"))
    assert not differing(one, other)
    difference = differing(one, facts_of("cors", cors("b", "c")))
    assert sentence(difference, "east", "west") == (
        "only at east: CORSRule (AllowedOrigin a); only at west: CORSRule (AllowedOrigin c)"
    )
    assert differing(facts_of("tagging", ""), frozenset()) == ((), ())


@pytest.mark.parametrize(
    ("kind", "document", "word"),
    [
        ("encryption", "<S><Rule><KMSMasterKeyID>arn:k</KMSMasterKeyID></Rule></S>", "KMS"),
        ("notification", "<N><Q><Queue>arn:aws:sqs:eu-west-1:1:q</Queue></Q></N>", "receivers"),
        ("notification", "<N><Q><Queue>arn:minio:sqs::1:webhook</Queue></Q></N>", ""),
        ("cors", cors("a"), ""),
    ],
)
def test_what_belongs_to_one_region(kind: BucketConfig, document: str, word: str) -> None:
    found = names_a_region(kind, document)
    assert word in found if word else found == ""


def policy(*statements: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


def allow(bucket: str, sid: str) -> dict[str, object]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }


def test_policies_are_compared_without_ours_and_under_each_buckets_name() -> None:
    fence = deny_writes("files", Spared(("replicator",)))
    here, there = policy(allow("files", "Read")), policy(allow("files-west", "Read"))
    assert policy_facts(merged(here, fence), "files") == policy_facts(there, "files-west")
    assert policy_facts("", "files") == policy_facts(merged("", fence), "files") == frozenset()


def test_statements_that_lack_are_carried_and_none_is_taken_away() -> None:
    fence = deny_writes("files-west", Spared(("replicator",)))
    here = policy(allow("files", "Read"), allow("files", "List"))
    there = merged(policy(allow("files-west", "Read"), allow("files-west", "Own")), fence)
    carried = json.loads(carried_policy(here, "files", "files-west", there))["Statement"]
    assert [one["Sid"] for one in carried] == ["Read", "Own", FENCE_SID, "List"]
    assert carried[-1]["Resource"] == "arn:aws:s3:::files-west/*"
    first = json.loads(carried_policy(here, "files", "files-west", ""))
    assert [one["Sid"] for one in first["Statement"]] == ["Read", "List"]
