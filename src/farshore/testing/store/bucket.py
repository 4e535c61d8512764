"""One bucket held in memory: the histories of its keys and S3's rules for changing them.

Synchronous and without IO: `memory.MemoryStore` is its asynchronous shell. The rules are
those of AWS S3, null versions included; `Capabilities` that are switched off make it
behave as the servers do that lack them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NoReturn

from farshore.core.acl import Grant
from farshore.core.model import NO_ATTRIBUTES, NULL_VERSION, Attributes
from farshore.errors import BadRequest, Gone, Precondition
from farshore.s3.capabilities import Capabilities
from farshore.s3.store import Condition, Deleted

KEY_BYTES_MAX = 1024
PAGE_ENTRIES_MAX = 1000


@dataclass(slots=True)
class Entry:
    """One version or delete marker. `attributes` may be edited in place (tags, lock).

    `sequence` rises with every write to the bucket; `part_sizes` is empty for a plain PUT.
    `grants`: to all but the owner, who has full control.
    """

    key: str
    version_id: str
    sequence: int
    modified: float
    is_marker: bool = False
    body: bytes = b""
    etag: str = ""
    attributes: Attributes = NO_ATTRIBUTES
    part_sizes: tuple[int, ...] = ()
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What a listing was asked for."""

    prefix: str = ""
    key_marker: str = ""
    version_marker: str = ""
    delimiter: str = ""
    limit: int = PAGE_ENTRIES_MAX


