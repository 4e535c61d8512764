"""Where a pair stands, as two documents in the target's control bucket.

`status/PAIR.json`: what the daemon says of itself every few seconds. `proof/PAIR.json`: what
the last `farshore verify` of everything found. Both can be read with the source, and the
daemon, gone. A copy of the first is kept in the state folder, for when the target is gone.

Times are Unix seconds by the source's clock, in the documents ISO 8601 UTC text with
milliseconds (cut, never rounded up: a watermark must not promise more).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from farshore.control.documents import Document, read_document, write_document
from farshore.core.watermark import Basis
from farshore.errors import BucketMissing, Corrupt, Gone, StateError, StoreError
from farshore.s3.store import Store


def moment_text(seconds: float) -> str:
    """ISO 8601 UTC with milliseconds, cut."""
    whole = math.floor(seconds * 1000)
    moment = datetime.fromtimestamp(whole // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{whole % 1000:03d}Z"


def _moment_seconds(value: object) -> object:
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value


Moment = Annotated[float, BeforeValidator(_moment_seconds), PlainSerializer(moment_text)]
"""Unix seconds here, text in the document."""


@dataclass(frozen=True, slots=True)
class DaemonState:
    """Which process wrote."""

    host: str
    pid: int
    version: str
    started_at: Moment


@dataclass(frozen=True, slots=True)
class BacklogState:
    """Keys that wait. `bytes` is a guess from the hints; `oldest_since` None when empty."""

    count: int = 0
    bytes: int = 0
    oldest_since: Moment | None = None


@dataclass(frozen=True, slots=True)
class ScanState:
    """The last complete scan. `keys` and `versions` are what it saw on the source."""

    started_at: Moment
    finished_at: Moment
    keys: int
    versions: int


@dataclass(frozen=True, slots=True)
class ShrunkBucket:
    """A bucket of the source that had `before` keys, and has `left` of them since `at`."""

    bucket: str
    before: int
    left: int
    at: Moment


@dataclass(frozen=True, slots=True)
class SweepState:
    """The last sweep that ended (`finished_at` None: none yet), and the one under way.

    `versions` were compared then, `mended` of them on the target; `left` could not be:
    `trouble` says why the last one could not. `accounts`: versions whose grants to accounts of
    the source were left out. `compared`: so far in the one that `began_at`.
    """

    finished_at: Moment | None = None
    versions: int = 0
    mended: int = 0
    left: int = 0
    mended_total: int = 0
    accounts: int = 0
    began_at: Moment | None = None
    compared: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class NamedVersion:
    """One version or marker of the source; `at`: when it was found to be left out."""

    bucket: str
    key: str
    version_id: str
    at: Moment


@dataclass(frozen=True, slots=True)
class LeftOutState:
    """How many there ever were, and the latest of them."""

    total: int = 0
    latest: tuple[NamedVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedReport:
    """One feed since the daemon began.

    `late_s`: by how much its hints may be late; `foreign` hints were of buckets that are not
    replicated; `unreadable`: messages that may have told of a change; `missed`: heartbeats that
    were written and never came; `requests`: of the
    webhook, by how they ended; `notices`: by kind, `notice` the one that waits for a person.
    """

    up: bool
    late_s: float = 0.0
    hints: int = 0
    foreign: int = 0
    unreadable: int = 0
    missed: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)
    notices: Mapping[str, int] = field(default_factory=dict)
    notice: str = ""
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class LimitState:
    """The rates that hold for a site, 0 for none; `window`: of the schedule, "" outside it."""

    requests_per_s: float = 0.0
    bytes_per_s: float = 0.0
    window: str = ""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What the daemon knows at `written_at`. None means not known.

    `watermark`, `proved_at`, `basis`, `understatements`: see `core.watermark`.
    `not_replicated`: versions or keys by reason and cause. `in_flight`: keys in lanes.
    `*_per_s`: over the last minute. `heartbeat_at`: of the newest that came through, of
    the slowest bucket. `unheard`: buckets of which none has come. `feeds_whole`: no feed may have
    lost anything that no scan has made good; `feeds_late_s`: by how much they may be late.
    `unserved`: buckets that match a pattern and are not replicated. `stopped_at`: this daemon
    was stopped, in order.
    `shrunk`: see `core.shrinkage`; `unversioned`, `target_unversioned`: buckets of the source, and
    of the target, that keep no versions.
    `expired`: versions that were gone before they were copied; `cancelled`: deletes that
    waited, and whose rule no longer wants them; `late`: what arrived late at the target, and
    was purged there.
    `*_offset_s`: the server's clock minus the daemon's. `paused_by`: who, "" when it runs.
    `scope`: see `config.values.Pair`; "" in reports of older versions. `limits`: by site.
    """

    pair: str
    written_at: Moment
    daemon: DaemonState
    watermark: Moment | None = None
    proved_at: Moment | None = None
    basis: Basis = "nothing"
    understatements: int = 0
    backlog: BacklogState = BacklogState()
    not_replicated: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    deletes_held: int = 0
    in_flight: int = 0
    versions_per_s: float = 0.0
    bytes_per_s: float = 0.0
    scan: ScanState | None = None
    heartbeat_at: Moment | None = None
    source_answers: bool | None = None
    target_answers: bool | None = None
    source_offset_s: float | None = None
    target_offset_s: float | None = None
    paused_by: str = ""
    paused_at: Moment | None = None
    feeds: Mapping[str, FeedReport] = field(default_factory=dict)
    feeds_whole: bool = False
    feeds_late_s: float = 0.0
    unheard: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()
    stopped_at: Moment | None = None
    expired: LeftOutState = LeftOutState()
    cancelled: LeftOutState = LeftOutState()
    late: LeftOutState = LeftOutState()
    sweep: SweepState | None = None
    shrunk: tuple[ShrunkBucket, ...] = ()
    unversioned: tuple[str, ...] = ()
    target_unversioned: tuple[str, ...] = ()
    scope: str = ""
    limits: Mapping[str, LimitState] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The document's body."""
        return _to_json(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> StatusReport:
        """`Corrupt` for what `to_json` did not write; fields of a newer farshore are left out."""
        return _from_json(cls, body)


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """What the last verify of everything found. `deep`: it read and compared all bytes.
    `divergent`: of the differences, how many are versions at the other side that nobody of ours
    wrote. `scope`: of what was compared, as in `StatusReport`."""

    pair: str
    began_at: Moment
    finished_at: Moment
    deep: bool
    keys: int
    versions: int
    differences: int
    host: str
    scope: str = ""
    divergent: int = 0

    def to_json(self) -> dict[str, Any]:
        """The document's body."""
        return _to_json(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ProofRecord:
        """As `StatusReport.from_json`."""
        return _from_json(cls, body)


Record = TypeVar("Record", StatusReport, ProofRecord)


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    """Made once for each kind: it takes some ten milliseconds of the event loop."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _to_json(record: StatusReport | ProofRecord) -> dict[str, Any]:
    body: dict[str, Any] = _adapter(type(record)).dump_python(record, mode="json")
    return body


def _from_json(kind: type[Record], body: dict[str, Any]) -> Record:
    try:
        record: Record = _adapter(kind).validate_python(body)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Corrupt(
            f"A {kind.__name__} cannot be understood: {place} is wrong or missing.",
            hint="The next one replaces it: `farshore run` and `farshore verify` write them.",
        ) from None
    return record


def status_name(pair: str) -> str:
    """The status document's key in the control bucket."""
    return f"status/{pair}.json"


def proof_name(pair: str) -> str:
    """The proof document's key in the control bucket."""
    return f"proof/{pair}.json"


class StatusLost(StoreError):
    """The target does not have the status any more that was kept there."""


class StatusDocument:
    """The status of one pair on the target, and who keeps it without leaving a trail.

    `store` is the target's, with the replicator's rights; `bucket` its control bucket.
    """

    def __init__(self, store: Store, bucket: str, pair: str) -> None:
        self._store = store
        self._bucket = bucket
        self._name = status_name(pair)
        self._previous = ""

    async def read(self) -> StatusReport | None:
        """What stands there; None: nothing. `Corrupt`, `StateError` as documents raise."""
        document = await _read(self._store, self._bucket, self._name)
        if document is None:
            return None
        self._previous = document.version_id
        return StatusReport.from_json(document.body)

    async def require_kept(self) -> None:
        """`StatusLost` where what was read or written last is gone: who loses that may have lost
        everything. Raises as stores do."""
        if not self._previous:
            return
        try:
            await self._store.head(self._bucket, self._name)
        except Gone as error:
            raise StatusLost(
                f"{self._store.site} has lost the status that was kept there: it may have lost its "
                "disks, and with them what was copied.",
                hint="All of it is looked at anew; `farshore status` says how far that is.",
            ) from error

    async def write(self, report: StatusReport) -> None:
        """Replace it and purge the version before it. The last writer wins: hold the lease."""
        written = await write_document(self._store, self._bucket, self._name, report.to_json())
        previous, self._previous = self._previous, written.version_id
        if previous and previous != written.version_id:
            await self._store.delete(self._bucket, self._name, previous)


async def read_proof(store: Store, bucket: str, pair: str) -> ProofRecord | None:
    """The last full verify's record; None: there is none. Raises as documents do."""
    document = await _read(store, bucket, proof_name(pair))
    return None if document is None else ProofRecord.from_json(document.body)


async def write_proof(store: Store, bucket: str, record: ProofRecord) -> None:
    """Replace the record; older ones stay as versions of the object."""
    await write_document(store, bucket, proof_name(record.pair), record.to_json())


async def _read(store: Store, bucket: str, name: str) -> Document | None:
    try:
        return await read_document(store, bucket, name)
    except BucketMissing:
        return None


def local_path(folder: Path, pair: str) -> Path:
    """Where this machine keeps its copy of the status."""
    return folder / f"status-{pair}.json"


def write_local(folder: Path, report: StatusReport) -> None:
    """Keep a copy on this machine, whole or not at all. `StateError` when it cannot be."""
    path = local_path(folder, report.pair)
    beside = path.with_suffix(".new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(report.to_json()), encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Free some space, or mend the rights of that folder.",
        ) from error


def read_local(folder: Path, pair: str) -> StatusReport | None:
    """This machine's copy; None where there is none, or none that can be understood."""
    try:
        body = json.loads(local_path(folder, pair).read_bytes())
        return StatusReport.from_json(body)
    except (OSError, ValueError, Corrupt):
        return None
