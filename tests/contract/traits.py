"""What a server under test is known not to do. The suite asserts each as declared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traits:
    """The defaults are what S3 documents; a test file names the deviations of its server.

    `odd_keys`: which column of `tests/odd_keys.py` holds the server's fates.
    `part_bytes`: a part size that the server accepts for all parts but the last.
    """

    odd_keys: str
    over_http: bool = True
    part_bytes: int = 5 * 1024 * 1024
    default_content_type: str = "binary/octet-stream"
    # listings
    interleaves_markers: bool = True
    key_marker_excludes_its_key: bool = True
    resumes_behind_a_purged_version: bool = True
    # markers and null versions
    tells_marker_by_id: bool = True
    suspended_write_keeps_history: bool = True
    suspended_delete_makes_null_marker: bool = True
    purges_null_marker: bool = True
    # objects
    verifies_md5: bool = True
    keeps_website_redirect: bool = True
    keeps_unparseable_expires: bool = True
    decodes_plus_in_tags: bool = True
    storage_classes: tuple[str, ...] = ("STANDARD_IA",)
    lock_needs_a_lock_bucket: bool = False
    # conditions
    conditional_create: bool = True
    conditional_replace: bool = True
    conditional_complete: bool = True
    conditional_delete: bool = True
    # multipart
    tells_parts_count: bool = True
    complete_tells_etag: bool = True
