"""From what a server refused to an error of ours: by S3 code, then by status.

Source of the codes: "Error Responses" of the Amazon S3 API reference, and what other
servers were seen to answer. Nothing matches on message texts, but for the name of a KMS
action: AWS answers a plain AccessDenied when the caller may not use an object's key, and
says only there that the key is meant.
"""

from __future__ import annotations

import re

from farshore.errors import (
    BadRequest,
    BucketMissing,
    ClockSkew,
    Corrupt,
    Denied,
    Gone,
    Precondition,
    ServerFault,
    StoreError,
    Throttled,
    Unsupported,
)
from farshore.s3 import xml
from farshore.s3.wire.request import Answer, Request

ERROR_BYTES_MAX = 64 * 1024
"""An error's body beyond this is not S3's: its status alone counts."""

MESSAGE_CHARACTERS_MAX = 300
"""How much of a server's own words a message of ours repeats."""

RETRY_AFTER_SECONDS_MAX = 3600

CODES: dict[str, type[StoreError]] = {
    # Rights and keys.
    "AccessDenied": Denied,
    "AccountProblem": Denied,
    "AllAccessDisabled": Denied,
    "AuthorizationHeaderMalformed": Denied,
    "ExpiredToken": Denied,
    "InvalidAccessKeyId": Denied,
    "InvalidSecurity": Denied,
    "InvalidToken": Denied,
    "KMS.AccessDenied": Denied,
    "KMS.DisabledException": Denied,
    "KMS.InvalidStateException": Denied,
    "KMS.KMSInvalidStateException": Denied,
    "KMS.NotFoundException": Denied,
    "NotSignedUp": Denied,
    "SignatureDoesNotMatch": Denied,
    "TokenRefreshRequired": Denied,
    "RequestExpired": ClockSkew,
    "RequestTimeTooSkewed": ClockSkew,
    # Not there.
    "NoSuchBucket": BucketMissing,
    "NoSuchKey": Gone,
    "NoSuchUpload": Gone,
    "NoSuchVersion": Gone,
    # Somebody else wrote.
    "ConditionalRequestConflict": Precondition,
    "PreconditionFailed": Precondition,
    # Ask again later; nothing was done.
    "BandwidthLimitExceeded": Throttled,
    "OperationAborted": Throttled,
    "RequestLimitExceeded": Throttled,
    "ServiceUnavailable": Throttled,
    "SlowDown": Throttled,
    "Throttling": Throttled,
    "ThrottlingException": Throttled,
    "KMS.ThrottlingException": Throttled,
    "TooManyRequests": Throttled,
    # The server's own trouble, or the line's.
    "InternalError": ServerFault,
    "RequestTimeout": ServerFault,
    # What arrived is not what was sent.
    "BadDigest": Corrupt,
    "IncompleteBody": Corrupt,
    "InvalidPart": Corrupt,
    "XAmzContentChecksumMismatch": Corrupt,
    "XAmzContentSHA256Mismatch": Corrupt,
    # This server, or this object, cannot do it.
    "AccessControlListNotSupported": Unsupported,
    "BucketAlreadyOwnedByYou": Unsupported,
    "InvalidObjectState": Unsupported,
    "InvalidStorageClass": Unsupported,
    "NoSuchObjectLockConfiguration": Unsupported,
    "NotImplemented": Unsupported,
    "ObjectLockConfigurationNotFoundError": Unsupported,
}
"""S3 error code to class. BucketAlreadyOwnedByYou: SeaweedFS's answer to sub-resources that
it does not have; CreateBucket itself lets that code pass."""

STATUSES: dict[int, type[StoreError]] = {
    401: Denied,
    403: Denied,
    404: Gone,
    405: Unsupported,
    408: ServerFault,
    409: Precondition,
    410: Gone,
    412: Precondition,
    429: Throttled,
    501: Unsupported,
    503: Throttled,
}

HINTS: dict[str, str] = {
    "AccessDenied": "give these credentials the right, or use others",
    "AuthorizationHeaderMalformed": "set the site's region to the one that its endpoint is in",
    "BucketAlreadyExists": "bucket names are shared by all accounts: choose another",
    "ExpiredToken": "renew the session token",
    "InvalidAccessKeyId": "check the site's access key",
    "InvalidObjectState": "restore the object from its archive class first",
    "InvalidRequest": "an object under a customer's own key (SSE-C) is refused in this way too",
    "NoSuchBucket": "check the bucket's name, or create it",
    "RequestTimeTooSkewed": "set this machine's clock (NTP)",
    "SignatureDoesNotMatch": "check the site's secret key, region and any proxy in between",
}

_CLASS_HINTS: dict[type[StoreError], str] = {
    Denied: "check the credentials of this site and their rights",
    ServerFault: "look at the server's log; a write may have happened",
    Throttled: "ask for less, or later",
}
KMS_DENIED = "KMS.AccessDenied"
"""Our code for a version whose bytes we may read, and whose key we may not use."""

