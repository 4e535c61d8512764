"""Held deletes in the target's control bucket: who has credentials can look and decide.

    deletes/PAIR/index.json            how many pages there are, which decisions are in them
    deletes/PAIR/page-0001.json        what the guard holds, and what became of it
    deletes/PAIR/decision-000001.json  a person's word about exactly these markers

Decisions are numbered; each is created once, by a conditional PUT, so that of two people who
decide at one moment one is the first, and the other is told what was left. Whoever holds the
pair's lease takes them up, in order, and rewrites the pages that change (`keeper` does).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from farshore.control.documents import Document, read_document, write_document
from farshore.core.document import Fields
from farshore.errors import BucketMissing, Corrupt, Precondition, StoreError
from farshore.journal.deletes import Decision, HeldDelete, StandingDelete, Verdict
from farshore.s3.store import Store, Written

PAGES_MAX = 10_000
DECISIONS_MAX = 1_000_000
READS_AT_ONCE = 16

PAGE_COST_MAX = 800_000
"""Bytes of a page at most; a document may have a little more."""

ROW_BYTES = 200
LETTER_BYTES = 6
"""A row's bytes beside its names, and a letter of a name as JSON may write it (\\u0001)."""

TIME_MAX = 1e11
"""Unix seconds; the year 5138."""

