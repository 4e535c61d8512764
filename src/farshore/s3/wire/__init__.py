"""S3 without a socket: every operation as a request to send and an answer to read.

For each operation of `store.Store` there is a function that builds its `Request` and, when
the answer says something, a `parse_…` that reads it; `raise_for_status` comes in between.
"""

from farshore.s3.wire.acl import get_acl, parse_acl, put_acl
from farshore.s3.wire.attributes import attribute_headers, parse_info
from farshore.s3.wire.bucket_configs import (
    get_bucket_config,
    parse_get_bucket_config,
    put_bucket_config,
)
from farshore.s3.wire.buckets import (
    create_bucket,
    delete_bucket_policy,
    get_bucket_policy,
    get_versioning,
    list_buckets,
    parse_get_bucket_policy,
    parse_get_versioning,
    parse_list_buckets,
    parse_owner,
    put_bucket_policy,
    put_versioning,
)
from farshore.s3.wire.listing import list_versions, parse_list_versions
from farshore.s3.wire.multipart import (
    PartPage,
    UploadPage,
    abort_upload,
    complete_upload,
    create_upload,
    list_parts,
    list_uploads,
    parse_complete_upload,
    parse_create_upload,
    parse_list_parts,
    parse_list_uploads,
    parse_put_part,
    put_part,
)
from farshore.s3.wire.objects import (
    delete,
    get,
    get_tags,
    head,
    parse_delete,
    parse_get_tags,
    parse_put,
    put,
    put_legal_hold,
    put_retention,
    put_tags,
)
from farshore.s3.wire.refusals import raise_for_status
from farshore.s3.wire.request import Answer, Request

__all__ = [
    "Answer",
    "PartPage",
    "Request",
    "UploadPage",
    "abort_upload",
    "attribute_headers",
    "complete_upload",
    "create_bucket",
    "create_upload",
    "delete",
    "delete_bucket_policy",
    "get",
    "get_acl",
    "get_bucket_config",
    "get_bucket_policy",
    "get_tags",
    "get_versioning",
    "head",
    "list_buckets",
    "list_parts",
    "list_uploads",
    "list_versions",
    "parse_acl",
    "parse_complete_upload",
    "parse_create_upload",
    "parse_delete",
    "parse_get_bucket_config",
    "parse_get_bucket_policy",
    "parse_get_tags",
    "parse_get_versioning",
    "parse_info",
    "parse_list_buckets",
    "parse_list_parts",
    "parse_list_uploads",
    "parse_list_versions",
    "parse_owner",
    "parse_put",
    "parse_put_part",
    "put",
    "put_acl",
    "put_bucket_config",
    "put_bucket_policy",
    "put_legal_hold",
    "put_part",
    "put_retention",
    "put_tags",
    "put_versioning",
    "raise_for_status",
]
