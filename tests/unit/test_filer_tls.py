"""TLS to a filer: both sides verified, rotated without a restart, every failure told.

Against a real SeaweedFS: tests/lab/test_other_roads.py.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from farshore.config import FilerTls
from farshore.control import seal
from farshore.control.sites import open_filer
from farshore.daemon.outlook import outlook
from farshore.errors import ConfigError, Denied, StoreError, Unreachable
from farshore.feed import filer_tls
from farshore.feed.filer import FilerFeed
from farshore.feed.open import open_feeds
from farshore.lab.seaweed import Certificates
from farshore.lab.tls import make_certificates
from farshore.s3.blocks import Blocks
from farshore.s3.connection import Connection
from farshore.testing.clock import ManualClock
from tests.unit.http_server import Peer, ScriptedServer, serve
from tests.unit.sites import TOML, config_of
from tests.unit.test_filer_feed import END, NOW, Kept, OurFiler, change, failure, read

ENCRYPTED = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"


def made(folder: Path) -> Certificates:
    files = Certificates.of(folder)
    make_certificates(files)
    return files


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("strange"))


def sealed(files: Certificates) -> OurFiler:
    """As SeaweedFS does: nobody without a certificate is heard."""
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    return OurFiler(grpc.ssl_server_credentials([pair], files.ca.read_bytes(), True))


@pytest.fixture
async def ours(known: Certificates) -> AsyncIterator[OurFiler]:
    filer = sealed(known)
    await filer.server.start()
    yield filer
    await filer.server.stop(None)


@pytest.fixture
async def clear() -> AsyncIterator[OurFiler]:
    filer = OurFiler()
    await filer.server.start()
    yield filer
    await filer.server.stop(None)


def feed_of(filer: OurFiler | ScriptedServer, tls: FilerTls | None) -> FilerFeed:
    kept = Kept()
    return FilerFeed(
        "east",
        f"127.0.0.1:{filer.port}",
        ["files"],
        get_cursor=kept.get,
        set_cursor=kept.set,
        tls=tls,
        clock=ManualClock(NOW),
    )


@pytest.mark.parametrize("name", ["", "localhost"])
async def test_both_sides_are_verified_and_hints_come(
    ours: OurFiler, known: Certificates, name: str
) -> None:
    ours.say(change(1, "k"))
    (one,) = await read(feed_of(ours, replace(known.client, server_name=name)), 1)
    assert [hint.key for hint in one.hints] == ["k"]


Change = Callable[[Certificates, Certificates], FilerTls | None]

REFUSED: dict[str, tuple[Change, type[StoreError], str]] = {
    "in the clear": (
        lambda known, strange: None,
        Unreachable,
        "speaks TLS, and there is none for it in the configuration",
    ),
    "another authority": (
        lambda known, strange: replace(known.client, ca_file=strange.ca),
        Unreachable,
        "not trusted: unable to get local issuer certificate",
    ),
    "another name": (
        lambda known, strange: replace(known.client, server_name="filer.example"),
        Unreachable,
        "not valid for 'filer.example'",
    ),
    "a stranger's certificate": (
        lambda known, strange: replace(strange.client, ca_file=known.ca),
        Denied,
        "refuses our certificate",
    ),
    "another's key": (
        lambda known, strange: replace(known.client, key_file=strange.client.key_file),
        Denied,
        "belongs to another certificate",
    ),
    "a missing file": (
        lambda known, strange: replace(known.client, cert_file=known.ca.with_name("none")),
        Denied,
        "cannot be read: No such file or directory",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_nobody_is_heard_whom_the_other_side_does_not_know(
    ours: OurFiler, known: Certificates, strange: Certificates, case: str
) -> None:
    changed, kind, words = REFUSED[case]
    ours.say(change(1, "k"))
    error = await failure(feed_of(ours, changed(known, strange)))
    assert type(error) is kind
    assert words in error.message
    assert "filer_tls]" in error.hint
    assert ours.asked == []


async def test_a_filer_in_the_clear_is_told_nothing(clear: OurFiler, known: Certificates) -> None:
    error = await failure(feed_of(clear, known.client))
    assert "does not speak TLS" in error.message
    assert clear.asked == []


async def test_what_speaks_tls_and_is_no_filer_is_told_so(known: Certificates) -> None:
    """A proxy, or another port of the filer: the right certificate, and no HTTP/2 within."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(known.certificate, known.key)
    heard: list[bytes] = []

    async def script(peer: Peer) -> None:
        heard.append(await peer.ended())

    async with serve(*[script] * 8, context=context) as server:
        error = await failure(feed_of(server, known.client))
    assert "not HTTP/2 within it" in error.message
    assert "gRPC port" in error.hint
    assert b"".join(heard) == b""


async def test_one_that_is_down_is_only_that(clear: OurFiler, known: Certificates) -> None:
    await clear.server.stop(None)
    for tls in (None, known.client):
        error = await failure(feed_of(clear, tls))
        assert "is lost (UNAVAILABLE)" in error.message


