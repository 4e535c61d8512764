"""Events about objects, in the forms that servers really send, become hints.

- S3 records, `{"Records": [{"eventName", "eventTime", "s3": {"bucket", "object"}}]}`: AWS
  by SQS, MinIO (with `EventName` and `Key` beside them), Ceph RGW. AWS and MinIO encode
  keys as in an HTML form (`+` is a space, MinIO also the slash); RGW does not encode
  them, and others differ. Where nobody has promised one of the two, both readings are
  hinted: a hint of a key that does not exist costs a look.
- EventBridge, `{"detail-type", "source": "aws.s3", "detail": {"bucket", "object"}}`: keys
  as they are.
- SNS, `{"Type": "Notification", "Message": "…"}`: one of the above as a text.
- SeaweedFS' notification webhook, `{"key", "event_type", "message": {"old_entry",
  "new_entry", "new_parent_path"}}`: entries of its filer, observed on 4.48.
- What SNS sends beside notifications (`feed.sns`): no hint, and a notice for a person.
- `{"Event": "s3:TestEvent"}`, which AWS sends when notifications are configured: nothing.

Every change gives a hint: creations, deletions, markers, lifecycle, tags, ACLs, restores.
Reads give none, or each look of ours would ask for the next.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import unquote_plus

from farshore.core.model import NULL_VERSION
from farshore.errors import Corrupt
from farshore.feed.entry import Entry, created_version, touched, written_at
from farshore.feed.hint import Hint, Notice
from farshore.feed.sns import notice_of

MESSAGE_BYTES_MAX = 8 * 2**20
"""One event. AWS ends at 1 MiB; SeaweedFS names every chunk of the old and the new body."""

RECORDS_MAX = 10_000
ENVELOPES_MAX = 3
"""SNS around EventBridge around an event, and one to spare."""

KEY_BYTES_MAX = 1024
BUCKET_CHARACTERS_MAX = 255
SEQUENCER_DIGITS = 32
"""Sequencers are padded to this many digits; AWS, MinIO and RGW send 16 to 20."""

READS = ("ObjectAccessed:", "Scanner:")
"""Families of MinIO's events that tell of no change."""

CREATED = "ObjectCreated:"
"""The family of events that tell of a new version; each names it where it has an id."""

VERSION_ID_CHARACTERS_MAX = 1024

ENCODED_BY = ("aws:s3", "minio:s3")
PLAIN_BY = ("aws.s3",)

SIZE_MAX = 2**63 - 1

T = TypeVar("T")


class Event(NamedTuple):
    """What one message says."""

    hints: list[Hint]
    notice: Notice | None = None


def read_event(body: bytes | str) -> Event:
    """One message, read. `Corrupt` when it is not an event in a known form."""
    message = _parsed(body)
    notice = notice_of(message)
    return Event([], notice) if notice else Event(list(_hints(message, envelopes=0)))


def hints_from(body: bytes | str) -> list[Hint]:
    """The hints of one message. `Corrupt` when it is not an event in a known form."""
    return read_event(body).hints


def _parsed(body: bytes | str) -> dict[str, Any]:
    if len(body) > MESSAGE_BYTES_MAX:
        _refuse(f"it is longer than {MESSAGE_BYTES_MAX} bytes")
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # ValueError: also of text that is no UTF-8
        _refuse("it cannot be read as JSON", error)
    return _a(dict, document, "the event")


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _hints(event: Mapping[str, Any], envelopes: int) -> Iterator[Hint]:
    if "Records" in event:
        yield from _records(event)
    elif "detail-type" in event:
        yield from _eventbridge(event)
    elif event.get("Type") == "Notification":
        if envelopes >= ENVELOPES_MAX:
            _refuse("it is an envelope around envelopes")
        yield from _hints(_parsed(_a(str, event.get("Message"), "Message")), envelopes + 1)
    elif "event_type" in event and "message" in event:
        yield from _seaweedfs(event)
    elif "EventName" in event and "Key" in event:
        yield from _minio_short(event)
    elif event.get("Event") != "s3:TestEvent":
        _refuse("its form is not known")


def _records(event: Mapping[str, Any]) -> Iterator[Hint]:
    records = event["Records"] or []
    if len(_a(list, records, "Records")) > RECORDS_MAX:
        _refuse(f"it has more than {RECORDS_MAX} records")
    for record in records:
        yield from _record(_a(dict, record, "a record"))


def _record(record: Mapping[str, Any]) -> Iterator[Hint]:
    name = record.get("eventName")
    if _is_read(name):
        return
    about = _a(dict, record.get("s3"), "s3")
    source = record.get("eventSource")
    created = _a(str, name, "the event's name").removeprefix("s3:").startswith(CREATED)
    yield from _object_hints(about, source, record.get("eventTime"), created)


def _eventbridge(event: Mapping[str, Any]) -> Iterator[Hint]:
    if event.get("source") not in PLAIN_BY:
        _refuse("it comes by EventBridge, and not from S3")
    about = _a(dict, event.get("detail"), "detail")
    created = event.get("detail-type") == "Object Created"
    yield from _object_hints(about, event["source"], event.get("time"), created)


