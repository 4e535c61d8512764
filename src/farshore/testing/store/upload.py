"""Open multipart uploads in memory: parts by number, and how they become one object."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from farshore.core.model import Attributes
from farshore.errors import BadRequest, Corrupt, Gone
from farshore.s3.store import Part

PART_NUMBER_MAX = 10_000


class HeldPart(NamedTuple):
    """One part's bytes and their MD5 in hex."""

    body: bytes
    etag: str


@dataclass(slots=True)
class OpenUpload:
    """One upload: its parts by number."""

    key: str
    upload_id: str
    initiated: float
    attributes: Attributes
    parts: dict[int, HeldPart] = field(default_factory=dict)

    def listed(self) -> list[Part]:
        """The parts so far, by number."""
        return [Part(n, part.etag, len(part.body)) for n, part in sorted(self.parts.items())]


class Uploads:
    """The open uploads of one bucket, in the order of their start."""

    def __init__(self, where: str, part_bytes_min: int) -> None:
        self._where = where
        self._part_bytes_min = part_bytes_min
        self._open: dict[str, OpenUpload] = {}

    def add(self, upload: OpenUpload) -> None:
        self._open[upload.upload_id] = upload

    def get(self, operation: str, key: str, upload_id: str) -> OpenUpload:
        """The upload; `Gone` when it is not open for this key."""
        upload = self._open.get(upload_id)
        if upload is None or upload.key != key:
            raise Gone(
                f"{operation} {key} in {self._where}: the upload is not there",
                status=404,
                code="NoSuchUpload",
                action=f"{operation} {key} in {self._where}",
            )
        return upload

    def discard(self, upload_id: str) -> None:
        """Forget an upload; one that is not there is no error."""
        self._open.pop(upload_id, None)

    def below(self, prefix: str) -> list[OpenUpload]:
        """Uploads whose key starts with the prefix, by key, then by start."""
        found = [upload for upload in self._open.values() if upload.key.startswith(prefix)]
        return sorted(found, key=lambda upload: upload.key)

    def put_part(self, upload: OpenUpload, number: int, body: bytes) -> str:
        if not 1 <= number <= PART_NUMBER_MAX:
            self._refuse("UploadPart", upload, "InvalidArgument", f"part number {number}")
        upload.parts[number] = HeldPart(body, md5_hex(body))
        return upload.parts[number].etag

    def chosen(self, upload: OpenUpload, parts: list[tuple[int, str]]) -> list[HeldPart]:
        """The parts named by Complete, after S3's checks."""
        operation = "CompleteMultipartUpload"
        numbers = [number for number, _ in parts]
        if not parts:
            self._refuse(operation, upload, "MalformedXML", "no part is named")
        if numbers != sorted(set(numbers)):
            self._refuse(operation, upload, "InvalidPartOrder", "part numbers must rise")
        for number, etag in parts:
            if number not in upload.parts or upload.parts[number].etag != etag.strip('"'):
                action = f"{operation} {upload.key} in {self._where}"
                raise Corrupt(
                    f"{action}: part {number} is another one, or not there (InvalidPart)",
                    status=400,
                    code="InvalidPart",
                    action=action,
                )
        held = [upload.parts[number] for number in numbers]
        if any(len(part.body) < self._part_bytes_min for part in held[:-1]):
            self._refuse(operation, upload, "EntityTooSmall", "a part is too small")
        return held

    def _refuse(self, operation: str, upload: OpenUpload, code: str, reason: str) -> NoReturn:
        action = f"{operation} {upload.key} in {self._where}"
        raise BadRequest(f"{action}: {reason} ({code})", status=400, code=code, action=action)


def md5_hex(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def multipart_etag(parts: list[HeldPart]) -> str:
    """The MD5 of the parts' MD5s, a dash, and their number (as AWS S3)."""
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{md5_hex(digests)}-{len(parts)}"
