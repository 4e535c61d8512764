"""A request by a presigned URL, from a client that knows nothing but the URL."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import urllib.error
import urllib.request
from http import HTTPStatus

from farshore.errors import (
    BadRequest,
    Denied,
    ServerFault,
    StoreError,
    Throttled,
    Unreachable,
)

URL_SECONDS_MAX = 10.0
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
    """The answer's first MiB. Otherwise `Denied`, `Unreachable`, `Throttled`, `ServerFault` or
    `BadRequest`; the URL's query, the signature, is in none of them."""
    where = f"A presigned {method} of {url.partition('?')[0]}"
    request = urllib.request.Request(url, data=body, method=method)

    def ask() -> bytes:
        with urllib.request.urlopen(request, timeout=seconds_max, context=context) as answer:
            read: bytes = answer.read(ANSWER_BYTES_MAX)
            return read

    try:
        return await asyncio.to_thread(ask)
    except urllib.error.HTTPError as error:
        error.close()
        raise _kind(error.code)(f"{where} answered {error.code}.", status=error.code) from None
    except OSError as error:
        raise Unreachable(f"{where} failed: {error}.") from None
    except http.client.HTTPException as error:  # its words may repeat what the server sent
        raise ServerFault(f"{where} got no HTTP answer ({type(error).__name__}).") from None


def _kind(status: int) -> type[StoreError]:
    if status in _DENIED:
        return Denied
    if status in _THROTTLED:
        return Throttled
    return ServerFault if status >= HTTPStatus.INTERNAL_SERVER_ERROR else BadRequest


def context_of(ca_file: object) -> ssl.SSLContext | None:
    """The authorities in that file (PEM); None: the system's."""
    return ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
