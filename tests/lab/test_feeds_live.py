"""`farshore run` behind queues: SQS (moto over HTTP) and NATS (a real server), on a real pair.

Nobody sends events here but the test, which puts them into the queue as AWS and MinIO would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import boto3
import nats
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from nats.js.api import AckPolicy, ConsumerConfig

from farshore.core.rules import OWN_PREFIX
from farshore.lab.ports import HOST, held_ports
from farshore.lab.regions import Lab
from farshore.lab.settings import LinkSettings
from tests.contract.nats_server import NatsServer, nats_server
from tests.contract.test_nats_feed import notification
from tests.lab.daemon import (
    Daemon,
    configure,
    contents,
    eventually,
    reasons,
    settle,
    status,
    until_safe,
)
from tests.lab.farshore_cli import Farshore
from tests.lab.test_live import event

REGION = "us-east-1"
SOON_S = 60.0

SQS_AGAIN_S = 30.0
"""The daemon's visibility timeout: a message that a dead one held comes again after it."""

SQS_WAIT_S = 1
"""Of the daemon's requests. In moto a request lives on when whoever made it has gone: it takes
the next message for nobody, and that comes again after `SQS_AGAIN_S`. A request that is still
there gets a message at once (both measured on moto 5.2)."""

NATS_AGAIN_S = 2.0
"""The wait for an acknowledgement of the consumer that the test has made."""


class Queue(Protocol):
    """Where the test puts events, and the daemon takes them from."""

    again_s: float
    environ: dict[str, str]

    @property
    def toml(self) -> str: ...

    def tell(self, bucket: str, key: str) -> None: ...
    def tell_garbage(self) -> None: ...

    def counts(self) -> tuple[int, int]:
        """(not taken yet, taken and not deleted)."""
        ...


class SqsQueue:
    """A queue of moto's."""

    again_s = SQS_AGAIN_S

    def __init__(self, endpoint: str) -> None:
        self.environ = {"QUEUE_ACCESS_KEY_ID": "test", "QUEUE_SECRET_ACCESS_KEY": "test"}
        self.sqs: Any = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        name = f"changes-{uuid4().hex}"  # moto's queues outlive its server
        self.url = str(self.sqs.create_queue(QueueName=name)["QueueUrl"])

    @property
    def toml(self) -> str:
        return (
            f'[[feeds]]\nkind = "sqs"\nqueue_url = "{self.url}"\nregion = "{REGION}"\n'
            f'credentials = {{ env = "QUEUE" }}\nwait = {SQS_WAIT_S}'
        )

    def tell(self, bucket: str, key: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = event(bucket, key, when=now).decode()
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def tell_garbage(self) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody="surprise")

    def counts(self) -> tuple[int, int]:
        name = "ApproximateNumberOfMessages"
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return int(found["Attributes"][name]), int(found["Attributes"][f"{name}NotVisible"])


