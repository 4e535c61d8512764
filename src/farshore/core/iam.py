"""Rights in the forms of three vendors: AWS, MinIO and SeaweedFS. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from farshore.core.policy import VERSION
from farshore.core.rights import Grant, Ground, Who, granted

Vendor = Literal["aws", "minio", "seaweedfs"]

POLICY_CHARACTERS_MAX = 6144
"""AWS counts so many in one managed policy, white space left out."""

_MINIO_NAMES = {"s3:GetBucketCORS": "s3:GetBucketCors", "s3:PutBucketCORS": "s3:PutBucketCors"}
"""MinIO refuses a policy with a name that it spells in another way."""

_SEAWEED: dict[str, str] = {
    "s3:CreateBucket": "Admin",
    "s3:GetEncryptionConfiguration": "Admin",
    "s3:PutEncryptionConfiguration": "Admin",
    "s3:PutBucketPolicy": "Admin",
    "s3:DeleteBucketPolicy": "Admin",
    "s3:ListBucket": "List",
    "s3:ListBucketVersions": "List",
    "s3:ListBucketMultipartUploads": "Read",
    "s3:ListMultipartUploadParts": "Read",
    "s3:GetBucketVersioning": "Read",
    "s3:GetBucketPolicy": "Read",
    "s3:GetBucketCORS": "Read",
    "s3:GetLifecycleConfiguration": "Read",
    "s3:GetBucketNotification": "Read",
    "s3:GetObject": "Read",
    "s3:GetObjectVersion": "Read",
    "s3:GetObjectTagging": "Read",
    "s3:GetObjectVersionTagging": "Read",
    "s3:GetBucketTagging": "Tagging",
    "s3:PutBucketTagging": "Tagging",
    "s3:PutObjectTagging": "Tagging",
    "s3:PutObjectVersionTagging": "Tagging",
    "s3:DeleteObjectVersionTagging": "Tagging",
    "s3:PutBucketVersioning": "Write",
    "s3:PutBucketCORS": "Write",
    "s3:PutLifecycleConfiguration": "Write",
    "s3:PutBucketNotification": "Write",
    "s3:PutObject": "Write",
    "s3:DeleteObject": "Write",
    "s3:DeleteObjectVersion": "Write",
    "s3:AbortMultipartUpload": "Write",
    "s3:GetObjectAcl": "ReadAcp",
    "s3:GetObjectVersionAcl": "ReadAcp",
    "s3:PutObjectAcl": "WriteAcp",
    "s3:PutObjectVersionAcl": "WriteAcp",
    "s3:GetObjectRetention": "GetObjectRetention",
    "s3:PutObjectRetention": "PutObjectRetention",
    "s3:GetObjectLegalHold": "GetObjectLegalHold",
    "s3:PutObjectLegalHold": "PutObjectLegalHold",
    "s3:GetBucketObjectLockConfiguration": "GetBucketObjectLockConfiguration",
}
"""S3's actions to the coarser ones of SeaweedFS (observed on 4.48)."""

SEAWEED_COARSE = (
    "SeaweedFS' Write is also the right to purge versions and to set versioning, CORS and "
    "lifecycle: the app's keys can destroy a history there.",
    "Who may make a bucket there (Admin) may do everything in it: the operator's keys read and "
    "delete objects, and drop the bucket.",
)
"""What the vendor cannot separate."""


def policy(grants: Sequence[Grant], vendor: Vendor = "aws", partition: str = "aws") -> Any:
    """An identity policy: for an IAM user, group or role, or for `mc admin policy create`.

    `partition`: "aws", "aws-cn" or "aws-us-gov".
    """
    names = _MINIO_NAMES if vendor == "minio" else {}
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Sid": grant.sid,
                "Effect": "Allow",
                "Action": [names.get(action, action) for action in grant.actions],
                "Resource": _resources(grant, partition),
            }
            for grant in grants
        ],
    }


def denied(control: str, partition: str = "aws") -> dict[str, Any]:
    """A statement that keeps a principal from the control bucket, whatever else it is granted."""
    arn = f"arn:{partition}:s3:::{control}"
    return {
        "Sid": "KeepFromControl",
        "Effect": "Deny",
        "Action": ["s3:*"],
        "Resource": [arn, f"{arn}/*"],
    }


def _resources(grant: Grant, partition: str) -> list[str]:
    if grant.on == "account":
        return ["*"]
    if grant.on == "key":
        return list(grant.where)
    below = "/*" if grant.on == "object" else ""
    return [f"arn:{partition}:s3:::{bucket}{below}" for bucket in grant.where]


def seaweed_actions(grants: Sequence[Grant]) -> list[str]:
    """The `actions` of an identity of SeaweedFS' `-s3.config`, sorted.

    Listing all buckets is no right of its own: everybody sees those where he has List or Admin.
    An action on a pattern is said twice: SeaweedFS compares it with BUCKET and with BUCKET/KEY.
    """
    found: dict[str, set[str]] = {}
    for grant in grants:
        if grant.on in ("bucket", "object"):
            rights = {_SEAWEED[action] for action in grant.actions}
            for bucket in grant.where:
                found.setdefault(bucket, set()).update(rights)
    return sorted(
        action
        for bucket, rights in found.items()
        for right in (["Admin"] if "Admin" in rights else rights)
        for action in _on(right, bucket)
    )


def _on(right: str, bucket: str) -> list[str]:
    return [f"{right}:{bucket}", f"{right}:{bucket}/*"] if "*" in bucket else [f"{right}:{bucket}"]


def exported(who: Who, ground: Ground, vendor: Vendor, partition: str = "aws") -> Any:
    """The document of one principal at one site, for that vendor."""
    grants = granted(who, ground)
    if vendor == "seaweedfs":
        return {"name": who, "actions": seaweed_actions(grants)}
    document = policy(grants, vendor, partition)
    if who == "app" and ground.has_patterns:
        document["Statement"].append(denied(ground.control, partition))
    return document


def doubts(who: Who, ground: Ground, vendor: Vendor, document: Any) -> list[str]:
    """What a person should know before this is used."""
    found = list(SEAWEED_COARSE[who == "operator" :][:1]) if vendor == "seaweedfs" else []
    if vendor == "seaweedfs" and who == "app" and ground.has_patterns:
        found.append(
            "SeaweedFS has no exceptions: where a pattern matches the control bucket, the app may "
            "write there, too."
        )
    if vendor == "aws" and len("".join(str(document).split())) > POLICY_CHARACTERS_MAX:
        found.append(
            f"AWS takes {POLICY_CHARACTERS_MAX:,} characters in one managed policy, and this is "
            "longer: name the buckets by a pattern, or split it."
        )
    return found
