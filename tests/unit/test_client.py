"""S3Client on the wire: what it sends byte for byte, and what it makes of odd answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from farshore.credentials import Credentials
from farshore.errors import (
    BadListing,
    ClockSkew,
    ConfigError,
    Corrupt,
    Denied,
    Gone,
    OutcomeUnknown,
    ServerFault,
    StoreError,
)
from farshore.s3.client import SIGNED_BODY_BYTES_MAX, Endpoint, S3Client
from farshore.s3.reading import ANSWER_BYTES_MAX
from farshore.s3.store import Stream
from tests.unit.http_server import Peer, Received, Script, ScriptedServer, serve
from tests.unit.sites import ManualClock

NOW = 1_700_000_000.0
SECRET = "never-to-be-seen"
DATE_IN_TEN_MINUTES = "Tue, 14 Nov 2023 22:23:20 GMT"


@asynccontextmanager
async def client_of(server: ScriptedServer) -> AsyncIterator[S3Client]:
    client = S3Client(
        "west",
        f"http://127.0.0.1:{server.port}",
        Credentials("AKIDEXAMPLE", SECRET),
        clock=ManualClock(NOW),
    )
    try:
        yield client
    finally:
        await client.aclose()


def replying(
    body: bytes = b"", status: str = "200 OK", seen: list[Received] | None = None, **headers: str
) -> Script:
    """Give the same answer to every request of the connection."""

    async def script(peer: Peer) -> None:
        while not peer.reader.at_eof():
            try:
                request = await peer.request()
            except EOFError:
                return
            if seen is not None:
                seen.append(request)
            await peer.answer(body, status, **headers)

    return script


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>words</Message></Error>".encode()


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("a/../c", "/files/a/../c"),
        ("a//b", "/files/a//b"),
        ("%2e%2e", "/files/%252e%252e"),
        (".", "/files/."),
        ("/x", "/files//x"),
        ("ü +", "/files/%C3%BC%20%2B"),
    ],
)
async def test_a_key_goes_out_as_it_is(key: str, target: str) -> None:
    seen: list[Received] = []
    script = replying(seen=seen)
    async with serve(script) as server, client_of(server) as client:
        await client.put("files", key, b"x")
    assert seen[0].target == target


async def test_what_is_signed_is_what_is_sent() -> None:
    seen: list[Received] = []
    script = replying(seen=seen)
    async with serve(script) as server, client_of(server) as client:
        await client.put("files", "k", b"x")
        await client.put("files", "k", bytes(SIGNED_BODY_BYTES_MAX + 1))
    small, large = seen
    assert small.values("host") == [f"127.0.0.1:{server.port}"]
    assert small.values("x-amz-date") == ["20231114T221320Z"]
    assert len(small.values("x-amz-content-sha256")[0]) == 64
    assert large.values("x-amz-content-sha256") == ["UNSIGNED-PAYLOAD"]
    assert SECRET not in small.head.decode("latin-1")


async def test_an_object_is_read_whole_in_chunks_or_not_at_all() -> None:
    script = replying(b"content", ETag='"e"', X_Amz_Version_Id="v", X_Amz_Meta_U="caf\xc3\xa9")
    async with serve(script) as server, client_of(server) as client:
        async with client.get("files", "k", "v") as read:
            assert (await read.read(), read.body_length) == (b"content", 7)
            assert (read.info.version_id, read.info.etag, read.info.size) == ("v", "e", 7)
            assert read.info.attributes.metadata == (("u", "caf\xc3\xa9"),)
        async with client.get("files", "k", "v") as read:
            assert b"".join([chunk async for chunk in read.chunks()]) == b"content"
        async with client.get("files", "k", "v"):
            pass
        assert (await client.head("files", "k")).size == 7


async def test_a_range_that_comes_as_the_whole_is_refused() -> None:
    """The bytes 0-6 would otherwise be taken for the bytes 3-5."""
    async with serve(replying(b"content")) as server, client_of(server) as client:
        with pytest.raises(Corrupt, match="a range was asked"):
            async with client.get("files", "k", first=3, last=5):
                pass


async def test_a_range_tells_its_own_length_and_the_whole() -> None:
    script = replying(b"ten", "206 Partial Content", Content_Range="bytes 3-5/7")
    async with (
        serve(script) as server,
        client_of(server) as client,
        client.get("files", "k", first=3, last=5) as read,
    ):
        assert (read.body_length, read.info.size) == (3, 7)


@pytest.mark.parametrize("said", ["bytes 0-1/5", "bytes 0-6/700"])
async def test_an_answer_that_says_two_lengths_is_refused(said: str) -> None:
    """Callers hold what is small in memory, and they go by the object's size."""
    script = replying(b"content", Content_Range=said)
    async with serve(script) as server, client_of(server) as client:
        with pytest.raises(Corrupt, match="asked for whole"):
            async with client.get("files", "k"):
                pass


