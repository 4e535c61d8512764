"""Small JSON documents in the control bucket: the truth that outlives every machine.

Each is one object, `{"schema": 1, ...}`, written whole. Who writes a document that others
write too passes the ETag it has read (`if_etag`) or `absent=True`; the store decides who
was first. Where a server ignores conditions (a probed capability), the writer must read
back what stands there: see `lease`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from farshore.core.model import Attributes
from farshore.errors import Corrupt, Gone, StateError
from farshore.s3.store import Condition, ObjectInfo, Store, Written

SCHEMA = 1
"""The form of documents that this farshore writes, and the highest that it reads."""

DOCUMENT_BYTES_MAX = 1 << 20
"""A larger object under a document's name is not ours."""

_JSON = Attributes(headers=(("content-type", "application/json"),))


class Document(NamedTuple):
    """What stands in the control bucket. `body` is without its schema number."""

    body: dict[str, Any]
    etag: str
    version_id: str
    schema: int = SCHEMA


class Damaged(Corrupt):
    """The bytes came whole and are no document of ours. `etag`, `version_id`: which bytes."""

    usual_hint = "Its older versions are still in the bucket: look at them and purge the bad one."

    def __init__(self, message: str, *, etag: str, version_id: str) -> None:
        super().__init__(message)
        self.etag = etag
        self.version_id = version_id


async def read_document(store: Store, bucket: str, name: str) -> Document | None:
    """The current document; None where there is none (or a delete marker).

    `Damaged` for bytes that are no document, `StateError` for one that a newer farshore
    wrote; a missing bucket is `BucketMissing`.
    """
    try:
        async with store.get(bucket, name) as answer:
            where, info = f"{bucket}/{name} at {store.site}", answer.info
            if info.size > DOCUMENT_BYTES_MAX:
                raise _damaged(where, f"it has {info.size} bytes", info)
            data = await answer.read()
    except Gone as error:
        if type(error) is Gone:
            return None
        raise
    return _decode(data, where, info)


async def write_document(
    store: Store,
    bucket: str,
    name: str,
    body: dict[str, Any],
    *,
    if_etag: str = "",
    absent: bool = False,
) -> Written:
    """Write a document. `Precondition` when another one stands there than the caller knew."""
    data = json.dumps({"schema": SCHEMA, **body}, indent=2, sort_keys=True).encode() + b"\n"
    condition = Condition(absent=absent, etag=if_etag)
    return await store.put(bucket, name, data, _JSON, condition=condition)


def _decode(data: bytes, where: str, info: ObjectInfo) -> Document:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged(where, "it is not JSON", info) from None
    schema = body.pop("schema", None) if isinstance(body, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise _damaged(where, "it has no schema number", info)
    if schema > SCHEMA:
        raise StateError(
            f"{where} was written by a newer farshore (schema {schema}; this one reads {SCHEMA}).",
            hint="Use the newer farshore here too: pip install --upgrade farshore",
        )
    assert isinstance(body, dict)
    return Document(body, info.etag, info.version_id, schema)


def _damaged(where: str, why: str, info: ObjectInfo) -> Damaged:
    return Damaged(
        f"The control document {where} is damaged: {why}.",
        etag=info.etag,
        version_id=info.version_id,
    )
