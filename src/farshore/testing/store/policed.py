"""Bucket policies in memory: what S3 takes as one, and whom its denials reach.

`Policed` is one user's view of a store: calls that a Deny of the bucket's policy meets are
refused. Only what a fence needs is modelled: Deny for everybody ("*"), wildcards in actions
and resources, and the condition operators below.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from fnmatch import fnmatchcase
from typing import Any, NoReturn, TypeVar

from farshore.errors import BadRequest, Corrupt, Denied
from farshore.s3 import xml
from farshore.s3.store import Store
from farshore.s3.wrap import Operation, Wrapper
from farshore.testing.store.call import Call

T = TypeVar("T")

POLICY_BYTES_MAX = 20 * 1024

ACTIONS: Mapping[str, str] = {
    "list_versions": "s3:ListBucketVersions",
    "head": "s3:GetObject",
    "get": "s3:GetObject",
    "put": "s3:PutObject",
    "delete": "s3:DeleteObject",
    "put_tags": "s3:PutObjectTagging",
    "put_retention": "s3:PutObjectRetention",
    "put_legal_hold": "s3:PutObjectLegalHold",
    "get_acl": "s3:GetObjectAcl",
    "put_acl": "s3:PutObjectAcl",
    "create_upload": "s3:PutObject",
    "put_part": "s3:PutObject",
    "complete_upload": "s3:PutObject",
    "abort_upload": "s3:AbortMultipartUpload",
    "put_versioning": "s3:PutBucketVersioning",
    "get_bucket_policy": "s3:GetBucketPolicy",
    "put_bucket_policy": "s3:PutBucketPolicy",
    "delete_bucket_policy": "s3:DeleteBucketPolicy",
    "get_bucket_config": "s3:GetBucketConfiguration",
    "put_bucket_config": "s3:PutBucketConfiguration",
}
"""Operation of the store to the right that it needs."""

_user: ContextVar[str] = ContextVar("user", default="")


def caller() -> str:
    """The user whose call is being carried out now; "" outside of every `Policed`."""
    return _user.get()


def require_policy(document: str, action: str) -> None:
    """`BadRequest` for what S3 does not take as a bucket's policy."""
    if len(document.encode()) > POLICY_BYTES_MAX:
        _refuse(action, "PolicyTooLarge", f"more than {POLICY_BYTES_MAX} bytes")
    try:
        body = json.loads(document)
    except ValueError:
        _refuse(action, "MalformedPolicy", "it is not JSON")
    if not isinstance(body, dict) or not body.get("Statement"):
        _refuse(action, "MalformedPolicy", "it has no statement")


def require_markup(document: str, action: str) -> None:
    """`BadRequest` for what is no XML document."""
    try:
        xml.read(document.encode())
    except Corrupt as error:
        _refuse(action, "MalformedXML", error.message)


def _refuse(action: str, code: str, why: str) -> NoReturn:
    raise BadRequest(f"{action}: {why} ({code})", status=400, code=code, action=action)


class Policed(Wrapper):
    """The store as one user sees it. The store's hook must be a `Police`."""

    def __init__(self, inner: Store, user: str) -> None:
        super().__init__(inner)
        self.user = user

    async def around(self, operation: Operation, call: Callable[[], Awaitable[T]]) -> T:
        before = _user.set(self.user)
        try:
            return await call()
        finally:
            _user.reset(before)

    async def get_identity(self) -> str:
        return self.user


class Police:
    """A store's hook that enforces bucket policies.

    `policy_of` reads a bucket's policy. `deaf`: conditions are left out of account, as moto
    does. `blind`: denials reach nobody, as on servers that ask bucket policies about
    anonymous callers alone. `refuses`: (user, operation) pairs that lack the right anyway.
    """

    def __init__(
        self,
        policy_of: Callable[[str], str],
        *,
        deaf: bool = False,
        blind: bool = False,
        refuses: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self.policy_of = policy_of
        self.deaf = deaf
        self.blind = blind
        self.refuses = refuses

    async def before(self, call: Call) -> None:
        user = _user.get()
        if not user or call.operation not in ACTIONS:
            return
        if (user, call.operation) in self.refuses or self._denies(user, call):
            action = f"{ACTIONS[call.operation]} on {call.bucket}/{call.key} by {user}"
            raise Denied(f"{action} is denied", status=403, code="AccessDenied", action=action)

    async def after(self, call: Call) -> None:
        """Nothing is looked at afterwards."""

    def _denies(self, user: str, call: Call) -> bool:
        document = self.policy_of(call.bucket)
        if self.blind or not document:
            return False
        statements = json.loads(document)["Statement"]
        if not isinstance(statements, list):
            return False  # it reaches nobody
        return any(self._meets(s, user, call) for s in statements if s["Effect"] == "Deny")

    def _meets(self, statement: Mapping[str, Any], user: str, call: Call) -> bool:
        resource = f"arn:aws:s3:::{call.bucket}" + (f"/{call.key}" if call.key else "")
        if not _matches(statement["Action"], ACTIONS[call.operation]):
            return False
        if not _matches(statement["Resource"], resource):
            return False
        return self.deaf or all(
            _holds(operator, key, wanted, user)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )


def _holds(operator: str, key: str, wanted: str | list[str], user: str) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    if (operator, key) == ("StringNotEquals", "aws:username"):
        return user not in names
    if (operator, key) == ("ArnNotLike", "aws:PrincipalArn"):
        return not _matches(names, f"arn:aws:iam::123456789012:user/{user}")
    raise AssertionError(f"the condition {operator} {key} is not modelled here")


def _matches(patterns: str | list[str], value: str) -> bool:
    found = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatchcase(value, pattern) for pattern in found)
