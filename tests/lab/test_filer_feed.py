"""The filer feed on a real SeaweedFS: the contract, every kind of change, a line that is cut."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig

from farshore.engine.heartbeat import HEARTBEAT_KEY, IN_FLIGHT_S
from farshore.errors import Unreachable
from farshore.feed.filer import FilerFeed
from farshore.feed.hint import Hint
from farshore.lab.odd_keys import ODD_KEYS, Fate
from farshore.lab.regions import Lab
from farshore.lab.settings import LinkSettings
from tests.contract.feed_suite import FeedSuite, hints_of, reading, settle, take

SITE = "east"
PART_BYTES = 5 * 2**20
HINT_MEDIAN_SECONDS_MAX = 0.1
SILENCE_SECONDS_MAX = 7.0
"""The filer gives a sign of life every 5 s."""

MARK = "mark"
"""A key that is written last: when its hint is there, all before it are."""


class FilerOrigin:
    """A versioned bucket of its own in the shared lab, written by boto3."""

    repeats = True
    severable = True
    knows_time = True
    answers = True

    def __init__(self, lab: Lab, *, versioned: bool = True) -> None:
        self.lab = lab
        self.bucket = f"feed-{secrets.token_hex(6)}"
        self.kept: dict[str, str] = {}
        site = lab.status().site(SITE)
        keys = site.principals["owner"]
        self.s3: Any = boto3.client(
            "s3",
            endpoint_url=site.endpoint,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            region_name="us-east-1",
            config=BotoConfig(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self.s3.create_bucket(Bucket=self.bucket)
        if versioned:
            self.set_versioning("Enabled")

    def set_versioning(self, status: str) -> None:
        self.s3.put_bucket_versioning(
            Bucket=self.bucket, VersioningConfiguration={"Status": status}
        )

    async def open(self) -> FilerFeed:
        async def keep(name: str, value: str) -> None:
            self.kept[name] = value

        return FilerFeed(
            SITE,
            self.lab.status().site(SITE).filer_grpc,
            [self.bucket],
            get_cursor=lambda name: self.kept.get(name, ""),
            set_cursor=keep,
            silence_seconds_max=SILENCE_SECONDS_MAX,
        )

    async def change(self, key: str) -> None:
        await self.do(self.s3.put_object, key, Body=b"body")

    async def do(self, call: Callable[..., Any], key: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(call, Bucket=self.bucket, Key=key, **arguments)

    async def hints(self, *calls: tuple[Callable[..., Any], str, dict[str, Any]]) -> list[Hint]:
        """What the calls, one after the other, gave rise to."""
        async with reading(await self.open()) as deliveries:
            for call, key, arguments in calls:
                await self.do(call, key, **arguments)
            await self.change(MARK)
            taken = await take(deliveries, self.bucket, [MARK])
            await settle(taken)
        return [hint for hint in hints_of(taken, self.bucket) if hint.key != MARK]

    async def cut(self) -> None:
        await asyncio.to_thread(self.lab.kill, SITE)

    async def heal(self) -> None:
        await asyncio.to_thread(self.lab.revive, SITE)


@pytest.fixture
async def origin(lab: Lab) -> AsyncIterator[FilerOrigin]:
    made = await asyncio.to_thread(FilerOrigin, lab)
    yield made
    made.s3.close()


class TestFilerFeed(FeedSuite):
    """The contract of feeds, and what this one promises beyond it."""


async def test_every_kind_of_change_gives_one_hint(origin: FilerOrigin) -> None:
    s3, key = origin.s3, "dir/a +%20b.txt"
    first = await origin.do(s3.put_object, key, Body=b"12345")
    tags = {"TagSet": [{"Key": "k", "Value": "v"}]}
    for call, arguments, size in (
        (s3.put_object, {"Body": b"123"}, 3),
        (s3.put_object_tagging, {"Tagging": tags}, 0),
        (s3.delete_object, {}, 0),
        (s3.delete_object, {"VersionId": first["VersionId"]}, 0),
    ):
        origin.kept.clear()
        origin.kept["filer east"] = str(time.time_ns())
        hints = await origin.hints((call, key, arguments))
        assert [(hint.key, hint.size) for hint in hints] == [(key, size)], call


async def test_an_upload_gives_one_hint_when_it_is_complete(origin: FilerOrigin) -> None:
    s3 = origin.s3
    upload = (await origin.do(s3.create_multipart_upload, "big"))["UploadId"]
    part = await origin.do(
        s3.upload_part, "big", UploadId=upload, PartNumber=1, Body=bytes(PART_BYTES)
    )
    assert await origin.hints() == []
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    complete = {"UploadId": upload, "MultipartUpload": parts}
    hints = await origin.hints((s3.complete_multipart_upload, "big", complete))
    assert [(hint.key, hint.size) for hint in hints] == [("big", PART_BYTES)]


async def test_null_versions_and_folders(lab: Lab) -> None:
    origin = await asyncio.to_thread(lambda: FilerOrigin(lab, versioned=False))
    s3 = origin.s3
    hints = await origin.hints(
        (s3.put_object, "plain", {"Body": b"1"}),
        (s3.put_object, "folder/", {"Body": b""}),
        (s3.put_object, "folder/inside", {"Body": b"22"}),
        (s3.delete_object, "plain", {}),
    )
    assert [hint.key for hint in hints] == ["plain", "folder/", "folder/inside", "plain"]
    await asyncio.to_thread(origin.set_versioning, "Suspended")
    hints = await origin.hints((s3.delete_object, "folder/inside", {}))
    assert {hint.key for hint in hints} == {"folder/inside"}
    s3.close()


async def test_odd_keys(origin: FilerOrigin) -> None:
    kept = [odd.key for odd in ODD_KEYS if odd.seaweed in (Fate.KEPT, Fate.EMPTIED)]
    hints = await origin.hints(*((origin.s3.put_object, key, {"Body": b"x"}) for key in kept))
    assert {hint.key for hint in hints} == set(kept)


async def test_a_hint_is_there_within_a_tenth_of_a_second(origin: FilerOrigin) -> None:
    delays = []
    async with reading(await origin.open()) as deliveries:
        for number in range(50):
            await origin.change(f"k{number}")
            acknowledged = time.monotonic()
            await settle(await take(deliveries, origin.bucket, [f"k{number}"]))
            delays.append(time.monotonic() - acknowledged)
    assert statistics.median(delays) < HINT_MEDIAN_SECONDS_MAX


async def test_other_buckets_are_not_told_and_do_not_hold_the_cursor(
    lab: Lab, origin: FilerOrigin
) -> None:
    other = await asyncio.to_thread(FilerOrigin, lab)
    other.kept = origin.kept
    async with reading(await origin.open()) as deliveries:
        await origin.change("k")
        taken = await take(deliveries, origin.bucket, ["k"])
        await other.change("not ours")
        await origin.change("l")
        taken += await take(deliveries, origin.bucket, ["l"])
        await settle(taken)
    assert {hint.bucket for one in taken for hint in one.hints} == {origin.bucket}
    assert int(origin.kept["filer east"]) >= max(h.at for d in taken for h in d.hints) * 1e9 - 1000
    other.s3.close()


async def test_a_cut_line_is_noticed_by_its_silence(lab: Lab, origin: FilerOrigin) -> None:
    feed = await origin.open()
    async with aclosing(feed.deliveries()) as deliveries:
        await origin.change("before")
        await settle(await take(deliveries, origin.bucket, ["before"]))
        await asyncio.to_thread(lab.link, SITE, LinkSettings(cut=True))
        with pytest.raises(Unreachable, match="has fallen silent"):
            await take(deliveries, origin.bucket, ["never"])
    await asyncio.to_thread(lab.link, SITE, LinkSettings())
    async with reading(feed) as deliveries:
        await origin.change("after")
        await settle(await take(deliveries, origin.bucket, ["after"]))


WRITERS = 8
WRITING_SECONDS = 4.0


class Writers:
    """Threads that write for a while, and one that beats; when each write was acknowledged."""

    def __init__(self, origin: FilerOrigin) -> None:
        self.acknowledged: dict[str, float] = {}
        self._origin = origin
        self._until = time.time() + WRITING_SECONDS

    async def run(self) -> None:
        keys = [HEARTBEAT_KEY, *(f"w{number}" for number in range(WRITERS))]
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(len(keys)) as threads:
            await asyncio.gather(*(loop.run_in_executor(threads, self._write, key) for key in keys))

    def _write(self, key: str) -> None:
        while time.time() < self._until:
            body = b"x" * (1 + len(self.acknowledged) * 7919 % 65536)
            done = self._origin.s3.put_object(Bucket=self._origin.bucket, Key=key, Body=body)
            if key != HEARTBEAT_KEY:
                self.acknowledged[done["VersionId"]] = time.time()


async def test_a_heartbeat_overtakes_nothing_that_was_acknowledged_before_it(
    origin: FilerOrigin,
) -> None:
    """What the filer tells after a heartbeat was acknowledged after it. A listing may show an
    earlier time (a whole second, and set before the acknowledgement): two seconds cover that."""
    writers = Writers(origin)

    async def write() -> None:
        await writers.run()
        await origin.change(MARK)

    vouched = 0.0
    when_told: dict[str, float] = {}
    async with reading(await origin.open()) as deliveries, asyncio.TaskGroup() as group:
        group.create_task(write())
        is_over = False
        while not is_over:
            async with asyncio.timeout(SILENCE_SECONDS_MAX):
                delivery = await anext(deliveries)
            for hint in delivery.hints:
                if hint.key == HEARTBEAT_KEY:
                    vouched = max(vouched, hint.at)
                when_told |= dict.fromkeys(hint.versions, vouched)
                is_over = is_over or hint.key == MARK
    pages = origin.s3.get_paginator("list_object_versions").paginate(Bucket=origin.bucket)
    listed = {v["VersionId"]: v["LastModified"].timestamp() for p in pages for v in p["Versions"]}
    assert len(writers.acknowledged) > 20 * WRITERS, "there was a load"
    late = {v: when_told[v] for v in writers.acknowledged}
    assert vouched, "heartbeats came"
    assert min(writers.acknowledged[v] - late[v] for v in late) > 0.0
    margins = [listed[v] - late[v] for v in late if v in listed]
    assert min(margins) > -IN_FLIGHT_S
    assert min(margins) < 0.0, "without a margin, a listing would contradict the watermark"