class Bucket:
    """The histories of one bucket, oldest entry first, keys kept sorted."""

    def __init__(self, site: str, name: str, capabilities: Capabilities) -> None:
        self.site = site
        self.name = name
        self.versioning = ""
        self.policy = ""
        self.configs: dict[str, str] = {}
        self.keys: list[str] = []
        self._histories: dict[str, dict[str, Entry]] = {}
        self._removed: dict[tuple[str, str], int] = {}
        self._sequence = 0
        self._can = capabilities

    # -- reading ---------------------------------------------------------------

    def current(self, key: str) -> Entry | None:
        """The newest entry of a key, a marker perhaps."""
        history = self._histories.get(key)
        return next(reversed(history.values())) if history else None

    def find(self, key: str, version_id: str) -> Entry | None:
        """The entry with this id; the newest when the id is ""."""
        if not version_id:
            return self.current(key)
        return self._histories.get(key, {}).get(version_id)

    def newest_first(self, key: str) -> list[Entry]:
        """The whole history of a key."""
        return list(reversed(self._histories.get(key, {}).values()))

    def version(self, operation: str, key: str, version_id: str) -> Entry:
        """The object version asked for; `Gone` for nothing and for a marker."""
        entry = self.find(key, version_id)
        if entry is None:
            self._gone(operation, key, version_id)
        if entry.is_marker:
            self._under_marker(operation, key, version_id)
        return entry

    def _gone(self, operation: str, key: str, version_id: str) -> NoReturn:
        code = "NoSuchVersion" if version_id else "NoSuchKey"
        raise Gone(
            f"{operation} {self._named(key, version_id)}: it is not there ({code})",
            status=404,
            code=code,
            action=f"{operation} {self._named(key, version_id)}",
        )

    def _under_marker(self, operation: str, key: str, version_id: str) -> NoReturn:
        """405 for a marker by its id, 404 for a current one; both tell (AWS)."""
        by_id = bool(version_id)
        raise Gone(
            f"{operation} {self._named(key, version_id)}: a delete marker is there",
            is_marker=self._can.marker_by_id or not by_id,
            status=405 if by_id and self._can.marker_by_id else 404,
            code="MethodNotAllowed" if by_id else "NoSuchKey",
            action=f"{operation} {self._named(key, version_id)}",
        )

    def _named(self, key: str, version_id: str = "") -> str:
        suffix = f" version {version_id}" if version_id else ""
        return f"{self.name}/{key}{suffix} at {self.site}"

    # -- writing ---------------------------------------------------------------

    def require(self, operation: str, key: str, condition: Condition) -> None:
        """Raise `Precondition` unless the condition holds for the current entry.

        Without the capability, If-None-Match is ignored and If-Match never holds, as on
        Ceph RGW 16.
        """
        entry = self.current(key)
        there = entry is not None and not entry.is_marker
        if condition.absent and there and self._can.conditional_create:
            self._refuse(operation, key, "something is there already")
        if condition.etag and not self._can.conditional_replace:
            self._refuse(operation, key, "this server never accepts If-Match")
        if condition.etag and (not there or entry is None or entry.etag != condition.etag):
            self._refuse(operation, key, "the current version has another ETag or is not there")

    def _refuse(self, operation: str, key: str, reason: str) -> NoReturn:
        raise Precondition(
            f"{operation} {self._named(key)}: {reason}",
            hint="Somebody else wrote this key: list its history before writing again.",
            status=412,
            code="PreconditionFailed",
            action=f"{operation} {self._named(key)}",
        )

    def append(self, entry: Entry) -> None:
        """Make the entry the newest of its key. A null version replaces the former null."""
        history = self._histories.get(entry.key)
        if history is None:
            history = self._histories[entry.key] = {}
            insort(self.keys, entry.key)
        if entry.version_id in history:
            self._removed[entry.key, entry.version_id] = history.pop(entry.version_id).sequence
        history[entry.version_id] = entry

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def delete(self, key: str, fresh_id: str, modified: float) -> Deleted:
        """DELETE without a version id: a marker, or in a never versioned bucket the end."""
        entry = self.current(key)
        if not self.versioning:
            if entry is not None:
                self.remove(entry)
            return Deleted("", False)
        if entry is not None and entry.is_marker and not self._can.stacked_markers:
            return Deleted("", True)
        version_id = fresh_id if self.versioning == "Enabled" else NULL_VERSION
        self.append(Entry(key, version_id, self.next_sequence(), modified, is_marker=True))
        return Deleted(version_id, True)

    def remove(self, entry: Entry) -> None:
        """Take one entry out of its history; the key goes with its last entry."""
        history = self._histories[entry.key]
        del history[entry.version_id]
        self._removed[entry.key, entry.version_id] = entry.sequence
        if not history:
            del self._histories[entry.key]
            del self.keys[bisect_left(self.keys, entry.key)]

    # -- listing ---------------------------------------------------------------

    def page(self, query: Query) -> tuple[list[Entry | str], bool]:
        """At most `limit` entries and common prefixes in order, and whether more follow."""
        if query.version_marker and not query.key_marker:
            raise BadRequest(
                "ListObjectVersions: a version-id marker cannot be given without a key marker",
                status=400,
                code="InvalidArgument",
                action=f"ListObjectVersions {self.name} at {self.site}",
            )
        limit = min(query.limit, PAGE_ENTRIES_MAX)
        if limit <= 0:
            return [], False
        items = list(islice(self._walk(query), limit + 1))
        return items[:limit], len(items) > limit

    def _walk(self, query: Query) -> Iterator[Entry | str]:
        """Everything behind the markers, keys that share a delimiter rolled into one."""
        rolled = "" if query.version_marker else query.key_marker
        start = bisect_left(self.keys, max(query.prefix, query.key_marker))
        for key in islice(self.keys, start, None):
            if not key.startswith(query.prefix):
                return
            common = common_prefix(key, query)
            if not common:
                yield from self.behind_marker(key, query)
            elif common != rolled:
                rolled = common
                yield common

    def behind_marker(self, key: str, query: Query) -> list[Entry]:
        """A key's entries, less those that the query's markers leave behind."""
        if key != query.key_marker:
            return self.newest_first(key)
        if not query.version_marker:
            return []
        before = self._sequence_of(key, query.version_marker)
        return [entry for entry in self.newest_first(key) if entry.sequence < before]

    def _sequence_of(self, key: str, version_id: str) -> int:
        """The place of a version in its history, also of one that was purged since."""
        entry = self.find(key, version_id)
        if entry is not None:
            return entry.sequence
        if (key, version_id) not in self._removed:
            raise BadRequest(
                f"ListObjectVersions {self._named(key, version_id)}: no such version marker",
                status=400,
                code="InvalidArgument",
                action=f"ListObjectVersions {self.name} at {self.site}",
            )
        return self._removed[key, version_id]


def common_prefix(key: str, query: Query) -> str:
    """What the key is rolled into under the query's delimiter; "" when it stands alone."""
    if not query.delimiter:
        return ""
    end = key.find(query.delimiter, len(query.prefix))
    return key[: end + len(query.delimiter)] if end >= 0 else ""
