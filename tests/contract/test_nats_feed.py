"""The feed contract on a real nats-server, and what only JetStream has."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from farshore.config import NatsSource
from farshore.errors import BadRequest, ConfigError, Denied, Gone, Unreachable
from farshore.feed.hint import SENDER_LATE_S, Delivery, Feed
from farshore.feed.in_hand import POISON_RECEIVES_MAX
from farshore.feed.nats import NatsFeed
from tests.unit.http_server import authority

from .feed_suite import Ear, FeedSuite, reading, settle, take
from .nats_server import NatsServer, nats_server

ACK_WAIT_SECONDS = 0.6
"""Short, so that a test sees messages come again."""

NOTHING_SECONDS = 3 * ACK_WAIT_SECONDS
"""What has not come by then does not come."""

CONSUMER = "farshore"


def notification(bucket: str, key: str) -> bytes:
    """What MinIO publishes for a PUT."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": now,
        "eventName": "s3:ObjectCreated:Put",
        "userIdentity": {"principalId": "app"},
        "requestParameters": {"principalId": "app", "region": "", "sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "17F0C0FFEE", "x-minio-deployment-id": "d"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "app"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": quote_plus(key),
                "size": 3,
                "eTag": "900150983cd24fb0d6963f7d28e17f72",
                "versionId": "2f1b5e3c-6b7a-4b5e-9d43-0b8a1b1c2d3e",
                "sequencer": f"{time.time_ns():016X}",
            },
        },
        "source": {"host": "127.0.0.1", "port": "", "userAgent": "MinIO (linux; amd64)"},
    }
    body = {"EventName": "s3:ObjectCreated:Put", "Key": f"{bucket}/{key}", "Records": [record]}
    return json.dumps(body).encode()


