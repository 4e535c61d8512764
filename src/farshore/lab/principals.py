"""The three principals of a site and its owner, and the files that hold their keys.

The principals have exactly the rights that `farshore export iam-policy --vendor seaweedfs`
prints for the lab's pair: what farshore does in a lab, it does with those. The owner may do
everything, as whoever owns a storage may.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from farshore.config.fields import CONTROL_BUCKET
from farshore.core.iam import exported
from farshore.core.rights import Ground
from farshore.credentials import Credentials
from farshore.errors import LabError

OPERATOR, REPLICATOR, APP = "operator", "replicator", "app"
PRINCIPALS = (OPERATOR, REPLICATOR, APP)
OWNER = "owner"
HOLDERS = (*PRINCIPALS, OWNER)
"""All who have keys."""

SECRET_MODE = 0o600


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it is never there half written."""
    draft = path.with_name(path.name + ".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, SECRET_MODE), "w") as out:
        out.write(text)
    draft.replace(path)


def _rights(holder: str, buckets: tuple[str, ...], granted: tuple[str, ...]) -> Sequence[str]:
    """The app works in `buckets` alone, the other two in those that are `granted`, too."""
    if holder == OWNER:
        return ["Admin"]
    own = Ground(buckets, CONTROL_BUCKET, learns=True)
    wide = Ground((*buckets, *granted), CONTROL_BUCKET, learns=True)
    document = exported("app", own, "seaweedfs")
    if holder in (OPERATOR, REPLICATOR):
        document = exported("operator" if holder == OPERATOR else "replicator", wide, "seaweedfs")
    actions: list[str] = document["actions"]
    return actions


def new_keys(principal: str) -> Credentials:
    """A fresh pair of keys; the access key tells whose it is."""
    return Credentials(f"{principal}-{secrets.token_hex(6)}", secrets.token_urlsafe(30))


def read_keys(path: Path) -> Credentials:
    """The keys in a credentials file that `write_keys` wrote. `LabError` where there are none."""
    try:
        document = json.loads(path.read_text())
        return Credentials(document["AccessKeyId"], document["SecretAccessKey"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"The lab has no keys in {path}: it was begun by another farshore, or files of it were "
            "removed.",
            hint="Take it down with `farshore lab down`, which removes its data; begin it anew.",
        ) from error


def write_keys(path: Path, keys: Credentials) -> None:
    """Write keys in the form of AWS's `credential_process`."""
    document = {"Version": 1, "AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key}
    write_secret(path, json.dumps(document) + "\n")


def identities(
    keys: dict[str, Credentials], buckets: tuple[str, ...], granted: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The document that `-s3.config` takes. `granted`: more buckets, or patterns with one *."""
    return {
        "identities": [
            {
                "name": name,
                "credentials": [{"accessKey": pair.access_key, "secretKey": pair.secret_key}],
                "actions": _rights(name, buckets, granted),
            }
            for name, pair in keys.items()
        ]
    }
