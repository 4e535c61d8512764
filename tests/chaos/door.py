"""Clients before the front door: each key is written once, and by a request that is sent once."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.chaos import wire
from tests.chaos.diary import Diary
from tests.chaos.ledger import MARKER, written_at
from tests.chaos.reigns import Stand, Written
from tests.chaos.stage import Sites
from tests.chaos.wire import HANDS
from tests.lab.farshore_cli import SITES, STAMP_NAME
from tests.lab.runbook_ground import Pair
from tests.lab.witness import rows

PAUSE_S = 0.25


class Door:
    """Who writes through it."""

    def __init__(self, diary: Diary, pair: Pair) -> None:
        self._diary = diary
        self._bucket = pair.bucket
        keys = pair.lab.status().site(SITES[0]).principals["app"]
        self._s3 = wire.client(pair.door, keys)

    def write(self, number: int, over: threading.Event) -> None:
        """Until it is over."""
        count = 0
        while not over.wait(PAUSE_S):
            count += 1
            self._one(f"load/{number}/{count // 300}/{count}", b"%d %d" % (number, count))

    def _one(self, key: str, body: bytes) -> None:
        token = hashlib.md5(body, usedforsecurity=False).hexdigest()
        with self._diary.ledger() as ledger:
            entry = ledger.begin(key, token, time.time())
        try:
            answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)
        except ClientError as error:
            outcome = f"answered {error.response['Error'].get('Code', '')}"
        except BotoCoreError as error:
            outcome = f"no answer: {type(error).__name__}"
        else:
            outcome = "acknowledged"
            with self._diary.ledger() as ledger:
                ledger.acknowledge(entry, answer["VersionId"], time.time())
        self._diary.count("operations", "put")
        self._diary.count("outcomes", outcome)

    def written(self) -> list[Written]:
        """All that was tried, by key."""
        with self._diary.ledger() as ledger:
            return [
                Written(key, entry.token, entry.acked_at)
                for key, (entry,) in sorted(ledger.histories.items())
            ]


def read_all(sites: Sites, bucket: str, keys: Sequence[str]) -> dict[str, list[Stand]]:
    """What both sides hold of these keys."""
    read = partial(_read, sites, bucket)
    with ThreadPoolExecutor(HANDS) as hands:
        return dict(zip(keys, hands.map(read, keys), strict=True))


def _read(sites: Sites, bucket: str, key: str) -> list[Stand]:
    return [stand for site in SITES for stand in _at(sites.s3(site), bucket, key, site)]


def _at(s3: Any, bucket: str, key: str, site: str) -> list[Stand]:
    found = []
    for row in rows(s3, bucket, key):
        if row.is_marker:
            found.append(Stand(site, MARKER, False, written_at(row.version_id)))
            continue
        head = s3.head_object(Bucket=bucket, Key=key, VersionId=row.version_id)
        native = STAMP_NAME not in head["Metadata"]
        found.append(Stand(site, row.etag, native, written_at(row.version_id)))
    return found
