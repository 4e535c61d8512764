"""Keys that real servers lose between pages, and a look whether a lister finds them all.

The crowd has more than a page of keys: `photos/…` beside `photos-old/…`, which sorts
before it and which a server that keeps directories visits after it. The family is
small and walked in pages of a few entries, so that every kind of neighbour (`a`, `a-b`,
`a/b`, one key with many versions, markers) meets a page's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import NamedTuple

from farshore.core.model import Version
from farshore.errors import BadListing, Unsupported
from farshore.s3.listing.lister import Lister
from farshore.s3.probe.scratch import Scratch, Wrote, in_parallel

CROWD = 1030
"""Just above S3's page of 1,000."""

SMALL_PAGE = 10
EXAMPLES_MAX = 5

MakeLister = Callable[[int], Lister]
"""A lister with this many entries to a page."""


class Verdict(NamedTuple):
    """Whether every version was found, and one sentence of evidence."""

    complete: bool
    evidence: str


def keys(prefix: str) -> Iterator[tuple[str, str]]:
    """Every key and what is written to it: "." a version, "x" a delete marker."""
    crowd, family = prefix + "crowd/", prefix + "family/"
    for number in range(CROWD):
        yield f"{crowd}photos/{number:04d}.jpg", "."
    for number in range(40):
        yield f"{crowd}photos-old/{number:04d}.jpg", "."
        yield f"{crowd}photos.d/{number:04d}.jpg", "."
    yield crowd + "photos", "."
    yield family + "a", "....x.."
    yield family + "a-b", "..x"
    yield family + "a.b", "."
    yield family + "a0", "."
    yield family + "many", "." * (2 * SMALL_PAGE + 5)
    yield family + "many-more", "..."
    yield family + "é/ü", ".."
    for number in range(2 * SMALL_PAGE):
        yield f"{family}a/{number:02d}", "."
        yield f"{family}a-b/{number:02d}", "."
    yield family + "a/b", "." * (SMALL_PAGE + 5)
    yield family + "a/b/c", ".."


async def require_order(scratch: Scratch) -> None:
    """`Unsupported` for a server that lists markers apart from versions, or keys in disorder.

    Asked with three entries, before the crowd is written: nothing can be read there.
    """
    small = Scratch(scratch.store, scratch.bucket, scratch.prefix + "order/")
    await small.write(small.prefix + "a", ".x")
    await small.write(small.prefix + "b", ".")
    try:
        await scratch.store.list_versions(scratch.bucket, prefix=small.prefix)
    except BadListing as error:
        raise Unsupported(
            f"{scratch.store.site} does not list keys in order, as S3 does, so its versions cannot "
            f"be read: {error.message}",
            hint="farshore cannot work with this server. Nothing was changed in your buckets.",
            action=error.action,
        ) from error
    finally:
        await small.purge()


async def settle_in(scratch: Scratch) -> None:
    """Write them all; a key's entries one after the other, keys in parallel."""
    await in_parallel(partial(scratch.write, key, entries) for key, entries in keys(scratch.prefix))


async def judge(name: str, make: MakeLister, scratch: Scratch, page_limit: int) -> Verdict:
    """Walk the crowd in full pages and the family in small ones, and look at single keys."""
    family = scratch.prefix + "family/"
    try:
        found = await _walked(make(page_limit), scratch, scratch.prefix + "crowd/")
        found |= await _walked(make(SMALL_PAGE), scratch, family)
        verdict = _compare(name, found, scratch.wrote)
        for key in (family + "a", family + "many", family + "a/b"):
            alone = await make(SMALL_PAGE).history(scratch.bucket, key)
            if verdict.complete and not _same(alone, scratch.wrote[key]):
                return Verdict(False, f"{name}: {key!r} asked for alone lacks versions")
    except BadListing as error:
        return Verdict(False, f"{name}: {error.message}")
    return verdict


async def _walked(lister: Lister, scratch: Scratch, prefix: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    async for batch in lister.walk(scratch.bucket, prefix):
        found |= {history[0].key: history for history in batch}
    return found


def _compare(
    name: str, found: Mapping[str, list[Version]], wrote: Mapping[str, list[Wrote]]
) -> Verdict:
    total = sum(map(len, wrote.values()))
    shown = sum(map(len, found.values()))
    wrong = [key for key in sorted({*found, *wrote}) if not _agree(key, found, wrote)]
    if not wrong:
        return Verdict(True, f"{name}: all {total} versions of {len(wrote)} keys were shown")
    some = ", ".join(repr(key) for key in islice(wrong, EXAMPLES_MAX))
    return Verdict(
        False,
        f"{name}: {total} versions were written, {shown} were shown; {len(wrong)} keys are "
        f"wrong, such as {some}",
    )


def _agree(key: str, found: Mapping[str, list[Version]], wrote: Mapping[str, list[Wrote]]) -> bool:
    return _same(found.get(key, []), wrote.get(key, []))


def _same(history: list[Version], wrote: list[Wrote]) -> bool:
    """Same entries in the same order; ids that the server did not tell match any."""
    return len(history) == len(wrote) and all(
        version.is_marker == entry.is_marker and entry.version_id in ("", version.version_id)
        for version, entry in zip(history, wrote, strict=True)
    )
