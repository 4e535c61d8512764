"""One process writes to a control bucket at one time, on servers without conditions, too."""

from __future__ import annotations

import asyncio

from farshore.control.ledger import Ledger
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import ManualClock, config_of


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


async def test_two_writers_of_one_process_wait_for_their_turn() -> None:
    config, clock = config_of(), ManualClock()
    site = config.site("east")
    store = MemoryStore("east", clock=clock, capabilities=EVERYTHING)
    await store.create_bucket(site.control_bucket)
    ledger = Ledger(site, store, "pair", strong=False, clock=clock, sleep=_at_once)
    inside: list[str] = []

    async def write(name: str) -> None:
        async with ledger.writing():
            inside.append(f"{name} begins")
            async with ledger.writing():  # under the same lock
                await ledger.put_over(f"{name}.json", {"name": name}, "")
            inside.append(f"{name} ends")

    await asyncio.gather(write("run"), write("note"))
    assert inside == ["run begins", "run ends", "note begins", "note ends"]
