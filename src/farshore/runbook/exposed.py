"""What a failover may lose, as far as anybody can tell: shown before a person approves it."""

from __future__ import annotations

from contextlib import aclosing

from farshore.control.contact import make_contact
from farshore.control.sites import open_store
from farshore.core.runbook import Shown
from farshore.engine.run import JOURNAL_FILE
from farshore.errors import FarshoreError, StateError
from farshore.journal.backlog_sqlite import SqliteBacklog
from farshore.runbook.ground import Ground
from farshore.runbook.preflight import read_report

KNOWN_MAX = 20
"""More keys that wait are counted, not named."""

HALF_ANSWER_SECONDS_MAX = 2.0
"""Nobody waits longer for a site that is about to be given up."""


async def exposed(ground: Ground) -> Shown:
    """By the daemon's last report, kept at the surviving site, and this machine's own notes."""
    report = await read_report(ground)
    if report is None:
        return Shown()
    mark, now = report.watermark, ground.clock.now()
    return Shown(
        exposure_s=None if mark is None else max(now - mark, 0.0),
        watermark=mark,
        missing_versions=report.backlog.count,
        missing_bytes=report.backlog.bytes,
        known_missing=await _waiting(ground) if report.backlog.count else (),
    )


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
