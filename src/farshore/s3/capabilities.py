"""What an endpoint can do: probed once, declared, and never guessed from its vendor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Strategy = Literal["plain", "split", "filer"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The result of a probe. The defaults promise least: everything still works, slower.

    `listing`: how a whole bucket can be walked without losing a version; None means
    that no complete way was found, and the endpoint is refused for replication.
    `conditional_*`: If-None-Match: * / If-Match are obeyed (in versioned buckets).
    `stacked_markers`: a DELETE over a delete marker adds another marker.
    `etag_is_md5`: a plain PUT's ETag is the MD5 of its body.
    `part_number`: HEAD with partNumber tells a part's length and the number of parts.
    `acls`: every version keeps its own access control list, and we may read and set it.
    `marker_by_id`: HEAD of a marker by its id says that it is a marker.
    """

    server: str = ""
    probed_at: str = ""
    listing: Strategy | None = None
    encoding_type_url: bool = False
    sub_second_modified: bool = False
    conditional_create: bool = False
    conditional_replace: bool = False
    conditional_complete: bool = False
    conditional_delete: bool = False
    stacked_markers: bool = True
    marker_by_id: bool = False
    etag_is_md5: bool = False
    content_md5_verified: bool = False
    checksums: bool = False
    part_number: bool = False
    tags_per_version: bool = False
    tags_on_multipart: bool = False
    object_lock: bool = False
    acls: bool = False

    def to_json(self) -> dict[str, Any]:
        """A flat JSON object, one key per field."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Capabilities:
        """Read what `to_json` wrote; fields of a newer farshore are left out.

        `TypeError` for a value that is none of the field's.
        """
        promised = cls().to_json()
        known = {name: value for name, value in document.items() if name in promised}
        for name, value in known.items():
            if name == "listing":
                right = value is None or value in get_args(Strategy)
            else:
                right = type(value) is type(promised[name])
            if not right:
                raise TypeError(f"{name} cannot be {value!r}")
        return cls(**known)
