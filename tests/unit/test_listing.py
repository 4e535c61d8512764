"""Listers: every version or `BadListing`, on stores that page well and on one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farshore.core.model import Version
from farshore.errors import BadListing, Refused
from farshore.s3.capabilities import Capabilities
from farshore.s3.listing import Batch, Lister, lister_for
from farshore.s3.listing.ahead import one_ahead
from farshore.s3.listing.directories import FilerLister
from farshore.s3.listing.histories import grouped, settled, within
from farshore.s3.listing.plain import PlainLister
from farshore.s3.listing.split import SplitLister
from farshore.s3.store import VersionPage
from farshore.testing.clock import ManualClock
from farshore.testing.store.call import Call
from farshore.testing.store.lossy import LossyListingStore
from farshore.testing.store.memory import MemoryStore

FAMILY = {
    "a": "...x..", "a-b": ".x", "a.b": ".", "a/b": "........", "a/b/c": "..", "a/c": "x", "a0": ".",
    "many": "." * 25, "many/x": ".", "many-more": ".....", "photos": "..", "photos.d/1": ".",
    "é/ü": "..", "日本": ".", "😀": "x", "\ufffd": "..",
    **{f"photos/{n:02d}": "." for n in range(30)},
    **{f"photos-old/{n:02d}": ".x"[: 1 + n % 2] for n in range(12)},
}  # fmt: skip
"""Keys and what is written to them: "." a version, "x" a delete marker."""


StoreT = TypeVar("StoreT", bound=MemoryStore)


async def filled(store: StoreT, family: dict[str, str] = FAMILY) -> StoreT:
    await store.create_bucket("b")
    await store.put_versioning("b", True)
    for key, entries in family.items():
        for entry in entries:
            if entry == "x":
                await store.delete("b", key)
            else:
                await store.put("b", key, b"body")
    return store


def truth(store: MemoryStore, prefix: str = "", after: str = "") -> Batch:
    versions = [held.version for held in store.dump("b")]
    return [
        history
        for history in grouped(versions, "the truth")
        if history[0].key.startswith(prefix) and history[0].key > after
    ]


async def walked(lister: Lister, prefix: str = "", after: str = "") -> Batch:
    return [history async for batch in lister.walk("b", prefix, after=after) for history in batch]


def memory() -> MemoryStore:
    return MemoryStore("west", clock=ManualClock())


def lossy() -> LossyListingStore:
    return LossyListingStore("west", clock=ManualClock())


@pytest.mark.parametrize("limit", [3, 4, 7, 10, 1000])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "many", "photos", "p", "é", "none"])
async def test_a_plain_walk_on_a_good_store_shows_everything(limit: int, prefix: str) -> None:
    store = await filled(memory())
    lister = PlainLister(store, page_limit=limit)
    assert await walked(lister, prefix) == truth(store, prefix)


@pytest.mark.parametrize("limit", [3, 7, 20, 1000])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "many", "photos", "p", "é", "none"])
async def test_the_filer_walk_on_a_lossy_store_shows_everything(limit: int, prefix: str) -> None:
    store = await filled(lossy())
    lister = FilerLister(store, store, page_limit=limit)
    assert await walked(lister, prefix) == truth(store, prefix)


async def test_the_filer_walk_knows_null_versions_above_their_directory() -> None:
    """A plain file that became a directory, with more below it than a page."""
    store = lossy()
    await store.create_bucket("b")
    await store.put("b", "x", b"null")
    await store.put("b", "y", b"null")
    await store.put_versioning("b", True)
    for number in range(12):
        await store.put("b", f"x/{number:02d}", b"")
    await store.put("b", "y", b"newer")
    lister = FilerLister(store, store, page_limit=5)
    assert await walked(lister) == truth(store)


@pytest.mark.parametrize("limit", [20, 60, 1000])
async def test_a_split_walk_on_a_good_store_shows_everything(limit: int) -> None:
    store = await filled(memory())
    assert await walked(SplitLister(store, page_limit=limit)) == truth(store)


async def test_a_split_walk_on_a_lossy_store_shows_everything_or_refuses() -> None:
    store = await filled(lossy())
    with pytest.raises(BadListing, match=r"'(a|photos|many)'"):
        await walked(SplitLister(store, page_limit=12))
    plain_keys = {"photos/": "", **{k: v for k, v in FAMILY.items() if k not in ("a", "photos")}}
    store = await filled(lossy(), plain_keys)
    assert await walked(SplitLister(store, page_limit=30)) == truth(store)


async def test_a_plain_walk_on_a_lossy_store_is_the_reason_for_all_this() -> None:
    store = await filled(lossy(), {k: v for k, v in FAMILY.items() if k.startswith("photos")})
    found = await walked(PlainLister(store, page_limit=20))
    assert len(found) < len(truth(store))


@pytest.mark.parametrize("make", [PlainLister, SplitLister])
async def test_every_place_can_be_resumed_after(make: type[PlainLister | SplitLister]) -> None:
    store = await filled(memory())
    lister = make(store, page_limit=40)
    for after in ("a", "a-", "a/b", "many", "many/", "photos/07", "z", "\U0010ffff"):
        assert await walked(lister, "", after) == truth(store, "", after)


async def test_the_filer_walk_can_be_resumed_after_every_key() -> None:
    store = await filled(lossy())
    lister = FilerLister(store, store, page_limit=6)
    for history in truth(store):
        after = history[0].key
        assert await walked(lister, "", after) == truth(store, "", after)


@pytest.mark.parametrize("limit", [3, 5, 1000])
async def test_a_history_is_of_exactly_one_key(limit: int) -> None:
    store, holed = await filled(memory()), await filled(lossy())
    for key in (*FAMILY, "absent", "phot"):
        expected = [v for history in truth(store, key) for v in history if v.key == key]
        assert await PlainLister(store, page_limit=limit).history("b", key) == expected
        expected = [v for history in truth(holed, key) for v in history if v.key == key]
        assert await FilerLister(holed, holed, page_limit=limit).history("b", key) == expected


names = st.text(alphabet="ab-/.é", min_size=1, max_size=5).filter(
    lambda key: not key.startswith("/") and "//" not in key and ".." not in key
)
families = st.dictionaries(
    names.filter(lambda key: not key.endswith("/") and "/." not in key and key != "."),
    st.text(alphabet="..x", min_size=1, max_size=9),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(family=families, limit=st.integers(3, 9), after=st.one_of(st.just(""), names))
def test_no_family_of_keys_loses_a_version(family: dict[str, str], limit: int, after: str) -> None:
    async def check() -> None:
        good = await filled(memory(), family)
        assert await walked(PlainLister(good, page_limit=limit), "", after) == truth(
            good, "", after
        )
        holed = await filled(lossy(), family)
        by_filer = FilerLister(holed, holed, page_limit=limit)
        assert await walked(by_filer, "", after) == truth(holed, "", after)
        try:
            found = await walked(SplitLister(holed, page_limit=limit), "", after)
        except BadListing:
            return
        assert found == truth(holed, "", after)

    asyncio.run(check())


class Purging:
    """Purges the version that a listing was about to be resumed from, once."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.purged = ""

    async def before(self, call: Call) -> None:
        if call.operation != "list_versions" or call.number < 2 or self.purged:
            return
        history = [held.version for held in self.store.dump("b") if held.version.key == "long"]
        self.purged = history[3].version_id
        self.store.hook = None
        await self.store.delete("b", "long", self.purged)

    async def after(self, call: Call) -> None:
        return None


