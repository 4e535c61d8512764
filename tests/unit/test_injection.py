"""What a client sends is one request, for the object that was meant, whatever the names hold.

Over a socket: the server takes what comes as bytes, and what it reads is compared with what
was asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farshore.config.load import parse
from farshore.core.model import Attributes
from farshore.credentials import Credentials
from farshore.errors import BadRequest, ConfigError, StoreError
from farshore.s3.client import Endpoint, S3Client
from farshore.s3.http import HttpPool
from tests.fuzz.inputs import allowed
from tests.unit.http_server import Peer, Received, serve
from tests.unit.sites import TOML

KEYS = Credentials("access", "secret")
Ask = Callable[[S3Client], Awaitable[object]]
INJECTED = "x HTTP/1.1\r\nHost: evil\r\nx-evil: 1\r\n\r\nDELETE /b HTTP/1.1\r\n\r\n"
NASTY = (
    "/",
    "//",
    "a//b",
    ".",
    "..",
    "../../b/k",
    "a/../../etc/passwd",
    "/etc/passwd",
    "%2e%2e/%2e%2e",
    "%252e",
    "%0d%0aX: y",
    "%",
    "%zz",
    "a?versionId=1&acl",
    "a#b",
    "a b+c",
    "a;b=c",
    "\r\n",
    "a\rb",
    "a\nb",
    "a\0b",
    "\u2028",
    "\u0130",
    "a\\..\\b",
    "\x7f\x1b[2J",
    "http://evil/x",
    "@evil",
    INJECTED,
)
keys = st.text(min_size=1, max_size=40) | st.sampled_from(NASTY)
few = settings(max_examples=60, deadline=None, derandomize=True, database=None)


async def sent(ask: Ask, *, status: str = "200 OK") -> list[Received]:
    """What arrives of one call: every request, and the bytes behind them."""
    heard: list[Received] = []

    async def script(peer: Peer) -> None:
        heard.append(await peer.request())
        await peer.answer(b"", status)
        rest = await peer.ended()
        assert rest == b"", "a second request"

    async with serve(script) as server:
        client = S3Client("east", f"http://127.0.0.1:{server.port}", KEYS)
        with allowed(StoreError):
            await ask(client)
        await client.aclose()
    return heard


def meant(request: Received) -> tuple[str, bytes, list[tuple[str, str]]]:
    """(method, decoded path, query) as a server reads a target."""
    path, _, query = request.target.partition("?")
    return request.method, unquote_to_bytes(path), parse_qsl(query, keep_blank_values=True)


@few
@given(keys)
@example("..")
@example("//")
@example(INJECTED)
async def test_a_key_names_itself_and_nothing_else(key: str) -> None:
    for request in await sent(lambda client: client.put("bucket", key, b"body")):
        assert meant(request) == ("PUT", b"/bucket/" + key.encode(), [])
        assert request.target.isascii()
        assert request.body == b"body"


@few
@given(keys)
@example("1&acl")
@example(INJECTED)
async def test_a_version_id_stays_one_value_of_the_query(version_id: str) -> None:
    async def purge(client: S3Client) -> None:
        await client.delete("bucket", "key", version_id)

    for request in await sent(purge, status="204 No Content"):
        assert meant(request) == ("DELETE", b"/bucket/key", [("versionId", version_id)])


@pytest.mark.parametrize("bucket", [*NASTY, "a", "b/../c", "b/k", "b?acl", "bücket", "b\tc"])
async def test_a_bucket_that_is_none_is_never_asked_for(bucket: str) -> None:
    async def put(client: S3Client) -> None:
        with pytest.raises(BadRequest):
            await client.put(bucket, "key", b"")

    assert await nothing_sent(put)


async def nothing_sent(ask: Ask) -> bool:
    """Whether the server heard nothing at all."""
    heard: list[bytes] = []

    async def script(peer: Peer) -> None:
        if raw := await peer.ended():
            heard.append(raw)

    async with serve(script) as server:
        client = S3Client("east", f"http://127.0.0.1:{server.port}", KEYS)
        try:
            await ask(client)
        finally:
            await client.aclose()
    return not heard


@pytest.mark.parametrize("poison", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "\u0100"])
@pytest.mark.parametrize("place", ["name", "value", "content-type", "tag"])
async def test_metadata_cannot_leave_its_line(poison: str, place: str) -> None:
    attributes = {
        "name": Attributes(metadata=((poison, "v"),)),
        "value": Attributes(metadata=(("n", poison),)),
        "content-type": Attributes(headers=(("content-type", poison),)),
        "tag": Attributes(tags=(("t", poison),)),
    }[place]
    heard = await sent(lambda client: client.put("bucket", "key", b"", attributes))
    assert len(heard) == (1 if place == "tag" else 0)
    for request in heard:  # a tag is percent-encoded
        assert not request.values("x-evil")
        assert parse_qsl(request.values("x-amz-tagging")[0]) == [("t", poison)]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_site_that_redirects_gets_no_signature_sent_elsewhere(status: str) -> None:
    async def elsewhere(peer: Peer) -> None:
        await peer.answer(b"")

    async with serve(elsewhere) as other:

        async def script(peer: Peer) -> None:
            await peer.request()
            to = f"http://127.0.0.1:{other.port}/bucket/key"
            await peer.answer(b"", status, Location=to, x_amz_bucket_region="eu-west-1")

        async with serve(script) as server:
            client = S3Client("east", f"http://127.0.0.1:{server.port}", KEYS)
            with pytest.raises(BadRequest) as refused:
                await client.put("bucket", "key", b"body")
            await client.aclose()
        assert "eu-west-1" in refused.value.hint
        assert other.accepted == 0


@pytest.mark.parametrize("name", ["a: b", "a b", "a(", "a\x7f", "\u00e9"])
async def test_metadata_of_a_name_that_is_no_token_is_not_sent(name: str) -> None:
    """It would be read as another name, or as a value of another."""

    async def put(client: S3Client) -> None:
        with pytest.raises(BadRequest):
            await client.put("bucket", "key", b"", Attributes(metadata=((name, "v"),)))

    assert await nothing_sent(put)


@pytest.mark.parametrize(
    "url",
    [
        "http://h/../x",
        "http://user:secret-word@h",
        "http://h?x",
        "http://h#x",
        "file:///etc/passwd",
        "gopher://h",
        "http://",
        "http://h:99999",
        "http://[::1",
        "//h",
        "h:80",
        "",
    ],
)
def test_an_endpoint_is_scheme_host_and_port(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Endpoint.parse(url)
    assert "secret-word" not in f"{refused.value}{refused.value.hint}"


@pytest.mark.parametrize("poison", ["\\r\\nx: y", "\\t", " ", "\\u0000", "\\u2028"])
def test_an_endpoint_in_the_file_holds_no_blanks(poison: str) -> None:
    text = TOML.replace("http://127.0.0.1:8333", f"http://127.0.0.1{poison}:8333")
    with pytest.raises(ConfigError) as refused:
        parse(text, Path("/nowhere/farshore.toml"))
    assert any("blanks" in problem for problem in refused.value.problems)


@pytest.mark.parametrize("target", [b"/a\r\nx: y", b"/a\nb", b"/a\0b", b"/\xff\r\n"])
async def test_a_target_that_was_not_encoded_is_refused(target: bytes) -> None:
    pool = HttpPool("127.0.0.1", 1, None)
    with pytest.raises(BadRequest):
        await pool.request("GET", target, [], b"")
    await pool.aclose()
