"""What a server under test is known not to do. The suite asserts each as declared."""

from __future__ import annotations

from dataclasses import dataclass

from farshore.s3.store import BucketConfig


@dataclass(frozen=True, slots=True)
class Traits:
    """The defaults are what S3 documents; a test file names the deviations of its server.

    `odd_keys`: which column of `farshore/lab/odd_keys.py` holds the server's fates.
    `configs`: sub-resources of buckets that can be written and read back.
    `part_bytes`: a part size that the server accepts for all parts but the last.
    """

    odd_keys: str
    over_http: bool = True
    checks_signatures: bool = True
    part_bytes: int = 5 * 1024 * 1024
    default_content_type: str = "binary/octet-stream"
    # listings
    interleaves_markers: bool = True
    shown_of_the_marked_key: int = 0
    key_marker_may_be_absent: bool = True
    resumes_behind_a_purged_version: bool = True
    # markers and null versions
    tells_current_marker: bool = True
    tells_marker_by_id: bool = True
    marks_absent_keys: bool = True
    suspended_keeps_history: bool = True
    lists_null_in_its_place: bool = True
    purges_null_marker: bool = True
    # objects
    verifies_md5: bool = True
    keeps_website_redirect: bool = True
    acls_of_versions: bool = True
    keeps_empty_metadata: bool = True
    accepts_unparseable_expires: bool = True
    refuses_long_keys: bool = True
    storage_classes: tuple[str, ...] = ("STANDARD_IA",)
    # conditions
    conditional_create: bool = True
    conditional_replace: bool = True
    conditional_complete: bool = True
    conditional_delete: bool = True
    # multipart
    tells_parts_count: bool = True
    complete_tells_etag: bool = True
    lists_parts: bool = True
    lists_replaced_parts: bool = False
    tells_absent_upload: bool = True
    # buckets
    configs: tuple[BucketConfig, ...] = ("cors", "encryption", "lifecycle", "tagging")
    checks_policies: bool = True
