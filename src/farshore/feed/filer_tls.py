"""Why no connection to a filer's gRPC came about.

gRPC tells of a handshake that failed in words alone, and its words leave out what the other
side said. So a subscription that could not begin is followed by a handshake of our own, which
sends nothing else, and whose errors have kinds.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from farshore.control.seal import Seal

LOOK_SECONDS_MAX = 3.0
"""For the whole of a handshake that only looks, the connection included."""

HTTP2 = "h2"
"""The protocol that gRPC wants named within the handshake (ALPN)."""

_CLEAR = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
"""OpenSSL's reasons for an answer that is no TLS."""


class Trouble(NamedTuple):
    """Why there is no connection. `what` goes behind the filer's name; `refused`: it is we who
    are not let in."""

    what: str
    hint: str
    refused: bool = False


async def look(address: str, seal: Seal | None, site: str) -> Trouble | None:
    """What a handshake finds wrong at host:port; None for nothing, or where nobody answers."""
    place = urlsplit(f"//{address}")
    # Without a seal it trusts nobody: it learns whether TLS is spoken, and never gets further.
    context = seal.context if seal else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols([HTTP2])
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
