"""What a change of a SeaweedFS filer's entry says about S3 keys.

The filer keeps a bucket as directories and tells of every change with the entry before
and after it. Observed on SeaweedFS 4.48, by its metadata subscription and its webhook:

- A new version is a new file `v_<version id>` in the directory `KEY.versions`; so is a
  delete marker. Tags, locks and ACLs are an update of that file, a purge is its end.
- Beside it the directory `KEY.versions` is updated, and the version that is no longer the
  newest gets `Seaweed-X-Amz-Noncurrent-Since-Ns`: neither says anything new.
- Without versioning, and as a null version, a key is a plain file. A key that ends with
  "/" is a directory of the folder's MIME type.
- Parts of an upload that is under way are files below `.uploads`; `.system` is no bucket.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from farshore.s3.filer import FOLDER_MIME, INVERTED_FROM, STORED_ETAG, VERSIONS_SUFFIX

BUCKETS = "/buckets/"
UPLOADS = ".uploads"
PREFIX_OBJECT = "x-seaweedfs-prefix-object"
VERSION_ID = "Seaweed-X-Amz-Version-Id"
MARKER = "Seaweed-X-Amz-Delete-Marker"
DEMOTED = "Seaweed-X-Amz-Noncurrent-Since-Ns"


class Entry(NamedTuple):
    """A file or directory of the filer. `modified`: Unix seconds."""

    name: str
    is_directory: bool = False
    size: int = 0
    modified: float = 0.0
    mime: str = ""
    extended: Mapping[str, bytes] = {}


class Touched(NamedTuple):
    """A key that a change concerns. `size`: bytes that were written by it."""

    bucket: str
    key: str
    size: int


def touched(directory: str, old: Entry | None, new: Entry | None, new_parent: str) -> list[Touched]:
    """The keys that a change concerns: none for what S3 does not show, two for a rename.

    `directory` is where the change happened, `new_parent` where the new entry is, "" for
    the same place.
    """
    if old is not None and new is not None and _says_nothing(old, new):
        return []
    found: dict[tuple[str, str], int] = {}
    if old is not None:
        for bucket, key in _keys(directory, old, gone=new is None):
            found[bucket, key] = 0
    if new is not None:
        for bucket, key in _keys(new_parent or directory, new, gone=False):
            found[bucket, key] = new.size if old is None else 0
    return [Touched(bucket, key, size) for (bucket, key), size in found.items()]


def written_at(entry: Entry) -> float:
    """When a new entry was written, Unix seconds: from its version's id, else its time."""
    version_id = _version_id(entry)
    try:
        stamp = int(version_id[:16], 16)
    except ValueError:  # "", "null", or an id of another form
        return entry.modified
    nanoseconds = 2**63 - 1 - stamp if stamp >= INVERTED_FROM else stamp
    return nanoseconds / 1e9


def created_version(old: Entry | None, new: Entry | None) -> tuple[str, ...]:
    """The id of the version that a change has written; none for markers and null versions."""
    if old is not None or new is None or new.extended.get(MARKER) == b"true":
        return ()
    version_id = _version_id(new)
    return (version_id,) if new.name == f"v_{version_id}" else ()


def _says_nothing(old: Entry, new: Entry) -> bool:
    """The same as before, but for being the newest, or for having been read."""
    return _told(old) == _told(new)


def _told(entry: Entry) -> Entry:
    return entry._replace(extended={k: v for k, v in entry.extended.items() if k != DEMOTED})


def _keys(directory: str, entry: Entry, *, gone: bool) -> Iterator[tuple[str, str]]:
    """At most one (bucket, key)."""
    path = f"{directory}/{entry.name}" if directory != "/" else f"/{entry.name}"
    if not path.startswith(BUCKETS):
        return
    bucket, _, rest = path[len(BUCKETS) :].partition("/")
    if not rest or bucket.startswith(".") or rest.split("/", 1)[0] == UPLOADS:
        return
    key = _directory_key(rest, entry, gone) if entry.is_directory else _file_key(rest, entry)
    if key:
        yield bucket, key


def _file_key(path: str, entry: Entry) -> str:
    folder, _, name = path.rpartition("/")
    if folder.endswith(VERSIONS_SUFFIX) and name == f"v_{_version_id(entry)}":
        return folder.removesuffix(VERSIONS_SUFFIX)
    return path


def _directory_key(path: str, entry: Entry, gone: bool) -> str:
    """ "" for a directory that is only a part of keys' names."""
    if entry.mime == FOLDER_MIME:
        return f"{path}/"
    if entry.extended.get(STORED_ETAG) or entry.extended.get(PREFIX_OBJECT):
        return path
    return path.removesuffix(VERSIONS_SUFFIX) if gone and path.endswith(VERSIONS_SUFFIX) else ""


def _version_id(entry: Entry) -> str:
    """A null version that is a plain file has the id "null", too."""
    return entry.extended.get(VERSION_ID, b"").decode("ascii", "replace")
