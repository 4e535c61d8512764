"""The feed contract on moto's SQS over HTTP, fed by its S3: direct, by SNS and by EventBridge."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from farshore.credentials import Credentials
from farshore.errors import ConfigError, Denied, Gone, StoreError
from farshore.feed.hint import Feed
from farshore.feed.in_hand import POISON_RECEIVES_MAX
from farshore.feed.sqs import SENDER_LATE_SECONDS, SqsFeed
from farshore.feed.sqs_queue import SqsQueue
from farshore.lab.ports import HOST, held_ports

from .feed_suite import CONFIRMATION, Ear, FeedSuite, reading, settle, take

KEYS = Credentials("test", "test")
REGION = "us-east-1"

VISIBILITY_SECONDS = 2
"""Short, so that a test sees messages come again. SQS counts whole seconds."""

NOTHING_SECONDS = 2.5 * VISIBILITY_SECONDS
"""What has not come by then does not come."""

REDRIVE_RECEIVES_MAX = 3


class Aws:
    """moto on one port; its state outlives a stop, as AWS' does."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://{HOST}:{port}"
        self._port = port
        self._running: ThreadedMotoServer | None = None

    def start(self) -> None:
        self._running = ThreadedMotoServer(ip_address=HOST, port=self._port, verbose=False)
        self._running.start()

    def stop(self) -> None:
        if self._running:
            self._running.stop()
        self._running = None

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=KEYS.access_key,
            aws_secret_access_key=KEYS.secret_key,
            region_name=REGION,
        )


class Queue:
    """A `FeedOrigin`: a bucket and a queue of its own for each test."""

    repeats = True
    severable = True
    knows_time = True
    answers = True

    def __init__(self, aws: Aws, number: int) -> None:
        self.aws = aws
        self.bucket = f"feed-bucket-{number}"
        self.name = f"feed-queue-{number}"
        self.s3, self.sqs = aws.client("s3"), aws.client("sqs")
        self.s3.create_bucket(Bucket=self.bucket)
        self.url = str(self.sqs.create_queue(QueueName=self.name)["QueueUrl"])

    @property
    def arn(self) -> str:
        return self.attribute("QueueArn")

    def attribute(self, name: str) -> str:
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return str(found["Attributes"][name])

    def notify(self, **targets: Any) -> None:
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration=targets
        )

    def counts(self) -> tuple[int, int]:
        """(visible, in flight)"""
        name = "ApproximateNumberOfMessages"
        return int(self.attribute(name)), int(self.attribute(f"{name}NotVisible"))

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def give_back_one(self) -> None:
        (found,) = self.sqs.receive_message(QueueUrl=self.url)["Messages"]
        self.sqs.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=found["ReceiptHandle"], VisibilityTimeout=0
        )

    def feed(self, **options: Any) -> SqsFeed:
        short = {"visibility_s": VISIBILITY_SECONDS, "wait_s": 1}
        return SqsFeed(self.url, region=REGION, keys=keys, **{**short, **options})

    async def open(self) -> Feed:
        return self.feed()

    async def change(self, key: str) -> None:
        await asyncio.to_thread(self.s3.put_object, Bucket=self.bucket, Key=key, Body=b"abc")

    async def cut(self) -> None:
        await asyncio.to_thread(self.aws.stop)

    async def heal(self) -> None:
        await asyncio.to_thread(self.aws.start)

    def close(self) -> None:
        self.s3.close()
        self.sqs.close()


async def keys() -> Credentials:
    return KEYS


def direct(queue: Queue) -> None:
    target = {"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    queue.notify(QueueConfigurations=[target])


def by_sns(queue: Queue) -> None:
    sns = queue.aws.client("sns")
    topic = sns.create_topic(Name=queue.name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    sns.close()
    queue.notify(TopicConfigurations=[{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}])


def by_eventbridge(queue: Queue) -> None:
    events = queue.aws.client("events")
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [queue.bucket]}},
    }
    events.put_rule(Name=queue.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=queue.name, Targets=[{"Id": "queue", "Arn": queue.arn}])
    events.close()
    queue.notify(EventBridgeConfiguration={})


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with held_ports(1) as (port,):
        pass
    running = Aws(port)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
def queue(aws: Aws, numbers: Iterator[int]) -> Iterator[Queue]:
    made = Queue(aws, next(numbers))
    yield made
    made.close()


