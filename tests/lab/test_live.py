"""`farshore run` on a real pair, judged by boto3: replication, outages, kills, bad hints."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote_plus

import pytest

from farshore.lab.odd_keys import ODD_KEYS, Fate
from farshore.lab.regions import Lab
from farshore.lab.settings import LinkSettings
from tests.lab.daemon import (
    Daemon,
    configure,
    contents,
    eventually,
    reasons,
    settle,
    shape,
    status,
    under_load,
)
from tests.lab.farshore_cli import Farshore

SOON_S = 2.0
"""Seen on an idle lab: 4 to 20 ms from the PUT to the far side."""

PART = 5 * 2**20
TOKEN = "a-token-for-this-test"
WEBHOOK_ENV = {"FARSHORE_TEST_WEBHOOK": TOKEN}
WEBHOOK_FEED = '[[feeds]]\nkind = "webhook"\ntoken = { env = "FARSHORE_TEST_WEBHOOK" }'
PATH = "/webhook"
SEED = 20260501


# -- what changes arrives --------------------------------------------------------------


def test_every_change_is_there_within_two_seconds(farshore: Farshore) -> None:
    configure(farshore, scan_every="1h")
    east, name = farshore.s3("east"), {"Bucket": farshore.bucket, "Key": "a.txt"}
    lags: list[float] = []
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        for change in (
            lambda: east.put_object(**name, Body=b"one", Metadata={"n": "1"}),
            lambda: east.put_object(**name, Body=b"two"),
            lambda: east.delete_object(**name),
            lambda: east.put_object(**name, Body=b"three"),
            lambda: multipart(farshore, "big.bin"),
        ):
            change()
            lags.append(same_shape(farshore))
        keys = [odd.key for odd in ODD_KEYS if odd.seaweed is Fate.KEPT]
        farshore.put_all({key: [b"one", b"two " + key.encode()[:40]] for key in keys})
        same_shape(farshore)
        assert median(lags) < SOON_S, lags
        assert len(settle(farshore)) == len(keys) + 2
        assert daemon.report()["understatements"] == 0


def same_shape(farshore: Farshore) -> float:
    """How long it took. A machine that has much else to do may pause for longer than `SOON_S`."""
    return eventually(
        lambda: shape(farshore, "east") == shape(farshore, "west"), 60, "the change on west"
    )


def multipart(farshore: Farshore, key: str) -> None:
    s3, name = farshore.s3("east"), {"Bucket": farshore.bucket, "Key": key}
    upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
    parts = []
    for number, body in enumerate((b"x" * PART, b"tail"), 1):
        etag = s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def test_its_port_and_its_end(farshore: Farshore) -> None:
    configure(farshore)
    farshore.put_all({"a.txt": [b"one"]})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        assert daemon.ask("/healthz").code == 200
        metrics = daemon.ask("/metrics").body.decode()
        assert "farshore_exposure_seconds" in metrics
        assert daemon.ask("/v1/status").code == 401
        assert daemon.ask("/v1/status", token="wrong").code == 401
        assert daemon.report()["pair"] == "east-west"
        assert daemon.ask("/v1/scan", token=daemon.token, body=b"").code == 202
        assert daemon.terminate() == 0
    heartbeats = [key for key, _, _ in farshore.rows("east") if key.startswith(".farshore")]
    assert len(heartbeats) == 1, "beats are purged behind themselves"


# -- kills and outages -----------------------------------------------------------------


def test_killed_again_and_again_under_load(farshore: Farshore) -> None:
    configure(farshore)
    with under_load(farshore, SEED) as load:
        for _ in range(3):
            before = len(farshore.rows("west"))
            with Daemon(farshore) as daemon:
                eventually(
                    lambda before=before: len(farshore.rows("west")) > before + 15,  # type: ignore[misc] # a lambda's default
                    60,
                    "progress",
                )
                daemon.kill()
    assert load.failed == 0
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        eventually(lambda: daemon.report()["backlog"]["count"] == 0, 60, "an empty backlog")
        assert daemon.terminate() == 0
    heartbeats = [key for key, _, _ in farshore.rows("east") if key.startswith(".farshore")]
    assert len(heartbeats) == 1, "those of killed daemons are purged, too"


def test_the_target_dies_under_load(farshore: Farshore, lab: Lab) -> None:
    configure(farshore, more='[objectives]\nrpo = "20s"')
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        with under_load(farshore, SEED) as load:
            eventually(lambda: load.done > 20, 60, "some load")
            lab.kill("west")
            written = load.done
            code, first = status(farshore)
            assert code == 4
            assert "target-silent" in reasons(first)
            eventually(lambda: daemon.report()["backlog"]["count"] > 10, 60, "a backlog")
            until_noted(farshore, daemon)
            looks = [status(farshore) for _ in range(3)]
            assert [code for code, _ in looks] == [4, 4, 4]
            exposures = [look["exposure_s"] for _, look in looks]
            assert exposures == sorted(set(exposures)), "it rises from one look to the next"
            assert looks[-1][1]["watermark"] == looks[0][1]["watermark"]
            eventually(lambda: daemon.ask("/readyz").code == 503, 60, "no longer ready")
            assert load.done > written
            lab.revive("west")
        assert load.failed == 0
        settle(farshore)
        eventually(lambda: daemon.report()["backlog"]["count"] == 0, 60, "an empty backlog")
        eventually(lambda: exposure(farshore) < 12, 60, "a small exposure")
        eventually(lambda: daemon.ask("/readyz").code == 200, 60, "ready again")
        eventually(lambda: status(farshore)[0] == 3, 60, "never verified, and nothing worse")
        assert daemon.report()["understatements"] == 0


def until_noted(farshore: Farshore, daemon: Daemon) -> None:
    """Until what the daemon knows is what `farshore status` reads: it is kept every 5 s."""

    def noted() -> bool:
        report = status(farshore)[1]["report"]
        return bool(report["watermark"] == daemon.report()["watermark"])

    eventually(noted, 60, "the watermark is kept where the status finds it")


def exposure(farshore: Farshore) -> float:
    found: float = status(farshore)[1]["exposure_s"]
    return found


def test_the_source_dies(farshore: Farshore, lab: Lab) -> None:
    configure(farshore)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        farshore.put_all({f"early/{n}": [b"1", b"2"] for n in range(20)})
        settle(farshore)
        farshore.put_all({f"late/{n}": [b"1", b"2"] for n in range(20)})
        lab.kill("east")
        code, document = status(farshore)
        assert code in (3, 4)
        assert "source-silent" in reasons(document)
        assert document["watermark"] is not None
        head = farshore.run("status").stdout.splitlines()[0]
        assert "everything up to " in head
        assert head.endswith("is on west; after that, unknown.")
        eventually(lambda: daemon.ask("/readyz").code == 503, 60, "no longer ready")
        until_noted(farshore, daemon)
        looks = [status(farshore)[1] for _ in range(2)]
        assert looks[0]["watermark"] == looks[1]["watermark"], "a dead source teaches nothing"
        assert looks[0]["exposure_s"] < looks[1]["exposure_s"]

        lab.revive("east")
        farshore.put_all({"after.txt": [b"back"]})
        assert "after.txt" in settle(farshore)
        eventually(lambda: daemon.ask("/readyz").code == 200, 60, "ready again")
        eventually(lambda: exposure(farshore) < 12, 60, "a small exposure")
        assert daemon.process.poll() is None


@pytest.mark.parametrize("site", [pytest.param("west", marks=pytest.mark.long), "east"])
def test_a_side_that_falls_silent_is_noticed(farshore: Farshore, lab: Lab, site: str) -> None:
    """Its connections stay open, and nothing comes."""
    configure(farshore)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        lab.link(site, LinkSettings(cut=True))
        answers = "target_answers" if site == "west" else "source_answers"
        eventually(lambda: daemon.report()[answers] is False, 60, "it does not answer")
        eventually(lambda: site.encode() in daemon.ask("/readyz").body, 60, "no longer ready")
        mark = daemon.report()["watermark"]
        farshore.put_all({"a.txt": [b"one", b"two"]})
        lab.link(site, LinkSettings())
        settle(farshore)
        eventually(lambda: daemon.report()["watermark"] > mark, 60, "the watermark moves on")
        eventually(lambda: daemon.ask("/readyz").code == 200, 60, "ready again")


@pytest.mark.parametrize("site", ["west", pytest.param("east", marks=pytest.mark.long)])
def test_started_with_a_side_down(farshore: Farshore, lab: Lab, site: str) -> None:
    configure(farshore)
    farshore.put_all({"a.txt": [b"one", None, b"two"]})
    lab.kill(site)
    with Daemon(farshore) as daemon:
        assert daemon.ask("/healthz").code == 200
        eventually(lambda: site.encode() in daemon.ask("/readyz").body, 60, f"it misses {site}")
        assert daemon.ask("/readyz").code == 503
        assert daemon.report()["watermark"] is None
        assert status(farshore)[0] == 4
        lab.revive(site)
        daemon.until_ready()
        settle(farshore)
        farshore.put_all({"b.txt": [b"live"]})
        settle(farshore)


def test_started_again_with_the_target_down_the_exposure_is_known(
    farshore: Farshore, lab: Lab
) -> None:
    configure(farshore)
    farshore.put_all({"a.txt": [b"one"]})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        eventually(
            lambda: (farshore.state_dir / "status-east-west.json").exists(), 60, "our own notes"
        )
        daemon.kill()
    lab.kill("west")
    with Daemon(farshore) as daemon:
        first = daemon.report()["watermark"]
        assert first is not None
        eventually(lambda: b"west" in daemon.ask("/readyz").body, 60, "it misses west")
        assert daemon.report()["watermark"] == first
        code, document = status(farshore)
        assert (code, document["watermark"]) == (4, first)


def test_a_second_daemon_waits_and_takes_over(farshore: Farshore, lab: Lab, tmp_path: Path) -> None:
    configure(farshore)
    folder = tmp_path / "second"
    folder.mkdir()
    other = Farshore(folder, lab, farshore.bucket)
    configure(other)
    with Daemon(farshore) as first, Daemon(other) as second:
        eventually(lambda: both_started(first, second), 60, "one works, one waits")
        works, waits = sorted((first, second), key=lambda d: d.ask("/readyz").code)
        assert b"Another farshore works on this pair" in waits.ask("/readyz").body
        assert any("standing by" in line for line in waits.said)
        farshore.put_all({"a.txt": [b"one", b"two", None]})
        settle(farshore)
        works.kill()
        farshore.put_all({"b.txt": [b"one", b"two"]})
        eventually(lambda: shape(farshore, "east") == shape(farshore, "west"), 60, "takeover")
        assert len(settle(farshore)) == 2
        waits.until_ready()


def both_started(first: Daemon, second: Daemon) -> bool:
    codes = sorted(daemon.ask("/readyz").code for daemon in (first, second))
    standing = any("standing by" in line for daemon in (first, second) for line in daemon.said)
    return codes == [200, 503] and standing


# -- what must not spread --------------------------------------------------------------


def test_a_poisoned_key_blocks_only_itself(farshore: Farshore) -> None:
    configure(farshore)
    deny = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": f"arn:aws:s3:::{farshore.bucket}/poison",
            }
        ],
    }
    east = farshore.s3("east")
    east.put_bucket_policy(Bucket=farshore.bucket, Policy=json.dumps(deny))
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        farshore.put_all({"poison": [b"1", b"2"], **{f"fine/{n}": [b"1"] for n in range(20)}})
        eventually(lambda: len(contents(farshore, "west")) == 20, 60, "all the others")
        eventually(lambda: failed(farshore) == ["poison"], 60, "the poisoned key is listed")
        eventually(lambda: "failed" in reasons(status(farshore)[1]), 60, "said")
        assert status(farshore)[0] != 0
        east.delete_bucket_policy(Bucket=farshore.bucket)
        farshore.json("backlog", "retry")
        settle(farshore)
        eventually(lambda: failed(farshore) == [], 60, "nothing has failed any more")


def failed(farshore: Farshore) -> list[str]:
    return [row["key"] for row in farshore.json("backlog", "list", "--failed")["rows"]]


def test_a_flood_of_deletes_is_held(farshore: Farshore) -> None:
    configure(farshore, deletes_count=3, deletes_share=0.0)
    keys = [f"k{n}" for n in range(10)]
    farshore.put_all({key: [b"1"] for key in keys})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        farshore.put_all({key: [None] for key in keys})
        eventually(lambda: daemon.report()["deletes_held"] == 7, 60, "seven held")
        eventually(lambda: "deletes-held" in reasons(status(farshore)[1]), 60, "said")
        assert status(farshore)[0] == 3
        assert visible(farshore) == 7
        daemon.kill()
    with Daemon(farshore) as daemon:  # a new start is no release
        daemon.until_ready()
        eventually(lambda: daemon.report()["deletes_held"] == 7, 60, "seven held still")
        scans = daemon.report()["scan"]
        eventually(lambda: daemon.report()["scan"] != scans, 60, "another scan")
        assert visible(farshore) == 7
        farshore.put_all({"new": [b"1"]})
        eventually(lambda: visible(farshore) == 8, 60, "writes go on")


def visible(farshore: Farshore) -> int:
    count: int = farshore.s3("west").list_objects_v2(Bucket=farshore.bucket)["KeyCount"]
    return count


# -- the webhook -----------------------------------------------------------------------


def event(bucket: str, *keys: str, name: str = "ObjectCreated:Put", when: str = "") -> bytes:
    """An S3 notification as AWS sends it."""
    return json.dumps(
        {
            "Records": [
                {
                    "eventVersion": "2.1",
                    "eventSource": "aws:s3",
                    "eventTime": when or "2026-05-01T12:00:00.000Z",
                    "eventName": name,
                    "s3": {
                        "bucket": {"name": bucket},
                        "object": {"key": quote_plus(key), "size": 3, "sequencer": "0055AED6DCD9"},
                    },
                }
                for key in keys
            ]
        }
    ).encode()


def test_the_webhook_is_durable_and_not_to_be_fooled(farshore: Farshore, lab: Lab) -> None:
    configure(farshore, filer=False, more=WEBHOOK_FEED, scan_every="1h")
    key = "dir/a +%20b.txt"
    with Daemon(farshore, WEBHOOK_ENV) as daemon:
        daemon.until_ready()
        farshore.put_all({key: [b"one", b"two"], "other": [b"1"]})
        body = event(farshore.bucket, key)
        for token in ("", "wrong", daemon.token):
            assert daemon.ask(PATH, body=body, token=token).code == 401
        for broken in (b"", b"{", b'{"Records": 7}', b"[1]"):
            assert daemon.ask(PATH, body=broken, token=TOKEN).code == 400
        assert contents(farshore, "west") == {}
        for _ in range(3):  # replayed
            assert daemon.ask(PATH, body=body, token=TOKEN).code == 200
        eventually(lambda: len(shape(farshore, "west")) == 2, 60, "the key that was told of")
        forged = event("no-such-bucket", key), event(farshore.bucket, "no-such-key")
        for lie in (*forged, event(farshore.bucket, key, when="1970-01-02T00:00:00Z")):
            assert daemon.ask(PATH, body=lie, token=TOKEN).code == 200
        eventually(lambda: daemon.report()["backlog"]["count"] == 0, 60, "lies cost a look")
        assert list(contents(farshore, "west")) == [key]
        assert daemon.report()["understatements"] == 0
        up = rb'farshore_feed_up\{[^}]*feed="webhook"[^}]*\} 1'
        assert re.search(up, daemon.ask("/metrics").body), "a door that is open is up"

        lab.link("west", LinkSettings(latency_ms=1500))
        assert daemon.ask(PATH, body=event(farshore.bucket, "other"), token=TOKEN).code == 200
        daemon.kill()
    assert [row["key"] for row in farshore.json("backlog", "list")["rows"]] == ["other"]
    lab.link("west", LinkSettings())
    with Daemon(farshore, WEBHOOK_ENV) as daemon:
        settle(farshore)


def test_every_request_to_the_webhook_is_counted_and_what_it_may_have_told_is_looked_for(
    farshore: Farshore,
) -> None:
    configure(farshore, filer=False, more=WEBHOOK_FEED, scan_every="1h")
    confirm = {
        "Type": "SubscriptionConfirmation",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:changes",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Token=hunter2",
    }
    with Daemon(farshore, WEBHOOK_ENV) as daemon:
        daemon.until_ready()
        farshore.put_all({"twice.txt": [b"one"]})
        told = event(farshore.bucket, "twice.txt")
        for _ in range(2):  # a replay
            assert daemon.ask(PATH, body=told, token=TOKEN).code == 200
        assert [len(entries) for entries in settle(farshore).values()] == [1]
        assert daemon.ask(PATH, body=told, token="forged").code == 401
        assert daemon.ask(PATH, body=event("another", "k"), token=TOKEN).code == 200
        assert outcomes(daemon) == {"accepted": 2, "denied": 1, "foreign": 1}
        assert daemon.report()["feeds_whole"], "none of them may have lost anything"

        before = daemon.report()["scan"]
        farshore.put_all({"untold.txt": [b"one"]})
        assert daemon.ask(PATH, body=b"{", token=TOKEN).code == 400
        assert "untold.txt" in settle(farshore)
        eventually(lambda: daemon.report()["scan"] != before, 60, "a scan was asked for")
        answer = daemon.ask(PATH, body=json.dumps(confirm).encode(), token=TOKEN)
        assert b"open the SubscribeURL" in answer.body
        assert outcomes(daemon)["malformed"] == outcomes(daemon)["notice"] == 1
        eventually(lambda: "notice" in reasons(status(farshore)[1]), 60, "a person is told")
        said = "".join(daemon.said) + farshore.run("status").stdout
        assert "SNS sends no events" in said
        assert "hunter2" not in said
        kept = farshore.state_dir / "sns-subscribe-url"
        assert (kept.read_text().strip(), kept.stat().st_mode & 0o777) == (
            confirm["SubscribeURL"],
            0o600,
        )
        daemon.ask(PATH, body=told, token=TOKEN)  # events come: it was confirmed
        eventually(lambda: "notice" not in reasons(status(farshore)[1]), 60, "and it is over")


def outcomes(daemon: Daemon) -> dict[str, int]:
    """What the metrics count of the webhook, without zeros."""
    line = re.compile(r'farshore_webhook_requests_total\{[^}]*outcome="(\w+)"[^}]*\} (\d+)')
    found = line.findall(daemon.ask("/metrics").body.decode())
    return {word: int(count) for word, count in found if int(count)}


def test_lost_doubled_late_and_reordered_hints(farshore: Farshore) -> None:
    configure(farshore, filer=False, more=WEBHOOK_FEED)
    rng = random.Random(SEED)
    changes = [(f"k{rng.randrange(30)}", rng.random() < 0.2) for _ in range(120)]
    east, batches = farshore.s3("east"), itertools.count()
    late: list[str] = []
    with Daemon(farshore, WEBHOOK_ENV) as daemon:
        daemon.until_ready()
        for key, is_delete in changes:
            change(east, farshore.bucket, key, is_delete, next(batches))
            for told in distorted(key, late, rng):
                assert daemon.ask(PATH, body=event(farshore.bucket, told), token=TOKEN).code == 200
        for told in late:
            assert daemon.ask(PATH, body=event(farshore.bucket, told), token=TOKEN).code == 200
        found = settle(farshore)
        assert sum(len(entries) for entries in found.values()) == len(changes), f"seed {SEED}"


def change(s3: Any, bucket: str, key: str, is_delete: bool, number: int) -> None:
    if is_delete:
        s3.delete_object(Bucket=bucket, Key=key)
    else:
        s3.put_object(Bucket=bucket, Key=key, Body=b"%d" % number)


def distorted(key: str, late: list[str], rng: random.Random) -> Sequence[str]:
    """What is told now: 10 % each are lost, doubled, kept for later, or come after the next."""
    roll = rng.random()
    if roll < 0.1:
        return ()
    if roll < 0.2:
        return (key, key)
    if roll < 0.3:
        late.append(key)
        return ()
    if roll < 0.4 and late:
        return (key, late.pop(rng.randrange(len(late))))
    return (key,)
