"""Reconcile: the listing that is always right, walked again and again in the background.

It finds what no hint told of, and puts it into the journal like a hint. Only its end says
that up to its start everything is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from farshore.clock import Clock
from farshore.core.align import identical
from farshore.core.join import KeyPair
from farshore.core.model import NULL_VERSION
from farshore.core.rules import Rule
from farshore.engine.backfill import joined
from farshore.engine.look import aligned, rule_for, without_discarded, written_at
from farshore.engine.side import Side
from farshore.feed.hint import Hint
from farshore.journal.backlog import NAMED_MAX, Backlog
from farshore.journal.deletes import WaitingDeletes

BATCH_MAX = 500
"""Keys noted in one commit."""


@dataclass(slots=True)
class Scan:
    """One walk. `found` keys differed and were noted; `oldest`: of their missing entries.

    `buckets`: keys of the source's buckets that were walked as a whole.
    """

    started_at: float
    finished_at: float = 0.0
    keys: int = 0
    target_keys: int = 0
    versions: int = 0
    found: int = 0
    oldest: float | None = None
    buckets: dict[str, int] = field(default_factory=dict)


async def scan(
    source: Side,
    target: Side,
    rules: Sequence[Rule],
    backlog: Backlog,
    clock: Clock,
    tally: Scan,
    *,
    prefix: str = "",
    priority: int = 0,
    deletes: WaitingDeletes | None = None,
) -> None:
    """Walk both sides and note every key that differs. Raises what listings raise.

    A key whose newest entry is a delete that was discarded (in `deletes`) does not differ by
    it. Keys of deletes that stood there when the walk began, and that are no longer owed, are
    noted, too: whoever looks at them forgets that delete.
    """
    deletes = deletes or WaitingDeletes()
    waiting: list[Hint] = []
    overcome = deletes.keys(source.bucket, prefix)
    keys = 0
    async for pairs in joined(source, target, prefix):
        for pair in pairs:
            tally.keys += 1
            tally.versions += len(pair.source)
            keys += bool(pair.source)
            tally.target_keys += bool(pair.target)
            kept = without_discarded(source, pair, deletes.is_discarded)
            if kept is not pair:
                overcome.discard(pair.key)
            if identical(pair.source, pair.target) or not pair.source:
                continue
            hint = await _differing(source, target, rules, kept, clock.now())
            if hint is not None:
                overcome.discard(pair.key)
                tally.found += 1
                if hint.at:
                    tally.oldest = min(hint.at, tally.oldest or hint.at)
                waiting.append(hint)
        if len(waiting) >= BATCH_MAX:
            await backlog.note(waiting, now=clock.now(), priority=priority)
            waiting = []
    waiting += [Hint(source.bucket, key) for key in sorted(overcome)]
    if waiting:
        await backlog.note(waiting, now=clock.now(), priority=priority)
    if not prefix:
        tally.buckets[source.bucket] = keys
    tally.finished_at = clock.now()


async def _differing(
    source: Side, target: Side, rules: Sequence[Rule], pair: KeyPair, now: float
) -> Hint | None:
    """A hint about what the target lacks, or has twice; None when all is well.

    Its time is that of the oldest entry that is missing, 0 where none is. It names what is
    missing, in case that is gone before a lane looks. What is missing beneath newer replicas no
    lane puts there: it is counted.
    """
    rule = await rule_for(rules, source, pair)
    if rule is None or rule.exclude:
        return None
    alignment = await aligned(source, target, pair, rule, now)
    lacking = (*alignment.missing, *alignment.gap)
    if not lacking:
        return Hint(source.bucket, pair.key) if alignment.doubled else None
    oldest = min(written_at(entry) for entry in lacking)
    size = sum(entry.size for entry in alignment.missing)
    bodies = (entry.version_id for entry in alignment.missing if not entry.is_marker)
    named = tuple(version_id for version_id in bodies if version_id != NULL_VERSION)
    return Hint(source.bucket, pair.key, oldest, "", size, named[:NAMED_MAX])