class Stream:
    """A `FeedOrigin`: a stream and a bucket of its own for each test."""

    repeats = True
    severable = True
    knows_time = True
    answers = True

    def __init__(self, server: NatsServer, number: int) -> None:
        self.server = server
        self.bucket = f"bucket-{number}"
        self.name = f"changes-{number}"
        self.subject = f"minio.{number}"

    @property
    def source(self) -> NatsSource:
        return NatsSource((self.server.url,), self.name, CONSUMER, "", "", None)

    def feed(self, **options: Any) -> NatsFeed:
        return NatsFeed(self.source, secret=str, **{"ack_wait_s": ACK_WAIT_SECONDS, **options})

    async def make(self) -> None:
        async with connected(self.server) as connection:
            await connection.jetstream().add_stream(name=self.name, subjects=[self.subject])

    async def publish(self, body: bytes) -> None:
        async with connected(self.server) as connection:
            await connection.jetstream().publish(self.subject, body)

    async def info(self) -> Any:
        async with connected(self.server) as connection:
            return await connection.jsm().consumer_info(self.name, CONSUMER)

    async def open(self) -> Feed:
        return self.feed()

    async def change(self, key: str) -> None:
        await self.publish(notification(self.bucket, key))

    async def cut(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def heal(self) -> None:
        await asyncio.to_thread(self.server.start)


@asynccontextmanager
async def connected(server: NatsServer, **options: Any) -> AsyncIterator[Any]:
    connection = await nats.connect(server.url, allow_reconnect=False, **options)
    try:
        yield connection
    finally:
        await connection.close()


async def nothing_comes(deliveries: AsyncGenerator[Delivery, None]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(NOTHING_SECONDS):
            await anext(deliveries)


async def settle_all(feed: Feed) -> None:
    async with reading(feed) as deliveries:
        async for delivery in deliveries:
            await delivery.settle()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
async def origin(server: NatsServer, numbers: Iterator[int]) -> Stream:
    made = Stream(server, next(numbers))
    await made.make()
    return made


class TestNatsFeed(FeedSuite):
    """All of the feed contract."""


async def test_an_acknowledgement_follows_the_settling(origin: Stream) -> None:
    async with reading(origin.feed()) as deliveries:
        await origin.change("k")
        taken = await take(deliveries, origin.bucket, ["k"])
        assert (await origin.info()).num_ack_pending == 1
        await settle(taken)
        assert (await origin.info()).num_ack_pending == 0


async def test_what_a_dead_feed_had_in_hand_comes_to_the_next(origin: Stream) -> None:
    dead = origin.feed()
    async with aclosing(dead.deliveries()) as deliveries:
        await origin.change("k")
        await take(deliveries, origin.bucket, ["k"])
    async with reading(origin.feed()) as deliveries:
        await settle(await take(deliveries, origin.bucket, ["k"]))
    await dead.aclose()


async def test_what_is_in_work_is_not_given_to_another(origin: Stream) -> None:
    async with reading(origin.feed()) as first, reading(origin.feed()) as second:
        await origin.change("k")
        taken = await take(first, origin.bucket, ["k"])
        await nothing_comes(second)
        await settle(taken)


async def test_no_more_is_taken_than_can_be_held(origin: Stream) -> None:
    async with reading(origin.feed(in_hand_max=2)) as deliveries:
        for key in "abc":
            await origin.change(key)
        first = [await anext(deliveries), await anext(deliveries)]
        third = asyncio.ensure_future(anext(deliveries))
        done, _ = await asyncio.wait({third}, timeout=NOTHING_SECONDS)
        assert not done
        await settle(first)
        assert [hint.key for hint in (await third).hints] == ["c"]


async def test_a_message_that_cannot_be_read_is_counted_and_ended_with_an_advisory(
    origin: Stream,
) -> None:
    feed, ear = origin.feed(poison_delay_s=0.01), Ear()
    feed.listen(ear)
    advisories = f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{origin.name}.{CONSUMER}"
    async with connected(origin.server) as witness, reading(feed) as deliveries:
        heard = await witness.subscribe(advisories)
        await witness.flush()
        await origin.publish(b'{"surprise": 1}')
        await origin.change("after")
        await settle(await take(deliveries, origin.bucket, ["after"]))
        going_on = asyncio.ensure_future(anext(deliveries))
        advisory = json.loads((await heard.next_msg(timeout=20)).data)
        going_on.cancel()
        await asyncio.wait({going_on})
        assert advisory["deliveries"] == POISON_RECEIVES_MAX
        assert advisory["reason"] == "An event cannot be read: its form is not known."
    assert (feed.poison.messages, feed.poison.receives) == (1, POISON_RECEIVES_MAX)
    (kept,) = feed.poison.kept()
    assert kept.message == str(advisory["stream_seq"])
    assert ear.unread == [kept.why], "told once, however often it came"
    async with connected(origin.server) as witness:
        still = await witness.jsm().get_msg(origin.name, seq=advisory["stream_seq"])
        assert still.data == b'{"surprise": 1}'


async def test_a_stream_that_is_not_there_is_told(server: NatsServer) -> None:
    source = NatsSource((server.url,), "nowhere", CONSUMER, "", "", None)
    with pytest.raises(Gone, match="nowhere") as caught:
        await anext(NatsFeed(source, secret=str).deliveries())
    assert "Make the stream nowhere" in caught.value.hint


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (ConsumerConfig(deliver_subject="somewhere"), "is a push consumer"),
        (ConsumerConfig(ack_policy=AckPolicy.ALL), "does not wait for each message"),
        (ConsumerConfig(max_deliver=3), "gives a message up, unsaid, after 3 deliveries"),
    ],
)
async def test_a_consumer_that_would_lose_messages_is_refused(
    origin: Stream, config: ConsumerConfig, words: str
) -> None:
    async with connected(origin.server) as connection:
        await connection.jsm().add_consumer(origin.name, config.evolve(durable_name=CONSUMER))
    with pytest.raises(BadRequest, match=words):
        await anext(origin.feed().deliveries())


@pytest.mark.parametrize(
    ("config", "again_s"),
    [
        (ConsumerConfig(ack_wait=7.0), 7.0),
        (ConsumerConfig(ack_wait=1.0, backoff=[1.0, 90.0]), 90.0),
    ],
)
async def test_how_late_it_may_be_follows_from_its_consumer(
    origin: Stream, config: ConsumerConfig, again_s: float
) -> None:
    """One that is there already keeps its own settings; a message that went to a process
    which has died comes again after its longest wait."""
    mine = config.evolve(durable_name=CONSUMER, ack_policy=AckPolicy.EXPLICIT)
    async with connected(origin.server) as connection:
        await connection.jsm().add_consumer(origin.name, mine)
    feed = origin.feed()
    async with reading(feed) as deliveries:
        await origin.change("k")
        await settle(await take(deliveries, origin.bucket, ["k"]))
        assert feed.late_s == SENDER_LATE_S + again_s


