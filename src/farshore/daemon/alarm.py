"""The alarm: the same verdict that `farshore status` gives, told to people without being asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.standing import snapshot_of, stand
from farshore.core.verdict import judge
from farshore.errors import ConfigError
from farshore.watch.notify import Notifier

LOOK_EVERY_S = 10.0


async def ring_for_ever(
    config: Config,
    clock: Clock,
    notifier: Notifier,
    say: Callable[[str], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Ask both sides how things stand, judge, tell. What could not be delivered is said."""
    unable = ""
    while True:
        try:
            standing = await stand(config, clock)
        except ConfigError as error:  # no site's keys can be had: nobody can be asked
            if error.message != unable:
                say(f"how things stand cannot be found out: {error.message}")
            unable = error.message
        else:
            unable = ""
            verdict = judge(snapshot_of(config, standing), config.objectives)
            for failure in await notifier.tell(verdict, clock.now()):
                say(failure)
        await sleep(LOOK_EVERY_S)
