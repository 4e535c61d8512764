"""The tree that the demo writes into the first region, and what it must become in the second.

Written with boto3 as the app would, with the app's own credentials. `Manifest` is the
writer's memory of it: the witness later compares the far side with this, and never
with anything that farshore says.
"""

from __future__ import annotations

import hashlib
import mimetypes
import random
import sysconfig
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farshore.lab.odd_keys import ODD_KEYS, Fate

FILES_MAX = 600
FILE_BYTES_MAX = 1024 * 1024
REWRITTEN = 300
DELETED = 100
TAGGED = 50
WRITERS = 8
BIG_KEY = "big/sixty-four-mebibytes.bin"
BIG_PART_BYTES = 8 * 1024 * 1024
BIG_PARTS = 8


@dataclass(frozen=True, slots=True)
class Put:
    """One version to write."""

    body: bytes
    content_type: str = "application/octet-stream"
    tags: str = ""


@dataclass(slots=True)
class Manifest:
    """What was written: per key the MD5 of each version, None for a delete marker; oldest first."""

    histories: dict[str, list[str | None]] = field(default_factory=dict)
    versions: int = 0
    markers: int = 0
    bytes: int = 0

    def living(self) -> Iterator[tuple[str, str]]:
        """(key, MD5) of every object that a client can read now."""
        for key, history in self.histories.items():
            if history[-1] is not None:
                yield key, history[-1]


def standard_library() -> list[tuple[str, bytes]]:
    """(key, bytes) of the running Python's own library, in a fixed order, at most FILES_MAX."""
    root = Path(sysconfig.get_path("stdlib"))
    return [
        (f"python/{path.relative_to(root).as_posix()}", path.read_bytes())
        for path in list(_files(root))[:FILES_MAX]
    ]


def _files(root: Path) -> Iterable[Path]:
    skipped = {"__pycache__", "site-packages", "dist-packages"}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not skipped.intersection(path.relative_to(root).parts):
            size = path.stat().st_size
            if size <= FILE_BYTES_MAX and path.suffix != ".so":
                yield path


def histories(files: list[tuple[str, bytes]]) -> Iterator[tuple[str, list[Put | None]]]:
    """What is done to each key, in order: None deletes."""
    for number, (key, body) in enumerate(files):
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        tags = "reviewed=yes&owner=docs%20team" if number % (FILES_MAX // TAGGED) == 0 else ""
        steps: list[Put | None] = []
        if number < REWRITTEN:
            steps += [Put(body + b"\n# draft %d\n" % n, kind) for n in (1, 2)]
        steps.append(Put(body, kind, tags))
        if REWRITTEN <= number < REWRITTEN + DELETED:
            steps.append(None)
        yield key, steps
    for odd in ODD_KEYS:
        if odd.seaweed is Fate.KEPT:
            yield odd.key, [Put(odd.why.encode())]


def write(client: Any, bucket: str) -> Manifest:
    """Write the whole tree with a boto3 client; answers what was written."""
    manifest = Manifest()
    work = list(histories(standard_library()))
    with ThreadPoolExecutor(WRITERS) as pool:
        for key, digests in pool.map(lambda item: _write_key(client, bucket, *item), work):
            manifest.histories[key] = digests
    for _, steps in work:
        manifest.bytes += sum(len(step.body) for step in steps if step is not None)
    manifest.histories[BIG_KEY] = [_write_big(client, bucket)]
    manifest.bytes += BIG_PARTS * BIG_PART_BYTES
    for history in manifest.histories.values():
        manifest.versions += sum(entry is not None for entry in history)
        manifest.markers += sum(entry is None for entry in history)
    return manifest


def _write_key(
    client: Any, bucket: str, key: str, steps: list[Put | None]
) -> tuple[str, list[str | None]]:
    digests: list[str | None] = []
    for step in steps:
        if step is None:
            client.delete_object(Bucket=bucket, Key=key)
            digests.append(None)
            continue
        client.put_object(
            Bucket=bucket,
            Key=key,
            Body=step.body,
            ContentType=step.content_type,
            CacheControl="max-age=60",
            Metadata={"source": "the running Python's library"},
            **({"Tagging": step.tags} if step.tags else {}),
        )
        digests.append(_md5(step.body))
    return key, digests


def _write_big(client: Any, bucket: str) -> str:
    """A real multipart upload; answers the ETag that its parts give."""
    upload = client.create_multipart_upload(Bucket=bucket, Key=BIG_KEY)["UploadId"]
    chance = random.Random(64)
    parts, digests = [], []
    for number in range(1, BIG_PARTS + 1):
        body = chance.randbytes(BIG_PART_BYTES)
        answer = client.upload_part(
            Bucket=bucket, Key=BIG_KEY, UploadId=upload, PartNumber=number, Body=body
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        digests.append(hashlib.md5(body, usedforsecurity=False).digest())
    client.complete_multipart_upload(
        Bucket=bucket, Key=BIG_KEY, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    return f"{_md5(b''.join(digests))}-{BIG_PARTS}"


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
