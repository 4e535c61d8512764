"""A raw TCP server on loopback that says exactly what a test tells it to say.

Each accepted connection runs the next script; a connection without a script is closed.
What goes wrong inside a script fails the test that started the server.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SCRIPT_SECONDS_MAX = 20.0


class Received(NamedTuple):
    """One request as it came over the wire; `head` is everything before the body."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    head: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Peer:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> Received:
        """The next request without its body."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [tuple(line.split(": ", 1)) for line in lines]
        return Received(method, target, [(p[0], p[1]) for p in pairs], b"", raw)

    async def request(self) -> Received:
        """The next request with its body."""
        head = await self.head()
        length = int((head.values("content-length") or ["0"])[0])
        return head._replace(body=await self.reader.readexactly(length))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"", status: str = "200 OK", **headers: str) -> None:
        """A plain answer with its Content-Length."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.say("\r\n".join([*lines, "\r\n"]).encode("latin-1") + body)

    async def ended(self) -> bytes:
        """What else the client sends until it closes or resets."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return  # the client was faster


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class ScriptedServer:
    """`accepted` counts connections, `arrived` is set by the first; `scripts` are still to run."""

    scripts: list[Script]
    port: int = 0
    accepted: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    running: list[asyncio.Task[None]] = field(default_factory=list)

    async def on_connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.arrived.set()
        task = asyncio.current_task()
        assert task is not None
        self.running.append(task)
        peer = Peer(reader, writer)
        try:
            if self.scripts:
                async with asyncio.timeout(SCRIPT_SECONDS_MAX):
                    await self.scripts.pop(0)(peer)
        finally:
            await peer.close()


@asynccontextmanager
async def serve(
    *scripts: Script, context: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedServer]:
    """Listen on a free port of 127.0.0.1 until the block ends and every script with it."""
    scripted = ScriptedServer(list(scripts))
    server = await asyncio.start_server(
        scripted.on_connect, "127.0.0.1", 0, ssl=context, limit=1024 * 1024
    )
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        results = await asyncio.gather(*scripted.running, return_exceptions=True)
    failures = [r for r in results if isinstance(r, BaseException)]
    assert not failures, failures


class Authority(NamedTuple):
    """A certificate authority made for one test: its file, and a server's TLS context."""

    ca_file: str
    server: ssl.SSLContext


def authority(folder: Path, address: str = "127.0.0.1") -> Authority:
    """A new CA, and a certificate of it that is good for `address`."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("test authority", ca_key, "test authority", ca_key, "")
    certificate = _certificate("server", key, "test authority", ca_key, address)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return Authority(str(folder / "ca.pem"), context)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    address: str,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=not address, path_length=None), critical=True)
    )
    if address:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
