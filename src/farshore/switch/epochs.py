"""The epoch beside the site, where a driver's place has room for it.

It is written when the control record has it, so after the flip: while a place shows a site and
no epoch, which one it belongs to is not known there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from farshore.errors import FarshoreError
from farshore.switch.driver import SwitchDriver


class EpochKeeper(Protocol):
    """A driver whose place says the epoch, too (`Traits.keeps_epoch`)."""

    async def note_epoch(self, site: str, epoch: int) -> None:
        """Write the epoch where that site is shown. Raises as `SwitchDriver.apply`."""
        ...

    async def lacks_epoch(self, site: str, epoch: int) -> bool:
        """Whether that site is shown, with another epoch or none. Changes and raises nothing."""
        ...


async def note_epoch(drivers: Sequence[SwitchDriver], site: str, epoch: int) -> tuple[str, ...]:
    """Tell every driver that keeps it; answers what went wrong, a sentence each. Clients are
    where they should be without it."""
    notes = [_noted(keeper, site, epoch) for keeper in _keepers(drivers)]
    return tuple(trouble for trouble in await asyncio.gather(*notes) if trouble)


async def lacks_epoch(drivers: Sequence[SwitchDriver], site: str, epoch: int) -> bool:
    """Whether a place that shows the site does not say the epoch: who flipped it was killed."""
    found = await asyncio.gather(*(k.lacks_epoch(site, epoch) for k in _keepers(drivers)))
    return any(found)


def _keepers(drivers: Sequence[SwitchDriver]) -> list[EpochKeeper]:
    return [cast(EpochKeeper, driver) for driver in drivers if driver.traits.keeps_epoch]


async def _noted(keeper: EpochKeeper, site: str, epoch: int) -> str:
    try:
        await keeper.note_epoch(site, epoch)
    except FarshoreError as error:
        return f"epoch {epoch} was not written: {error.message}"
    return ""
