"""No secret of a lab in anything that farshore says or leaves behind: looked for in all of it.

Everything that a command or a daemon of the tests prints, answers or keeps in its state folder
goes through `require_none`, and what the control buckets hold at the end.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from farshore.daemon.tokens import OWN_FILE
from farshore.lab.principals import HOLDERS, read_keys
from farshore.lab.state import STATE_FOLDER

TELLS_KEYS = ("lab", "status")
"""The one command whose purpose it is, with --json."""

FILE_BYTES_MAX = 64 << 20
DOCUMENTS_MAX = 5000


def secrets_of(lab: Path) -> set[str]:
    """Every secret key of the lab in that folder."""
    files = [p for who in HOLDERS for p in lab.glob(f"{STATE_FOLDER}/*/{who}.json")]
    return {read_keys(path).secret_key for path in files}


def token_of(state_dir: Path) -> set[str]:
    """The daemon's own token, where there is one."""
    path = state_dir / OWN_FILE
    return set(path.read_text().split()) if path.exists() else set()


def require_none(secrets: set[str], said: str | bytes, where: str) -> None:
    """Fails where one of them is said, plainly or encoded. The secret itself is not repeated."""
    text = said if isinstance(said, bytes) else said.encode("utf-8", "replace")
    found = sum(any(form in text for form in forms_of(secret)) for secret in secrets)
    assert not found, f"{found} secrets of the lab in {where}"


@cache
def forms_of(secret: str) -> frozenset[bytes]:
    """As it is; as URLs, JSON, a dump and Basic's header would hold it."""
    plain = secret.encode()
    forms = {plain, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    forms |= {plain.hex().encode(), repr(plain)[2:-1].encode()}
    for before in range(3):  # in base64 it depends on what stands before, such as a user's name
        coded = b64encode(bytes(before) + plain)
        inner = coded[-(-before * 4 // 3) : len(coded) - 4]
        forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return frozenset(forms)


def require_none_in_process(secrets: set[str], pid: int) -> None:
    """In what `ps` shows of a process."""
    require_none(secrets, Path(f"/proc/{pid}/cmdline").read_bytes(), f"the arguments of {pid}")


def require_none_in_files(secrets: set[str], folder: Path, token: set[str]) -> None:
    """In what was left behind; a token stands in the file that is for it alone."""
    for path in _files(folder):
        with path.open("rb") as file:
            said = file.read(FILE_BYTES_MAX)
        require_none(secrets, said, str(path))
        if path.name != OWN_FILE:
            require_none(token, said, str(path))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def require_none_in_bucket(secrets: set[str], s3: Any, bucket: str) -> int:
    """In every current document of a control bucket; answers how many there are."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [row["Key"] for page in pages for row in page.get("Contents", [])][:DOCUMENTS_MAX]
    for key in keys:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        require_none(secrets, body, f"{bucket}/{key}")
    return len(keys)
