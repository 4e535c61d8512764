"""The configured rates are obeyed by every side that is opened."""

from __future__ import annotations

from farshore.config.values import Limits
from farshore.engine.session import paced
from farshore.s3.pace import Limited
from farshore.testing.clock import ManualClock
from farshore.testing.store.memory import MemoryStore


def limits(requests: float = 0.0, rate: int = 0) -> Limits:
    return Limits(
        requests_per_s=requests, bytes_per_s=rate, concurrency_max=1, memory_bytes=1 << 24
    )


def test_without_rates_a_store_is_itself() -> None:
    store = MemoryStore("east", clock=ManualClock())
    assert paced(store, limits()) is store


def test_either_rate_puts_the_store_behind_a_gate() -> None:
    store = MemoryStore("east", clock=ManualClock())
    assert isinstance(paced(store, limits(requests=5.0)), Limited)
    assert isinstance(paced(store, limits(rate=1000)), Limited)
