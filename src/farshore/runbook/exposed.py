"""What a failover may lose, as far as anybody can tell: shown before a person approves it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from farshore.control.contact import make_contact
from farshore.control.sites import open_store
from farshore.control.standing import known_until
from farshore.control.status import ProofRecord, read_proof
from farshore.core.runbook import Shown
from farshore.engine.run import JOURNAL_FILE
from farshore.errors import FarshoreError, StateError, StoreError
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.runbook.ground import Ground
from farshore.runbook.preflight import read_report

KNOWN_MAX = 20
"""More keys that wait are counted, not named."""

HALF_ANSWER_SECONDS_MAX = 2.0
"""Nobody waits longer for a site that is about to be given up."""


async def exposed(ground: Ground) -> Shown:
    """By the daemon's last report and the last verify, kept at the surviving site, and by this
    machine's own notes."""
    report, proof = await asyncio.gather(read_report(ground), _proof(ground))
    mark, now = known_until(ground.config, report, proof), ground.clock.now()
    waiting = report.backlog.count if report is not None else None
    return Shown(
        exposure_s=None if mark is None else max(now - mark, 0.0),
        watermark=mark,
        missing_versions=waiting,
        missing_bytes=report.backlog.bytes if report is not None else None,
        known_missing=await _waiting(ground) if waiting else (),
    )


async def _proof(ground: Ground) -> ProofRecord | None:
    """The last verify of everything; a daemon that has just begun knows less than it."""
    pair = ground.config.pair
    async with aclosing(open_store(ground.config, ground.new, "replicator")) as store:
        try:
            return await read_proof(store, ground.config.target.control_bucket, pair.name)
        except StoreError:
            return None  # the daemon's own word is there, or it is not known


async def _waiting(ground: Ground) -> tuple[str, ...]:
    """Keys that wait here, as bucket/key; none where the daemon runs on another machine."""
    path = ground.config.state_dir / JOURNAL_FILE
    if not path.exists():
        return ()
    try:
        backlog = SqliteBacklog(path)
        try:
            works = backlog.rows(limit=KNOWN_MAX)
        finally:
            await backlog.aclose()
    except StateError:
        return ()  # the count stands; a broken file of notes must not keep anybody here
    return tuple(f"{work.bucket}/{work.key}" for work in works)


async def still_answers(ground: Ground) -> bool:
    """Whether the site that is left says anything to our keys, soon."""
    site = ground.config.site(ground.old)
    try:
        async with aclosing(open_store(ground.config, site.name, "replicator")) as store:
            await make_contact(store, site, "replicator", seconds_max=HALF_ANSWER_SECONDS_MAX)
    except FarshoreError:
        return False
    return True
