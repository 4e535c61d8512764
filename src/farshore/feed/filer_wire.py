"""The part of a SeaweedFS filer's gRPC protocol that a subscription needs.

Field numbers are those that SeaweedFS 4.48 was seen to use; fields that are not named here
are skipped by the decoder. Names and paths are declared as bytes, which are the same on
the wire: one name that is not UTF-8 must not end the stream.

Imported only where the feed is used: grpcio and protobuf are an extra.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from farshore.errors import Corrupt
from farshore.feed.entry import Entry

METHOD = "/filer_pb.SeaweedFiler/SubscribeMetadata"
PACKAGE = "farshore.filer"

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bytes": _FIELD.TYPE_BYTES,
    "string": _FIELD.TYPE_STRING,
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint64": _FIELD.TYPE_UINT64,
}

MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Attribute": (("key", 1, "bytes"), ("value", 2, "bytes")),
    "Attributes": (
        ("file_size", 1, "uint64"),
        ("mtime", 2, "int64"),
        ("mime", 7, "bytes"),
        ("mtime_ns", 19, "int32"),
    ),
    "Entry": (
        ("name", 1, "bytes"),
        ("is_directory", 2, "bool"),
        ("attributes", 4, "Attributes"),
        ("extended", 5, "repeated Attribute"),
    ),
    "Notification": (
        ("old_entry", 1, "Entry"),
        ("new_entry", 2, "Entry"),
        ("new_parent_path", 4, "bytes"),
    ),
    "Request": (
        ("client_name", 1, "string"),
        ("path_prefix", 2, "string"),
        ("since_ns", 3, "int64"),
        ("client_id", 7, "int32"),
        ("client_epoch", 9, "int32"),
        ("client_supports_batching", 11, "bool"),
        ("client_supports_idle_heartbeat", 13, "bool"),
    ),
    "Response": (
        ("directory", 1, "bytes"),
        ("event_notification", 2, "Notification"),
        ("ts_ns", 3, "int64"),
        ("events", 4, "repeated Response"),
    ),
}
"""Message -> its fields: name, number, kind. A map is a list of keys with values."""


class Change(NamedTuple):
    """One response. `moment`: nanoseconds since 1970 by the filer's clock. Without entries
    it is a sign of life: `beat` when the filer has nothing that is newer."""

    moment: int
    directory: str = ""
    old: Entry | None = None
    new: Entry | None = None
    new_parent: str = ""
    beat: bool = False


def request(client: int, epoch: int, prefix: str, since_ns: int) -> bytes:
    """The serialised request of a subscription to what happens below `prefix`."""
    made: bytes = CLASSES["Request"](
        client_name="farshore",
        path_prefix=prefix,
        since_ns=since_ns,
        client_id=client,
        client_epoch=epoch,
        client_supports_batching=True,
        client_supports_idle_heartbeat=True,
    ).SerializeToString()
    return made


def changes(response: bytes) -> Iterator[Change]:
    """What one response tells, in order. `Corrupt` when it is not one."""
    parsed = CLASSES["Response"]()
    try:
        parsed.ParseFromString(response)
    except DecodeError as error:
        raise Corrupt(
            "The filer's answer cannot be decoded.",
            hint="`filer_grpc` must be the gRPC port of a SeaweedFS filer.",
        ) from error
    for one in (parsed, *parsed.events):
        if (change := _change(one)) is not None:
            yield change


def _change(one: Any) -> Change | None:
    """None for a name that is no UTF-8 text: no key of S3 has it."""
    event = one.event_notification
    if not one.HasField("event_notification"):
        return Change(one.ts_ns, beat=True)
    try:
        return Change(
            one.ts_ns,
            one.directory.decode(),
            _entry(event.old_entry) if event.HasField("old_entry") else None,
            _entry(event.new_entry) if event.HasField("new_entry") else None,
            event.new_parent_path.decode(),
        )
    except UnicodeDecodeError:
        return None


def _entry(entry: Any) -> Entry:
    attributes = entry.attributes
    return Entry(
        entry.name.decode(),
        entry.is_directory,
        attributes.file_size,
        attributes.mtime + attributes.mtime_ns / 1e9,
        attributes.mime.decode("utf-8", "replace"),
        {one.key.decode("utf-8", "replace"): one.value for one in entry.extended},
    )


def _classes() -> dict[str, Callable[..., Any]]:
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(
        name="farshore/filer.proto", package=PACKAGE, syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields:
            message.field.add(**_field(*field))
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{PACKAGE}.{name}") for name in MESSAGES}
    return {name: message_factory.GetMessageClass(kind) for name, kind in found.items()}


def _field(name: str, number: int, kind: str) -> dict[str, Any]:
    repeated, _, kind = kind.rpartition(" ")
    label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    described = {"name": name, "number": number, "label": label}
    if kind in _TYPES:
        return {**described, "type": _TYPES[kind]}
    return {**described, "type": _FIELD.TYPE_MESSAGE, "type_name": f".{PACKAGE}.{kind}"}


CLASSES = _classes()
"""The classes of `MESSAGES`, by name."""
