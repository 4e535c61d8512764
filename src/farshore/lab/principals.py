"""The three principals of a site, and the files that hold their keys.

The rights are SeaweedFS's own words (its `s3.config` identities). `Write` there
includes deletes and, unlike on AWS, a bucket's versioning and lifecycle. Making or
dropping buckets and setting policies needs `Admin`. Retention and legal holds are no
part of `Write`: they have rights of their own (observed on 4.48).
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from farshore.credentials import Credentials

OPERATOR, REPLICATOR, APP = "operator", "replicator", "app"
PRINCIPALS = (OPERATOR, REPLICATOR, APP)

SECRET_MODE = 0o600
_DATA_RIGHTS = ("Read", "List", "Tagging", "Write")
_LOCK_RIGHTS = ("PutObjectRetention", "PutObjectLegalHold")


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it is never there half written."""
    draft = path.with_name(path.name + ".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, SECRET_MODE), "w") as out:
        out.write(text)
    draft.replace(path)


def _rights(principal: str, buckets: tuple[str, ...]) -> list[str]:
    if principal == OPERATOR:
        return ["Admin", *_DATA_RIGHTS]
    if principal == REPLICATOR:
        return [*_DATA_RIGHTS, *_LOCK_RIGHTS]
    return [f"{right}:{bucket}" for bucket in buckets for right in _DATA_RIGHTS]


def new_keys(principal: str) -> Credentials:
    """A fresh pair of keys; the access key tells whose it is."""
    return Credentials(f"{principal}-{secrets.token_hex(6)}", secrets.token_urlsafe(30))


def read_keys(path: Path) -> Credentials:
    """The keys in a credentials file that `write_keys` wrote."""
    document = json.loads(path.read_text())
    return Credentials(document["AccessKeyId"], document["SecretAccessKey"])


def write_keys(path: Path, keys: Credentials) -> None:
    """Write keys in the form of AWS's `credential_process`."""
    document = {"Version": 1, "AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key}
    write_secret(path, json.dumps(document) + "\n")


def identities(keys: dict[str, Credentials], buckets: tuple[str, ...]) -> dict[str, Any]:
    """The document that `-s3.config` takes."""
    return {
        "identities": [
            {
                "name": name,
                "credentials": [{"accessKey": pair.access_key, "secretKey": pair.secret_key}],
                "actions": _rights(name, buckets),
            }
            for name, pair in keys.items()
        ]
    }