class SkippingStore(MemoryStore):
    """As Ceph RGW: a version marker that is gone hides the key's older versions."""

    async def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        version_marker: str = "",
        delimiter: str = "",
        limit: int = 1000,
    ) -> VersionPage:
        page = await super().list_versions(
            bucket,
            prefix=prefix,
            key_marker=key_marker,
            version_marker=version_marker,
            delimiter=delimiter,
            limit=limit,
        )
        known = {held.version.version_id for held in self.dump(bucket)}
        if not version_marker or version_marker in known:
            return page
        return page._replace(entries=[e for e in page.entries if e.key != key_marker])


async def test_a_history_survives_the_purge_of_the_version_it_was_resumed_from() -> None:
    store = await filled(
        SkippingStore("west", clock=ManualClock()), {"long": "." * 12, "longer": "."}
    )
    purging = Purging(store)
    before = {held.version.version_id for held in store.dump("b")}
    lister = PlainLister(store, page_limit=5)
    first = await store.list_versions("b", prefix="long", limit=5)
    store.hook = purging
    history = await lister.history("b", "long")
    assert purging.purged == first.entries[3].version_id
    shown = {version.version_id for version in history}
    left = {h.version.version_id for h in store.dump("b") if h.version.key == "long"}
    assert left <= shown <= before