async def test_a_subscription_that_begins_anew_shows_the_new_certificate(
    ours: OurFiler, known: Certificates, strange: Certificates, tmp_path: Path
) -> None:
    """The first begins with a stranger's, and is refused; the same feed, then, with the right."""
    tls = FilerTls(known.ca, tmp_path / "client.pem", tmp_path / "client.key")
    feed = feed_of(ours, tls)
    for files, is_known in ((strange.client, False), (known.client, True)):
        shutil.copy(files.cert_file, tls.cert_file)
        shutil.copy(files.key_file, tls.key_file)
        if is_known:
            ours.say(change(1, "k"), END)
            assert await read(feed, 1)
        else:
            assert "refuses our certificate" in (await failure(feed)).message


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("ca_file", "", "ca_file {} holds no certificate"),
        ("ca_file", "\xe4", "ca_file {} holds no certificate"),
        ("cert_file", "nothing", "cert_file {} is, with key_file, no certificate"),
        ("key_file", "nothing", "key_file {} holds no private key"),
        ("key_file", ENCRYPTED, "key_file {} is locked by a password"),
        ("key_file", ENCRYPTED.replace("ENCRYPTED ", ""), "is, with key_file, no certificate"),
        ("key_file", "x" * (seal.FILE_BYTES_MAX + 1), "key_file {} has more than"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    known: Certificates, tmp_path: Path, name: str, text: str, words: str
) -> None:
    changed: dict[str, Any] = {name: tmp_path / "given.pem"}
    path = changed[name]
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        seal.read(replace(known.client, **changed), "east")
    assert words.format(path) in caught.value.message
    assert "[sites.east.filer_tls]" in caught.value.hint


def test_a_bundle_may_say_whose_its_certificates_are(known: Certificates, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes("# Autorité\n".encode() + known.ca.read_bytes())
    found = seal.read(replace(known.client, ca_file=bundle), "east")
    assert len(found.context.get_ca_certs()) == 1


def test_the_key_is_not_shown(known: Certificates) -> None:
    found = seal.read(known.client, "east")
    assert found.key in known.client.key_file.read_bytes()
    assert repr(found.key)[2:60] not in repr(found)


async def test_listings_by_https_show_the_certificate_that_is_there_now(
    known: Certificates, tmp_path: Path
) -> None:
    """No restart: the same filer, first without a key, then with one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(known.certificate, known.key)
    context.load_verify_locations(known.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = replace(known.client, key_file=tmp_path / "client.key", server_name="localhost")

    async def script(peer: Peer) -> None:
        for _ in range(2):  # the versions, and what the plain name is
            await peer.head()
            await peer.answer(b"", "404 Not Found")

    async with serve(script, context=context) as server:
        named = config_of(TOML)
        east = replace(named.source, filer=f"https://127.0.0.1:{server.port}", filer_tls=tls)
        async with open_filer(replace(named, sites={**named.sites, "east": east}), "east") as filer:
            assert filer is not None
            with pytest.raises(Denied, match="cannot be read: No such file"):
                await filer.history("files", "k")
            shutil.copy(known.client.key_file, tls.key_file)
            assert await filer.history("files", "k") == []


async def test_what_tls_said_of_us_is_told() -> None:
    """In TLS 1.3 a server refuses a client when that one has begun to ask."""
    lost: list[Connection] = []
    connection = Connection(idle_timeout_s=1.0, body_buffer=1, on_lost=lost.append, blocks=Blocks())
    error = ssl.SSLError(1, "as OpenSSL puts it")
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    connection.connection_lost(error)
    assert lost == [connection]
    assert connection.lost == "the connection broke (TLSV13_ALERT_CERTIFICATE_REQUIRED)"


# -- from the configuration ------------------------------------------------------------

TLS = """[sites.{0}.filer_tls]
ca_file = "ca.pem"
cert_file = "client.pem"
key_file = "client.key"
"""


def written(folder: Path, *sites: str, more: str = "") -> str:
    text = TOML.replace("[sites.east]\n", '[sites.east]\nfiler_grpc = "127.0.0.1:1"\n')
    text = text.replace("[sites.west]\n", '[sites.west]\nfiler_grpc = "127.0.0.1:1"\n')
    return text + "".join(TLS.format(site) for site in sites) + more


async def never(name: str, value: str) -> None:
    raise AssertionError("nothing is read, so nothing is kept")


def test_files_lie_beside_the_configuration(known: Certificates) -> None:
    folder = known.ca.parent
    config = config_of(
        written(folder, "east", more='server_name = "Filer"\n'), folder / "farshore.toml"
    )
    assert config.source.filer_tls == replace(known.client, server_name="filer")
    assert config.target.filer_tls is None
    open_feeds(config, get_cursor=str, set_cursor=never)


def test_a_daemon_does_not_start_without_its_files_and_the_check_says_so(tmp_path: Path) -> None:
    config = config_of(written(tmp_path, "east", "west"), tmp_path / "farshore.toml")
    with pytest.raises(ConfigError, match=f"ca_file {tmp_path / 'ca.pem'} cannot be read"):
        open_feeds(config, get_cursor=str, set_cursor=never)
    told = [sentence for sentence in outlook(config, {}) if "does not start" in sentence]
    assert [sentence.split()[5] for sentence in told] == ["east:", "west:"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("verify = false\n", "verify: there is no such key"),
        ('server_name = "https://x"\n', "server_name: write a full name"),
        ('server_name = "*"\n', "server_name: write a full name"),
    ],
)
def test_what_may_not_stand_there(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(written(tmp_path, "east", more=more))
    assert words in "".join(caught.value.problems)


def test_without_an_address_there_is_nothing_to_verify() -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(TOML + TLS.format("east"))
    assert "filer_tls is for filer_grpc, or a filer with https" in "".join(caught.value.problems)


async def test_closing_does_not_wait_for_a_look(known: Certificates) -> None:
    """Somebody accepts, and says nothing: whoever closes the feed meanwhile has it closed."""
    connected = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = seal.read(known.client, "east")
        looking = asyncio.create_task(filer_tls.look(address, found, "east"))
        await connected.wait()
        looking.cancel()
        async with asyncio.timeout(filer_tls.LOOK_SECONDS_MAX / 2):
            with pytest.raises(asyncio.CancelledError):
                await looking
