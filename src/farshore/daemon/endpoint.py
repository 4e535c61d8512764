"""`GET /v1/endpoint`: where clients go, for applications that ask instead of reading a file.

    GET /v1/endpoint                        the answer, with an ETag
    … If-None-Match: ETAG                   304 while it is the same
    … ?wait=30 and If-None-Match            the answer as soon as it changes, else 304 after 30 s
    … Accept: text/event-stream             an event now and at every change

The answer comes from the control record, which is read twice a second; it names the wanted site
from the moment a flip begins. It holds no secret: site names, URLs, the watermark.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.record import open_plane
from farshore.control.status import moment_text
from farshore.core.document import digest_of
from farshore.core.record import ControlRecord
from farshore.core.whereabouts import Whereabouts
from farshore.errors import FarshoreError

LOOK_EVERY_S = 0.5
"""How often the control record is read: a flip is told within this time."""

WAIT_SECONDS_MAX = 60.0
"""The longest wait for a change that a caller may ask for."""

LISTENERS_MAX = 1000
"""Callers that wait at one time; beyond it they are asked to come again."""

KEEP_ALIVE_S = 15.0
"""An event stream says something this often, so that a dead reader is noticed."""

Watermark = Callable[[], float | None]


class EndpointDesk:
    """Knows the last record, and wakes those who wait for another one."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        watermark: Watermark,
        *,
        listeners_max: int = LISTENERS_MAX,
    ) -> None:
        self._listeners_max = listeners_max
        self._config = config
        self._clock = clock
        self._watermark = watermark
        self._changed = asyncio.Condition()
        self._now: Whereabouts | None = None
        self._waiting = 0
        self.trouble = "the control record has not been read yet"

    async def follow(self) -> None:
        """Read the record for ever. What goes wrong is `trouble`, and tried again."""
        async with open_plane(self._config, self._clock) as plane:
            while True:
                try:
                    view = await plane.peek()
                    if view.answering:
                        await self.tell(view.record)
                    else:
                        self.trouble = "neither control bucket answers"
                except FarshoreError as error:
                    self.trouble = error.message
                await asyncio.sleep(LOOK_EVERY_S)

    async def tell(self, record: ControlRecord) -> None:
        """The record as it stands; wakes everybody when it sends clients elsewhere."""
        site = record.switch.wanted
        pair = self._config.pair
        sites = {name: self._config.site(name).endpoint for name in (pair.source, pair.target)}
        at = moment_text(record.switch.at) if record.switch.at else ""
        now = Whereabouts(pair.name, site, sites.get(site, ""), record.epoch, at, sites)
        self.trouble = ""
        if now == self._now:
            return
        async with self._changed:
            self._now = now
            self._changed.notify_all()

    def routes(self) -> list[Route]:
        """The one route, open like the metrics: keep the daemon to a private address."""
        return [Route("/v1/endpoint", self._answer)]

    async def _answer(self, request: Request) -> Response:
        if self._now is None:
            return JSONResponse({"error": self.trouble}, status_code=503)
        if "text/event-stream" in request.headers.get("accept", ""):
            if self._waiting >= self._listeners_max:
                return _too_many()
            return StreamingResponse(self._events(), media_type="text/event-stream")
        known = request.headers.get("if-none-match", "")
        wait_s = _seconds(request.query_params.get("wait", "0"))
        if wait_s is None:
            return JSONResponse({"error": "wait is a number of seconds"}, status_code=400)
        if known == self._etag and wait_s:
            if self._waiting >= self._listeners_max:
                return _too_many()
            await self._other_than(known, min(wait_s, WAIT_SECONDS_MAX))
        if known == self._etag:
            return Response(status_code=304, headers={"ETag": self._etag})
        return JSONResponse(self._body(), headers={"ETag": self._etag, "Cache-Control": "no-cache"})

    async def _other_than(self, etag: str, seconds: float) -> None:
        """Return when the answer is another one, or the time is over."""
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._etag != etag)
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    async def _events(self) -> AsyncIterator[bytes]:
        """One event now, one at each change, a comment now and then; until the reader goes."""
        etag = ""
        while True:
            if etag != self._etag:
                etag = self._etag
                yield f"event: endpoint\ndata: {json.dumps(self._body())}\n\n".encode()
            else:
                yield b": still here\n\n"
            await self._other_than(etag, KEEP_ALIVE_S)

    @property
    def _etag(self) -> str:
        """Of what sends clients somewhere: the watermark, which moves on, is no part of it."""
        return f'"{digest_of(self._named())[:16]}"'

    def _named(self) -> dict[str, Any]:
        assert self._now is not None, "asked only once it is known"
        body = self._now._asdict()
        return body | {"endpoint_url": body.pop("endpoint"), "sites": dict(self._now.sites)}

    def _body(self) -> dict[str, Any]:
        mark = self._watermark()
        return {**self._named(), "watermark": None if mark is None else moment_text(mark)}


def _too_many() -> Response:
    return JSONResponse({"error": "too many wait"}, status_code=503)


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