async def test_a_deleted_consumer_is_told_and_made_again(origin: Stream) -> None:
    feed = origin.feed()
    async with aclosing(feed.deliveries()) as deliveries:
        await origin.change("k")
        await settle(await take(deliveries, origin.bucket, ["k"]))
        waiting = asyncio.ensure_future(anext(deliveries))
        async with connected(origin.server) as connection:
            await connection.jsm().delete_consumer(origin.name, CONSUMER)
        with pytest.raises((Gone, Unreachable)):
            await waiting
    async with reading(feed) as deliveries:
        await settle(await take(deliveries, origin.bucket, ["k"]))  # the new one begins anew


@pytest.mark.parametrize("user", ["", "farshore"])
async def test_the_secret_is_sent_and_never_shown(tmp_path: Path, user: str) -> None:
    login = ["--user", user, "--pass", "hunter2"] if user else ["--auth", "hunter2"]
    options = {"user": user, "password": "hunter2"} if user else {"token": "hunter2"}
    with nats_server(tmp_path, *login) as server:
        await publish_one(server, **options)
        source = NatsSource((server.url,), "s", CONSUMER, user, "NATS", None)
        async with reading(NatsFeed(source, secret=lambda: "hunter2")) as deliveries:
            await settle(await take(deliveries, "files", ["k"]))
        with pytest.raises(Denied) as caught:
            await anext(NatsFeed(source, secret=lambda: "hunter3").deliveries())
        assert "hunter" not in str(caught.value) + caught.value.hint


async def test_the_certificates_of_the_configuration_are_trusted_and_no_others(
    tmp_path: Path,
) -> None:
    trusted = authority(tmp_path)
    pair = str(tmp_path / "server.pem")
    with nats_server(tmp_path, "--tls", "--tlscert", pair, "--tlskey", pair) as server:
        await publish_one(server, tls=ssl.create_default_context(cafile=trusted.ca_file))
        source = NatsSource((server.url,), "s", CONSUMER, "", "", Path(trusted.ca_file))
        async with reading(NatsFeed(source, secret=str)) as deliveries:
            await settle(await take(deliveries, "files", ["k"]))
        stranger = NatsFeed(replace(source, ca_file=None), secret=str)
        with pytest.raises(Unreachable, match="SSLCertVerificationError"):
            await anext(stranger.deliveries())


async def publish_one(server: NatsServer, **options: Any) -> None:
    """A stream "s" with the notification of one key."""
    async with connected(server, **options) as connection:
        await connection.jetstream().add_stream(name="s", subjects=["s"])
        await connection.jetstream().publish("s", notification("files", "k"))


LIMITED = """
authorization {
  users = [
    {user: "all", password: "p"},
    {user: "limited", password: "p", permissions: {publish: {deny: ["%s"]}}}
  ]
}
no_auth_user: limited
"""


@pytest.mark.parametrize("forbidden", ["$JS.API.CONSUMER.INFO.>", "$JS.ACK.>"])
async def test_a_missing_permission_is_told(tmp_path: Path, forbidden: str) -> None:
    config = tmp_path / "nats.conf"
    config.write_text(LIMITED % forbidden)
    with nats_server(tmp_path, "-c", str(config)) as server:
        async with connected(server, user="all", password="p") as connection:
            await connection.jetstream().add_stream(name="s", subjects=["s"])
            for key in "ab":
                await connection.jetstream().publish("s", notification("files", key))
        feed = NatsFeed(NatsSource((server.url,), "s", CONSUMER, "", "", None), secret=str)
        with pytest.raises(Denied) as caught:
            await settle_all(feed)
        assert forbidden.rpartition(".")[0].split(".CONSUMER")[0] in caught.value.hint


async def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    source = NatsSource(("nats://127.0.0.1:1",), "s", CONSUMER, "", "", None)
    with pytest.raises(ConfigError) as caught:
        await anext(NatsFeed(source, secret=str).deliveries())
    assert "farshore[nats]" in caught.value.hint