_KMS_ACTION = re.compile(r"\bperform: (kms:[A-Z][A-Za-z]+)\b", re.ASCII)

_READS = frozenset({"GET", "HEAD"})
_OF_THE_VERSION = frozenset({"versionId", "partNumber"})
"""Query names of a HEAD or GET of the version itself, not of a sub-resource."""


def raise_for_status(answer: Answer, request: Request, site: str) -> None:
    """Return when the request was done (or its refusal is one of `request.done_codes`);
    otherwise raise what the answer means, an error inside a 200 included."""
    status = answer.status
    if 200 <= status < 300:
        if not _may_fail_inside(request):
            return
        code, words = _error_body(answer.body)
        if not code:
            return
    else:
        code, words = _error_body(answer.body)
        if code in request.done_codes:
            return
    raise _refusal(answer, request, site, code, words)


def _may_fail_inside(request: Request) -> bool:
    """Complete answers 200 before it knows how it will end."""
    return request.method == "POST" and any(name == "uploadId" for name, _ in request.query)


def _error_body(body: bytes) -> tuple[str, str]:
    """(code, message) of an S3 error document; ("", "") for anything else, such as HTML."""
    text = body.strip()
    if not text or len(text) > ERROR_BYTES_MAX:
        return "", ""
    try:
        root = xml.read(text, bytes_max=ERROR_BYTES_MAX)
    except Corrupt:
        return "", ""
    return (root.find("Code"), root.find("Message")) if root.name == "Error" else ("", "")


def _refusal(answer: Answer, request: Request, site: str, said_code: str, words: str) -> StoreError:
    code = _code(said_code, words)
    kind = _kind(answer, request, code)
    action = f"{request.action or request.method} at {site}"
    said = " ".join(_printable(part) for part in (str(answer.status), said_code) if part)
    told = f": {_printable(words)}" if words else ""
    error = kind(
        f"{action} was refused: {said}{told}",
        hint=_hint(answer, request, code, words, kind),
        status=answer.status,
        code=code,
        action=action,
        retry_after=_retry_after(answer),
    )
    if isinstance(error, Gone):
        error.is_marker = _shows_marker(answer, request)
    return error


def _code(code: str, words: str) -> str:
    """The server's code, or ours where a KMS key is what was refused."""
    refused_key = code == "AccessDenied" and _KMS_ACTION.search(words)
    return KMS_DENIED if refused_key or code == "KMS.AccessDeniedException" else code


def _hint(answer: Answer, request: Request, code: str, words: str, kind: type[StoreError]) -> str:
    if code != KMS_DENIED:
        return HINTS.get(code) or _CLASS_HINTS.get(kind, "") or _status_hint(answer, request)
    named = _KMS_ACTION.search(words)
    usual = "kms:Decrypt" if request.method in _READS else "kms:GenerateDataKey"
    return (
        f"allow {named[1] if named else usual} on the object's KMS key, in the policy of these "
        "credentials and in the key's own"
    )


def _kind(answer: Answer, request: Request, code: str) -> type[StoreError]:
    kind = CODES.get(code) or _by_status(answer.status)
    if kind is BadRequest and code.startswith("KMS."):
        kind = Denied
    if kind is Gone and any(name == "if-match" for name, _ in request.headers):
        # If-Match on a key that is under a marker, or not there (S3 answers 404).
        return Precondition if code != "NoSuchUpload" else Gone
    if request.method not in _READS or not _OF_THE_VERSION.issuperset(dict(request.query)):
        return kind
    if answer.status == 405:
        return Gone
    # Our reads of a version have one shape: what makes it invalid is a key of SSE-C.
    return Unsupported if code == "InvalidRequest" else kind


def _by_status(status: int) -> type[StoreError]:
    return STATUSES.get(status) or (ServerFault if status >= 500 else BadRequest)


def _shows_marker(answer: Answer, request: Request) -> bool:
    """A current marker answers 404 with the header; one asked for by its id answers 405."""
    if answer.headers.get("x-amz-delete-marker", "").lower() == "true":
        return True
    by_id = any(name == "versionId" for name, _ in request.query)
    return answer.status == 405 and by_id and request.method in _READS


def _status_hint(answer: Answer, request: Request) -> str:
    if 300 <= answer.status < 400:
        region = _printable(answer.headers.get("x-amz-bucket-region", ""))
        return f"set the site's endpoint and region to the bucket's{region and ': ' + region}"
    if answer.status == 400 and request.method == "HEAD":
        return "a refused HEAD gives no reason: a GET of the same version does"
    return ""


def _retry_after(answer: Answer) -> float:
    """Retry-After in seconds, bounded; its date form is left out."""
    text = answer.headers.get("retry-after", "")
    if not (text.isascii() and text.isdecimal()):
        return 0.0
    return min(float(text), float(RETRY_AFTER_SECONDS_MAX))


def _printable(text: str) -> str:
    """One printable line, however the server chose its words."""
    line = " ".join(text.split())[:MESSAGE_CHARACTERS_MAX]
    return line if line.isprintable() else ascii(line)
