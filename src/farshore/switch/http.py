"""`GET /v1/endpoint` of the daemon: what applications that ask it are told.

The daemon answers from the control record, which names the wanted site from the moment a
flip begins. So there is nothing to write here: `apply` waits until the daemon has seen the
record and answers with the new site, and `verify` asks it again.

A daemon that does not answer us is not taken for one that is down: it may be cut off from us and
from the surviving site alone, and go on telling applications the old one. So no flip begins
without its word; who runs it starts it again, or leaves the driver out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from farshore.config.switches import HttpSwitch
from farshore.core.whereabouts import FILE_BYTES_MAX
from farshore.errors import StoreError
from farshore.s3.http import HttpPool
from farshore.switch.driver import DriverPlan, Position, Reading, SwitchError, SwitchUnknown, Traits
from farshore.switch.place import plan_for, stands_already, value_for

TARGET = b"/v1/endpoint"

IDLE_SECONDS_MAX = 3.0
"""An answer comes from memory."""

FOLLOW_SECONDS_MAX = 15.0
"""The daemon reads the control record twice a second, from sites that may be slow."""

FOLLOW_PAUSE_S = 0.1

_NOT_JSON = (json.JSONDecodeError, UnicodeDecodeError, RecursionError)

_OPEN_TO_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Where a daemon that listens everywhere is asked from its own machine."""


class HttpDriver:
    """A `SwitchDriver` of the daemon at host:port; the page is open to whoever reaches it."""

    def __init__(
        self,
        source: HttpSwitch,
        host: str,
        port: int,
        sites: Sequence[str],
        *,
        follow_s_max: float = FOLLOW_SECONDS_MAX,
    ) -> None:
        self._source = source
        self._sites = {site: site for site in sites}
        self._follow_s_max = follow_s_max
        self._vantage = f"daemon {host}:{port}"
        self._pool = HttpPool(
            _OPEN_TO_ALL.get(host, host),
            port,
            None,
            connections_max=1,
            connect_timeout_s=IDLE_SECONDS_MAX,
            idle_timeout_s=IDLE_SECONDS_MAX,
        )

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def traits(self) -> Traits:
        return Traits(cas=False, moves_live_clients=True)

    async def current(self) -> Position:
        return Position((await self._look(),))

    async def plan(self, to: str) -> DriverPlan:
        value_for(self.name, to, self._sites)
        reading = await self._look()
        if reading.error:
            raise SwitchError(
                f"{self.name}: {reading.vantage} cannot be used: {reading.error}.",
                hint="Nothing was changed. Start `farshore run` there: it answers from the control "
                "record of whatever site is up. Where no application asks it, leave this driver "
                "out of farshore.toml.",
            )
        return plan_for(self.name, reading, to, to)

    async def apply(self, plan: DriverPlan) -> None:
        """The control record says what is wanted; the daemon is to have seen it."""
        value_for(self.name, plan.to, self._sites)
        for _ in range(max(1, round(self._follow_s_max / FOLLOW_PAUSE_S))):
            if stands_already(plan, await self._look()):
                return
            await asyncio.sleep(FOLLOW_PAUSE_S)
        raise SwitchUnknown(
            f"{self.name}: {self._vantage} does not answer with {plan.to} after "
            f"{self._follow_s_max:g} s.",
            hint="Does it reach a control bucket? `farshore status` shows what it sees.",
        )

    async def verify(self, to: str) -> Position:
        return await self.current()

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _look(self) -> Reading:
        try:
            site = await self._ask()
        except StoreError as error:
            return Reading(self._vantage, "", "", error.message)
        except (ValueError, RecursionError) as error:
            words = "it is not JSON" if isinstance(error, _NOT_JSON) else str(error)
            return Reading(self._vantage, "", "", f"its answer cannot be used: {words}")
        return Reading(self._vantage, self._sites.get(site, ""), site)

    async def _ask(self) -> str:
        """The site that it tells applications. `ValueError` for an answer of something else."""
        headers = [("accept", "application/json")]
        async with await self._pool.request(
            "GET", TARGET, headers, b"", action="GET /v1/endpoint"
        ) as answer:
            body = await answer.read(FILE_BYTES_MAX)
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        document = json.loads(body)
        site = document.get("site") if isinstance(document, dict) else None
        if not isinstance(site, str):
            raise ValueError("it names no site")
        return site
