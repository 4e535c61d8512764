"""The contract of keys: any UTF-8 of 1 to 1024 bytes, kept byte for byte."""

from __future__ import annotations

import pytest

from farshore.errors import Gone, StoreError
from farshore.lab.odd_keys import ODD_KEYS, Fate, OddKey
from farshore.s3.store import Store

from .history import keys, md5_hex, read
from .traits import Traits


class KeySuite:
    """Every odd key meets the fate that is declared for this server."""

    @pytest.mark.parametrize("odd", ODD_KEYS, ids=lambda odd: odd.why)
    async def test_an_odd_key(
        self, store: Store, odd_bucket: str, traits: Traits, odd: OddKey
    ) -> None:
        assert await _fate(store, odd_bucket, odd.key) == odd.fate(traits.odd_keys)

    async def test_neighbours_stay_apart(self, store: Store, bucket: str, traits: Traits) -> None:
        """All keys that are kept, in one bucket: one does not replace another."""
        kept = sorted(o.key for o in ODD_KEYS if o.fate(traits.odd_keys) is Fate.KEPT)
        for key in kept:
            await store.put(bucket, key, key.encode())
        assert keys((await store.list_versions(bucket)).entries) == kept
        for key in kept:
            assert (await store.head(bucket, key)).etag == md5_hex(key.encode())


async def _fate(store: Store, bucket: str, key: str) -> Fate:
    """Write the key, and look for it."""
    body = key.encode()
    try:
        await store.put(bucket, key, body)
    except StoreError:
        return Fate.REFUSED
    try:
        listed = keys((await store.list_versions(bucket, prefix=key)).entries)
    except StoreError:
        return Fate.UNLISTABLE
    if key not in listed:
        return Fate.ELSEWHERE
    try:
        content = await read(store, bucket, key)
    except Gone:
        return Fate.ELSEWHERE
    return Fate.KEPT if content == body else Fate.EMPTIED
