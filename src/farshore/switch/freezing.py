"""Freeze, drain, thaw: clients' writes wait for a moment, so that none is lost in a flip.

    freeze ──> drain (writes in flight go to 0) ──> flip ──> thaw
       └── the proxies thaw by themselves at the limit, whatever becomes of us

Reads go on all the while. The limit is what SDKs bear. The front door holds a frozen write for
two seconds before its 503, so the five attempts of botocore's default retries last for eight
seconds at least: docs/decisions/0019-frozen-writes-are-held.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from farshore.clock import Clock
from farshore.core.words import at_text
from farshore.faultpoints import reached
from farshore.switch.driver import Freezer, Frozen, SwitchDriver, SwitchError, SwitchUnknown

RETRY_AFTER_MS = 5000
"""What `x-amz-retry-after` says, to SDKs that obey it: newer botocore does, botocore 1.43 by
default does not, and is carried over a freeze by the hold alone (decision 0019)."""

DRAIN_LOOK_S = 0.02
"""Pause between two counts of the writes in flight."""

QUIET_LOOKS = 2
"""Counts of zero in a row that prove the drain: a request may be between two states."""

Sleep = Callable[[float], Awaitable[None]]


def freezers(drivers: Sequence[SwitchDriver]) -> list[Freezer]:
    """Those drivers that can freeze. Empty: writes cannot be asked to wait here."""
    return [cast(Freezer, driver) for driver in drivers if driver.traits.freezes]


def require_freezers(drivers: Sequence[SwitchDriver]) -> list[Freezer]:
    """Like `freezers`; `SwitchError` where there is none."""
    found = freezers(drivers)
    if not found:
        raise SwitchError(
            "No driver of the switch can freeze writes.",
            hint="Put HAProxy before both sites: `farshore export haproxy` writes its "
            "configuration. Without it, stop the application's writes by hand.",
        )
    return found


async def freeze(proxies: Sequence[Freezer], until: float) -> None:
    """Freeze everywhere until `until` (Unix seconds). When one refuses, all are thawed again, and
    the error says of every proxy what became of it: `SwitchUnknown` where one that was told to
    freeze cannot say, or is frozen still."""
    told: list[Freezer] = []
    for proxy in proxies:
        try:
            await proxy.freeze(until, RETRY_AFTER_MS)
        except SwitchError as error:
            told += [proxy] if isinstance(error, SwitchUnknown) else []
            with contextlib.suppress(SwitchError):  # what stands is read below, and said
                await thaw(told)
            untold = [one for one in proxies if one not in told]
            raise _not_frozen(error, await frozen(told), await frozen(untold), until) from error
        told.append(proxy)
    reached("freeze.applied")


def _not_frozen(
    error: SwitchError, told: Sequence[Frozen], untold: Sequence[Frozen], until: float
) -> SwitchError:
    """The error, with what every proxy does now. Nothing was sent to those that are `untold`."""
    through = [one.vantage for one in (*told, *untold) if not one.error and not one.frozen]
    held = [one.vantage for one in (*told, *untold) if one.frozen]
    silent = [one.vantage for one in told if one.error]
    left = [one.vantage for one in untold if one.error]
    limit = at_text(until)
    parts = [
        (through, "not frozen, writes go on"),
        (held, f"STILL FROZEN, until {limit} at most"),
        (silent, f"not known; a freeze there would end by itself at {limit}"),
        (left, "does not answer, and nothing was sent there"),
    ]
    words = "; ".join(f"{', '.join(names)}: {text}" for names, text in parts if names)
    message = f"{error.message.rstrip('.')}. {words}."
    if not held and not silent:
        return SwitchError(message, hint=error.hint)
    hint = "`farshore thaw` lets writes through at every proxy that answers."
    return SwitchUnknown(message, hint=hint)


async def thaw(proxies: Sequence[Freezer]) -> None:
    """Thaw everywhere; every proxy is tried, the first error is raised at the end."""
    results = await asyncio.gather(*(p.thaw() for p in proxies), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def frozen(proxies: Sequence[Freezer]) -> tuple[Frozen, ...]:
    """What every proxy says."""
    answers = await asyncio.gather(*(proxy.frozen() for proxy in proxies))
    return tuple(reading for answer in answers for reading in answer)


@dataclass(frozen=True, slots=True)
class Drained:
    """How a drain ended. `at_first`: writes in flight when it began; `left`: at its end."""

    at_first: int
    left: int
    waited_s: float

    @property
    def is_empty(self) -> bool:
        return self.left == 0


async def drain(
    proxies: Sequence[Freezer],
    site: str,
    deadline: float,
    clock: Clock,
    sleep: Sleep = asyncio.sleep,
) -> Drained:
    """Wait until no write to `site` is in flight, until `deadline` (Unix seconds) at most.

    A clock that is set back meanwhile does not make it longer.
    `SwitchError` or `SwitchUnknown` when a proxy cannot say: then nothing is proved.
    """
    began = clock.monotonic()
    waits_max = deadline - clock.now()
    left = at_first = await _in_flight(proxies, site)
    quiet = 0
    while True:
        quiet = quiet + 1 if left == 0 else 0
        waited = clock.monotonic() - began
        if quiet >= QUIET_LOOKS or waited >= waits_max or clock.now() >= deadline:
            return Drained(at_first, left, waited)
        await sleep(DRAIN_LOOK_S)
        left = await _in_flight(proxies, site)


async def _in_flight(proxies: Sequence[Freezer], site: str) -> int:
    return sum(await asyncio.gather(*(proxy.writes_in_flight(site) for proxy in proxies)))


async def require_frozen(proxies: Sequence[Freezer]) -> None:
    """`SwitchUnknown` when a proxy cannot say, `SwitchError` when one lets writes through."""
    for reading in await frozen(proxies):
        if reading.error:
            raise SwitchUnknown(
                f"Whether {reading.vantage} is frozen is not known: {reading.error}."
            )
        if not reading.frozen:
            raise SwitchError(
                f"{reading.vantage} lets writes through.",
                hint="The freeze has ended by itself, or never began: freeze again.",
            )
