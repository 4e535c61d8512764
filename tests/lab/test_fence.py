"""The fence on real regions: it bites, survives power cuts, waits for the dead, and leaves."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from farshore.core.policy import FENCE_SID
from farshore.core.rules import OWN_PREFIX
from farshore.lab.regions import Lab
from tests.lab.daemon import status
from tests.lab.farshore_cli import Farshore
from tests.lab.fences import (
    admit_app,
    credentials,
    fence_document,
    fenced,
    forget_record,
    impatient_app,
    policy,
)

WHY = ("--why", "a test", "--by", "ann@desk", "--yes")


@pytest.fixture
def pair(farshore: Farshore) -> Iterator[Farshore]:
    """A pair whose application works in its bucket; afterwards nothing is recorded."""
    farshore.configure(credentials=credentials(farshore))
    forget_record(farshore)
    yield farshore
    for site in ("east", "west"):
        farshore.lab.revive(site)
    forget_record(farshore)


def refused(attempt: Any, **words: Any) -> str:
    with pytest.raises(ClientError) as caught:
        attempt(**words)
    return str(caught.value.response["Error"]["Code"])


def put_by_url(url: str) -> int:
    """The status of a PUT to a URL that was signed before."""
    request = urllib.request.Request(url, data=b"late", method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def canaries(farshore: Farshore) -> list[str]:
    return [key for key, _, _ in farshore.rows("east") if key.startswith(OWN_PREFIX)]


def test_a_fence_bites_survives_a_power_cut_and_is_taken_away(pair: Farshore, lab: Lab) -> None:
    theirs = admit_app(pair)
    app = impatient_app(pair)
    app.put_object(Bucket=pair.bucket, Key="before", Body=b"1")
    upload = app.create_multipart_upload(Bucket=pair.bucket, Key="large")["UploadId"]
    part = {"Bucket": pair.bucket, "Key": "large", "UploadId": upload}
    etag = app.upload_part(**part, PartNumber=1, Body=b"1")["ETag"]

    later = app.generate_presigned_url(
        "put_object", Params={"Bucket": pair.bucket, "Key": "by-url"}, ExpiresIn=600
    )

    checked = fence_document(pair.run("fence", "east", "--check", "--json"), 0)
    assert checked["would_bite"]
    assert policy(pair) == theirs

    (made,) = fence_document(pair.run("fence", "east", *WHY, "--json"), 0)["fences"]
    assert (made["state"], made["by"], made["why"]) == ("standing", "ann@desk", "a test")
    assert [bucket["word"] for bucket in made["buckets"]] == ["bites"]

    assert put_by_url(later) == 403
    lab.kill("east")
    lab.revive("east")
    app = impatient_app(pair)
    name = {"Bucket": pair.bucket, "Key": "before"}
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    done = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert {
        refused(app.put_object, **name, Body=b"late"),
        refused(app.delete_object, **name),
        refused(app.create_multipart_upload, **name),
        refused(app.upload_part, **part, PartNumber=2, Body=b"2"),
        refused(app.complete_multipart_upload, **part, MultipartUpload=done),
        refused(app.put_object_tagging, **name, Tagging=tags),
        refused(app.copy_object, **name, CopySource=name),
        refused(app.put_bucket_policy, Bucket=pair.bucket, Policy=theirs),
        refused(app.delete_bucket_policy, Bucket=pair.bucket),
        refused(
            app.put_bucket_versioning,
            Bucket=pair.bucket,
            VersioningConfiguration={"Status": "Suspended"},
        ),
    } == {"AccessDenied"}
    many = app.delete_objects(Bucket=pair.bucket, Delete={"Objects": [{"Key": "before"}]})
    assert many["Errors"][0]["Code"] == "AccessDenied"
    assert app.get_object(**name)["Body"].read() == b"1"
    pair.s3("east", "replicator").put_object(Bucket=pair.bucket, Key="replica", Body=b"1")
    pair.json("backfill")

    shown = fence_document(pair.run("fence", "east", "--show", "--json"), 0)
    assert (shown["recorded"]["state"], shown["stands"]) == ("standing", {pair.bucket: True})
    again = fence_document(pair.run("fence", "east", *WHY, "--json"), 0)["fences"]
    assert again[0]["state"] == "standing"

    opened = fence_document(pair.run("unfence", "east", *WHY, "--json"), 0)
    assert opened["buckets"] == [{"bucket": pair.bucket, "was": True, "open": True}]
    assert policy(pair) == theirs
    impatient_app(pair).put_object(**name, Body=b"after")
    assert canaries(pair) == []
    shown = fence_document(pair.run("fence", "east", "--show", "--json"), 0)
    assert (shown["recorded"], shown["stands"]) == (None, {pair.bucket: False})


@pytest.mark.parametrize("place", ["fence.recorded", "fence.policy.put"])
def test_killed_while_it_fences(pair: Farshore, place: str) -> None:
    theirs = admit_app(pair)
    ended = pair.run("fence", "east", *WHY, env={"FARSHORE_DIE_AT": place})
    assert ended.code == -9
    shown = fence_document(pair.run("fence", "east", "--show", "--json"), 0)
    stands = place == "fence.policy.put"
    assert (shown["recorded"]["state"], shown["stands"]) == ("pending", {pair.bucket: stands})
    (made,) = fence_document(pair.run("fence", "--pending", "--json"), 0)["fences"]
    assert (made["state"], made["by"]) == ("standing", "ann@desk")
    fence_document(pair.run("unfence", "east", *WHY, "--json"), 0)
    assert (policy(pair), canaries(pair)) == (theirs, [])


def test_killed_while_it_takes_a_fence_away(pair: Farshore) -> None:
    theirs = admit_app(pair)
    fence_document(pair.run("fence", "east", *WHY, "--json"), 0)
    ended = pair.run("unfence", "east", *WHY, env={"FARSHORE_DIE_AT": "fence.policy.removed"})
    assert ended.code == -9
    shown = fence_document(pair.run("fence", "east", "--show", "--json"), 0)
    assert (shown["recorded"]["state"], shown["stands"]) == ("standing", {pair.bucket: False})
    fence_document(pair.run("unfence", "east", *WHY, "--json"), 0)
    assert policy(pair) == theirs


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["no-one"], "FenceDoesNotBite"),  # the replicator's own canary is denied
        (["arn:aws:iam::123456789012:user/no-one"], "Refused"),  # SeaweedFS knows no such condition
    ],
)
def test_names_that_match_nobody_lock_nobody_out(
    pair: Farshore, names: list[str], kind: str
) -> None:
    theirs = admit_app(pair)
    fence = f"[sites.east.fence]\nspare = {json.dumps(names)}\nobeyed_within = 1"
    pair.configure(credentials=credentials(pair), more=fence)
    ended = pair.run("fence", "east", *WHY, "--json")
    assert (ended.code, ended.error["kind"]) == (5, kind)
    assert policy(pair) == theirs
    shown = fence_document(pair.run("fence", "east", "--show", "--json"), 0)
    assert shown["recorded"] is None


def test_without_keys_of_the_app_it_stands_and_is_not_called_proved(pair: Farshore) -> None:
    pair.configure()
    (made,) = fence_document(pair.run("fence", "east", *WHY, "--json"), 6)["fences"]
    assert (made["state"], made["buckets"][0]["word"]) == ("unproved", "unproved")
    assert fenced(pair)
    fence_document(pair.run("unfence", "east", *WHY, "--json"), 0)
    assert policy(pair) == ""


def test_one_key_for_the_app_and_the_operator(pair: Farshore) -> None:
    keys = credentials(pair)
    keys["east"]["app"] = keys["east"]["app"].replace("app.json", "operator.json")
    pair.configure(credentials=keys)
    ended = pair.run("fence", "east", *WHY, "--json")
    assert ended.code == 5
    assert "both use one access key" in ended.error["message"]
    assert not fenced(pair)


def test_a_server_that_asks_policies_about_nobody_with_keys_is_fenced_by_a_program(
    pair: Farshore,
) -> None:
    """The program stands in for one that disables the app's keys: here, by another policy."""
    theirs = admit_app(pair)
    program = pair.folder / "fence.py"
    program.write_text(PROGRAM.format(policy=theirs))
    client = pair.s3("east", "operator")
    settings = pair.folder / "keys.json"
    found = pair.lab.status().site("east")
    keys = found.principals["operator"]
    settings.write_text(json.dumps([found.direct_endpoint, keys.access_key, keys.secret_key]))
    argv = json.dumps([sys.executable, str(program), str(settings)])
    way = f'[sites.east.fence]\nby = "command"\nobeyed_within = 1\nargv = {argv}'
    pair.configure(credentials=credentials(pair), more=way)
    (made,) = fence_document(pair.run("fence", "east", *WHY, "--json"), 0)["fences"]
    assert made["state"] == "standing"
    assert FENCE_SID not in client.get_bucket_policy(Bucket=pair.bucket)["Policy"]
    fence_document(pair.run("unfence", "east", *WHY, "--json"), 0)
    assert policy(pair) == theirs
    program.write_text("raise SystemExit('no rights there')")
    ended = pair.run("fence", "east", *WHY, "--json")
    assert ended.code == 1
    assert "no rights there" in ended.error["message"]


