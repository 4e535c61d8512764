"""A proxy's door for clients, asked as a client: where does a request really go?

The exported configuration adds `x-farshore-site` to every answer, its own errors included.
The request carries no credentials: the site says 403, and the header says which site.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from farshore.switch.haproxy_places import Seen

SITE_HEADER = "x-farshore-site"
ANSWER_SECONDS_MAX = 5.0
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
            return Seen(self.vantage, await asyncio.to_thread(self._ask, seconds_max))
        except (OSError, http.client.HTTPException) as error:
            words = str(error) or type(error).__name__
            return Seen(self.vantage, "", f"{self.vantage} does not answer: {words}")

    def _ask(self, seconds_max: float) -> str:
        asked = self._connection(seconds_max)
        try:
            asked.request("GET", "/", headers={"connection": "close"})
            return asked.getresponse().headers.get(SITE_HEADER) or NO_HEADER
        finally:
            asked.close()

    def _connection(self, seconds_max: float) -> http.client.HTTPConnection:
        parts = urlsplit(self._url)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=seconds_max)
        trust = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(parts.netloc, timeout=seconds_max, context=trust)
