"""How the AWS SDK's requests go out: no redirect is followed, and an answer has a bound.

aiobotocore leaves both to aiohttp, which sends what we sent, session tokens among it, wherever a
server says, and reads answers to their ends. Needs aiobotocore, which is optional.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession

ANSWER_BYTES_MAX = 16 << 20
"""The largest answers are ten messages of SQS: 10 MiB at most, once JSON has them."""

_PIECE_BYTES = 64 * 1024


class SdkSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
    """For `AioConfig(http_session_cls=SdkSession)`."""

    async def _get_session(self, proxy_url: Any) -> Any:
        return _Line(await super()._get_session(proxy_url))


class _Line:
    """As much of a `ClientSession` as aiobotocore uses."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, **options: Any) -> _Answer:
        answer = await self._session.request(method, **{**options, "allow_redirects": False})
        return _Answer(answer, await _bounded(answer))


class _Answer:
    """As much of a `ClientResponse`: its body is here."""

    def __init__(self, answer: aiohttp.ClientResponse, body: bytes) -> None:
        self.url, self.status, self.raw_headers = answer.url, answer.status, answer.raw_headers
        self._body = body

    async def read(self) -> bytes:
        return self._body


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """`ClientPayloadError`, which the SDK takes for a broken connection, for one that is longer."""
    found = bytearray()
    async with answer:
        while piece := await answer.content.read(_PIECE_BYTES):
            found += piece
            if len(found) > ANSWER_BYTES_MAX:
                raise aiohttp.ClientPayloadError("the answer is too long")
    return bytes(found)
