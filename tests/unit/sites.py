"""Two sites in memory, a configuration for them, and clocks and faults under control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from farshore.config import Config
from farshore.config.load import parse
from farshore.control.bucket import Access
from farshore.errors import StoreError
from farshore.testing.store.call import Call
from farshore.testing.store.memory import EVERYTHING, MemoryStore

TOML = """\
[sites.east]
endpoint = "http://127.0.0.1:8333"
[sites.east.credentials]
operator = { env = "EAST_OPERATOR" }
replicator = { env = "EAST" }
app = { env = "EAST_APP" }
[sites.west]
endpoint = "http://127.0.0.1:8334"
[sites.west.credentials]
operator = { env = "WEST_OPERATOR" }
replicator = { env = "WEST" }
app = { env = "WEST_APP" }
[pair]
source = "east"
target = "west"
[[pair.buckets]]
source = "files"
"""


class ManualClock:
    """Time that moves when a test says so."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class Faults:
    """A store's hook: `refuse` answers the error that an operation must raise, or None."""

    def __init__(self, refuse: Callable[[Call], StoreError | None]) -> None:
        self._refuse = refuse
        self.calls: list[Call] = []

    async def before(self, call: Call) -> None:
        self.calls.append(call)
        if error := self._refuse(call):
            raise error

    async def after(self, call: Call) -> None:
        pass


def config_of(text: str = TOML, path: Path = Path("/nowhere/farshore.toml")) -> Config:
    return parse(text, path)


def store_of(site: str, clock: ManualClock, *, skew_seconds: float = 0.0) -> MemoryStore:
    return MemoryStore(
        site, clock=clock, capabilities=EVERYTHING, clock_offset_seconds=skew_seconds
    )


def access_of(config: Config, store: MemoryStore) -> Access:
    """All principals share one store: nobody is refused anything."""
    return Access(config.site(store.site), store, store, store)
