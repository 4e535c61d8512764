"""A request by a presigned URL, from a client that knows nothing but the URL.

Of our own HTTP client, for its bounds: the standard library's follows redirects, to any host,
reads what stands in them to its end, and counts its timeout anew at every byte.
"""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from farshore.errors import (
    BadRequest,
    Denied,
    OutcomeUnknown,
    ServerFault,
    StoreError,
    Throttled,
    Unreachable,
)
from farshore.s3.http import PORTS, HttpPool, tls

URL_SECONDS_MAX = 10.0
"""From the first byte to the last."""

ANSWER_BYTES_MAX = 1 << 20
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_THROTTLED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


async def by_url(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    context: ssl.SSLContext | None = None,
    seconds_max: float = URL_SECONDS_MAX,
) -> bytes:
    """The answer, of a MiB at most. Otherwise `Denied`, `Unreachable`, `Throttled`, `ServerFault`,
    `Corrupt` or `BadRequest`, a redirect among the last; the URL's query, the signature, is in
    none of them. It goes to the URL's host alone, by no proxy."""
    where = f"A presigned {method} of {url.partition('?')[0]}"
    parts = urlsplit(url)
    pool = _pool(parts, context, seconds_max)
    target = f"{parts.path or '/'}?{parts.query}".encode()
    try:
        async with (
            asyncio.timeout(seconds_max),
            await pool.request(
                method, target, [("host", parts.netloc)], body or b"", action=where
            ) as answer,
        ):
            status, read = answer.status, await answer.read(ANSWER_BYTES_MAX)
    except TimeoutError:
        raise Unreachable(f"{where} was not answered within {seconds_max:g} s.") from None
    except OutcomeUnknown as error:
        raise Unreachable(f"{error.message}.") from None
    finally:
        await pool.aclose()
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise _kind(status)(f"{where} answered {status}.", status=status)
    return read


def _pool(parts: SplitResult, context: ssl.SSLContext | None, seconds_max: float) -> HttpPool:
    if parts.scheme not in PORTS or not parts.hostname:
        raise BadRequest("A presigned URL begins with https://host or http://host.")
    sealed = (context or tls(None)) if parts.scheme == "https" else None
    return HttpPool(
        parts.hostname,
        parts.port or PORTS[parts.scheme],
        sealed,
        connections_max=1,
        connect_timeout_s=seconds_max,
        idle_timeout_s=seconds_max,
    )


def _kind(status: int) -> type[StoreError]:
    if status in _DENIED:
        return Denied
    if status in _THROTTLED:
        return Throttled
    return ServerFault if status >= HTTPStatus.INTERNAL_SERVER_ERROR else BadRequest


def context_of(ca_file: object) -> ssl.SSLContext | None:
    """The authorities in that file (PEM); None: the system's. `Unreachable` for a bad file."""
    return tls(str(ca_file)) if ca_file else None
