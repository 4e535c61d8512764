"""Read your writes: read a key where it was written until the other site surely has it.

The watermark promises: everything written on the source before it is on the target. So a
key that was written here at T can be read at the near site once the watermark is past T.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

KEYS_MAX = 10_000
"""Keys that are remembered. Beyond it the oldest are forgotten, and `where` is careful."""

MARGIN_S = 1.0
"""Times of writes are known to the whole second (Date headers): count from its end."""


ASK_SECONDS_MAX = 2.0
"""A daemon that needs longer for one answer is not there."""

ANSWER_BYTES_MAX = 64 * 1024


def daemon_watermark(url: str) -> Callable[[], float | None]:
    """What `ReadYourWrites` asks: the watermark (Unix seconds) of `farshore run` at this URL,
    such as http://127.0.0.1:9470. None while the daemon is down, or does not know it. Only that
    daemon is asked: no proxy, and no address to which an answer redirects."""

    def ask() -> float | None:
        try:
            mark = json.loads(_asked(url))["watermark"]
            return None if mark is None else datetime.fromisoformat(mark).timestamp()
        except (OSError, http.client.HTTPException, *_NO_MARK):
            return None  # careful: keys are read where they were written

    return ask


_NO_MARK = (ValueError, KeyError, TypeError, OverflowError, RecursionError)


def _asked(url: str) -> bytes:
    parts = urlsplit(url)
    with closing(_connection(parts.scheme, parts.netloc)) as line:
        line.request("GET", f"{parts.path.rstrip('/')}/v1/endpoint")
        answer = line.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise ValueError(f"HTTP {answer.status}")
        return answer.read(ANSWER_BYTES_MAX)


def _connection(scheme: str, place: str) -> http.client.HTTPConnection:
    if scheme == "https":
        trust = ssl.create_default_context()
        return http.client.HTTPSConnection(place, timeout=ASK_SECONDS_MAX, context=trust)
    if scheme != "http":
        raise ValueError("not a URL of a daemon")
    return http.client.HTTPConnection(place, timeout=ASK_SECONDS_MAX)


class ReadYourWrites:
    """Remembers what this process wrote, and where it can be read.

    `near`: the site that is read from by choice. `watermark`: answers Unix seconds by the
    source's clock, or None when it is not known (`daemon_watermark`). Not for several
    threads at once: keep one for each, or one for each user's session.
    """

    def __init__(
        self, near: str, watermark: Callable[[], float | None], *, keys_max: int = KEYS_MAX
    ) -> None:
        self._near = near
        self._watermark = watermark
        self._keys_max = keys_max
        self._written: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._forgotten: tuple[str, float] | None = None

    def wrote(self, key: str, site: str, at: float) -> None:
        """This key was written at that site. `at`: Unix seconds by that site's clock, such as
        the Date header of the answer."""
        self._written[key] = (site, at + MARGIN_S)
        self._written.move_to_end(key)
        while len(self._written) > self._keys_max:
            _, oldest = self._written.popitem(last=False)
            last = self._forgotten
            self._forgotten = oldest if last is None else max(last, oldest, key=lambda w: w[1])

    def answered(self, key: str, site: str, answer: Mapping[str, Any]) -> None:
        """Like `wrote`, with boto3's answer to the write; its Date header says when."""
        date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        self.wrote(key, site, parsedate_to_datetime(date).timestamp())

    def where(self, key: str) -> str:
        """The site to read this key from."""
        written = self._written.get(key, self._forgotten)
        if written is None or written[0] == self._near:
            return self._near
        mark = self._watermark()
        if mark is None or mark < written[1]:
            return written[0]
        self._written.pop(key, None)
        return self._near
