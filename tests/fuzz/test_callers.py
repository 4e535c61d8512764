"""What comes to the daemon's port: any bytes get an answer or a closed door, and harm nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.inputs import EXAMPLES, changed_bytes, fuzzed
from tests.unit.test_caller import HEAD, LAST, daemon, told

BODY = b'{"Records": []}'
GOOD = (
    b"GET /metrics HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    HEAD + b"Connection: close\r\nAuthorization: Bearer token\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    HEAD + b"Connection: close\r\nAuthorization: Basic dTp0b2tlbg==\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nf\r\n%b\r\n0\r\n\r\n" % BODY,
)
WORDS = (
    b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"Authorization: Bearer \xff\r\n",
    b"Authorization: Basic =\r\n",
    b"/v1/endpoint?wait=nan",
    b"%00%ff/..",
    b"ffffffffffffffff\r\n",
    b"\x00",
)


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    """One daemon for all of them."""
    async with daemon() as found:
        yield found


@settings(fuzzed, max_examples=EXAMPLES or 60)
@given(st.sampled_from(GOOD).flatmap(lambda good: changed_bytes(good, WORDS)))
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
@example(b"OPTIONS * HTTP/1.1\r\n\r\n")
@example(b"CONNECT h:1 HTTP/1.1\r\n\r\n")
@example(b"GET http://[ HTTP/1.1\r\n\r\n")
async def test_a_caller_that_says_anything_harms_nobody(port: int, said: bytes) -> None:
    answer = await told(port, said, ends=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answer
    assert b"alive" in await told(port, LAST % b"/healthz")