def _object_hints(
    about: Mapping[str, Any], source: object, when: object, created: bool
) -> Iterator[Hint]:
    bucket = _bucket(_a(dict, about.get("bucket"), "bucket").get("name"))
    found = _a(dict, about.get("object"), "object")
    written = _a(str, found.get("key"), "key")
    at, size = _seconds(when), _size(found.get("size"))
    sequence = _sequence(found.get("sequencer"))
    readings = _readings(written, source)
    # Of two readings of a key, one names no object at all.
    made = _made(found) if created and len(readings) == 1 else ()
    for key in readings:
        yield Hint(bucket, _key(key), at, sequence, size, made)


def _made(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The id of the version that was written, where it has one of its own."""
    version_id = found.get("versionId", found.get("version-id"))
    if not isinstance(version_id, str) or version_id == NULL_VERSION:
        return ()
    sane = 0 < len(version_id) <= VERSION_ID_CHARACTERS_MAX and version_id.isascii()
    return (version_id,) if sane and version_id.isprintable() else ()


def _readings(written: str, source: object) -> list[str]:
    """What the key may be. Nothing where it is empty: MinIO tells of buckets, too."""
    if not written:
        return []
    if source in PLAIN_BY:
        return [written]
    try:
        decoded = unquote_plus(written, errors="strict")
    except UnicodeDecodeError as error:
        if source in ENCODED_BY:
            _refuse("a key is not the encoding of UTF-8", error)
        return [written]
    if source in ENCODED_BY:
        return [decoded]
    return list(dict.fromkeys([written, decoded]))


def _minio_short(event: Mapping[str, Any]) -> Iterator[Hint]:
    """MinIO without records: `Key` is bucket/key, decoded."""
    if _is_read(event["EventName"]):
        return
    bucket, _, key = _a(str, event["Key"], "Key").partition("/")
    if key:
        yield Hint(_bucket(bucket), _key(key))


def _is_read(name: object) -> bool:
    return _a(str, name, "the event's name").removeprefix("s3:").startswith(READS)


# -- SeaweedFS --------------------------------------------------------------------------


def _seaweedfs(event: Mapping[str, Any]) -> Iterator[Hint]:
    """`key` is the full path of the old entry, or of the new one where there is no old."""
    directory = _a(str, event.get("key"), "key").rpartition("/")[0] or "/"
    message = _a(dict, event["message"], "message")
    old, new = _entry(message.get("old_entry")), _entry(message.get("new_entry"))
    parent = _a(str, message.get("new_parent_path") or "", "new_parent_path")
    at = written_at(new) if new is not None and old is None else 0.0
    for bucket, key, size in touched(directory, old, new, parent):
        made = created_version(old, new)
        yield Hint(_bucket(bucket), _key(key), max(at, 0.0), "", size, made)


def _entry(document: object) -> Entry | None:
    """Go leaves out what is zero, "" or false."""
    if document is None:
        return None
    found = _a(dict, document, "an entry")
    attributes = _a(dict, found.get("attributes") or {}, "attributes")
    extended = _a(dict, found.get("extended") or {}, "extended")
    return Entry(
        _a(str, found.get("name"), "name"),
        found.get("is_directory") is True,
        _size(attributes.get("file_size")),
        float(_size(attributes.get("mtime"))) + _size(attributes.get("mtime_ns")) / 1e9,
        _a(str, attributes.get("mime") or "", "mime"),
        {name: _bytes(value) for name, value in extended.items()},
    )


def _bytes(value: object) -> bytes:
    try:
        return b64decode(_a(str, value or "", "an attribute"), validate=True)
    except (binascii.Error, ValueError) as error:
        _refuse("an attribute is not Base64", error)


# -- fields -----------------------------------------------------------------------------


def _bucket(name: object) -> str:
    bucket = _a(str, name, "the bucket's name")
    if not 0 < len(bucket) <= BUCKET_CHARACTERS_MAX or "/" in bucket or not bucket.isprintable():
        _refuse("its bucket's name is no name of a bucket")
    return bucket


def _key(key: str) -> str:
    try:
        length = len(key.encode())
    except UnicodeEncodeError as error:  # half of a surrogate pair
        _refuse("a key is not Unicode text", error)
    if not 0 < length <= KEY_BYTES_MAX:
        _refuse(f"a key is empty or longer than {KEY_BYTES_MAX} bytes")
    return key


def _size(value: object) -> int:
    """RGW has sent numbers as texts. 0 where there is none: it is for a gauge only."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        value = int(value)
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SIZE_MAX
    return value if known and isinstance(value, int) else 0


def _sequence(value: object) -> str:
    """Sequencers differ in length; padded on the right they compare as texts."""
    if not isinstance(value, str) or len(value) > SEQUENCER_DIGITS:
        return ""
    return value.upper().ljust(SEQUENCER_DIGITS, "0") if value else ""


def _seconds(value: object) -> float:
    """ISO 8601 to Unix seconds; 0.0 where the event says none, or none that can be read."""
    if not isinstance(value, str):
        return 0.0
    try:
        time = datetime.fromisoformat(value)
        return max(0.0, time.replace(tzinfo=time.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        return 0.0


def _a(kind: type[T], value: object, what: str) -> T:
    if not isinstance(value, kind):
        _refuse(f"{what} is not of the kind that it should be")
    return value


def _refuse(why: str, cause: Exception | None = None) -> NoReturn:
    """Nothing of the message is repeated: it may be forged, and it goes to logs."""
    raise Corrupt(
        f"An event cannot be read: {why}.",
        hint="Send S3 event notifications in the form of AWS, MinIO, Ceph RGW or SeaweedFS.",
    ) from cause
