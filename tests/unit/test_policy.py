"""A statement goes into a policy and out again, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.core.policy import (
    FENCE_SID,
    POLICY_BYTES_MAX,
    TRIAL_SID,
    BadPolicy,
    Spared,
    deny_writes,
    found,
    merged,
    same,
    without,
)

SPARED = Spared.of(["replicator", "operator"])
FENCE = deny_writes("files", SPARED)
TRIAL = deny_writes("files", SPARED, below=".farshore/")

THEIRS = """\
{
  "Version" : "2012-10-17", "Id": "of the company",
  "Statement": [ {"Sid":"Public", "Effect":"Allow", "Principal":"*", "Action":"s3:GetObject",
     "Resource":"arn:aws:s3:::files/public/*", "Condition": {"Bool": {"aws:x": "true"}}}
  ]
}
"""

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
statements = st.dictionaries(texts, values, max_size=4).map(lambda s: {**s, "Sid": "of others"})
extras = st.dictionaries(texts.filter(lambda name: name != "Statement"), values, max_size=3)


@st.composite
def policies(draw: st.DrawFn) -> str:
    """Policies of others: any keys around, any statements, any white space."""
    document = {**draw(extras), "Statement": draw(st.lists(statements, min_size=1, max_size=4))}
    if draw(st.booleans()):
        document = dict(reversed(document.items()))
    return json.dumps(
        document, indent=draw(st.none() | st.integers(0, 3)), ensure_ascii=draw(st.booleans())
    )


@given(policies())
def test_what_was_there_comes_back_byte_for_byte(theirs: str) -> None:
    fenced = merged(theirs, FENCE)
    before, after = json.loads(theirs), json.loads(fenced)
    assert after["Statement"] == [*before["Statement"], FENCE]
    assert {k: v for k, v in after.items() if k != "Statement"} == {
        k: v for k, v in before.items() if k != "Statement"
    }
    assert merged(fenced, FENCE) == fenced
    assert without(fenced, FENCE_SID) == theirs
    assert without(theirs, FENCE_SID) == theirs


@given(policies())
def test_trial_and_fence_leave_in_any_order(theirs: str) -> None:
    both = merged(merged(theirs, TRIAL), FENCE)
    assert without(without(both, FENCE_SID), TRIAL_SID) == theirs
    assert without(without(both, TRIAL_SID), FENCE_SID) == theirs


def test_where_nothing_stood_nothing_is_left() -> None:
    for nothing in ("", " \n"):
        fenced = merged(nothing, FENCE)
        assert found(fenced, FENCE_SID) == FENCE
        assert without(fenced, FENCE_SID) == ""
    assert found("", FENCE_SID) is None
    assert found(THEIRS, FENCE_SID) is None
    empty = '{"Version": "2012-10-17", "Statement": []}'
    assert json.loads(merged(empty, FENCE))["Statement"] == [FENCE]


def test_a_statement_without_a_list_gets_one() -> None:
    theirs = json.loads(THEIRS)
    alone = json.dumps({**theirs, "Statement": theirs["Statement"][0]})
    fenced = merged(alone, FENCE)
    assert json.loads(fenced)["Statement"] == [theirs["Statement"][0], FENCE]
    assert json.loads(without(fenced, FENCE_SID)) == theirs
    assert without(json.dumps({"Statement": FENCE}), FENCE_SID) == ""
    assert without(json.dumps({"Statement": [FENCE] * 3}), FENCE_SID) == ""


def test_an_older_fence_is_replaced_wherever_it_stands() -> None:
    theirs = json.loads(THEIRS)
    old = deny_writes("files", Spared.of(["somebody"]))
    twice = json.dumps({**theirs, "Statement": [old, old, *theirs["Statement"], old]})
    fenced = json.loads(merged(twice, FENCE))["Statement"]
    assert fenced == [*theirs["Statement"], FENCE]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no policy", "not JSON"),
        (THEIRS + "}", "not JSON"),
        (THEIRS[:100], "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('"Statement"', "no JSON object"),
        ("[]", "no JSON object"),
        ("{}", "0 keys"),
        ('{"Statement": [], "Statement": []}', "2 keys"),
        ('{"Statement": "Deny"}', "no list"),
        ('{"Statement": ["Deny"]}', "no JSON object"),
    ],
)
def test_what_is_no_policy_is_left_alone(text: str, why: str) -> None:
    with pytest.raises(BadPolicy, match=why):
        merged(text, FENCE)
    with pytest.raises(BadPolicy, match=why):
        without(text, FENCE_SID)


def test_a_policy_that_would_be_too_large_is_not_written() -> None:
    theirs: dict[str, Any] = json.loads(THEIRS)
    theirs["Id"] = "x" * (POLICY_BYTES_MAX - len(json.dumps(theirs)) - 100)
    with pytest.raises(BadPolicy, match="20,480 are the limit"):
        merged(json.dumps(theirs), FENCE)


def test_whom_a_fence_spares() -> None:
    both = deny_writes("files", Spared.of(["z", "arn:aws:iam::1:role/r", "a", "z"]))
    assert both["Condition"] == {
        "StringNotEquals": {"aws:username": ["a", "z"]},
        "ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::1:role/r"]},
    }
    assert both["Resource"] == ["arn:aws:s3:::files", "arn:aws:s3:::files/*"]
    assert TRIAL["Resource"] == "arn:aws:s3:::files/.farshore/*"
    with pytest.raises(ValueError, match="everybody"):
        deny_writes("files", Spared())


def test_a_statement_is_known_in_the_servers_words() -> None:
    told = {**FENCE, "Principal": {"AWS": "*"}}
    assert not same(told, FENCE)
    alone = deny_writes("files", Spared.of(["operator"]))
    condition = {"StringNotEquals": {"aws:username": "operator"}}
    assert same({**alone, "Condition": condition, "Action": list(alone["Action"])[::-1]}, alone)
    assert not same(alone, FENCE)
