"""A live client as applications have it: `farshore.boto3_client`, made once, following a file."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from farshore.config import Config
from farshore.credentials import resolve
from farshore.drill.sheet import LeftOut
from farshore.errors import Unreachable

TIMEOUT_S = 10


class Answer(NamedTuple):
    """A body, and the URL that it came from."""

    body: bytes
    url: str


class Follower:
    """Requests of one boto3 client, in threads. `url` of an answer: where the client went."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._urls: list[str] = []
        client.meta.events.register("before-send.s3", self._sent)

    def _sent(self, request: Any, **_: object) -> None:
        self._urls.append(str(request.url))

    async def get(self, bucket: str, key: str) -> Answer:
        """`Unreachable` with what boto3 says when it fails."""

        def read() -> bytes:
            body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
            return body

        body = await self._asked(read, "GET")
        return Answer(body, self._urls[-1])

    async def put(self, bucket: str, key: str, body: bytes) -> str:
        """Answers where it was written."""

        def write() -> bytes:
            self._client.put_object(Bucket=bucket, Key=key, Body=body)
            return b""

        await self._asked(write, "PUT")
        return self._urls[-1]

    async def _asked(self, work: Any, what: str) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            body: bytes = await asyncio.to_thread(work)
        except (BotoCoreError, ClientError) as error:
            raise Unreachable(f"The live client's {what} failed: {error}") from None
        return body

    def close(self) -> None:
        self._client.close()


async def open_follower(config: Config, path: Path) -> Follower:
    """A client with the app's keys of both sites. `LeftOut` where it cannot be tried."""
    if find_spec("boto3") is None:
        raise LeftOut("boto3 is not installed: pip install 'farshore[app]'")
    authorities = {config.source.ca_file, config.target.ca_file}
    if len(authorities) > 1:
        raise LeftOut("the sites have different ca_files, and a boto3 client has one")
    return await asyncio.to_thread(_opened, config, path, authorities.pop())


def _opened(config: Config, path: Path, ca_file: Path | None) -> Follower:
    from botocore.config import Config as BotoConfig

    from farshore.application import Keys, boto3_client

    keys = {}
    for site in (config.source, config.target):
        who = f"app at {site.name}"
        found = resolve(site.credentials["app"], who=who, folder=config.folder)
        keys[site.name] = Keys(found.access_key, found.secret_key, found.session_token)
    client = boto3_client(
        path,
        keys=keys,
        region_name=config.source.region,
        verify=str(ca_file) if ca_file else None,
        config=BotoConfig(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S),
    )
    return Follower(client)
