"""Twenty flips of a DNS record on real BIND: when is the new site seen, and where?

`python -m bench.live.records`: an authority that takes signed updates, and a caching resolver
that was asked for the record just before each flip, so that it keeps the old answer for the
whole TTL. Both are asked again and again, past every driver.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.contract.bind_server import RECORD, ZONE, Authority, authority, look_up, resolver

from bench.child import ClientFailed
from bench.figures import Samples
from farshore.config.switches import DnsSwitch, Record
from farshore.switch.dns import DnsDriver, tsig_key

FLIPS = 20
TTL = 2
VALUES = {"east": f"east.{ZONE}", "west": f"west.{ZONE}"}
POLL_SECONDS = 0.002
SEEN_SECONDS_MAX = 3.0 * TTL


def _seen(port: int, site: str) -> float:
    """When the server on that port answers with the site; by the performance counter."""
    deadline = time.perf_counter() + SEEN_SECONDS_MAX
    while time.perf_counter() < deadline:
        if look_up(port) == [f"{VALUES[site]}."]:
            return time.perf_counter()
        time.sleep(POLL_SECONDS)
    raise ClientFailed(f"port {port} never answered with {site}")


def _driver(server: Authority) -> DnsDriver:
    record = Record(RECORD, "CNAME", TTL, VALUES, ())
    source = DnsSwitch("dns", server.address, ZONE, record, "switch", "hmac-sha256", "")
    return DnsDriver(source, tsig_key(source, server.keys.switch), propagation_max_s=60.0)


async def _flips(server: Authority, resolver_port: int) -> Samples:
    server.write("CNAME", f"{VALUES['east']}.", ttl=TTL)
    driver = _driver(server)
    times: dict[str, list[float]] = {"plan": [], "apply": [], "authority": [], "over": []}
    for number in range(FLIPS):
        site = ("west", "east")[number % 2]
        look_up(resolver_port)  # from now on it knows the old answer
        began = time.perf_counter()
        plan = await driver.plan(site)
        planned = time.perf_counter()
        watch = asyncio.create_task(asyncio.to_thread(_seen, server.port, site))
        await driver.apply(plan)
        applied = time.perf_counter()
        times["plan"].append(1000 * (planned - began))
        times["apply"].append(1000 * (applied - planned))
        times["authority"].append(1000 * (await watch - planned))
        followed = await asyncio.to_thread(_seen, resolver_port, site)
        times["over"].append(followed - planned - TTL)
    return {
        "dns: plan, ms": times["plan"],
        "dns: flip, ms": times["apply"],
        "dns: seen at the authority, ms (under 100 is wanted)": times["authority"],
        "dns: seen at a resolver after TTL and …, s (at most 1 is wanted)": times["over"],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("authority", "resolver"):
            (Path(folder) / name).mkdir()
        with (
            authority(Path(folder) / "authority") as server,
            resolver(Path(folder) / "resolver", server) as cache,
        ):
            json.dump(asyncio.run(_flips(server, cache.port)), sys.stdout)


if __name__ == "__main__":
    main()