PROGRAM = """\
import json, os, sys, boto3
endpoint, key, secret = json.load(open(sys.argv[1]))
s3 = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=key,
    aws_secret_access_key=secret, region_name="us-east-1")
bucket = os.environ["FARSHORE_BUCKETS"]
verb, site = sys.argv[2:]
assert site == "east" and os.environ["FARSHORE_ENDPOINT"]
theirs = json.loads('''{policy}''')
deny = dict(theirs["Statement"][-1], Sid="KeysDisabled", Effect="Deny",
    Action=["s3:Put*", "s3:Delete*", "s3:AbortMultipartUpload"])
if verb == "show":
    now = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    print("standing" if "KeysDisabled" in now else "absent")
elif verb == "fence":
    both = dict(theirs, Statement=[*theirs["Statement"], deny])
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(both))
else:
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(theirs))
"""


def test_what_apply_found_out_stands_in_the_status(pair: Farshore) -> None:
    for site in ("east", "west"):
        admit_app(pair, site)
    applied = pair.json("apply", "--yes")
    assert {row["site"]: row["would_bite"] for row in applied["fences"]} == {
        "east": True,
        "west": True,
    }
    names = {reason["name"] for reason in status(pair)[1]["reasons"]}
    assert not any("fence" in name for name in names)
    more = '[sites.west.fence]\nspare = ["no-one"]\nobeyed_within = 1'
    pair.configure(credentials=credentials(pair), more=more)
    assert pair.run("fence", "west", "--check").code == 5
    told = status(pair)[1]
    assert [one["site"] for one in told["cannot_fence"]] == ["west"]
    assert "cannot-fence" in {reason["name"] for reason in told["reasons"]}
    pair.configure(credentials=credentials(pair))
    assert pair.run("fence", "west", "--check").code == 0
    assert status(pair)[1]["cannot_fence"] == []


