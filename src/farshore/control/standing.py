"""Where a pair stands now: both sites asked, the documents read, nothing written.

Works without the daemon and with either site gone: what could not be had is None.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from farshore.clock import Clock
from farshore.config import Config, Site
from farshore.control.aftermath import see_runs
from farshore.control.checkups import NO_DRILLS, Drills, read_checkup, read_drills
from farshore.control.contact import make_contact
from farshore.control.fenced import NOTHING_SEEN, SeenFences, see_fences
from farshore.control.replicated import Replicated
from farshore.control.sites import open_store
from farshore.control.status import (
    ProofRecord,
    ScanState,
    StatusDocument,
    StatusReport,
    read_local,
    read_proof,
)
from farshore.core.aftermath import NO_RUNS, STANDSTILL, Open, Proved, SeenRuns, left_open
from farshore.core.checkup import Checkup
from farshore.core.shrinkage import Shrunk
from farshore.core.verdict import Snapshot
from farshore.errors import ConfigError, FarshoreError, Refused, StoreError
from farshore.s3.store import Store

ANSWER_SECONDS_MAX = 5.0
"""Who waits for a status is in a hurry: a site that needs longer does not answer."""

DATE_RESOLUTION_S = 1.0
"""Date headers count whole seconds: clocks that seem this close count as equal."""


class Reached(NamedTuple):
    """What a site answered. `offset_s`: its clock minus ours; `trouble` is "" when it did."""

    answers: bool
    offset_s: float | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """All that could be had. `local`: the report is this machine's own copy.

    `now`: by the source's clock, as well as it is known. `vanished`: sentences about buckets
    that were replicated and are gone from the source. `runs`: of runbooks.
    """

    now: float
    source: Reached
    target: Reached
    report: StatusReport | None = None
    proof: ProofRecord | None = None
    local: bool = False
    trouble: str = ""
    seen: SeenFences = NOTHING_SEEN
    vanished: tuple[str, ...] = ()
    checkup: Checkup | None = None
    drills: Drills = NO_DRILLS
    runs: SeenRuns = NO_RUNS


class Opener(Protocol):
    """Opens a site as the replicator."""

    def __call__(self, site: str) -> Store: ...


async def stand(config: Config, clock: Clock, opener: Opener | None = None) -> Standing:
    """Ask both sites and read the target's documents.

    A site whose keys cannot be had does not answer, whatever else is known is told. Raises
    only `ConfigError`, when neither site's can.
    """

    def configured(site: str) -> Store:
        return open_store(config, site, "replicator")

    opened = opener or configured
    async with contextlib.AsyncExitStack() as stack:
        ours, theirs = (_open(opened, site.name) for site in (config.source, config.target))
        if isinstance(ours, ConfigError) and isinstance(theirs, ConfigError):
            raise ours
        both = {config.pair.source: ours, config.pair.target: theirs}
        for store in both.values():
            if not isinstance(store, ConfigError):
                stack.push_async_callback(store.aclose)
        source, target, seen = await asyncio.gather(
            _reach(ours, config.source), _reach(theirs, config.target), _fences(config, both, clock)
        )
        report, proof, trouble = await _documents(config, theirs, target)
        answering = _answering(config, both, source, target)
        vanished, (checkup, drills), runs = await asyncio.gather(
            _vanished(config, ours, theirs, source.answers and target.answers),
            _rehearsed(config, answering),
            see_runs(config, answering, clock),
        )
    local = None
    if report is None and not target.answers:
        local = read_local(config.state_dir, config.pair.name)
        if local is not None and standstill(seen) and not _is_of(config, local):
            local = None  # of the time before the switch, of the other direction
    known = report or local
    return Standing(
        now=_source_now(clock.now(), source, target, known),
        source=source,
        target=target,
        report=known,
        proof=proof,
        local=local is not None,
        trouble=trouble,
        seen=seen,
        vanished=vanished,
        checkup=checkup,
        drills=drills,
        runs=runs,
    )


def _answering(
    config: Config, stores: Mapping[str, Store | ConfigError], source: Reached, target: Reached
) -> dict[str, Store]:
    """The stores that are worth asking."""
    reached = {config.pair.source: source, config.pair.target: target}
    return {
        name: store
        for name, store in stores.items()
        if reached[name].answers and not isinstance(store, ConfigError)
    }


async def _rehearsed(config: Config, stores: Mapping[str, Store]) -> tuple[Checkup | None, Drills]:
    """The last check-up and the drills: both sites keep them, and the newest copy counts."""
    copies = await asyncio.gather(*(_copy_of(config, *one) for one in stores.items()))
    checkups = (found for found, _ in copies if found is not None)
    passed_at = _latest(drills.passed_at for _, drills in copies)
    held = any(drills.any for _, drills in copies)
    return max(checkups, key=lambda found: found.at, default=None), Drills(passed_at, held)


async def _copy_of(config: Config, site: str, store: Store) -> tuple[Checkup | None, Drills]:
    """One site's; nothing where they cannot be had: what keeps them from being read has reasons
    of its own."""
    bucket = config.site(site).control_bucket
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            found = await read_checkup(store, bucket, config.pair)
            return found, await read_drills(store, bucket, config.pair)
    except (StoreError, Refused, TimeoutError):
        return None, NO_DRILLS


async def _vanished(
    config: Config, source: Store | ConfigError, target: Store | ConfigError, answer: bool
) -> tuple[str, ...]:
    """Sentences; none where it cannot be found out: other reasons say so then."""
    if isinstance(source, ConfigError) or isinstance(target, ConfigError) or not answer:
        return ()
    if not config.pair.has_patterns:
        return ()
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            found = await Replicated(target, config).vanished(await source.list_buckets())
    except (StoreError, TimeoutError):
        return ()
    return tuple(bucket.text(config) for bucket in found)


async def _fences(
    config: Config, stores: Mapping[str, Store | ConfigError], clock: Clock
) -> SeenFences:
    opened = {n: store for n, store in stores.items() if not isinstance(store, ConfigError)}
    return await see_fences(config, opened, clock)


def _open(opener: Opener, site: str) -> Store | ConfigError:
    try:
        return opener(site)
    except ConfigError as error:
        return error


async def _reach(store: Store | ConfigError, site: Site) -> Reached:
    if isinstance(store, ConfigError):
        return Reached(False, trouble=store.message)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await make_contact(store, site, "replicator", seconds_max=ANSWER_SECONDS_MAX)
            return Reached(True, await store.server_time_offset())
    except StoreError as error:
        return Reached(False, trouble=error.message)
    except TimeoutError:
        return Reached(
            False, trouble=f"{site.name} did not answer within {ANSWER_SECONDS_MAX:g} s."
        )


async def _documents(
    config: Config, store: Store | ConfigError, target: Reached
) -> tuple[StatusReport | None, ProofRecord | None, str]:
    """(report, proof, what went wrong)."""
    report: StatusReport | None = None
    proof: ProofRecord | None = None
    if not target.answers or isinstance(store, ConfigError):
        return report, proof, ""
    bucket, pair = config.target.control_bucket, config.pair.name
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            report = await StatusDocument(store, bucket, pair).read()
            proof = await read_proof(store, bucket, pair)
    except FarshoreError as error:
        return report, proof, error.message
    except TimeoutError:
        return report, proof, f"{bucket} at {config.pair.target} could not be read in time."
    if proof is not None and not _is_of(config, proof):
        return report, None, "The last verify was of other buckets or rules than these."
    return report, proof, ""


def _is_of(config: Config, record: StatusReport | ProofRecord) -> bool:
    """Whether it speaks of what the configuration replicates. Older farshores did not say."""
    return record.scope in ("", config.pair.scope)


def _source_now(now: float, source: Reached, target: Reached, known: StatusReport | None) -> float:
    """Our clock put right by the source's; with the source gone, by way of the target's."""
    if source.offset_s is not None:
        return now + believed_offset(source.offset_s)
    apart = _told_apart(known)
    if target.offset_s is None or apart is None:
        return now
    return now + believed_offset(target.offset_s - apart)


def _told_apart(report: StatusReport | None) -> float | None:
    """The target's clock minus the source's, as the daemon saw them last."""
    if report is None or report.source_offset_s is None or report.target_offset_s is None:
        return None
    return report.target_offset_s - report.source_offset_s


def believed_offset(offset_s: float | None) -> float:
    """What to add to our clock for the site's "now": the later end of the header's second.

    So an exposure is never understated. 0 where a Date header cannot tell the clocks apart.
    """
    if offset_s is None or abs(offset_s) <= DATE_RESOLUTION_S:
        return 0.0
    return offset_s + DATE_RESOLUTION_S


def snapshot_of(config: Config, standing: Standing) -> Snapshot:
    """What the verdict is judged from."""
    report, proof = standing.report, standing.proof
    scan = report.scan if report else None
    beat = report.heartbeat_at if report else None
    return Snapshot(
        source=config.pair.source,
        target=config.pair.target,
        now=standing.now,
        source_answers=standing.source.answers,
        target_answers=standing.target.answers,
        watermark=watermark_of(standing, config),
        other_scope=report is not None and not _is_of(config, report),
        scan_finished_at=_latest(
            (scan.finished_at if scan else None, proof.finished_at if proof else None)
        ),
        scan_versions=_versions_seen(scan, proof),
        verified_at=proof.began_at if proof else None,
        verified_deep=proof.deep if proof else False,
        verified_versions=proof.versions if proof else None,
        differences=proof.differences if proof else 0,
        reported_at=report.written_at if report else None,
        stopped_at=report.stopped_at if report else None,
        heartbeat_age_s=None if beat is None else max(standing.now - beat, 0.0),
        feeds_late_s=report.feeds_late_s if report else 0.0,
        unheard=report.unheard if report else (),
        unserved=report.unserved if report else (),
        vanished=standing.vanished,
        unread=_unread(report) if report else {},
        notices=_notices(report) if report else (),
        waiting=report.backlog.count if report else None,
        owed=report.not_replicated if report else {},
        deletes_held=report.deletes_held if report else 0,
        paused_by=report.paused_by if report else "",
        clocks_apart_s=_apart(standing),
        shrunk=tuple(Shrunk(o.bucket, o.before, o.left, o.at) for o in report.shrunk)
        if report
        else (),
        unversioned=report.unversioned if report else (),
        target_unversioned=report.target_unversioned if report else (),
        fences=standing.seen.fences,
        cannot_fence=standing.seen.cannot,
        conflicts=standing.seen.view.conflicting if standing.seen.view else (),
        standstill=standstill(standing.seen),
        left_open=open_items(config, standing),
        checkup=standing.checkup,
        checkup_wanted=bool(config.switch.drivers),
        drilled=standing.drills.any,
        drilled_at=standing.drills.passed_at,
    )


def standstill(seen: SeenFences) -> str:
    """What ends a phase in which nothing is copied; "" where copying may go on, or nobody knows."""
    return STANDSTILL.get(seen.view.record.phase, "") if seen.view else ""


def open_items(config: Config, standing: Standing) -> tuple[Open, ...]:
    """What a switch has left to be done; nothing where no record could be read."""
    view, proof = standing.seen.view, standing.proof
    if view is None:
        return ()
    record, pair = view.record, config.pair
    other = pair.target if record.primary == pair.source else pair.source
    proved = Proved(proof.began_at, proof.divergent) if proof else None
    return left_open(record, other, standing.runs, proved)


def _unread(report: StatusReport) -> dict[str, int]:
    """Messages that nobody could read, or that never came, by feed, as long as no scan has made
    them good."""
    if report.feeds_whole:
        return {}
    lost = {name: feed.unreadable + feed.missed for name, feed in report.feeds.items()}
    return {name: count for name, count in lost.items() if count}


def _notices(report: StatusReport) -> tuple[str, ...]:
    return tuple(f"{name}: {feed.notice}" for name, feed in report.feeds.items() if feed.notice)


def _versions_seen(scan: ScanState | None, proof: ProofRecord | None) -> int | None:
    """What the later one of the two saw on the source."""
    if scan is None or (proof is not None and proof.finished_at > scan.finished_at):
        return proof.versions if proof is not None else None
    return scan.versions


def watermark_of(standing: Standing, config: Config) -> float | None:
    """The daemon's watermark, or what a verify proved that no daemon has reported after.

    A daemon with other buckets or rules says nothing of these.

    A verify of everything that found no difference is a complete reconcile, too: up to its
    beginning everything is on the target. A later report knows more: a scan may have found
    something missing since.
    """
    return known_until(config, standing.report, standing.proof)


def known_until(
    config: Config, report: StatusReport | None, proof: ProofRecord | None
) -> float | None:
    """See `watermark_of`."""
    if report is not None and not _is_of(config, report):
        report = None
    if proof is not None and not _is_of(config, proof):
        proof = None
    told = report.watermark if report else None
    if proof is None or proof.differences:
        return told
    if report is None or told is None or report.written_at <= proof.began_at:
        return _latest((told, proof.began_at))
    return told


def _apart(standing: Standing) -> float | None:
    source, target = standing.source.offset_s, standing.target.offset_s
    return None if source is None or target is None else target - source


def _latest(moments: Iterable[float | None]) -> float | None:
    return max((m for m in moments if m is not None), default=None)