class TestSqsFeed(FeedSuite):
    """The contract, for events that S3 sends to the queue itself."""

    @pytest.fixture
    def origin(self, queue: Queue) -> Queue:
        direct(queue)
        return queue


@pytest.mark.parametrize("route", [by_sns, by_eventbridge])
class TestEnvelopes:
    """The same events in an envelope: all that differs is what is read."""

    async def test_a_change_gives_a_hint(
        self, queue: Queue, route: Callable[[Queue], None]
    ) -> None:
        route(queue)
        await FeedSuite().test_a_change_gives_a_hint(queue)

    async def test_keys_arrive_as_they_are(
        self, queue: Queue, route: Callable[[Queue], None]
    ) -> None:
        route(queue)
        await FeedSuite().test_keys_arrive_as_they_are(queue)
        assert queue.counts() == (0, 0)


async def test_a_message_is_deleted_by_its_settling_and_not_before(queue: Queue) -> None:
    direct(queue)
    async with reading(queue.feed()) as deliveries:
        await queue.change("k")
        taken = await take(deliveries, queue.bucket, ["k"])
        assert queue.counts() == (0, 1)
        await settle(taken)
        assert queue.counts() == (0, 0)


async def test_what_a_dead_feed_had_in_hand_comes_to_the_next(queue: Queue) -> None:
    direct(queue)
    dead = queue.feed()
    async with aclosing(dead.deliveries()) as deliveries:
        await queue.change("k")
        await take(deliveries, queue.bucket, ["k"])
    async with reading(queue.feed()) as deliveries:
        await settle(await take(deliveries, queue.bucket, ["k"]))
    await dead.aclose()


async def test_what_is_in_work_is_not_given_to_another(queue: Queue) -> None:
    direct(queue)
    async with reading(queue.feed()) as first, reading(queue.feed()) as second:
        await queue.change("k")
        taken = await take(first, queue.bucket, ["k"])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(NOTHING_SECONDS):
                await anext(second)
        await settle(taken)
    assert queue.counts() == (0, 0)


async def test_no_more_is_taken_than_can_be_held(queue: Queue) -> None:
    direct(queue)
    for key in "abc":
        await queue.change(key)
    async with reading(queue.feed(in_hand_max=2)) as deliveries:
        first = [await anext(deliveries), await anext(deliveries)]
        third = asyncio.ensure_future(anext(deliveries))
        done, _ = await asyncio.wait({third}, timeout=NOTHING_SECONDS)
        assert not done
        assert queue.counts() == (1, 2)
        await settle(first)
        assert [hint.key for hint in (await third).hints] == ["c"]


async def test_settlings_go_together(queue: Queue) -> None:
    direct(queue)
    names = [f"k{number:02}" for number in range(30)]
    for name in names:
        await queue.change(name)
    async with reading(queue.feed()) as deliveries:
        taken = await take(deliveries, queue.bucket, names)
        await asyncio.gather(*(one.settle() for one in taken))
    assert queue.counts() == (0, 0)


async def test_the_test_event_of_aws_is_deleted(queue: Queue) -> None:
    direct(queue)
    queue.send(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}))
    async with reading(queue.feed()) as deliveries:
        await queue.change("k")
        await settle(await take(deliveries, queue.bucket, ["k"]))
    assert queue.counts() == (0, 0)


async def test_what_cannot_be_read_is_counted_and_left_to_the_redrive_policy(
    queue: Queue,
) -> None:
    direct(queue)
    dead_letters = Queue(queue.aws, 1_000_000)
    policy = {"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": REDRIVE_RECEIVES_MAX}
    queue.sqs.set_queue_attributes(
        QueueUrl=queue.url, Attributes={"RedrivePolicy": json.dumps(policy)}
    )
    queue.send("surprise")
    feed, ear = queue.feed(visibility_s=1), Ear()
    feed.listen(ear)
    async with reading(feed) as deliveries:
        await queue.change("before")
        await settle(await take(deliveries, queue.bucket, ["before"]))
        waiting = asyncio.ensure_future(anext(deliveries))
        found = await asyncio.to_thread(
            dead_letters.sqs.receive_message, QueueUrl=dead_letters.url, WaitTimeSeconds=20
        )
        assert [message["Body"] for message in found["Messages"]] == ["surprise"]
        await queue.change("after")
        await (await waiting).settle()
    assert (feed.poison.messages, feed.poison.receives) == (1, REDRIVE_RECEIVES_MAX)
    (kept,) = feed.poison.kept()
    assert kept.why == "An event cannot be read: it cannot be read as JSON."
    assert ear.unread == [kept.why], "told once, however often it came"
    assert queue.counts() == (0, 0)
    dead_letters.close()


