"""What each principal must be allowed at one site, and nothing else. Pure.

One table for all vendors, in the names of S3's actions: `granted`. The forms in which vendors
want to be told are in `core.iam`. A test puts a gate before real servers that lets through only
what stands here, and another fails for a right that nothing uses.

Source of which request needs which action: "Actions, resources, and condition keys for Amazon S3"
of the Service Authorization Reference, and "Required permissions for Amazon S3 API operations".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Who = Literal["operator", "replicator", "app"]
On = Literal["account", "bucket", "object", "key"]
"""What an action is about: the account, a bucket, what is in it, or a KMS key."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One site as rights see it.

    `buckets`: the pair's names there, or patterns with one *. `by_policy`: the fence is a bucket
    policy; `learns`: nobody has said whom it spares, so the server is asked who is who. `keys`:
    ARNs of KMS keys. `acls`: access control lists are copied.
    """

    buckets: tuple[str, ...]
    control: str
    by_policy: bool = True
    learns: bool = False
    keys: tuple[str, ...] = ()
    acls: bool = False

    @property
    def has_patterns(self) -> bool:
        return any("*" in bucket for bucket in self.buckets)

    @property
    def everywhere(self) -> tuple[str, ...]:
        return (*self.buckets, self.control)


class Grant(NamedTuple):
    """Some actions on some buckets (their names) or keys (their ARNs). `sid` says what for."""

    sid: str
    on: On
    actions: tuple[str, ...]
    where: tuple[str, ...] = ()


SETTINGS = (
    "BucketCORS",
    "LifecycleConfiguration",
    "EncryptionConfiguration",
    "BucketTagging",
    "BucketNotification",
)
"""What the doctor compares, and `farshore apply --parity` carries to the side that receives."""

_LIST = Grant("FindBuckets", "account", ("s3:ListAllMyBuckets",))


def granted(who: Who, ground: Ground) -> tuple[Grant, ...]:
    """All that this principal needs at the site."""
    found = {"operator": _operator, "replicator": _replicator, "app": _app}[who](ground)
    if ground.learns or (ground.has_patterns and who != "app"):
        found = (_LIST, *found)
    return found


def _operator(ground: Ground) -> tuple[Grant, ...]:
    settings = tuple(f"s3:{verb}{name}" for verb in ("Get", "Put") for name in SETTINGS)
    seen = ("s3:GetBucketPolicy", "s3:GetBucketObjectLockConfiguration")
    grants = [
        Grant(
            "MakeBuckets",
            "bucket",
            ("s3:CreateBucket", "s3:GetBucketVersioning", "s3:PutBucketVersioning"),
            ground.everywhere,
        ),
        Grant("CarrySettings", "bucket", settings, ground.buckets),
        Grant("SeePoliciesAndLocks", "bucket", seen, ground.buckets),
        Grant("SeeWhetherControlObjectsAreThere", "bucket", ("s3:ListBucket",), (ground.control,)),
        Grant("ReadControlObjects", "object", ("s3:GetObject",), (ground.control,)),
    ]
    if ground.by_policy:
        policy = ("s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
        grants.append(Grant("Fence", "bucket", policy, ground.buckets))
    return (
        *grants,
        Grant("EndUploadsOfTheFencesTrial", "object", ("s3:AbortMultipartUpload",), ground.buckets),
    )


def _replicator(ground: Ground) -> tuple[Grant, ...]:
    """In the control bucket alike: every ability of a server is tried there first."""
    seen = ("GetBucketVersioning", "ListBucket", "ListBucketVersions", "ListBucketMultipartUploads")
    objects = (
        *("GetObject", "GetObjectVersion", "PutObject", "DeleteObject", "DeleteObjectVersion"),
        *("GetObjectTagging", "GetObjectVersionTagging"),
        *("PutObjectTagging", "PutObjectVersionTagging", "DeleteObjectVersionTagging"),
        *("AbortMultipartUpload", "ListMultipartUploadParts"),
        *("GetObjectRetention", "PutObjectRetention", "GetObjectLegalHold", "PutObjectLegalHold"),
    )
    grants = [
        Grant("SeeVersions", "bucket", _named(*seen), ground.everywhere),
        Grant("SeeLocks", "bucket", ("s3:GetBucketObjectLockConfiguration",), ground.buckets),
        Grant("CopyVersions", "object", _named(*objects), ground.everywhere),
    ]
    if ground.acls:
        lists = ("GetObjectAcl", "GetObjectVersionAcl", "PutObjectAcl", "PutObjectVersionAcl")
        grants.append(Grant("CopyAcls", "object", _named(*lists), ground.everywhere))
    return (*grants, *_keys(ground))


def _app(ground: Ground) -> tuple[Grant, ...]:
    """What most applications do with objects. No version can be purged, no bucket be changed."""
    objects = (
        *("GetObject", "PutObject", "DeleteObject", "GetObjectTagging", "PutObjectTagging"),
        *("AbortMultipartUpload", "ListMultipartUploadParts"),
    )
    return (
        Grant("SeeObjects", "bucket", ("s3:ListBucket",), ground.buckets),
        Grant("UseObjects", "object", _named(*objects), ground.buckets),
        *_keys(ground),
    )


def _keys(ground: Ground) -> tuple[Grant, ...]:
    if not ground.keys:
        return ()
    return (Grant("UseKeys", "key", ("kms:Decrypt", "kms:GenerateDataKey"), ground.keys),)


def _named(*actions: str) -> tuple[str, ...]:
    return tuple(f"s3:{action}" for action in actions)
