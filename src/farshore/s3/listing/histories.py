"""A page of entries as histories: grouped by key, and checked against what S3 promises."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby, pairwise
from operator import itemgetter

from farshore.core.model import NULL_VERSION, Version
from farshore.errors import BadListing

Batch = list[list[Version]]
"""Whole histories, keys ascending; each history newest first."""

HINT = "run `farshore probe` for this site: its listings cannot be believed as they are"

_key_of = itemgetter(0)


def grouped(entries: Iterable[Version], where: str) -> Batch:
    """Entries of one page as histories. The last one may be cut by the page's end.

    Raises `BadListing` naming the keys when keys are not ascending or an entry is
    repeated. Costs about a microsecond per key.
    """
    batch = [list(group) for _, group in groupby(entries, _key_of)]
    keys = [history[0][0] for history in batch]
    if keys != sorted(keys):
        raise _disorder(keys, where)
    for history in batch:
        if len(history) > 1 and len({v.version_id for v in history}) != len(history):
            raise BadListing(f"{where}: {history[0].key!r} shows a version twice", hint=HINT)
    return batch


def settled(batch: Batch) -> Batch:
    """Whole histories, a latest null version moved to the front of its history.

    SeaweedFS lists null versions last, whatever their age. Any other order is the
    listing's own: while a key is written, the flag may lag behind the entries there.
    """
    for history in batch:
        if not history[0].is_latest:
            _lead_with_null(history)
    return batch


def within(entries: list[Version], prefix: str) -> list[Version]:
    """Without the entries whose key is not below the prefix.

    SeaweedFS compares the prefix with `KEY.versions`, so that it answers key `a` to
    the prefix `a.v`. In ascending order such keys stand at the ends.
    """
    if not entries or (entries[0].key.startswith(prefix) and entries[-1].key.startswith(prefix)):
        return entries
    return [entry for entry in entries if entry.key.startswith(prefix)]


def beyond(batch: Batch, after: str) -> Batch:
    """The histories whose key is greater than `after`. The batch is ascending."""
    if not batch or batch[0][0].key > after:
        return batch
    return [history for history in batch if history[0].key > after]


def only(entries: list[Version], key: str) -> list[Version]:
    """The entries of exactly this key."""
    return [entry for entry in entries if entry.key == key]


def _lead_with_null(history: list[Version]) -> None:
    for place, version in enumerate(history):
        if version.is_latest and version.version_id == NULL_VERSION:
            history.insert(0, history.pop(place))
            return


def _disorder(keys: list[str], where: str) -> BadListing:
    first, second = next((a, b) for a, b in pairwise(keys) if a >= b)
    return BadListing(f"{where}: key {second!r} was listed after {first!r}", hint=HINT)