class ForgetfulStore(MemoryStore):
    """Leaves one key out of every page but the one that ends with it."""

    async def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        version_marker: str = "",
        delimiter: str = "",
        limit: int = 1000,
    ) -> VersionPage:
        page = await super().list_versions(
            bucket,
            prefix=prefix,
            key_marker=key_marker,
            version_marker=version_marker,
            delimiter=delimiter,
            limit=limit,
        )
        if key_marker and page.entries and page.entries[0].key == "k4":
            return page._replace(entries=page.entries[1:])
        return page


async def test_a_key_that_was_seen_and_is_missing_from_the_next_page_is_named() -> None:
    store = await filled(
        ForgetfulStore("west", clock=ManualClock()), {f"k{n}": "." for n in range(9)}
    )
    with pytest.raises(BadListing, match="'k4' was at the end of one page"):
        await walked(PlainLister(store, page_limit=5))


class LosingFilerStore(LossyListingStore):
    """A complete page that lacks a key."""

    async def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        version_marker: str = "",
        delimiter: str = "",
        limit: int = 1000,
    ) -> VersionPage:
        page = await super().list_versions(bucket, prefix=prefix, limit=limit)
        return page._replace(entries=[e for e in page.entries if e.key != "k17"])


async def test_a_key_that_only_the_filer_knows_is_named() -> None:
    store = await filled(
        LosingFilerStore("west", clock=ManualClock()), {f"k{n:02d}": "." for n in range(30)}
    )
    with pytest.raises(BadListing, match="'k17' has versions at the filer"):
        await walked(FilerLister(store, store, page_limit=10))


async def test_a_filer_of_another_bucket_is_noticed() -> None:
    store = await filled(lossy())
    other = await filled(lossy(), {"elsewhere": "."})
    with pytest.raises(BadListing, match="the filer does not name it"):
        await walked(FilerLister(store, other, page_limit=10))


def version(key: str, version_id: str, *, latest: bool = False) -> Version:
    return Version(key, version_id, False, latest, "e", 1, "2026-01-01T00:00:00Z", "STANDARD")


def test_keys_out_of_order_and_repeated_entries_are_named() -> None:
    with pytest.raises(BadListing, match="'a' was listed after 'b'"):
        grouped([version("b", "1"), version("a", "1")], "west b")
    with pytest.raises(BadListing, match="'b' was listed after 'c'"):
        grouped([version("b", "1"), version("c", "1"), version("b", "2")], "west b")
    with pytest.raises(BadListing, match="'a' shows a version twice"):
        grouped([version("a", "1"), version("a", "1")], "west b")


