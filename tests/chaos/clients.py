"""The clients: boto3 at the source, no link in between, all that they were told in the ledger."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError
from botocore.exceptions import EndpointConnectionError as Unreachable

from tests.chaos import operations
from tests.chaos.diary import Diary
from tests.chaos.ledger import MARKER, Entry
from tests.chaos.operations import PART_BYTES, Operation, body

AGAIN_S = 0.25
"""A client whose server is gone waits for so long."""

NUMBERS = 10**6
"""Operations of one client at most."""


class Client:
    """One client. `source()` is a boto3 client of the site that it works at. `versions_max`:
    operations on a key before it is left for a new one."""

    def __init__(
        self,
        seed: int,
        number: int,
        diary: Diary,
        source: Callable[[], Any],
        bucket: str,
        *,
        versions_max: int = operations.VERSIONS_MAX,
    ) -> None:
        self._versions_max = versions_max
        self._seed, self._number = seed, number
        self._diary = diary
        self._source = source
        self._bucket = bucket
        self._before: dict[str, bytes] = {}
        """The last body of each key, to be written again."""

    def work(self, over: threading.Event) -> None:
        """Until it is over."""
        endless = operations.operations(self._seed, self._number, self._versions_max)
        for index, operation in enumerate(endless):
            if over.wait(operation.pause):
                return
            self.one(operation, self._number * NUMBERS + index, over)

    def one(self, operation: Operation, number: int, over: threading.Event) -> None:
        """One operation; what became of it is counted."""
        try:
            outcome = self._do(operation, number)
        except (Unreachable, ConnectTimeoutError):
            outcome = "not reached"
            over.wait(AGAIN_S)
        except ClientError as error:
            outcome = f"answered {error.response['Error'].get('Code', '')}"
        except BotoCoreError as error:
            outcome = f"no answer: {type(error).__name__}"
        self._diary.count("operations", operation.kind)
        self._diary.count("outcomes", outcome)

    def _do(self, operation: Operation, number: int) -> str:
        s3, where = self._source(), {"Bucket": self._bucket, "Key": operation.key}
        match operation.kind:
            case "put" | "again" | "large":
                self._put(s3, where, operation, number)
            case "multipart":
                self._multipart(s3, where, operation, number)
            case "delete":
                self._write(operation.key, MARKER, lambda: s3.delete_object(**where))
            case "tag":
                s3.put_object_tagging(
                    **where, Tagging={"TagSet": [{"Key": "n", "Value": str(operation.amount)}]}
                )
            case "purge":
                return self._purge(s3, where, operation.amount)
        return "acknowledged"

    def _put(self, s3: Any, where: Mapping[str, str], operation: Operation, number: int) -> None:
        key = operation.key
        found = self._before.get(key) if operation.kind == "again" else None
        content = body(self._seed, number, operation.size) if found is None else found
        self._before[key] = content
        more = {"Tagging": f"n={number}"} if number % 3 == 0 else {}
        self._write(
            key,
            hashlib.md5(content, usedforsecurity=False).hexdigest(),
            lambda: s3.put_object(**where, Body=content, Metadata={"n": str(number)}, **more),
        )

    def _multipart(
        self, s3: Any, where: Mapping[str, str], operation: Operation, number: int
    ) -> None:
        whole = body(self._seed, number, operation.size)
        created = s3.create_multipart_upload(**where, Metadata={"n": str(number)})
        upload = {**where, "UploadId": created["UploadId"]}
        parts, digests = [], b""
        for n, part in enumerate((whole[:PART_BYTES], whole[PART_BYTES:]), 1):
            etag = s3.upload_part(**upload, PartNumber=n, Body=part)["ETag"]
            parts.append({"PartNumber": n, "ETag": etag})
            digests += hashlib.md5(part, usedforsecurity=False).digest()
        token = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        self._write(
            operation.key,
            token,
            lambda: s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}),
        )

    def _write(self, key: str, token: str, request: Callable[[], Any]) -> None:
        """A request that makes an entry."""
        with self._diary.ledger() as ledger:
            entry = ledger.begin(key, token, time.time())
        try:
            answer = request()
        except (Unreachable, ConnectTimeoutError):
            with self._diary.ledger() as ledger:
                ledger.refused(entry)
            raise
        except (ClientError, BotoCoreError):
            with self._diary.ledger() as ledger:
                ledger.doubt(entry)
            self._diary.say(f"in doubt: {entry.key} {entry.token}")
            raise
        self._told(entry, answer)

    def _told(self, entry: Entry, answer: Mapping[str, Any]) -> None:
        now = time.time()
        with self._diary.ledger() as ledger:
            ledger.acknowledge(entry, answer["VersionId"], now)
        self._diary.say(f"told: {entry.key} {answer['VersionId']} {entry.token}")
        etag = answer.get("ETag", "").strip('"')
        if etag and etag != entry.token:
            self._diary.broke("as it was written", entry.key, f"{etag} instead of {entry.token}")

    def _purge(self, s3: Any, where: Mapping[str, str], amount: int) -> str:
        with self._diary.ledger() as ledger:
            found = ledger.purgeable(where["Key"])
            if not found:
                return "nothing to purge"
            entry = found[amount % len(found)]
            ledger.purge(entry)
        self._diary.say(f"purge: {entry.key} {entry.version_id} {entry.token}")
        try:
            s3.delete_object(**where, VersionId=entry.version_id)
        except (Unreachable, ConnectTimeoutError):
            with self._diary.ledger() as ledger:
                ledger.spared(entry)
            self._diary.say(f"spared: {entry.key} {entry.version_id}")
            raise
        with self._diary.ledger() as ledger:
            ledger.gone(entry, time.time())
        self._diary.say(f"gone: {entry.key} {entry.version_id}")
        return "acknowledged"
