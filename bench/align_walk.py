"""One walk over two synthetic sides, in this process: `python -m bench.align_walk 1000000`.

The pages are raw XML as S3 writes it, made from a template by one `bytes.replace`, and
their making is left out of the measured CPU. What is measured is the engine's own path:
parse, group, check, join, compare.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import sys
import time
from typing import Any, NamedTuple, cast

from farshore.core.align import compare, identical
from farshore.engine.backfill import joined
from farshore.engine.side import Side
from farshore.s3.capabilities import Capabilities
from farshore.s3.listing.plain import PlainLister
from farshore.s3.store import Store, VersionPage
from farshore.s3.wire.listing import parse_list_versions
from farshore.s3.wire.request import Answer

OWN_ENTRIES = 998
"""Entries of whole histories on each page; two more show the head of the next page's first key."""

HISTORIES = (3, 1, 1, 2, 1, 2)
"""Lengths of neighbouring histories, over and over. The newest of three is a marker."""

PAGE = b"@@PAGE@"
NEXT_PAGE = b"@@NEXT@"
LAGGING = 3
"""The key of each page whose newest version the target does not have."""

_ENTRY = (
    "<{kind}><Key>photos/{page}/image-{key:04d}.jpg</Key><VersionId>{side}{page}{entry:024d}"
    "</VersionId><IsLatest>{latest}</IsLatest><LastModified>2026-03-{day:02d}T10:20:30.000Z"
    "</LastModified>{content}<Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6"
    "caea54ba06a</ID><DisplayName>bench</DisplayName></Owner>{storage}</{kind}>"
)
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListVersionsResult '
    'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>photos</Name><Prefix></Prefix>'
    "<KeyMarker></KeyMarker><VersionIdMarker></VersionIdMarker><EncodingType>url</EncodingType>"
    "<MaxKeys>1000</MaxKeys><IsTruncated>{truncated}</IsTruncated>{following}"
)
_FOLLOWING = (
    "<NextKeyMarker>photos/@@NEXT@/image-0000.jpg</NextKeyMarker>"
    "<NextVersionIdMarker>x</NextVersionIdMarker>"
)
_TAIL = "</ListVersionsResult>"


class Shape(NamedTuple):
    """Keys and entries of one page's whole histories."""

    keys: int
    entries: int


def lengths() -> list[int]:
    """The lengths of a page's histories, `OWN_ENTRIES` in all."""
    whole, rest = divmod(OWN_ENTRIES, sum(HISTORIES))
    return list(HISTORIES) * whole + [1] * rest


def _entry(side: str, page: str, key: int, entry: int, at: int, length: int) -> str:
    is_marker = length == max(HISTORIES) and at == 0
    etag = hashlib.md5(b"%d" % entry, usedforsecurity=False).hexdigest()[len(PAGE) :]
    content = f"<ETag>&quot;{page}{etag}&quot;</ETag><Size>{1000 + entry}</Size>"
    return _ENTRY.format(
        kind="DeleteMarker" if is_marker else "Version",
        page=page,
        key=key,
        side=side,
        entry=entry,
        latest="true" if at == 0 else "false",
        day=1 + entry % 28,
        content="" if is_marker else content,
        storage="" if is_marker else "<StorageClass>STANDARD</StorageClass>",
    )


class SyntheticSide:
    """One side's pages. `lags`: it lacks the newest version of one key on each page."""

    def __init__(self, name: str, pages: int, *, lags: bool) -> None:
        self._pages = pages
        entries = [
            _entry(name, PAGE.decode(), key, number, at, length)
            for number, (key, at, length) in enumerate(
                (key, at, length) for key, length in enumerate(lengths()) for at in range(length)
            )
            if not (lags and key == LAGGING and at == 0)
        ]
        self.shape = Shape(len(lengths()), len(entries))
        head = [_entry(name, NEXT_PAGE.decode(), 0, at, at, HISTORIES[0]) for at in (0, 1)]
        middle = _HEAD.format(truncated="true", following=_FOLLOWING)
        self._template = (middle + "".join(entries + head) + _TAIL).encode()
        last = _HEAD.format(truncated="false", following="")
        self._last = (last + "".join(entries) + _TAIL).encode()

    def page_after(self, key_marker: str) -> bytes:
        """The page that begins after a page's last key, as the walk asks for it."""
        number = int(key_marker.split("/")[1]) + 1 if key_marker else 0
        template = self._last if number == self._pages - 1 else self._template
        page = template.replace(PAGE, b"%07d" % number)
        return page.replace(NEXT_PAGE, b"%07d" % (number + 1))


class PageStore:
    """The one method of a store that a walk needs; counts the CPU that the pages cost."""

    def __init__(self, name: str, pages: SyntheticSide) -> None:
        self.site = name
        self.making_seconds = 0.0
        self._pages = pages

    async def list_versions(
        self, bucket: str, *, key_marker: str = "", **_unused: Any
    ) -> VersionPage:
        """The next page, through farshore's own parser."""
        before = time.process_time()
        body = self._pages.page_after(key_marker)
        self.making_seconds += time.process_time() - before
        return parse_list_versions(Answer(200, {}, body))


class Walked(NamedTuple):
    """What a walk found on its way."""

    pairs: int
    versions: int
    equal: int
    missing: int


async def walk(source: Side, target: Side) -> Walked:
    """Join both sides and compare every key, as a backfill with little to do does."""
    pairs = versions = equal = missing = 0
    async for batch in joined(source, target):
        for pair in batch:
            pairs += 1
            versions += len(pair.source) + len(pair.target)
            if identical(pair.source, pair.target):
                equal += 1
            elif (alignment := compare(pair.source, pair.target)) is not None:
                missing += len(alignment.missing)
    return Walked(pairs, versions, equal, missing)


def _side(store: PageStore) -> Side:
    whole = cast(Store, store)  # a walk calls nothing but list_versions
    return Side(store.site, "photos", whole, PlainLister(whole), Capabilities(listing="plain"))


def peak_mib() -> float:
    """This process's largest resident size so far (VmHWM)."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(versions: int) -> dict[str, float]:
    """Walk `versions` (rounded up to whole pages) on each side; check what was found."""
    pages = math.ceil(versions / OWN_ENTRIES)
    here, there = SyntheticSide("s", pages, lags=False), SyntheticSide("t", pages, lags=True)
    east, west = PageStore("east", here), PageStore("west", there)
    began = time.process_time()
    found = asyncio.run(walk(_side(east), _side(west)))
    cpu = time.process_time() - began - east.making_seconds - west.making_seconds
    keys = here.shape.keys * pages
    entries = (here.shape.entries + there.shape.entries) * pages
    if found != Walked(keys, entries, keys - pages, pages):
        raise RuntimeError(f"the walk over {pages} pages found {found}")
    return {
        "versions": found.versions,
        "pairs": found.pairs,
        "cpu_seconds": cpu,
        "making_seconds": east.making_seconds + west.making_seconds,
        "peak_mib": peak_mib(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
