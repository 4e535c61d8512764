"""`farshore export iam-policy`: what is printed, for whom, and in words that vendors accept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from farshore.cli import main
from farshore.core.iam import SEAWEED_COARSE, Vendor, doubts, exported, seaweed_actions
from farshore.core.rights import Ground, Who, granted
from tests.unit.sites import TOML

WHO: tuple[Who, ...] = ("operator", "replicator", "app")
VENDORS: tuple[Vendor, ...] = ("aws", "minio", "seaweedfs")
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"

GROUNDS = {
    "one": Ground(("files",), "control"),
    "learns": Ground(("files", "mail"), "control", learns=True),
    "patterns": Ground(("prod-*",), "control"),
    "everything": Ground(("files",), "control", learns=True, keys=(KEY,), acls=True),
    "by hand": Ground(("files",), "control", by_policy=False),
}

_NAMES = """
AbortMultipartUpload CreateBucket DeleteBucketPolicy DeleteObject DeleteObjectVersion
DeleteObjectVersionTagging GetBucketCors GetBucketNotification
GetBucketObjectLockConfiguration GetBucketPolicy GetBucketTagging GetBucketVersioning
GetEncryptionConfiguration GetLifecycleConfiguration GetObject GetObjectLegalHold
GetObjectRetention GetObjectTagging GetObjectVersion GetObjectVersionTagging
ListAllMyBuckets ListBucket ListBucketMultipartUploads ListBucketVersions
ListMultipartUploadParts PutBucketCors PutBucketNotification PutBucketPolicy
PutBucketTagging PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration
PutObject PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionTagging
"""
MINIO = frozenset(_NAMES.split())
"""Of the names that MinIO knows, those of our requests: it refuses a policy with any other."""

DESTRUCTIVE = {"s3:DeleteObjectVersion", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"}


def actions(document: Any) -> Iterator[str]:
    for statement in document["Statement"]:
        yield from statement["Action"]


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "farshore.toml"
    path.write_text(TOML)
    monkeypatch.chdir(tmp_path)
    return path


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[Any, str]:
    """(the JSON document, standard error)."""
    with pytest.raises(SystemExit) as ended:
        main.main(["export", "iam-policy", *words])
    assert ended.value.code == code
    out, err = capsys.readouterr()
    return (json.loads(out) if out else None), err


# -- the command ------------------------------------------------------------------------


def test_one_document_ready_to_be_used(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--vendor", "aws", "--site", "west", "--principal", "replicator")
    document, told = printed(capsys, *words)
    assert (document["Version"], told) == ("2012-10-17", "")
    resources = {arn for s in document["Statement"] for arn in s["Resource"]}
    assert resources == {
        "*",
        "arn:aws:s3:::files",
        "arn:aws:s3:::files/*",
        "arn:aws:s3:::farshore-control",
        "arn:aws:s3:::farshore-control/*",
    }


def test_both_sites_and_all_principals(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, told = printed(capsys, "--vendor", "seaweedfs")
    assert {site: list(found) for site, found in document.items()} == {
        "east": list(WHO),
        "west": list(WHO),
    }
    assert document["east"]["app"] == {
        "name": "app",
        "actions": ["List:files", "Read:files", "Tagging:files", "Write:files"],
    }
    assert all(sentence in told for sentence in SEAWEED_COARSE)


def test_each_side_has_its_own_names(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair.write_text(
        TOML.replace('source = "files"', 'source = "in-*"\ntarget = "copy-*"').replace(
            'endpoint = "http://127.0.0.1:8334"',
            'endpoint = "http://127.0.0.1:8334"\ncontrol_bucket = "west-control"\n'
            'region = "cn-north-1"\nfence = { spare = ["arn:aws:iam::1:user/a"] }',
        )
    )
    document, _ = printed(capsys, "--vendor", "aws")
    assert "arn:aws:s3:::in-*/*" in json.dumps(document["east"])
    there = json.dumps(document["west"])
    assert "arn:aws-cn:s3:::copy-*/*" in there
    assert "arn:aws-cn:s3:::west-control" in there
    assert "in-*" not in there
    assert "s3:ListAllMyBuckets" not in json.dumps(document["west"]["app"])


def test_keys_of_one_region(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, _ = printed(capsys, "--vendor", "aws", "--site", "east", "--kms-key", KEY)
    for who, wanted in (("operator", False), ("replicator", True), ("app", True)):
        assert (KEY in json.dumps(document["east"][who])) is wanted


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--vendor", "minio", "--kms-key", KEY, "--site", "east"), "for --vendor aws"),
        (("--vendor", "aws", "--kms-key", KEY), "needs --site"),
        (("--vendor", "aws", "--kms-key", "alias/x", "--site", "east"), "no ARN"),
        (("--vendor", "minio", "--acls"), "keeps no access control lists"),
        (("--vendor", "seaweedfs", "--acls"), "lets nobody set"),
    ],
)
def test_what_cannot_be_is_refused(
    pair: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    _, told = printed(capsys, *words, code=2)
    assert why in told


def test_a_site_that_is_not_there(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, told = printed(capsys, "--vendor", "aws", "--site", "north", code=2)
    assert 'no site "north"' in told


# -- the rights -------------------------------------------------------------------------


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)
@pytest.mark.parametrize("who", WHO)
def test_aws_takes_the_policy(who: Who, ground: Ground) -> None:
    """moto checks the grammar of policies as IAM does."""
    with mock_aws():
        iam = boto3.client("iam", region_name="us-east-1")
        text = json.dumps(exported(who, ground, "aws"))
        iam.create_policy(PolicyName=who, PolicyDocument=text)
        with pytest.raises(ClientError, match="MalformedPolicyDocument"):
            iam.create_policy(PolicyName="bad", PolicyDocument=text.replace("arn:aws:", "", 1))


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)
@pytest.mark.parametrize("who", WHO)
def test_minio_knows_every_name(who: Who, ground: Ground) -> None:
    named = set(actions(exported(who, Ground(ground.buckets, "control", learns=True), "minio")))
    assert {name.removeprefix("s3:") for name in named} - {"*"} <= MINIO


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)
def test_nobody_may_do_everything(ground: Ground) -> None:
    for who in WHO:
        allowed = [s for s in exported(who, ground, "aws")["Statement"] if s["Effect"] == "Allow"]
        assert all(re.fullmatch(r"(s3|kms):\w+", a) for s in allowed for a in s["Action"])
        assert not any(
            "*" in s["Resource"] for s in allowed if s["Action"] != ["s3:ListAllMyBuckets"]
        )


def test_the_app_cannot_destroy_a_history_nor_touch_the_control_bucket() -> None:
    document = exported("app", GROUNDS["everything"], "aws")
    assert not DESTRUCTIVE & set(actions(document))
    assert "control" not in json.dumps(document)
    patterned = exported("app", Ground(("*",), "control"), "aws")
    assert patterned["Statement"][-1] == {
        "Sid": "KeepFromControl",
        "Effect": "Deny",
        "Action": ["s3:*"],
        "Resource": ["arn:aws:s3:::control", "arn:aws:s3:::control/*"],
    }


def test_nobody_but_the_operator_makes_buckets_or_policies() -> None:
    for who in ("replicator", "app"):
        named = set(actions(exported(who, GROUNDS["everything"], "aws")))
        assert not {name for name in named if re.search(r"Put(Bucket|Life|Encr)|Create", name)}


def test_a_site_whose_fence_is_no_policy_gives_no_right_to_write_one() -> None:
    named = set(actions(exported("operator", GROUNDS["by hand"], "aws")))
    assert "s3:GetBucketPolicy" in named
    assert not named & {"s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}


# -- SeaweedFS --------------------------------------------------------------------------


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)
@pytest.mark.parametrize("who", WHO)
def test_seaweedfs_has_a_word_for_every_right(who: Who, ground: Ground) -> None:
    words = seaweed_actions(granted(who, ground))
    assert words == sorted(set(words))
    assert all(re.fullmatch(r"[A-Z]\w+:[\w.*/-]+", word) for word in words)


def test_a_pattern_is_said_for_buckets_and_for_keys() -> None:
    words = seaweed_actions(granted("app", Ground(("prod-*",), "control")))
    assert {"Read:prod-*", "Read:prod-*/*"} <= set(words)


def test_who_may_do_everything_in_a_bucket_is_told_so_once() -> None:
    assert seaweed_actions(granted("operator", GROUNDS["one"])) == ["Admin:control", "Admin:files"]


# -- doubts -----------------------------------------------------------------------------


def test_what_cannot_be_separated_is_said_of_those_whom_it_concerns() -> None:
    told = {who: doubts(who, GROUNDS["one"], "seaweedfs", {}) for who in WHO}
    assert "drop the bucket" in told["operator"][0]
    assert "destroy a history" in told["app"][0]
    assert "control bucket" in doubts("app", GROUNDS["patterns"], "seaweedfs", {})[-1]
    assert not any(doubts(who, GROUNDS["one"], "aws", {}) for who in WHO)


def test_a_policy_that_is_too_long_for_aws_says_so() -> None:
    ground = Ground(tuple(f"bucket-number-{n:03}" for n in range(200)), "control")
    document = exported("replicator", ground, "aws")
    assert "6,144" in doubts("replicator", ground, "aws", document)[0]
