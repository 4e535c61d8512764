"""What the places of a switch see of the sites: a proxy that finds a site down sends it nobody.

A flip to such a site would be obeyed at once, and clients would be answered 503 until the
proxy's own checks have found the site up, seconds after it has come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from farshore.switch.driver import SwitchDriver


class Watcher(Protocol):
    """A driver whose places look after the sites themselves (`Traits.watches`)."""

    async def shut_to(self, site: str) -> tuple[str, ...]:
        """Why clients sent to that site would be turned away, one sentence for each place;
        empty when they would be let through. `SwitchError` when a place cannot say."""
        ...


async def shut_to(drivers: Sequence[SwitchDriver], site: str) -> tuple[str, ...]:
    """Of every driver that watches, each sentence with its name. Raises as `Watcher.shut_to`."""
    watching = [driver for driver in drivers if driver.traits.watches]
    found = await asyncio.gather(*(cast(Watcher, driver).shut_to(site) for driver in watching))
    return tuple(
        f"{driver.name}: {text}"
        for driver, texts in zip(watching, found, strict=True)
        for text in texts
    )
