"""A proxy's door, asked as a client: it says where it leads, or why it does not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

from farshore.switch.haproxy_door import NO_HEADER, Door
from tests.unit.http_server import Peer, serve


async def test_a_door_says_where_it_leads_whatever_the_site_says() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"no", "403 Forbidden", x_farshore_site="east")

    async def silent(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"", "307 Temporary", Location="http://127.0.0.1:1/")

    async with serve(script, silent) as server:
        door = Door(f"http://127.0.0.1:{server.port}", None)
        assert (await door.ask()).raw == "east"
        assert (await door.ask()).raw == NO_HEADER, "where it redirects to is not asked"


async def test_a_door_that_drips_for_ever_is_given_up() -> None:
    """One interim answer after the other, each in time: the standard library never gave up."""

    async def script(peer: Peer) -> None:
        await peer.head()
        with suppress(ConnectionError):
            for _ in range(20):
                await asyncio.sleep(0.05)  # the drip itself
                await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")

    async with serve(script) as server:
        begun = monotonic()
        seen = await Door(f"http://127.0.0.1:{server.port}", None).ask(0.2)
        assert monotonic() - begun < 0.8
    assert seen.raw == ""
    assert seen.error.endswith("does not answer: nothing within 0.2 s")
