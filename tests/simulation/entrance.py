"""Simulated processes, and the one door by which the real code reaches simulated sites.

Everything of farshore opens a site by `control.sites.open_store`: here its client is one of the
process that asks, on a line of that process. A process knows its tasks by their context, so
that all of them, and nothing else, end with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from farshore import faultpoints
from farshore.cli import live
from farshore.control import lease, sites
from farshore.control.machine import Process as Named
from farshore.daemon import fences, service
from farshore.errors import Denied, StoreError, Unreachable
from farshore.keyring import Keyring
from farshore.runbook import caught_up, desk, preflight, probed
from farshore.s3.store import Store
from farshore.switch.driver import SwitchDriver
from tests.simulation.network import Network
from tests.simulation.replaced import Place, by_seed, replaced

SLOWER: list[Place] = [
    (live, "TURN_LOOK_S", 4.0),
    (fences, "RECORD_EVERY_S", 4.0),
    (fences, "KNOCK_EVERY_S", 1.0),
    (service, "TRY_AGAIN_S", 10.0),
    (preflight, "DAEMON_LOOK_S", 4.0),
    (caught_up, "LOOK_S", 1.0),
    (caught_up, "AGAIN_S", 0.5),
]
"""Whoever only asks whether something has changed asks less often here: runs are cheaper."""

PRINCIPALS = ("operator", "replicator", "app")
ROUNDS_MAX = 200
"""Times that what is left of a killed process is told to end."""


class Way(Protocol):
    """How a process gets to a site, as one of its users, and to the switch."""

    def line(self, host: Host, site: str, user: str) -> Network: ...
    def drivers(self, host: Host) -> list[SwitchDriver]: ...
    def is_alive(self, number: int) -> bool: ...


@dataclass(eq=False)
class Host:
    """One process. `dies`: it is killed at the request with that number, ahead of the effect or
    after it; `dies_at`: at that place (`farshore.faultpoints`, "NAME:3": the third time)."""

    name: str
    machine: str
    number: int
    way: Way
    lines: list[Network] = field(default_factory=list)
    drivers: list[Any] = field(default_factory=list)
    tasks: dict[asyncio.Task[Any], None] = field(default_factory=dict)
    at_end: list[Callable[[], None]] = field(default_factory=list)
    dead: bool = False
    dies: tuple[int, bool] | None = None
    requests: int = 0
    dies_at: str = ""
    killed_at: str = ""
    passed: dict[str, int] = field(default_factory=dict)
    error: BaseException | None = None

    def passing(self, *, after: bool) -> None:
        """A request is about to have its effect, or has just had it: the process may die here."""
        self.requests += not after
        if self.dies == (self.requests, after):
            self.fall()

    def fall(self) -> None:
        """Die in the middle of something."""
        self.die()
        for task in list(self.tasks):
            task.cancel()

    def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Its first task."""
        context = contextvars.copy_context()
        context.run(HERE.set, self)
        task = asyncio.get_running_loop().create_task(work, context=context)
        self.keep(task)
        return task

    def keep(self, task: asyncio.Task[Any]) -> None:
        self.tasks[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            self.error = task.exception()

    def die(self) -> None:
        """SIGKILL: from now on nothing that it does has an effect. `bury` it soon."""
        if self.dead:
            return
        self.dead = True
        for line in self.lines:
            line.die()
        for driver in self.drivers:
            driver.dead = True
        for end in self.at_end:
            end()

    async def bury(self) -> None:
        """Let its tasks come to their end."""
        self.die()
        for _ in range(ROUNDS_MAX):
            left = list(self.tasks)
            if not left:
                return
            for task in left:
                task.cancel()
            done, _ = await asyncio.wait(left, timeout=1.0)
            for task in done:
                _ = task.cancelled() or task.exception()  # nobody else asks any more


HERE: contextvars.ContextVar[Host | None] = contextvars.ContextVar("host", default=None)


def here() -> Host:
    """The process that this code is of."""
    host = HERE.get()
    assert host is not None, "this is no simulated process"
    return host


def register(task: asyncio.Task[Any]) -> None:
    """For `SimulatedLoop.begun`."""
    host = HERE.get()
    if host is not None:
        host.keep(task)


class SimulatedMachine:
    """What `control.lease` asks of /proc."""

    def this_process(self) -> Named:
        host = here()
        return Named(host.machine, host.machine, host.number, str(host.number))

    def is_gone(self, process: Named) -> bool:
        host = here()
        return process.machine == host.machine and not host.way.is_alive(process.pid)


def _client(site: str, _endpoint: str, keys: Keyring, **_: object) -> Store:
    host = here()
    return host.way.line(host, site, keys.keys.access_key)


async def _by_url(method: str, url: str, body: bytes | None = None, **_: object) -> bytes:
    """A presigned URL of a store in memory, as the application."""
    parts = urlsplit(url)
    site, (bucket, key) = parts.netloc, parts.path.lstrip("/").split("/", 1)
    assert parse_qs(parts.query)["method"] == [method]
    host = here()
    store = host.way.line(host, site, f"{site}-app")
    try:
        if method == "GET":
            async with store.get(bucket, unquote(key)) as answer:
                return await answer.read()
        await store.put(bucket, unquote(key), body or b"")
    except Denied:
        raise
    except StoreError as error:
        raise Unreachable(error.message) from error
    return b""


class _Places:
    """`os`, as far as `faultpoints` uses it: each process dies where it is meant to."""

    @property
    def environ(self) -> dict[str, str]:
        host = HERE.get()
        return {faultpoints.VARIABLE: host.dies_at} if host is not None else {}

    def getpid(self) -> int:
        return here().number

    def kill(self, _pid: int, _signal: int) -> NoReturn:
        host = here()
        host.killed_at = host.dies_at.partition(":")[0]
        host.fall()
        raise asyncio.CancelledError


class _Passed(dict[str, int]):
    """How often each place was passed: a count for each process."""

    def get(self, place: str, default: int = 0) -> int:  # type: ignore[override]  # so it is used
        return here().passed.get(place, default)

    def __setitem__(self, place: str, count: int) -> None:
        here().passed[place] = count

    def __getitem__(self, place: str) -> int:
        return here().passed[place]


def _drivers(_config: object) -> Sequence[SwitchDriver]:
    host = here()
    return host.way.drivers(host)


@contextmanager
def simulated(rng: random.Random) -> Iterator[None]:
    """Until the end of the block, the real code runs in simulated processes."""
    places: list[Place] = [
        *SLOWER,
        (sites, "S3Client", _client),
        (lease, "LinuxMachine", SimulatedMachine),
        (probed, "by_url", _by_url),
        (desk, "open_drivers", _drivers),
        *by_seed(rng),
        (faultpoints, "os", _Places()),
        (faultpoints, "_passed", _Passed()),
    ]
    environment = dict(os.environ)
    os.environ.update(_keys())
    try:
        with replaced(places):
            yield
    finally:
        for name in _keys():
            if name in environment:
                os.environ[name] = environment[name]
            else:
                del os.environ[name]


def _keys() -> dict[str, str]:
    """Access keys that are the users' names, as `tests.unit.sites.TOML` wants them."""
    found = {}
    for site in ("east", "west"):
        for principal in PRINCIPALS:
            name = site.upper() + ("" if principal == "replicator" else f"_{principal.upper()}")
            found[f"{name}_ACCESS_KEY_ID"] = f"{site}-{principal}"
            found[f"{name}_SECRET_ACCESS_KEY"] = "simulated"
    return found
