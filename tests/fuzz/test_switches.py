"""What decides where clients go, answering rubbish: HAProxy's runtime API, DNS, the daemon."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farshore.config.switches import Record
from farshore.errors import FarshoreError
from farshore.switch import haproxy_runtime
from farshore.switch.driver import SwitchError
from farshore.switch.haproxy_runtime import Runtime
from farshore.switch.lookup import ask_authority, ask_resolver
from tests.fuzz.inputs import EXAMPLES, allowed, changed_bytes, fuzzed
from tests.unit.http_server import Peer, serve

MAP = b"0x55d0 site east\n0x55d1 epoch 3\n\n"
STAT = (
    b"# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,status,req_tot,hrsp_5xx,\n"
    b"s3,FRONTEND,,,1,2,3,4,5,6,OPEN,7,8,\ns3_east,east,0,0,1,2,,3,4,5,UP,6,7,\n\n"
)
INFO = b"Name: HAProxy\nPid: 123\nUptime_sec: 5\n\n"
ACTIVITY = b"thread_id: 1\ndate_now: 1700000000.123456\n\n"
WORDS = (b"9" * 5000, b"-1", b"\xc2\xb2", b"nan", b"\x1b[2J", b",,,", b"\n", b"UP", b"1e9")
ASKED: dict[bytes, Callable[[Runtime], Coroutine[Any, Any, object]]] = {
    MAP: lambda runtime: runtime.show_map("/etc/m"),
    STAT: lambda runtime: runtime.stat(),
    INFO: lambda runtime: runtime.other_workers(),
    ACTIVITY: lambda runtime: runtime.clock(),
}


def said(words: bytes) -> Callable[[Peer], Coroutine[Any, Any, None]]:
    async def script(peer: Peer) -> None:
        await peer.reader.readline()
        await peer.say(words)

    return script


@pytest.mark.parametrize("good", ASKED, ids=["map", "stat", "info", "activity"])
@fuzzed
@given(st.data())
async def test_a_proxy_that_says_anything_gives_a_value_or_our_error(
    good: bytes, data: st.DataObject
) -> None:
    words = data.draw(changed_bytes(good, WORDS) | st.binary(max_size=60))
    async with serve(said(words)) as server:
        with allowed(FarshoreError):
            await ASKED[good](Runtime(f"127.0.0.1:{server.port}"))


@pytest.mark.parametrize("good", ASKED, ids=["map", "stat", "info", "activity"])
async def test_a_proxy_s_good_answer_is_read(good: bytes) -> None:
    async with serve(said(good)) as server:
        await ASKED[good](Runtime(f"127.0.0.1:{server.port}"))


@pytest.mark.parametrize("word", [b"many", b"\xc2\xb2", b"9" * 5000])
@pytest.mark.parametrize("row", [b"s3_east,east,0,0,%b,2,,3,4,5,UP,6,7,\n", b"a,b,%b\n"])
async def test_numbers_of_a_proxy_that_are_none_are_our_error(row: bytes, word: bytes) -> None:
    header = STAT.partition(b"\n")[0]
    async with serve(said(header + b"\n" + row % word + b"\n")) as server:
        with pytest.raises(SwitchError):
            await Runtime(f"127.0.0.1:{server.port}").stat()
    async with serve(said(b"# pxname,svname,x\n" + row % word + b"\n")) as server:
        with pytest.raises(SwitchError):
            await Runtime(f"127.0.0.1:{server.port}").stat()


async def test_a_proxy_that_never_stops_is_not_listened_to() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readline()
        with suppress(ConnectionError):
            for _ in range(4 * haproxy_runtime.ANSWER_BYTES_MAX >> 20):
                await peer.say(b"0x1 a b\n" * (1 << 17))

    async with serve(script) as server:
        with pytest.raises(SwitchError, match="more than any proxy"):
            await Runtime(f"127.0.0.1:{server.port}").show_map("/etc/m")


# -- DNS --------------------------------------------------------------------------------

VALUES = {"east": "east.example.", "west": "west.example."}
ALIAS = Record("s3.example", "CNAME", 60, VALUES, ())
ADDRESS = Record("s3.example", "A", 60, {"east": "10.0.0.1", "west": "10.0.0.2"}, ())


class Server(asyncio.DatagramProtocol):
    """Answers every question with the bytes that a test chose, under the question's own id."""

    def __init__(self, words: bytes) -> None:
        self._words = words

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data[:2] + self._words[2:], addr)


@asynccontextmanager
async def resolver(words: bytes) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Server(words), ("127.0.0.1", 0), family=socket.AF_INET
    )
    try:
        host, port = transport.get_extra_info("sockname")
        yield f"{host}:{port}"
    finally:
        transport.close()


def answer(record: Record, *values: str) -> bytes:
    question = dns.message.make_query(f"{record.name}.", record.type)
    found = dns.message.make_response(question)
    found.flags |= dns.flags.AA
    if values:
        found.answer.append(dns.rrset.from_text(f"{record.name}.", 60, "IN", record.type, *values))
    return found.to_wire()


ANSWERS = [
    (ALIAS, answer(ALIAS, "east.example.")),
    (ADDRESS, answer(ADDRESS, "10.0.0.1", "10.0.0.2")),
    (ALIAS, answer(ALIAS)),
]


@settings(fuzzed, max_examples=EXAMPLES or 40)  # half of them wait for what never comes
@given(st.sampled_from(ANSWERS), st.data())
async def test_a_resolver_that_says_anything_gives_a_value_or_our_error(
    good: tuple[Record, bytes], data: st.DataObject
) -> None:
    record, whole = good
    words = data.draw(changed_bytes(whole, (b"\xc0\x0c", b"\xff\xff", b"\x00" * 12)))
    async with resolver(words) as server:
        with allowed(SwitchError):
            await ask_resolver(record, server, 0.01)


KEY = dns.tsig.Key("k.", b"a-secret-word-of-some-length", "hmac-sha256.")


@fuzzed
@given(st.sampled_from(ANSWERS), st.data())
@example((ALIAS, b""), None)
async def test_an_authority_that_says_anything_gives_a_value_or_our_error(
    good: tuple[Record, bytes], data: st.DataObject | None
) -> None:
    record, whole = good
    words = data.draw(changed_bytes(whole) | st.just(whole)) if data is not None else whole

    async def script(peer: Peer) -> None:
        size = int.from_bytes(await peer.reader.readexactly(2), "big")
        asked = await peer.reader.readexactly(size)
        reply = asked[:2] + words[2:]
        await peer.say(len(reply).to_bytes(2, "big") + reply)

    async with serve(script) as server:
        with pytest.raises(SwitchError) as refused:  # nobody but who has the key can sign
            await ask_authority(record, f"127.0.0.1:{server.port}", KEY, 0.5)
    assert "a-secret-word" not in str(refused.value)
