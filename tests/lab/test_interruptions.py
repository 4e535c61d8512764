"""Interrupted at any moment and started again: nothing is lost, nothing is doubled."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from farshore.lab.settings import LinkSettings
from tests.lab.background import Background
from tests.lab.farshore_cli import COMMAND_SECONDS_MAX, Farshore
from tests.lab.outcomes import refused, require_replicated

KILLS = 5
KILL_SEED = 2
KILL_AFTER_S = (0.0, 0.3)
"""A kill comes at a random moment in this time, once the run has begun to write."""

POLL_S = 0.02
SLOW = LinkSettings(latency_ms=50)
"""A line on which a run takes some seconds, so that its middle can be met."""


def long_histories(keys: int = 20, versions: int = 12) -> dict[str, list[bytes | None]]:
    """A lane each; two markers in a row, one beneath others and one on top among them."""
    made: dict[str, list[bytes | None]] = {}
    for k in range(keys):
        made[f"long/{k:02}"] = [f"{k} {n}\n".encode() * (1 + n) for n in range(versions)]
        if k % 3 == 0:
            made[f"long/{k:02}"][4:4] = [None, None]
        if k % 5 == 0:
            made[f"long/{k:02}"].append(None)
    return made


def put_multipart(farshore: Farshore, key: str, parts: Sequence[bytes]) -> None:
    """One version in parts."""
    s3 = farshore.s3("east")
    where = {"Bucket": farshore.bucket, "Key": key}
    upload = s3.create_multipart_upload(**where, Metadata={"in": "parts"})["UploadId"]
    done = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": done})


@contextmanager
def begun(farshore: Farshore, *words: str) -> Iterator[Background]:
    """A run in the background that has begun to write; it is over when the block ends."""
    farshore.lab.link("west", SLOW)
    running = farshore.start(*words)
    try:
        wait_until_more_stands(farshore, running)
        yield running
    finally:
        running.kill()
        running.communicate()


def wait_until_more_stands(farshore: Farshore, running: Background) -> int:
    """Until the run has written something; answers how many entries the target has then."""
    s3 = farshore.s3("west")
    before = count = _entries(s3, farshore.bucket)
    deadline = time.monotonic() + COMMAND_SECONDS_MAX
    while count <= before and running.poll() is None:
        assert time.monotonic() < deadline, "the run writes nothing"
        time.sleep(POLL_S)  # nothing tells when a server has stored something
        count = _entries(s3, farshore.bucket)
    return count


def _entries(s3: object, bucket: str) -> int:
    page = s3.list_object_versions(Bucket=bucket)  # type: ignore[attr-defined]  # boto3 has no types
    return len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))


def ended(running: Background) -> tuple[int, str, str]:
    """Wait for the end: exit code, standard output, standard error."""
    stdout, stderr = running.communicate(timeout=COMMAND_SECONDS_MAX)
    return running.wait(), stdout, stderr


def test_ctrl_c_finishes_what_is_in_flight_and_says_how_to_go_on(farshore: Farshore) -> None:
    farshore.put_all(long_histories())
    with begun(farshore, "backfill") as running:
        running.send_signal(signal.SIGINT)
        code, stdout, stderr = ended(running)
    assert code == 130
    assert "Stopping: finishing what is in flight." in stderr
    assert re.match(r"Interrupted after .* s; nothing is half done\.\n", stdout)
    assert stdout.endswith("Run `farshore backfill` again to go on.\n")
    told = re.search(r"([\d,]+) versions \(.*\) and ([\d,]+) delete markers copied", stdout)
    assert told is not None
    standing = _entries(farshore.s3("west"), farshore.bucket)
    assert 0 < standing < _entries(farshore.s3("east"), farshore.bucket)
    assert standing == int(told[1]) + int(told[2]), "what is said to be copied stands, and no more"
    require_replicated(farshore)


def test_sigterm_with_json_leaves_one_document(farshore: Farshore) -> None:
    farshore.put_all(long_histories(keys=15))
    with begun(farshore, "backfill", "--json") as running:
        running.terminate()
        code, stdout, _ = ended(running)
    assert code == 130
    report = json.loads(stdout)
    assert report["interrupted"] is True
    assert report["copied"] > 0
    require_replicated(farshore)


def test_a_second_backfill_at_the_same_time_is_refused(farshore: Farshore) -> None:
    farshore.put_all(long_histories())
    with begun(farshore, "backfill", "--json") as first:
        first.send_signal(signal.SIGSTOP)  # it holds its lease and is sure not to end meanwhile
        second = farshore.run("backfill", "--json")
        first.send_signal(signal.SIGCONT)
        code, stdout, _ = ended(first)
    error = refused(
        second,
        5,
        rf"^Another farshore works on this pair: process {first.pid} on \S+, since "
        r"20\d\d-\d\d-\d\dT[\d:.]+Z; its lease replicate-east-west is good until 20",
        f"stop process {first.pid} on",
    )
    assert error["kind"] == "Refused"
    assert code == 0, "the first one goes on unharmed"
    report = json.loads(stdout)
    assert report["copied"] + report["delete_markers"] == report["versions"]
    require_replicated(farshore)


def test_killed_five_times_and_started_again(farshore: Farshore) -> None:
    farshore.put_all(long_histories(keys=30))
    put_multipart(farshore, "parts/two", [b"a" * (5 << 20), b"b" * 1000])
    put_multipart(farshore, "parts/one", [b"c" * 10_000])
    moments = random.Random(KILL_SEED)
    killed = 0
    for _ in range(KILLS):
        with begun(farshore, "backfill") as running:
            time.sleep(moments.uniform(*KILL_AFTER_S))  # the moment itself is what is tried
            running.kill()
            killed += running.wait() == -signal.SIGKILL
    assert killed >= 2, "the runs were over too soon: nothing was interrupted"
    require_replicated(farshore)


def test_a_target_that_dies_in_the_middle(farshore: Farshore) -> None:
    farshore.put_all(long_histories())
    with begun(farshore, "backfill", "--json") as running:
        farshore.lab.kill("west")
        code, stdout, stderr = ended(running)
    assert code == 1
    error = json.loads(stdout)["error"]
    assert error["kind"] == "Unreachable"
    assert "at west: no connection to 127.0.0.1:" in error["message"]
    assert error["hint"].endswith(
        "What is copied stays: run `farshore backfill` again, and it goes on from there."
    )
    assert "Before it ended: " in stderr
    farshore.lab.revive("west")
    require_replicated(farshore)


def test_a_target_that_comes_back_soon_is_waited_for(farshore: Farshore) -> None:
    farshore.put_all(long_histories(keys=15))
    with begun(farshore, "backfill", "--json") as running:
        farshore.lab.link("west", LinkSettings(refuse=True))
        time.sleep(1.0)  # an outage lasts
        farshore.lab.link("west", LinkSettings())
        code, stdout, _ = ended(running)
    assert code == 0, stdout
    assert json.loads(stdout)["retries"] > 0
    require_replicated(farshore)
