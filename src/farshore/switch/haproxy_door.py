"""A proxy's door for clients, asked as a client: where does a request really go?

The exported configuration adds `x-farshore-site` to every answer, its own errors included.
The request carries no credentials: the site says 403, and the header says which site.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from farshore.errors import StoreError
from farshore.s3.http import PORTS, HttpPool, tls
from farshore.switch.haproxy_places import Seen

SITE_HEADER = "x-farshore-site"
ANSWER_SECONDS_MAX = 5.0
"""From the first byte to the last of its head."""

NO_HEADER = f"no {SITE_HEADER}"


class Door:
    """One URL, such as "https://10.0.0.4". `ca_file`: whom to trust; None is the system's."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        self._url = url
        self._ca_file = ca_file
        self.vantage = f"door {url}"

    async def ask(self, seconds_max: float = ANSWER_SECONDS_MAX) -> Seen:
        """The site that answered; what went wrong is in `error`."""
        try:
            async with asyncio.timeout(seconds_max):
                return Seen(self.vantage, await self._ask(seconds_max))
        except TimeoutError:
            words = f"nothing within {seconds_max:g} s"
        except StoreError as error:
            words = error.message
        return Seen(self.vantage, "", f"{self.vantage} does not answer: {words}")

    async def _ask(self, seconds_max: float) -> str:
        pool = self._pool(seconds_max)
        try:
            async with await pool.request("GET", b"/", [], b"", action="GET /") as answer:
                return answer.headers.get(SITE_HEADER) or NO_HEADER
        finally:
            await pool.aclose()

    def _pool(self, seconds_max: float) -> HttpPool:
        parts = urlsplit(self._url)
        ca_file = None if self._ca_file is None else str(self._ca_file)
        return HttpPool(
            parts.hostname or "",
            parts.port or PORTS[parts.scheme],
            tls(ca_file) if parts.scheme == "https" else None,
            connections_max=1,
            connect_timeout_s=seconds_max,
            idle_timeout_s=seconds_max,
        )
