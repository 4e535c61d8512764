"""Buckets: which there are, making one, whether it keeps versions, and its policy."""

from __future__ import annotations

from hashlib import md5

from farshore.errors import Corrupt
from farshore.s3 import xml
from farshore.s3.wire.request import Answer, Request, action, md5_header, xml_headers

VERSIONING_STATES = frozenset({"", "Enabled", "Suspended"})
NO_POLICY = "NoSuchBucketPolicy"
_FIRST_REGION = "us-east-1"
"""The one region that must not be named in CreateBucket (AWS refuses it there)."""


def list_buckets() -> Request:
    """All buckets that these credentials can see."""
    return Request("GET", "", "", action=action("ListBuckets", ""))


def parse_list_buckets(answer: Answer) -> list[str]:
    """Names, sorted."""
    root = xml.read(answer.body)
    return sorted(row.find("Name") for rows in root.each("Buckets") for row in rows.each("Bucket"))


def parse_owner(answer: Answer) -> str:
    """The Owner's ID of a list of buckets; "" where the server names none."""
    owners = list(xml.read(answer.body).each("Owner"))
    return owners[0].find("ID") if owners else ""


def create_bucket(bucket: str, *, region: str = "") -> Request:
    """Make a bucket; one that is already ours passes. `region` is AWS's LocationConstraint:
    leave it out for servers that have no regions."""
    body = b""
    if region and region != _FIRST_REGION:
        location = xml.tag("LocationConstraint", region)
        body = xml.document("CreateBucketConfiguration", location)
    return Request(
        "PUT",
        bucket,
        "",
        headers=xml_headers(body) if body else (),
        body=body,
        action=action("CreateBucket", bucket),
        done_codes=("BucketAlreadyOwnedByYou",),
    )


def get_versioning(bucket: str) -> Request:
    """Whether the bucket keeps versions."""
    name = action("GetBucketVersioning", bucket)
    return Request("GET", bucket, "", (("versioning", ""),), action=name)


def parse_get_versioning(answer: Answer) -> str:
    """ "" (never set), "Enabled" or "Suspended"; `Corrupt` for anything else."""
    state = xml.read(answer.body).find("Status")
    if state not in VERSIONING_STATES:
        raise Corrupt(f"a bucket's versioning is {state!a}, which is no state that S3 knows")
    return state


def put_versioning(bucket: str, enabled: bool) -> Request:
    """Enable, or suspend, versioning."""
    status = xml.tag("Status", "Enabled" if enabled else "Suspended")
    body = xml.document("VersioningConfiguration", status)
    name = action("PutBucketVersioning", bucket)
    return Request("PUT", bucket, "", (("versioning", ""),), xml_headers(body), body, name)


def get_bucket_policy(bucket: str) -> Request:
    """The bucket's policy; that there is none passes."""
    name = action("GetBucketPolicy", bucket)
    return Request("GET", bucket, "", (("policy", ""),), action=name, done_codes=(NO_POLICY,))


def parse_get_bucket_policy(answer: Answer) -> str:
    """The document as the server gives it; "" where there is none."""
    if not 200 <= answer.status < 300:
        return ""
    try:
        return answer.body.decode()
    except UnicodeDecodeError:
        raise Corrupt("a bucket's policy is not UTF-8, so it is no JSON document") from None


def put_bucket_policy(bucket: str, document: str) -> Request:
    """Replace the bucket's policy."""
    body = document.encode()
    digest = md5(body, usedforsecurity=False).digest()
    headers = (*md5_header(digest), ("content-type", "application/json"))
    name = action("PutBucketPolicy", bucket)
    return Request("PUT", bucket, "", (("policy", ""),), headers, body, name)


def delete_bucket_policy(bucket: str) -> Request:
    """Take the bucket's policy away; that there is none passes."""
    name = action("DeleteBucketPolicy", bucket)
    return Request("DELETE", bucket, "", (("policy", ""),), action=name, done_codes=(NO_POLICY,))
