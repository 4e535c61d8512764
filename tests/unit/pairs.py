"""Two sites in memory, made ready for the engine, and what their buckets hold."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from farshore.core import stamp
from farshore.core.model import Attributes
from farshore.core.plan import DeleteLimits
from farshore.core.rules import Rule
from farshore.engine.backfill import Backfill, Scope
from farshore.engine.gate import Gate, GateLimits
from farshore.engine.lane import Crew
from farshore.engine.look import Discarded, nothing_discarded
from farshore.engine.side import Side
from farshore.engine.tally import Tally
from farshore.journal.sqlite import UploadName
from farshore.proof.verify import Proof, Question, verify
from farshore.s3.capabilities import Capabilities
from farshore.s3.listing import lister_for
from farshore.s3.store import Store
from farshore.testing.clock import ManualClock
from farshore.testing.store.faults import Faulty, Script
from farshore.testing.store.memory import EVERYTHING, MemoryStore

BUCKET = "files"


class MemoryJournal:
    """A `Journal` that lives as long as the test."""

    def __init__(self) -> None:
        self.uploads: dict[UploadName, str] = {}

    def remember_upload(self, name: UploadName, upload_id: str) -> None:
        self.uploads[name] = upload_id

    def recall_upload(self, name: UploadName) -> str:
        return self.uploads.get(name, "")

    def forget_upload(self, name: UploadName) -> None:
        self.uploads.pop(name, None)


def quiet(_name: str, _bucket: str, _key: str, _number: int) -> None:
    """A script without faults."""


@dataclass
class Pair:
    """East and west in memory. `run` and `prove` go through scripts of faults."""

    clock: ManualClock = field(default_factory=ManualClock)
    target_can: Capabilities = EVERYTHING
    source_can: Capabilities = EVERYTHING
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    rules: Sequence[Rule] = ()

    def __post_init__(self) -> None:
        self.east = MemoryStore("east", clock=self.clock, capabilities=self.source_can, seed=1)
        self.west = MemoryStore("west", clock=self.clock, capabilities=self.target_can, seed=2)

    async def ready(self) -> Pair:
        for store in (self.east, self.west):
            await store.create_bucket(BUCKET)
            await store.put_versioning(BUCKET, True)
        return self

    def side(self, store: MemoryStore, can: Capabilities, script: Script) -> Side:
        faulty: Store = Faulty(store, script)
        return Side(store.site, BUCKET, faulty, lister_for(faulty, can, filer=None), can)

    def crew(
        self,
        source_script: Script = quiet,
        target_script: Script = quiet,
        gate: GateLimits | None = None,
    ) -> Crew:
        return Crew(
            source=self.side(self.east, self.source_can, source_script),
            target=self.side(self.west, self.target_can, target_script),
            rules=self.rules,
            clock=self.clock,
            journal=self.journal,
            gate=Gate(gate or GateLimits(), self.clock),
            tally=Tally(),
            sleep=self.clock.sleep,
            jitter=random.Random(1),
        )

    async def run(
        self,
        source_script: Script = quiet,
        target_script: Script = quiet,
        deletes: DeleteLimits | None = None,
    ) -> Tally:
        """One backfill; raises what it raises."""
        crew = self.crew(source_script, target_script)
        await Backfill(crew, Scope(deletes=deletes or DeleteLimits())).run()
        return crew.tally

    async def prove(
        self,
        *,
        deep: bool = True,
        discarded: Discarded = nothing_discarded,
        held: Discarded = nothing_discarded,
    ) -> Proof:
        proof = Proof()
        question = Question(
            self.side(self.east, self.source_can, quiet),
            self.side(self.west, self.target_can, quiet),
            self.rules,
            self.clock,
            deep=deep,
            discarded=discarded,
            held=held,
            sleep=self.clock.sleep,
        )
        await verify(question, proof)
        return proof

    def shape(self, store: MemoryStore) -> list[tuple[str, bool, bytes, Attributes]]:
        """Everything that must be equal on both sides, in listing order."""
        return [
            (
                held.version.key,
                held.version.is_marker,
                held.body,
                stamp.without(held.attributes),
            )
            for held in store.dump(BUCKET)
        ]

    def equal(self) -> bool:
        return self.shape(self.east) == self.shape(self.west)


async def settle(tasks: Sequence[asyncio.Task[object]]) -> None:
    """Cancel and wait."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