def test_apply_at_a_fenced_site_asks_nothing_of_the_app(pair: Farshore) -> None:
    for site in ("east", "west"):
        admit_app(pair, site)
    fence_document(pair.run("fence", "east", *WHY, "--json"), 0)
    applied = pair.json("apply", "--yes")
    proved = {(row["site"], row["principal"]) for row in applied["proofs"]}
    assert ("west", "app") in proved
    assert ("east", "app") not in proved
    assert [row["site"] for row in applied["fences"]] == ["west"]


def test_a_fence_that_somebody_took_away_is_seen(pair: Farshore) -> None:
    theirs = admit_app(pair)
    fence_document(pair.run("fence", "east", *WHY, "--json"), 0)
    assert status(pair)[1]["fences"][0]["gone"] == []
    pair.s3("east", "operator").put_bucket_policy(Bucket=pair.bucket, Policy=theirs)
    told = status(pair)[1]
    assert told["fences"][0]["gone"] == [pair.bucket]
    assert "fence-gone" in {reason["name"] for reason in told["reasons"]}
    fence_document(pair.run("fence", "east", *WHY, "--json"), 0)
    assert status(pair)[1]["fences"][0]["gone"] == []


def test_two_at_once_agree_in_the_end(pair: Farshore) -> None:
    """Fencing and taking away at one moment: what the record says is what stands. Every order
    of their steps is tried in tests/unit/test_fence_recorded.py."""
    admit_app(pair)
    both = [
        pair.start("fence", "east", *WHY, "--json"),
        pair.start("unfence", "east", *WHY, "--json"),
    ]
    for one in both:
        said, _ = one.communicate(timeout=60)
        assert one.returncode in (0, 1, 5), said
    shown = fence_document(pair.run("fence", "east", "--show", "--json"), 0)
    recorded = shown["recorded"]
    assert recorded is None or recorded["state"] in ("standing", "pending"), shown
    if recorded is None or recorded["state"] == "standing":
        assert shown["stands"] == {pair.bucket: recorded is not None}, shown
