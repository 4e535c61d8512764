"""SeaweedFS' own notification webhook, sent by a real one to our receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from starlette.applications import Starlette

from farshore.daemon.api import served
from farshore.feed.hint import Hint
from farshore.feed.webhook import PATH, webhook_routes
from farshore.lab.ports import HOST
from farshore.lab.regions import Lab
from farshore.lab.state import STATE_FOLDER, SiteState

SITE = "east"
BUCKET = "files"
TOKEN = "a-token-for-this-test"
KEY = "dir/a +%20b.txt"
HINT_SECONDS_MAX = 20.0


class Heard:
    """What the receiver took, and whom it sent away."""

    def __init__(self) -> None:
        self.hints: list[Hint] = []
        self.outcomes: list[str] = []
        self._news = asyncio.Event()

    async def intake(self, hints: Sequence[Hint]) -> int:
        self.hints += hints
        self._news.set()
        return len(hints)

    def count(self, outcome: str) -> None:
        self.outcomes.append(outcome)
        self._news.set()

    async def until_told(self, key: str, times: int) -> None:
        async with asyncio.timeout(HINT_SECONDS_MAX):
            while sum(hint.key == key for hint in self.hints) < times:
                self._news.clear()
                await self._news.wait()

    async def until(self, outcome: str) -> None:
        async with asyncio.timeout(HINT_SECONDS_MAX):
            while outcome not in self.outcomes:
                self._news.clear()
                await self._news.wait()


def notify(folder: Path, port: int, token: str) -> None:
    """SeaweedFS reads this file when it starts."""
    conf = folder / STATE_FOLDER / SITE / "conf"
    conf.mkdir(parents=True)
    (conf / "notification.toml").write_text(
        "[notification.webhook]\n"
        "enabled = true\n"
        f'endpoint = "http://{HOST}:{port}{PATH}"\n'
        f'bearer_token = "{token}"\n'
    )


def client(site: SiteState) -> Any:
    keys = site.principals["owner"]
    return boto3.client(
        "s3",
        endpoint_url=site.direct_endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name="us-east-1",
        config=BotoConfig(
            s3={"addressing_style": "path"}, request_checksum_calculation="when_required"
        ),
    )


async def do(call: Any, key: str, **arguments: Any) -> Any:
    return await asyncio.to_thread(call, Bucket=BUCKET, Key=key, **arguments)


@pytest.mark.parametrize("token", [TOKEN, "another"])
async def test_seaweedfs_tells_us(tmp_path: Path, token: str) -> None:
    heard = Heard()
    app = Starlette(routes=webhook_routes(lambda: [TOKEN], heard.intake, count=heard.count))
    async with served(app, HOST, 0) as port:
        notify(tmp_path, port, token)
        lab = Lab(tmp_path)
        try:
            state = await asyncio.to_thread(lab.up, [SITE])
            s3 = client(state.site(SITE))
            if token == TOKEN:
                await _is_told(s3, heard)
            else:
                await heard.until("denied")
                assert (heard.hints, set(heard.outcomes)) == ([], {"denied"})
            s3.close()
        finally:
            await asyncio.to_thread(lab.down)


async def _is_told(s3: Any, heard: Heard) -> None:
    """One hint for each change, and nothing that was sent is unreadable."""
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    tags = {"TagSet": [{"Key": "k", "Value": "v"}]}
    written = await do(s3.put_object, KEY, Body=b"12345")
    await heard.until_told(KEY, 1)
    calls: tuple[tuple[Any, dict[str, Any]], ...] = (
        (s3.put_object, {"Body": b"123"}),
        (s3.put_object_tagging, {"Tagging": tags}),
        (s3.delete_object, {}),
        (s3.delete_object, {"VersionId": written["VersionId"]}),
    )
    for number, (call, arguments) in enumerate(calls):
        await do(call, KEY, **arguments)
        await heard.until_told(KEY, number + 2)
    assert sorted(hint.size for hint in heard.hints) == [0, 0, 0, 3, 5]
    assert {(hint.bucket, hint.key) for hint in heard.hints} == {(BUCKET, KEY)}
    assert set(heard.outcomes) == {"accepted"}
