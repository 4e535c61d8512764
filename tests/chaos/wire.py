"""What both sides hold, read by boto3 and put before the checker of the simulation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from farshore.core import stamp
from farshore.core.model import Attributes, Version
from farshore.credentials import Credentials
from farshore.lab.seaweed import REGION
from farshore.testing.store.memory import Held
from tests.chaos.ledger import MARKER, SAME, Entry, Seen, Violation, written_at
from tests.lab.witness import CARRIED, Row, rows
from tests.simulation.truth import BUCKET, Broken, Truth

HANDS = 8
CLIENTS_MAX = 64
"""Clients that are kept: a site has another port after some of its deaths."""

CONNECT_SECONDS_MAX, READ_SECONDS_MAX = 5, 60
METADATA = "x-amz-meta-"


@lru_cache(CLIENTS_MAX)
def client(endpoint: str, keys: Credentials) -> Any:
    """A boto3 client that never tries again: one call is one request at most."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name=REGION,
        config=Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            retries={"total_max_attempts": 1},
            max_pool_connections=HANDS * 2,
            connect_timeout=CONNECT_SECONDS_MAX,
            read_timeout=READ_SECONDS_MAX,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def seen(s3: Any, bucket: str, key: str) -> list[Seen]:
    """The key's history as its listing shows it, newest first."""
    return [seen_of(row) for row in newest_first(rows(s3, bucket, key))]


def newest_first(found: Sequence[Row]) -> list[Row]:
    """By the ids, which count down. A listing that is made while SeaweedFS writes may show the
    version before the newest as the latest one, and such a one `rows` puts first."""
    return sorted(found, key=lambda row: row.version_id)


def seen_of(row: Row) -> Seen:
    return Seen(MARKER if row.is_marker else row.etag, written_at(row.version_id))


def history(s3: Any, bucket: str, key: str) -> list[Held]:
    """The key's whole history, newest first, every byte read; bodies are their SHA-256."""
    return [_held(s3, bucket, key, row) for row in newest_first(rows(s3, bucket, key))]


def _held(s3: Any, bucket: str, key: str, row: Row) -> Held:
    if row.is_marker:
        version = Version(key, row.version_id, True, row.is_latest, "", 0, "", "")
        return Held(version, b"", Attributes())
    where = {"Bucket": bucket, "Key": key, "VersionId": row.version_id}
    got = s3.get_object(**where)
    digest, size = hashlib.sha256(), 0
    for chunk in got["Body"].iter_chunks(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    raw = got["ResponseMetadata"]["HTTPHeaders"]
    tags = s3.get_object_tagging(**where)["TagSet"]
    attributes = Attributes(
        headers=tuple((name, raw[name]) for name in CARRIED if name in raw),
        metadata=tuple(
            sorted((k.removeprefix(METADATA), v) for k, v in raw.items() if k.startswith(METADATA))
        ),
        tags=tuple(sorted((tag["Key"], tag["Value"]) for tag in tags)),
    )
    etag = got["ETag"].strip('"')
    version = Version(key, row.version_id, False, row.is_latest, etag, size, "", "")
    return Held(version, digest.digest(), attributes)


class Read(NamedTuple):
    """A side of the simulation's checker: what was read of one key."""

    entries: Sequence[Held]

    def dump(self, bucket: str) -> list[Held]:
        assert bucket == BUCKET
        return list(self.entries)


class Both(NamedTuple):
    """One key on both sides, newest first."""

    here: Sequence[Held]
    there: Sequence[Held]


def compared(
    found: Mapping[str, Both], entries: Mapping[str, Sequence[Entry]], at: float
) -> Iterator[Violation]:
    """Every key by the simulation's checker, with all that clients were told."""
    for key in sorted(found):
        try:
            _compare(key, found[key], entries.get(key, ()))
        except Broken as error:
            yield Violation(SAME, key, str(error), at)
        yield from _lost(key, found[key].here, entries.get(key, ()), at)


def _compare(key: str, both: Both, entries: Sequence[Entry]) -> None:
    """Raises `Broken`. What was purged since still has its place, for its replica may stand."""
    truth = Truth(Read(both.here), Read(both.there), names_all=False)
    ids = {held.version.version_id: held.version.is_marker for held in both.here}
    ids |= {e.version_id: e.token == MARKER for e in entries if e.version_id}
    for version_id in sorted(ids, reverse=True):  # SeaweedFS's ids count down: oldest first
        truth.written(key, version_id, is_marker=ids[version_id])
    if any(entry.purged for entry in entries):
        truth.purged.add(key)
    for number, held in enumerate(reversed(both.there)):
        mark = stamp.find(held.attributes)
        if mark is not None and mark.version_id not in truth.places:
            raise Broken(f"{key}: nobody wrote {mark.version_id}, and its replica stands there")
        truth.appended(key, list(both.there[len(both.there) - number :]), held.attributes)
    truth.settled()


def undone(
    found: Mapping[str, Both], entries: Mapping[str, Sequence[Entry]]
) -> Iterator[tuple[str, str]]:
    """Versions, by key and id, that the source shows though it has acknowledged their purge. That
    is its own doing; what farshore makes of them is judged like everything else."""
    for key in sorted(found):
        stands = {held.version.version_id for held in found[key].here}
        for entry in entries.get(key, ()):
            if entry.gone_at < math.inf and entry.version_id in stands:
                yield key, entry.version_id


def _lost(
    key: str, here: Sequence[Held], entries: Sequence[Entry], at: float
) -> Iterator[Violation]:
    stands = {held.version.version_id for held in here}
    for entry in entries:
        if entry.owed and entry.version_id not in stands:
            what = f"{entry.token}, version {entry.version_id}, is gone from the source itself"
            yield Violation("nothing acknowledged lost", key, what, at)


def token_of(held: Held) -> str:
    """As the ledger calls it."""
    return MARKER if held.version.is_marker else held.version.etag