def test_a_latest_null_version_comes_first_and_nothing_else_moves() -> None:
    null = version("a", "null", latest=True)
    assert settled([[version("a", "1"), null]]) == [[null, version("a", "1")]]
    for history in (
        [version("a", "1"), version("a", "2", latest=True)],
        [version("a", "1"), version("a", "null")],
        [version("a", "1", latest=True), version("a", "null", latest=True)],
    ):
        assert settled([list(history)]) == [history]


class LateStore(LossyListingStore):
    """A key that is away from one page, and written again before it is looked for."""

    async def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        version_marker: str = "",
        delimiter: str = "",
        limit: int = 1000,
    ) -> VersionPage:
        page = await super().list_versions(bucket, prefix=prefix, limit=limit)
        if prefix == "k17":
            return page
        return page._replace(entries=[e for e in page.entries if e.key != "k17"])


async def test_a_key_that_was_written_again_since_its_page_takes_its_place() -> None:
    store = await filled(
        LateStore("west", clock=ManualClock()), {f"k{n:02d}": ".." for n in range(30)}
    )
    found = await walked(FilerLister(store, store, page_limit=20))
    assert found == truth(store)


def test_keys_that_are_not_below_the_prefix_are_left_out() -> None:
    entries = [version("a", "1"), version("a.v", "1"), version("a.w", "1")]
    assert [v.key for v in within(entries, "a.v")] == ["a.v"]
    assert within(entries, "a") is entries


async def test_pages_that_go_backwards_or_stand_still_are_refused() -> None:
    class Stuck(MemoryStore):
        async def list_versions(self, bucket: str, **_: object) -> VersionPage:
            return VersionPage([version("k", "1", latest=True)] * 1, [], True, "k", "1")

    class Backwards(MemoryStore):
        pages = 0

        async def list_versions(self, bucket: str, **_: object) -> VersionPage:
            self.pages += 1
            keys = ("m", "n", "o") if self.pages == 1 else ("a", "p", "q")
            return VersionPage([version(k, "1", latest=True) for k in keys], [], True, keys[2], "1")

    with pytest.raises(BadListing):
        await walked(PlainLister(Stuck("west", clock=ManualClock())))
    with pytest.raises(BadListing, match="'a' was listed after 'n'"):
        await walked(PlainLister(Backwards("west", clock=ManualClock())))


async def test_the_next_item_is_fetched_while_the_caller_works_and_no_more() -> None:
    made: list[int] = []
    closed = asyncio.Event()

    async def source() -> AsyncGenerator[int, None]:
        try:
            for number in range(5):
                made.append(number)
                yield number
        finally:
            closed.set()

    async with aclosing(one_ahead(source())) as items:
        assert await anext(items) == 0
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert made == [0, 1]
    assert closed.is_set()


async def test_what_the_source_raises_comes_after_the_items_before_it() -> None:
    async def source() -> AsyncGenerator[int, None]:
        yield 1
        raise BadListing("torn")

    async with aclosing(one_ahead(source())) as items:
        assert await anext(items) == 1
        with pytest.raises(BadListing, match="torn"):
            await anext(items)


def test_the_lister_follows_the_probed_strategy() -> None:
    store = lossy()
    for strategy, kind in (("plain", PlainLister), ("split", SplitLister), ("filer", FilerLister)):
        able = Capabilities.from_json({"listing": strategy, "probed_at": "2026-01-01T00:00:00Z"})
        assert isinstance(lister_for(store, able, filer=store), kind)


def test_an_endpoint_without_a_complete_strategy_is_refused() -> None:
    store = lossy()
    with pytest.raises(Refused, match="west has not been probed"):
        lister_for(store, Capabilities(), filer=None)
    probed = Capabilities(server="Strange/1", probed_at="2026-01-01T00:00:00Z")
    with pytest.raises(Refused, match=r"west \(Strange/1\) was probed at 2026-01-01"):
        lister_for(store, probed, filer=store)
    with pytest.raises(Refused, match="now none is configured"):
        lister_for(store, Capabilities(listing="filer"), filer=None)
