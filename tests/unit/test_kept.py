"""Decisions about divergent versions are kept, on servers that obey conditions and on others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farshore.control.kept import Decided, KeptVersions
from farshore.testing.store.memory import EVERYTHING, MemoryStore
from tests.unit.sites import ManualClock

WEAK = replace(EVERYTHING, conditional_create=False, conditional_replace=False)


def _decided(key: str, version_id: str) -> Decided:
    return Decided("files", key, version_id, "keep", "anna", "the primary counts", 1.0)


@pytest.mark.parametrize("strong", [True, False])
async def test_decisions_add_up(strong: bool) -> None:
    store = MemoryStore("west", clock=ManualClock(), capabilities=EVERYTHING if strong else WEAK)
    await store.create_bucket("control")
    for version_id in ("v1", "v2"):
        kept = KeptVersions(store, "control", "pair", "west", strong=strong)
        await kept.add([_decided("k", version_id)])
    again = KeptVersions(store, "control", "pair", "west", strong=strong)
    assert await again.of("files", "k") == {"v1", "v2"}
