"""TLS to a filer's gRPC: the files of one connection, and why none came about.

Both sides show a certificate (SeaweedFS asks every client for one), and the filer's is always
verified: authority, name and time. There is no way to leave that out.

gRPC tells of a handshake that failed in words alone, and its words leave out what the other
side said. So a subscription that could not begin is followed by a handshake of our own, which
sends nothing else, and whose errors have kinds.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from farshore.config import FilerTls
from farshore.errors import ConfigError

LOOK_SECONDS_MAX = 3.0
"""For the whole of a handshake that only looks, the connection included."""

FILE_BYTES_MAX = 2**20
"""A file of certificates that is larger is something else."""

HTTP2 = "h2"
"""The protocol that gRPC wants named within the handshake (ALPN)."""

_CLEAR = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
"""OpenSSL's reasons for an answer that is no TLS."""

_MISMATCH = "KEY_VALUES_MISMATCH"


@dataclass(frozen=True, slots=True)
class Seal:
    """The files of one connection as they were read: `for_grpc` and `context` say the same."""

    authorities: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    server_name: str
    context: ssl.SSLContext


class Trouble(NamedTuple):
    """Why there is no connection. `what` goes behind the filer's name; `refused`: it is we who
    are not let in."""

    what: str
    hint: str
    refused: bool = False


def read(tls: FilerTls, site: str) -> Seal:
    """The files as they are now. `ConfigError` for one that cannot be used: which, and why."""
    files = _Files(tls, site)
    authorities, certificate = files.text("ca_file"), files.text("cert_file")
    key = files.text("key_file")
    if b"PRIVATE KEY-----" not in key:
        raise files.wrong("key_file", "holds no private key in PEM")
    if b"ENCRYPTED" in key:
        raise files.wrong("key_file", "is locked by a password, and there is nobody to ask for it")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    context.set_alpn_protocols([HTTP2])
    try:
        # Outside of its blocks a PEM file may say anything, in any letters.
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise files.wrong("ca_file", "holds no certificate in PEM that can be read") from None
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")  # never asks at a screen
    except ssl.SSLError as error:
        if error.reason == _MISMATCH:
            raise files.wrong("key_file", "belongs to another certificate than cert_file") from None
        raise files.wrong("cert_file", "is, with key_file, no certificate and its key") from None
    except OSError as error:  # gone since it was read
        raise files.wrong("cert_file", f"cannot be read: {error.strerror}") from None
    return Seal(authorities, certificate, key, tls.server_name, context)


class _Files(NamedTuple):
    tls: FilerTls
    site: str

    def text(self, name: FileName) -> bytes:
        try:
            with self._path(name).open("rb") as opened:
                found = opened.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise self.wrong(name, f"cannot be read: {error.strerror}") from None
        if len(found) > FILE_BYTES_MAX:
            raise self.wrong(name, f"has more than {FILE_BYTES_MAX} bytes: no certificate, no key")
        return found

    def wrong(self, name: FileName, what: str) -> ConfigError:
        return ConfigError(
            f"TLS to the filer of {self.site}: {name} {self._path(name)} {what}.",
            hint=f"See to that file, or to [sites.{self.site}.filer_tls]. The files are read anew "
            "for every connection: a daemon that runs needs no restart.",
        )

    def _path(self, name: FileName) -> Path:
        return {
            "ca_file": self.tls.ca_file,
            "cert_file": self.tls.cert_file,
            "key_file": self.tls.key_file,
        }[name]


FileName = Literal["ca_file", "cert_file", "key_file"]


async def look(address: str, seal: Seal | None, site: str) -> Trouble | None:
    """What a handshake finds wrong at host:port; None for nothing, or where nobody answers."""
    place = urlsplit(f"//{address}")
    context = seal.context if seal else _stranger()
    name = (seal.server_name if seal else "") or place.hostname
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(
                place.hostname, place.port, ssl=context, server_hostname=name
            )
            try:
                if writer.get_extra_info("ssl_object").selected_alpn_protocol() != HTTP2:
                    return _without_http2()
                return None if await _lets_in(reader) else _refused("it hangs up", site)
            finally:
                writer.transport.abort()
    except ssl.SSLError as error:
        return _trouble(error, site) if seal else _needless(error, site)
    except OSError:  # TimeoutError is one
        return None


async def _lets_in(reader: asyncio.StreamReader) -> bool:
    """In TLS 1.3 our certificate is judged when the handshake is over for us. A server of HTTP/2
    speaks first; one that does not know us ends the connection, with an alert or without."""
    try:
        return bool(await reader.read(1))
    except ConnectionResetError:
        return False


def _stranger() -> ssl.SSLContext:
    """Trusts nobody: it learns whether TLS is spoken, and no handshake of it ever ends well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols([HTTP2])
    return context


def _needless(error: ssl.SSLError, site: str) -> Trouble | None:
    if error.reason in _CLEAR:
        return None
    return Trouble(
        "speaks TLS, and there is none for it in the configuration",
        f"Write [sites.{site}.filer_tls] with ca_file, cert_file and key_file.",
    )


def _without_http2() -> Trouble:
    return Trouble(
        'speaks TLS, and not HTTP/2 within it (no ALPN "h2")',
        "`filer_grpc` must be the gRPC port of a SeaweedFS filer; a proxy before it must let "
        "HTTP/2 through.",
    )


def _trouble(error: ssl.SSLError, site: str) -> Trouble:
    table = f"[sites.{site}.filer_tls]"
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(
            f"shows a certificate that is not trusted: {error.verify_message.rstrip('.')}",
            f"`ca_file` in {table} must be the authority of the filer's certificate, `server_name` "
            "the name in it where that is not the address's. If both are right, somebody else "
            "answers there.",
        )
    if error.reason in _CLEAR:
        return Trouble(
            "does not speak TLS",
            "Nothing was sent. Give its security.toml [grpc] ca and [grpc.filer] cert and key, and "
            f"restart it; or somebody stands in between. For a network that you trust: no {table}.",
        )
    if "_ALERT_" in (error.reason or ""):
        return _refused(error.reason, site)
    return Trouble(
        f"breaks the TLS handshake off ({error.reason or type(error).__name__})",
        "Look at the filer's log; `filer_grpc` must be the gRPC port of a SeaweedFS filer.",
    )


def _refused(how: str, site: str) -> Trouble:
    return Trouble(
        f"refuses our certificate ({how})",
        f"`cert_file` in [sites.{site}.filer_tls] must be by the authority in `ca` of its "
        "security.toml, not have ended, be good for clients (clientAuth), and have a name that its "
        "`allowed_commonNames` allow.",
        refused=True,
    )
