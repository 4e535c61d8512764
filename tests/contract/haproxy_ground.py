"""HAProxies of the tests: three before two sites, and what stands in them."""

from __future__ import annotations

import asyncio
import re
import socket

from farshore.switch.export_haproxy import map_text
from farshore.switch.haproxy import HaproxyDriver
from tests.contract.haproxy_server import Haproxy, asked, switch_of
from tests.contract.switch_suite import EAST, WEST

SITES = (EAST, WEST)
LONG = 4_000_000_000.0
"""A time far away, in Unix seconds."""


def put(proxy: Haproxy, site: str) -> None:
    """Somebody else's flip: in the proxy and in its file."""
    proxy.map.write_text(map_text(site))
    proxy.ask(f"clear map {proxy.map}")
    for line in map_text(site).splitlines():
        proxy.ask(f"add map {proxy.map} {line}")


async def seen_at(proxy: Haproxy) -> str:
    """The site that a client's request reaches."""
    _, site, _ = await asyncio.to_thread(asked, proxy.url)
    return site


def driver_of(proxies: list[Haproxy]) -> HaproxyDriver:
    return HaproxyDriver(switch_of(proxies), SITES)


def one_answer(line: socket.socket) -> bytes:
    """Head and body, by its content-length."""
    answer = b""
    while part := line.recv(65536):
        answer += part
        head, ended, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if ended and length and len(body) >= int(length[1]):
            break
    return answer