SETTLE_SECONDS = 2.0
"""Where the server ignores conditions: how long to wait before reading back whose word stands."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision: `held` are the very deletes that were shown. `token` tells two apart."""

    number: int
    verdict: Verdict
    held: tuple[HeldDelete, ...]
    token: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands on the target. `rows` by (bucket, key), decisions not taken up yet included;
    `published` without those.

    `edition` "" where nothing was ever published; `taken` decisions are in the pages, `open`
    are not. `pages` as they were read, for who rewrites them.
    """

    rows: dict[tuple[str, str], StandingDelete]
    published: dict[tuple[str, str], StandingDelete]
    edition: str = ""
    taken: int = 0
    open: tuple[Decided, ...] = ()
    pages: tuple[Document | None, ...] = ()
    index: Document | None = None


def cost(row: StandingDelete | HeldDelete) -> int:
    """What a row may take of a page, at most."""
    return ROW_BYTES + LETTER_BYTES * (len(row.bucket) + len(row.key))


class HeldDocuments:
    """The documents of one pair. `store` is the target's, as the replicator, with retries.

    `strong`: its server obeys conditions (a probed capability). Raises what documents raise.
    """

    def __init__(
        self,
        store: Store,
        bucket: str,
        pair: str,
        *,
        strong: bool,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._folder = f"deletes/{pair}"
        self._strong = strong
        self._sleep = sleep

    async def read(self) -> Shown:
        """All of it: the pages, and the decisions that are not in them yet."""
        index = await self._document("index")
        if index is None:
            return Shown({}, {}, open=await self._open_after(0))
        fields = Fields(index.body, f"{self._key('index')} at {self._store.site}")
        count, taken = fields.number("pages"), fields.number("decisions")
        if count > PAGES_MAX:
            raise fields.wrong(f"there cannot be {count} pages")
        pages = await self._all([f"page-{n:04d}" for n in range(1, count + 1)])
        published = {row.name: row for page in pages if page for row in _rows_of(page.body)}
        rows, waiting = dict(published), await self._open_after(taken)
        for decided in waiting:
            _apply(rows, decided)
        return Shown(rows, published, fields.text("edition"), taken, waiting, tuple(pages), index)

    async def decision(self, number: int) -> Decided | None:
        """One decision; None when it has not been made yet."""
        document = await self._document(f"decision-{number:06d}")
        return None if document is None else _decided_of(document.body, number)

    async def decide(
        self, shown: Shown, held: Sequence[HeldDelete], verdict: Verdict
    ) -> list[HeldDelete]:
        """Say it of exactly these; answers of which it holds: others may have been faster."""
        number = shown.taken + len(shown.open) + 1
        rows, done = dict(shown.rows), list[HeldDelete]()
        for part in _parts(held):
            wanted = Decided(number, verdict, tuple(part), secrets.token_hex(8))
            while (other := await self._create(wanted)) is not None:
                _apply(rows, other)
                left = tuple(row for row in wanted.held if _is_held(rows, row))
                wanted = replace(wanted, number=wanted.number + 1, held=left)
                if not left:
                    break
            number = wanted.number + bool(wanted.held)
            done += wanted.held
        return done

    async def write_page(self, number: int, rows: Iterable[StandingDelete]) -> Written:
        """Replace one page."""
        body = {"rows": [list(row) for row in rows]}
        return await self._write(f"page-{number:04d}", body)

    async def write_index(
        self, edition: str, *, pages: int, taken: int, known: Document | None
    ) -> Written:
        """Replace the index. `Precondition` when another stands there than is known."""
        body = {"edition": edition, "pages": pages, "decisions": taken}
        if not self._strong:
            return await self._write("index", body)
        etag = known.etag if known else ""
        return await self._write("index", body, if_etag=etag, absent=known is None)

    async def forget(self, name: str, version_id: str) -> None:
        """Purge an older version of a document."""
        await self._store.delete(self._bucket, self._key(name), version_id)

    async def _create(self, wanted: Decided) -> Decided | None:
        """Write a decision under its number; answers the one that stands there, if not ours."""
        name = f"decision-{wanted.number:06d}"
        if not self._strong and (there := await self.decision(wanted.number)) is not None:
            return there
        try:
            await self._write(name, _body_of(wanted), absent=self._strong)
        except Precondition:
            pass  # somebody else's, or our own by a lost answer: the document knows
        else:
            if self._strong:
                return None
            await self._sleep(SETTLE_SECONDS)
        there = await self.decision(wanted.number)
        if there is None:
            raise StoreError(f"{self._key(name)} at {self._store.site} went away.")
        return None if there.token == wanted.token else there

    async def _open_after(self, taken: int) -> tuple[Decided, ...]:
        found: list[Decided] = []
        for number in range(taken + 1, DECISIONS_MAX):
            decided = await self.decision(number)
            if decided is None:
                break
            found.append(decided)
        return tuple(found)

    async def _all(self, names: Sequence[str]) -> list[Document | None]:
        gate = asyncio.Semaphore(READS_AT_ONCE)

        async def one(name: str) -> Document | None:
            async with gate:
                return await self._document(name)

        return list(await asyncio.gather(*map(one, names)))

    async def _document(self, name: str) -> Document | None:
        try:
            return await read_document(self._store, self._bucket, self._key(name))
        except BucketMissing:
            return None

    async def _write(
        self, name: str, body: dict[str, Any], *, if_etag: str = "", absent: bool = False
    ) -> Written:
        return await write_document(
            self._store, self._bucket, self._key(name), body, if_etag=if_etag, absent=absent
        )

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}.json"


def _apply(rows: dict[tuple[str, str], StandingDelete], decided: Decided) -> None:
    for held in decided.held:
        if _is_held(rows, held):
            name = held.bucket, held.key
            rows[name] = rows[name]._replace(decision=decided.verdict.decision)


def _is_held(rows: dict[tuple[str, str], StandingDelete], held: HeldDelete) -> bool:
    row = rows.get((held.bucket, held.key))
    return row is not None and (row.version_id, row.decision) == (held.version_id, "held")


def _parts(held: Sequence[HeldDelete]) -> Iterator[list[HeldDelete]]:
    """As many at a time as one document holds."""
    part: list[HeldDelete] = []
    size = 0
    for row in held:
        if part and size + cost(row) > PAGE_COST_MAX:
            yield part
            part, size = [], 0
        part.append(row)
        size += cost(row)
    if part:
        yield part


def _rows_of(body: dict[str, Any]) -> Iterator[StandingDelete]:
    for row in _rows(body, "A page of held deletes"):
        *delete, decision = row
        if decision not in get_args(Decision):
            raise Corrupt(f"A page of held deletes cannot be understood: {decision!a}.")
        yield StandingDelete(*_delete_of(delete), decision)


def _rows(body: dict[str, Any], what: str) -> list[list[Any]]:
    found = body.get("rows")
    if not isinstance(found, list) or not all(isinstance(row, list) and row for row in found):
        raise Corrupt(f"{what} cannot be understood: it has no rows.")
    return found


def _delete_of(row: list[Any]) -> HeldDelete:
    match row:
        case [str(bucket), str(key), str(version_id), int() | float() as held_at] if (
            -TIME_MAX < held_at < TIME_MAX
        ):
            return HeldDelete(bucket, key, version_id, float(held_at))
    raise Corrupt("A held delete cannot be understood: it is no bucket, key, version and time.")


def _body_of(decided: Decided) -> dict[str, Any]:
    rows = [list(row) for row in decided.held]
    return {"verdict": decided.verdict._asdict(), "token": decided.token, "rows": rows}


def _decided_of(body: dict[str, Any], number: int) -> Decided:
    """`Corrupt`: its older versions are in the control bucket."""
    fields = Fields(body, f"The decision {number} about held deletes")
    said = fields.within("verdict")
    decision = said.text("decision")
    if decision not in ("released", "discarded"):
        raise said.wrong(f"{decision!a} is no decision")
    verdict = Verdict(
        "released" if decision == "released" else "discarded",
        said.text("by"),
        said.text("host"),
        said.decimal("at"),
        said.text("prefix") if said.has("prefix") else "",
    )
    rows = tuple(_delete_of(row) for row in _rows(body, f"The decision {number}"))
    return Decided(number, verdict, rows, fields.text("token"))
