"""Divergent versions that a person decided about: they stay where they are, and count no more.

    divergent/PAIR/SITE.json    bucket -> key -> version id -> what was decided, by whom, why, when

The document is in the control bucket of the site that has the versions: lost with them, it
is missed by nobody. It is asked for only where two histories do not agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from farshore.control.documents import Document, read_document, write_document
from farshore.core.document import moment_text
from farshore.errors import Corrupt, Precondition, Refused
from farshore.s3.store import Store

FRESH_S = 1.0
"""A document that was read so lately is not read again."""

KEPT_MAX = 4000
"""Versions of one document: it stays below the size of a document that is read."""

TRIES_MAX = 5

Kept = dict[str, dict[str, dict[str, dict[str, str]]]]
"""Bucket, key and version id to what was decided."""


class Decided(NamedTuple):
    """One decision. `word`: "keep" or "adopt"; `at`: Unix seconds."""

    bucket: str
    key: str
    version_id: str
    word: str
    by: str
    why: str
    at: float


class KeptVersions:
    """The decisions about one site's versions. `bucket`: its control bucket. `strong`: the
    server obeys conditions (a probed capability); else what was written is read back."""

    def __init__(
        self, store: Store, bucket: str, pair: str, site: str, *, strong: bool = True
    ) -> None:
        self._store = store
        self._strong = strong
        self._bucket = bucket
        self._name = f"divergent/{pair}/{site}.json"
        self._kept: Kept = {}
        self._read_at = -FRESH_S

    async def of(self, bucket: str, key: str) -> frozenset[str]:
        """The decided versions of one key. Raises what reading a document raises."""
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= FRESH_S:
            document = await read_document(self._store, self._bucket, self._name)
            self._kept, self._read_at = _kept(document), now
        return frozenset(self._kept.get(bucket, {}).get(key, ()))

    async def since(self, at: float) -> int:
        """How many versions were decided about since then, Unix seconds. Raises as `of`."""
        kept = _kept(await read_document(self._store, self._bucket, self._name))
        keys = [versions for found in kept.values() for versions in found.values()]
        return sum(_at(decided) >= at for versions in keys for decided in versions.values())

    async def add(self, decisions: Iterable[Decided]) -> None:
        """Record decisions. `Refused` when there are too many, or others write all the time."""
        wanted = list(decisions)
        for _ in range(TRIES_MAX):
            document = await read_document(self._store, self._bucket, self._name)
            kept = _kept(document)
            for one in wanted:
                versions = kept.setdefault(one.bucket, {}).setdefault(one.key, {})
                versions[one.version_id] = _json(one)
            _require_room(kept)
            if await self._replaced(document, {"kept": kept}):
                self._read_at = -FRESH_S
                return
        raise Refused("Somebody else decides at this moment.", hint="Run the command again.")

    async def _replaced(self, document: Document | None, body: dict[str, Any]) -> bool:
        """Write it over `document`; False when somebody else was quicker."""
        there, strong = document.etag if document else "", self._strong
        try:
            await write_document(
                self._store,
                self._bucket,
                self._name,
                body,
                if_etag=there if strong else "",
                absent=strong and document is None,
            )
        except Precondition:
            return False
        if strong:
            return True
        now = await read_document(self._store, self._bucket, self._name)
        return now is not None and now.body == body


def _kept(document: Document | None) -> Kept:
    """`Corrupt` for a document of another form: to forget decisions would undo them."""
    if document is None:
        return {}
    found: Kept = document.body.get("kept", {})
    if not _is_kept(found):
        raise Corrupt(
            "The decisions about divergent versions cannot be understood.",
            hint="Older versions of divergent/… are in the control bucket: look at them, and "
            "purge the bad one.",
        )
    return found


def _is_kept(found: object, depth: int = 4) -> bool:
    """Tables in tables: buckets, keys, versions, and what was decided of each."""
    if depth == 0:
        return isinstance(found, str)
    return isinstance(found, dict) and all(_is_kept(one, depth - 1) for one in found.values())


def _json(one: Decided) -> dict[str, str]:
    return {"word": one.word, "by": one.by, "why": one.why, "at": moment_text(one.at)}


def _at(decided: Mapping[str, str]) -> float:
    """When it was decided; never, for a time that cannot be read."""
    try:
        return datetime.fromisoformat(decided["at"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return 0.0


def _require_room(kept: Kept) -> None:
    count = sum(len(versions) for keys in kept.values() for versions in keys.values())
    if count > KEPT_MAX:
        raise Refused(
            f"{count} divergent versions would be decided; one pair's document has room for "
            f"{KEPT_MAX}.",
            hint="Decide about those that matter, key by key, and copy the bucket that the old "
            "primary has before you begin anew with it.",
        )