class NatsQueue:
    """A stream, and a consumer that gives up waiting soon."""

    again_s = NATS_AGAIN_S

    def __init__(self, server: NatsServer) -> None:
        self.environ: dict[str, str] = {}
        self.server = server
        self._do(self._make)

    @property
    def toml(self) -> str:
        return (
            f'[[feeds]]\nkind = "nats"\nservers = ["{self.server.url}"]\nstream = "changes"\n'
            'consumer = "farshore"'
        )

    def tell(self, bucket: str, key: str) -> None:
        self._do(lambda js: js.publish("minio.events", notification(bucket, key)))

    def tell_garbage(self) -> None:
        self._do(lambda js: js.publish("minio.events", b"surprise"))

    def counts(self) -> tuple[int, int]:
        info = self._do(lambda js: js.consumer_info("changes", "farshore"))
        return int(info.num_pending), int(info.num_ack_pending)

    async def _make(self, js: Any) -> None:
        await js.add_stream(name="changes", subjects=["minio.events"])
        wanted = ConsumerConfig(
            durable_name="farshore", ack_policy=AckPolicy.EXPLICIT, ack_wait=NATS_AGAIN_S
        )
        await js.add_consumer("changes", wanted)

    def _do(self, action: Callable[[Any], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            connection = await nats.connect(self.server.url, allow_reconnect=False)
            try:
                return await action(connection.jetstream())
            finally:
                await connection.close()

        return asyncio.run(connected())


@pytest.fixture(params=["sqs", "nats"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Queue]:
    if request.param == "nats":
        folder = tmp_path / "nats"
        folder.mkdir()
        with nats_server(folder) as server:
            yield NatsQueue(server)
        return
    with held_ports(1) as (port,):
        pass
    aws = ThreadedMotoServer(ip_address=HOST, port=port, verbose=False)
    aws.start()
    try:
        yield SqsQueue(f"http://{HOST}:{port}")
    finally:
        aws.stop()


def test_what_a_queue_tells_arrives_and_is_deleted_only_then(
    farshore: Farshore, lab: Lab, queue: Queue
) -> None:
    """No scan helps: the first one has ended before anything is written."""
    configure(farshore, filer=False, more=queue.toml, scan_every="1h")
    with Daemon(farshore, queue.environ) as daemon:
        daemon.until_ready()
        farshore.put_all({"a +%20b.txt": [b"one", None, b"two"]})
        queue.tell(farshore.bucket, "a +%20b.txt")
        settle(farshore, SOON_S)
        eventually(lambda: queue.counts() == (0, 0), SOON_S, "the message is deleted")

        lab.link("west", LinkSettings(latency_ms=3000))
        farshore.put_all({"slow.txt": [b"one"]})
        queue.tell(farshore.bucket, "slow.txt")
        eventually(lambda: queue.counts() == (0, 1), SOON_S, "the message is taken")
        assert "slow.txt" not in contents(farshore, "west")
        lab.link("west", LinkSettings())
        settle(farshore, SOON_S)
        eventually(lambda: queue.counts() == (0, 0), SOON_S, "and deleted after the copy")
        assert daemon.report()["understatements"] == 0


@pytest.mark.parametrize(
    "queue",
    ["nats", pytest.param("sqs", marks=pytest.mark.long)],  # SQS hides it for half a minute
    indirect=True,
)
def test_a_message_of_a_daemon_that_was_killed_comes_again(
    farshore: Farshore, lab: Lab, queue: Queue
) -> None:
    configure(farshore, filer=False, more=queue.toml, scan_every="1h")
    with Daemon(farshore, queue.environ) as daemon:
        daemon.until_ready()
        lab.link("west", LinkSettings(latency_ms=3000))
        farshore.put_all({f"k{n}": [b"one", b"two"] for n in range(5)})
        for n in range(5):
            queue.tell(farshore.bucket, f"k{n}")
        eventually(lambda: queue.counts() == (0, 5), SOON_S, "all messages are taken")
        daemon.kill()
    assert contents(farshore, "west") == {}
    lab.link("west", LinkSettings())
    (farshore.state_dir / "journal.sqlite").unlink()  # as on another machine
    with Daemon(farshore, queue.environ) as daemon:
        daemon.until_ready()
        found = settle(farshore, SOON_S)
        assert {key: len(entries) for key, entries in found.items()} == dict.fromkeys(
            (f"k{n}" for n in range(5)), 2
        )
        eventually(
            lambda: queue.counts() == (0, 0), queue.again_s + SOON_S, "they came again, and went"
        )
        assert contents(farshore, "west") == found, "nothing was doubled"


def test_a_message_that_nobody_can_read_is_told_and_makes_a_scan(
    farshore: Farshore, queue: Queue
) -> None:
    configure(farshore, filer=False, more=queue.toml, scan_every="1h")
    with Daemon(farshore, queue.environ) as daemon:
        daemon.until_ready()
        eventually(lambda: feed_of(daemon)["up"], SOON_S, "it is up, and nothing has come yet")
        assert feed_of(daemon)["hints"] == 0
        eventually(lambda: daemon.report()["feeds_whole"], SOON_S, "its first scan is over")
        before = daemon.report()["scan"]
        farshore.put_all({"untold.txt": [b"one"]})
        queue.tell_garbage()
        settle(farshore, SOON_S)
        eventually(lambda: daemon.report()["scan"] != before, SOON_S, "a scan has ended")
        assert feed_of(daemon)["unreadable"] == 1
        metrics = daemon.ask("/metrics").body.decode()
        assert 'farshore_unreadable_messages_total{feed="' in metrics
        eventually(lambda: "1 unreadable" in farshore.run("status").stdout, SOON_S, "it is shown")


def feed_of(daemon: Daemon) -> dict[str, Any]:
    (feed,) = daemon.report()["feeds"].values()
    found: dict[str, Any] = feed
    return found


# -- buckets that appear later ---------------------------------------------------------


def test_a_new_bucket_of_a_pattern_is_named_held_and_taken_in(farshore: Farshore) -> None:
    """Named while the target has none, and nothing is vouched for; then replicated."""
    pattern, new = f"{farshore.bucket}*", f"{farshore.bucket}-new"
    configure(farshore)
    text = farshore.config.read_text()
    farshore.config.write_text(text.replace(f'"{farshore.bucket}"', f'"{pattern}"'))
    made = {site: farshore.s3(site) for site in ("east", "west")}
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        farshore.put_all({"old.txt": [b"one"]})
        settle(farshore)
        eventually(lambda: daemon.report()["basis"] == "feed", SOON_S, "heartbeats count")
        versioned(made["east"], new)
        made["east"].put_object(Bucket=new, Key="new.txt", Body=b"new")
        eventually(lambda: daemon.report()["unserved"] == [new], SOON_S, "the new bucket is named")
        held = daemon.report()["watermark"]
        eventually(lambda: "bucket-unserved" in reasons(status(farshore)[1]), SOON_S, "it is said")
        farshore.put_all({"old.txt": [b"two"]})
        settle(farshore)
        assert daemon.report()["watermark"] == held, "nothing is vouched for"

        daemon.kill()
    with Daemon(farshore) as daemon:  # a new start neither stands still nor forgets
        eventually(lambda: daemon.report()["unserved"] == [new], SOON_S, "it is named again")
        farshore.put_all({"old.txt": [b"three"]})
        settle(farshore)
        assert daemon.report()["watermark"] <= held

        versioned(made["west"], new)
        eventually(lambda: keys(made["west"], new) == ["new.txt"], SOON_S, "its file arrives")
        eventually(lambda: daemon.report()["watermark"] > held, SOON_S, "the watermark moves on")
        made["east"].put_object(Bucket=new, Key="live.txt", Body=b"live")
        eventually(lambda: "live.txt" in keys(made["west"], new), SOON_S, "live, too")
        eventually(lambda: daemon.report()["basis"] == "feed", SOON_S, "both buckets beat")
        assert daemon.report()["unheard"] == []
        assert daemon.report()["understatements"] == 0


def versioned(s3: Any, bucket: str) -> None:
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def keys(s3: Any, bucket: str) -> list[str]:
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return [one["Key"] for one in found if not one["Key"].startswith(OWN_PREFIX)]


# -- the end of a daemon ---------------------------------------------------------------


def test_a_daemon_that_was_stopped_says_so(farshore: Farshore) -> None:
    configure(farshore)
    farshore.put_all({"a.txt": [b"one"]})
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        settle(farshore)
        farshore.json("verify")
        until_safe(farshore)
        assert daemon.terminate() == 0
    code, document = status(farshore)
    assert (code, reasons(document)) == (3, {"daemon-stopped"})
    said = farshore.run("status").stdout
    assert "`farshore run` was stopped at " in said
    assert "; stopped " in said
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        until_safe(farshore)
        daemon.kill()
    assert status(farshore)[0] == 0, "a kill leaves no word: silence tells, 30 s later"


@pytest.mark.parametrize("site", ["west", "east"])
def test_with_a_side_that_is_silent_it_still_ends_at_once(
    farshore: Farshore, lab: Lab, site: str
) -> None:
    """`Daemon.terminate` waits for five seconds."""
    configure(farshore)
    with Daemon(farshore) as daemon:
        daemon.until_ready()
        lab.link(site, LinkSettings(cut=True))
        farshore.put_all({f"k{n}": [b"one"] for n in range(20)})
        assert daemon.terminate() == 0
    local = json.loads((farshore.state_dir / "status-east-west.json").read_text())
    assert local["stopped_at"] is not None