async def test_what_cannot_be_read_is_put_aside_where_there_is_no_redrive_policy(
    queue: Queue,
) -> None:
    queue.send("surprise")
    for _ in range(POISON_RECEIVES_MAX):
        queue.give_back_one()
    direct(queue)
    feed = queue.feed(visibility_s=1)
    async with reading(feed) as deliveries:
        await queue.change("k")
        await settle(await take(deliveries, queue.bucket, ["k"]))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(NOTHING_SECONDS):
                await anext(deliveries)
    assert (feed.poison.messages, feed.poison.receives) == (1, 1)
    assert queue.counts() == (0, 1)  # still there


async def test_a_subscription_that_wants_to_be_confirmed_is_told_and_no_poison(
    queue: Queue,
) -> None:
    direct(queue)
    queue.send(CONFIRMATION)
    feed, ear = queue.feed(), Ear()
    feed.listen(ear)
    async with reading(feed) as deliveries:
        await queue.change("k")
        await settle(await take(deliveries, queue.bucket, ["k"]))
    assert [notice.kind for notice in ear.notices] == ["confirm"]
    assert (feed.poison.messages, queue.counts()) == (0, (0, 0))


def test_how_late_it_may_be_follows_from_its_settings(queue: Queue) -> None:
    """A message whose receive was lost on its way is hidden for the visibility timeout."""
    quick, slow = queue.feed(visibility_s=30, wait_s=1), queue.feed(visibility_s=300, wait_s=1)
    assert slow.late_s - quick.late_s == 270
    assert quick.late_s == SENDER_LATE_SECONDS + 30


async def test_a_queue_that_is_not_there_is_told(aws: Aws) -> None:
    feed = SqsFeed(f"{aws.endpoint}/123456789012/nowhere", region=REGION, keys=keys, wait_s=1)
    with pytest.raises(Gone) as caught:
        await anext(feed.deliveries())
    assert "queue_url" in caught.value.hint
    await feed.aclose()


async def test_keys_are_fetched_anew_after_a_refusal(queue: Queue) -> None:
    """moto checks no signatures, so that the refusal is the credentials' own."""
    direct(queue)
    fetched: list[int] = []

    async def ending() -> Credentials:
        fetched.append(len(fetched))
        if len(fetched) == 1:
            raise Denied("The keys have ended.")
        return KEYS

    feed = SqsFeed(queue.url, region=REGION, keys=ending, wait_s=1)
    with pytest.raises(Denied):
        await anext(feed.deliveries())
    async with reading(feed) as deliveries:
        await queue.change("k")
        await settle(await take(deliveries, queue.bucket, ["k"]))
    assert fetched == [0, 1]


@pytest.mark.parametrize("forget", [SqsQueue.delete, SqsQueue.hold])
async def test_a_receipt_that_is_no_longer_good_is_passed_over(
    queue: Queue, forget: Callable[..., Any]
) -> None:
    queue.send("x")
    opened = await SqsQueue.open(queue.url, REGION, KEYS, wait_s=1)
    (message,) = await opened.receive(10, wait_s=1, visibility_s=30)
    await opened.delete([message.receipt])
    await forget(opened, [message.receipt], *([30] if forget is SqsQueue.hold else []))
    await opened.aclose()


async def test_a_settling_that_did_not_reach_the_queue_is_told(queue: Queue) -> None:
    direct(queue)
    feed = queue.feed()
    async with aclosing(feed.deliveries()) as deliveries:
        await queue.change("k")
        (taken,) = await take(deliveries, queue.bucket, ["k"])
    await feed.aclose()
    with pytest.raises(StoreError, match="come again"):
        await taken.settle()


async def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiobotocore.session", None)
    feed = SqsFeed(f"http://{HOST}:1/1/q", region=REGION, keys=keys)
    with pytest.raises(ConfigError) as caught:
        await anext(feed.deliveries())
    assert "farshore[sqs]" in caught.value.hint