async def test_what_is_read_whole_has_a_bound() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(3 * ANSWER_BYTES_MAX >> 20):
                await peer.say(bytes(1 << 20))

    async with serve(script) as server, client_of(server) as client:
        with pytest.raises(ServerFault, match="longer than"):
            async with client.get("files", "k") as read:
                await read.read()


async def test_a_refused_get_says_why_and_its_connection_is_used_again() -> None:
    script = replying(error("NoSuchVersion"), "404 Not Found")
    async with serve(script) as server, client_of(server) as client:
        for _ in range(2):
            with pytest.raises(Gone) as caught:
                async with client.get("files", "k", "v"):
                    pass
    assert caught.value.code == "NoSuchVersion"
    assert "files/k at west" in caught.value.message
    assert server.accepted == 1


async def test_an_object_cut_short_is_corrupt() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    async with serve(script) as server, client_of(server) as client:
        with pytest.raises(Corrupt, match="GetObject files/k at west"):
            async with client.get("files", "k") as read:
                await read.read()


async def test_a_copy_from_a_source_that_breaks_off_is_not_completed() -> None:
    """Piped from GET to PUT: the target never gets what would be a whole request."""
    arrived: list[bytes] = []

    async def source(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabc")

    async def target(peer: Peer) -> None:
        await peer.head()
        arrived.append(await peer.ended())

    async with (
        serve(source) as east,
        serve(target) as west,
        client_of(east) as reader,
        client_of(west) as writer,
    ):
        with pytest.raises(Corrupt, match="ended after 3 of 8"):
            async with reader.get("files", "k") as read:
                await writer.put("files", "k", Stream(read.body_length, read.chunks()))
    assert len(arrived[0]) < 8


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("403 Forbidden", "AccessDenied", Denied),
        ("500 Internal", "InternalError", ServerFault),
    ],
)
async def test_a_refusal_is_raised_as_what_it_means(
    status: str, code: str, expected: type[StoreError]
) -> None:
    async with serve(replying(error(code), status)) as server, client_of(server) as client:
        with pytest.raises(expected) as caught:
            await client.put("files", "k", b"x")
    assert (caught.value.code, caught.value.action) == (code, "PutObject files/k at west")
    assert SECRET not in repr(caught.value) + caught.value.hint


async def test_an_error_inside_a_200_is_raised() -> None:
    async with serve(replying(error("InternalError"))) as server, client_of(server) as client:
        with pytest.raises(ServerFault):
            await client.complete_upload("files", "k", "u", [(1, "e")])


async def test_a_completion_cut_short_is_unknown() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n")

    async with serve(script) as server, client_of(server) as client:
        with pytest.raises(OutcomeUnknown):
            await client.complete_upload("files", "k", "u", [(1, "e")])


async def test_a_skewed_clock_is_told_in_minutes() -> None:
    script = replying(error("RequestTimeTooSkewed"), "403 Forbidden", Date=DATE_IN_TEN_MINUTES)
    async with serve(script) as server, client_of(server) as client:
        with pytest.raises(ClockSkew) as caught:
            await client.list_buckets()
        assert "10 minutes behind west" in caught.value.hint
        assert await client.server_time_offset() == pytest.approx(600)


@pytest.mark.parametrize("date", ["", "never", "Mon, 01 Jan 2024 00:00:00 +99999999999999999"])
async def test_an_answer_without_a_date_tells_no_offset(date: str) -> None:
    script = replying(Date=date) if date else replying()
    async with serve(script) as server, client_of(server) as client:
        with pytest.raises(ServerFault, match="Date"):
            await client.server_time_offset()


async def test_listings_that_never_end_are_refused() -> None:
    parts = b"""<ListPartsResult><IsTruncated>true</IsTruncated>
        <NextPartNumberMarker>1</NextPartNumberMarker>
        <Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>1</Size></Part></ListPartsResult>"""
    uploads = b"""<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>
        <NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>
        </ListMultipartUploadsResult>"""
    async with serve(replying(parts)) as server, client_of(server) as client:
        with pytest.raises(BadListing, match="does not come to an end"):
            await client.list_parts("files", "k", "u")
    async with serve(replying(uploads)) as server, client_of(server) as client:
        with pytest.raises(BadListing, match="does not come to an end"):
            await client.list_uploads("files")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8333", Endpoint("http", "127.0.0.1", 8333)),
        ("https://s3.example/", Endpoint("https", "s3.example", 443)),
        ("http://[::1]:9000", Endpoint("http", "::1", 9000)),
    ],
)
def test_an_endpoint_is_read(url: str, expected: Endpoint) -> None:
    assert Endpoint.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3.example",
        "ftp://s3.example",
        "https://",
        "https://s3.example/base",
        "https://s3.example?x=1",
        "https://me:password@s3.example",
        "http://s3.example:port",
        "https://me:password@s3.example:port",
        "https://me:password@s3\u2100.example",
        "http://[::1",
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused_without_showing_a_secret(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Endpoint.parse(url)
    assert "password" not in str(caught.value)
