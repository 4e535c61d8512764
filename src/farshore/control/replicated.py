"""The buckets that a pair has ever replicated, remembered on the target: `pairs/PAIR.json`.

A bucket that a pattern picked and that is gone from the source would else disappear from all
that is said, with every version that the target keeps of it. And two pairs that would write
into one bucket of the target find each other here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from farshore.clock import Clock
from farshore.config import Config
from farshore.control.documents import Document, read_document, write_document
from farshore.control.lease import holder
from farshore.control.pages import standing
from farshore.core.words import counted
from farshore.errors import BucketMissing, Gone, Precondition, Refused
from farshore.s3.store import Store

FOLDER = "pairs/"
WRITES_MAX = 5
"""Times that a document is written anew when somebody else was faster."""


@dataclass(frozen=True, slots=True)
class Vanished:
    """A bucket that was replicated and is gone. `versions`: what the target keeps, markers
    too; `more`: there are more than these."""

    source: str
    target: str
    versions: int
    more: bool

    def text(self, config: Config) -> str:
        """For people, without a full stop."""
        kept = counted(self.versions, "version") + (" or more" if self.more else "")
        where = "" if self.target == self.source else f" in {self.target}"
        here, there = config.pair.source, config.pair.target
        return f"{self.source} is gone from {here}; {there} keeps {kept}{where}"


_Change = Callable[[dict[str, str]], dict[str, str]]


class Replicated:
    """The record of one pair. `store` is the target's, as the replicator, with retries.

    `strong`: its server obeys conditions. Raises what documents raise.
    """

    def __init__(self, store: Store, config: Config, *, strong: bool = False) -> None:
        self._store = store
        self._config = config
        self._strong = strong

    async def remember(self, buckets: Iterable[tuple[str, str]]) -> None:
        """These (source, target) are replicated now."""
        wanted = dict(buckets)
        await self._change(lambda known: {**known, **wanted})

    async def forget(self, sources: Iterable[str]) -> None:
        """A person says that these are gone on purpose."""
        gone = set(sources)
        await self._change(lambda known: {s: t for s, t in known.items() if s not in gone})

    async def gone(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """(source, target) of the buckets that were replicated, and that a pattern would still
        pick, and that are not among the source's `names`."""
        there = set(names)
        known = await self._known()
        return sorted(
            (source, target)
            for source, target in known.items()
            if source not in there and self._is_picked(source, target)
        )

    def _is_picked(self, source: str, target: str) -> bool:
        """By a pattern."""
        picks = self._config.pair.buckets
        return any(entry.is_pattern and entry.target_of(source) == target for entry in picks)

    async def left_out(self, names: Iterable[str], served: Iterable[str]) -> list[tuple[str, str]]:
        """(source, target) of the buckets that were replicated, that are among the source's
        `names`, and that are not `served` now, though a pattern picks them."""
        left = set(names) - set(served)
        known = await self._known()
        return sorted(
            (source, target)
            for source, target in known.items()
            if source in left and self._is_picked(source, target)
        )

    async def vanished(self, names: Iterable[str]) -> list[Vanished]:
        """The same, with what the target keeps of each. One request for each."""
        return [await self._kept(source, target) for source, target in await self.gone(names)]

    async def require_sole_writer(self, buckets: Sequence[tuple[str, str]], clock: Clock) -> None:
        """`Refused` while another pair, of another name, writes into one of these buckets.

        To be asked once the own record is written and the own lease is held.
        """
        ours = {target for _, target in buckets}
        control = self._config.target.control_bucket
        names = await standing(self._store, control, FOLDER)
        for key in (name for name in names if name != self._name):
            other = key.removeprefix(FOLDER).removesuffix(".json")
            document = await read_document(self._store, control, key)
            shared = sorted(ours & set(_buckets(document).values()))
            if not shared:
                continue
            process = await holder(self._store, control, f"replicate-{other}", clock=clock)
            if process is not None:
                raise Refused(
                    f"The pair {other} writes into {', '.join(shared)} at "
                    f"{self._config.pair.target}, too: process {process.pid} on {process.host}.",
                    hint="Two pairs must not share a target bucket: correct [[pair.buckets]] in "
                    "one of the two files, or stop that process.",
                )

    async def _kept(self, source: str, target: str) -> Vanished:
        try:
            page = await self._store.list_versions(target)
        except Gone:
            return Vanished(source, target, 0, more=False)
        return Vanished(source, target, len(page.entries), page.truncated)

    async def _known(self) -> dict[str, str]:
        return _buckets(await self._read())

    async def _read(self) -> Document | None:
        try:
            return await read_document(self._store, self._config.target.control_bucket, self._name)
        except BucketMissing:
            return None

    async def _change(self, change: _Change) -> None:
        """Read, change, write; again when somebody else was faster."""
        for attempt in range(WRITES_MAX):
            document = await self._read()
            known = _buckets(document)
            wanted = change(known)
            if wanted == known and document is not None:
                return
            try:
                await self._write(wanted, document)
            except Precondition:
                if attempt + 1 == WRITES_MAX:
                    raise
            else:
                return

    async def _write(self, buckets: dict[str, str], known: Document | None) -> None:
        await write_document(
            self._store,
            self._config.target.control_bucket,
            self._name,
            {"buckets": buckets},
            if_etag=known.etag if known and self._strong else "",
            absent=self._strong and known is None,
        )

    @property
    def _name(self) -> str:
        return f"{FOLDER}{self._config.pair.name}.json"


def _buckets(document: Document | None) -> dict[str, str]:
    found = document.body.get("buckets") if document else None
    return {str(s): str(t) for s, t in found.items()} if isinstance(found, dict) else {}
