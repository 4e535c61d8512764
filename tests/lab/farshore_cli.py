"""`farshore` as a person runs it: a process in a folder with its own farshore.toml.

Every test has its own folder, pair of buckets and state; the lab behind them is shared.
What it says of a site's contents comes from boto3, not from farshore.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config as BotoConfig

from farshore.core.rules import OWN_PREFIX
from farshore.credentials import Credentials
from farshore.lab.pairfile import CONTROL_BUCKET
from farshore.lab.regions import Lab
from farshore.lab.state import STATE_FOLDER
from tests.lab.background import Background
from tests.lab.nursery import nursery
from tests.lab.secrecy import TELLS_KEYS, require_none, secrets_of, token_of

COMMAND_SECONDS_MAX = 100.0
"""A command that has not ended by then hangs."""

STAMP_NAME = "farshore-origin"
"""The one entry of a replica's metadata that its origin does not have."""

HANDS = 8
"""Requests of the witness at one time."""

CLIENTS_MAX = 32
"""Clients that are kept: a site has another port after some of its deaths."""

SITES = ("east", "west")
PAIR, RECORD = "east-west", "east.west"
"""What the pair is called in its own documents, and where several pairs share some."""


class Ended(NamedTuple):
    """How one command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> dict[str, Any]:
        """The error of the one JSON document that `--json` promises."""
        found: dict[str, Any] = json.loads(self.stdout)["error"]
        return found


class Entry(NamedTuple):
    """One version or marker as boto3 sees it; a marker has no body and no metadata."""

    is_marker: bool
    size: int
    etag: str
    sha256: str
    metadata: tuple[tuple[str, str], ...]


Histories = dict[str, list[Entry]]
"""Key to its entries, newest first."""


class Farshore:
    """The command line over one pair of buckets, `bucket` on both sides."""

    def __init__(self, folder: Path, lab: Lab, bucket: str) -> None:
        self.folder = folder
        self.lab = lab
        self.bucket = bucket
        self.config = folder / "farshore.toml"
        self.state_dir = folder / ".farshore"

    # -- the command line -------------------------------------------------------------

    def run(
        self,
        *words: str,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = COMMAND_SECONDS_MAX,
    ) -> Ended:
        """Run to the end. `env` is laid over ours."""
        environment = {**os.environ, **(env or {})}
        done = nursery().run(words, self.folder, environment, input or "", timeout)
        return self._heard(words, Ended(done.returncode, done.stdout, done.stderr))

    def run_after(self, prelude: str, *words: str, timeout: float = COMMAND_SECONDS_MAX) -> Ended:
        """Run in a Python that has executed `prelude` first: another clock, tighter limits."""
        script = f"{prelude}\nfrom farshore.cli.main import main\nmain()\n"
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            cwd=self.folder,
            input="",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return self._heard(words, Ended(done.returncode, done.stdout, done.stderr))

    def _heard(self, words: Sequence[str], ended: Ended) -> Ended:
        """What a command said, once no secret of the lab was found in it."""
        if tuple(words[:2]) != TELLS_KEYS:
            secrets = secrets_of(self.lab.folder) | token_of(self.state_dir)
            require_none(secrets, ended.stdout + ended.stderr, f"the output of {words[:2]}")
        return ended

    def json(self, *words: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The document of a command that ends well."""
        ended = self.run(*words, "--json", env=env)
        assert ended.code == 0, ended
        document: dict[str, Any] = json.loads(ended.stdout)
        return document

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Background:
        """Run in the background; the caller ends it."""
        return Background(words, self.folder, {**os.environ, **(env or {})})

    def start_alone(self, *words: str) -> subprocess.Popen[str]:
        """The same as a Python of its own, whose arguments are those that `ps` shows a person."""
        return subprocess.Popen(
            [sys.executable, "-m", "farshore", *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # -- the configuration ------------------------------------------------------------

    def configure(
        self,
        *,
        buckets: Sequence[tuple[str, str]] = (),
        sites: Mapping[str, Mapping[str, str]] | None = None,
        credentials: Mapping[str, Mapping[str, str]] | None = None,
        name: str = "",
        more: str = "",
    ) -> None:
        """Write farshore.toml: the pair east → west of `bucket`, or of `buckets`.

        `sites`: keys that replace a site's own, such as {"west": {"endpoint": "http://…"}}.
        `credentials`: a site's principals as TOML values; `name`: the pair's; `more` is added
        at the end.
        """
        parts = [self._site(name, (sites or {}).get(name, {}), credentials) for name in SITES]
        parts.append(
            f'[pair]\nsource = "east"\ntarget = "west"\ncontrol_bucket = "{CONTROL_BUCKET}"'
            + (f'\nname = "{name}"' if name else "")
        )
        for source, target in buckets or [(self.bucket, self.bucket)]:
            parts.append(f'[[pair.buckets]]\nsource = "{source}"\ntarget = "{target}"')
        self.config.write_text("\n\n".join([*parts, more]) + "\n")

    def _site(
        self,
        name: str,
        changed: Mapping[str, str],
        credentials: Mapping[str, Mapping[str, str]] | None,
    ) -> str:
        site = self.lab.status().site(name)
        values = {"endpoint": site.endpoint, "filer": site.filer, **changed}
        lines = [f"[sites.{name}]", *(f"{key} = {json.dumps(v)}" for key, v in values.items())]
        keys = self.lab.folder / STATE_FOLDER / name
        found = {
            principal: f'{{ command = "cat {keys / principal}.json" }}'
            for principal in ("operator", "replicator")
        }
        found |= (credentials or {}).get(name, {})
        lines += ["", f"[sites.{name}.credentials]"]
        return "\n".join([*lines, *(f"{who} = {value}" for who, value in found.items())])

    # -- the witness ------------------------------------------------------------------

    def s3(self, site: str, principal: str = "owner") -> Any:
        """A boto3 client, straight to the site: no link in between."""
        found = self.lab.status().site(site)
        return client(found.direct_endpoint, found.principals[principal])

    def make_buckets(self, *, versioned: Sequence[str] = SITES) -> None:
        """`bucket` on both sides; versioning on where it is named."""
        for site in SITES:
            s3 = self.s3(site)
            s3.create_bucket(Bucket=self.bucket)
            if site in versioned:
                s3.put_bucket_versioning(
                    Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"}
                )

    def own_control(self, site: str, **changed: object) -> str:
        """A control bucket for this test alone, with the record of what the site can do."""
        bucket = f"{self.bucket}-control"
        s3 = self.s3(site)
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        name = f"capabilities/{site}.json"
        record = json.loads(s3.get_object(Bucket=CONTROL_BUCKET, Key=name)["Body"].read())
        s3.put_object(Bucket=bucket, Key=name, Body=json.dumps(record | changed).encode())
        return bucket

    def forget_standing(self) -> None:
        """Remove all that is recorded of the pair: all tests' pairs have one name, and a check-up
        or a drill of an earlier test would be a reason of this one's verdict."""
        for site in SITES:
            s3 = self.s3(site)
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=CONTROL_BUCKET)
            found = [one["Key"] for page in pages for one in page.get("Contents", [])]
            for key in found:
                if PAIR in key or RECORD in key:
                    s3.delete_object(Bucket=CONTROL_BUCKET, Key=key)

    def put_all(self, histories: Mapping[str, Sequence[bytes | None]], site: str = "east") -> None:
        """Write histories, oldest first; None is a delete marker."""
        s3 = self.s3(site)

        def one(key: str) -> None:
            for number, body in enumerate(histories[key]):
                if body is None:
                    s3.delete_object(Bucket=self.bucket, Key=key)
                else:
                    note = {"note": f"{ascii(key)[:64]} {number}"}
                    s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=note)

        with ThreadPoolExecutor(HANDS) as hands:
            list(hands.map(one, histories))

    def histories(self, site: str) -> Histories:
        """Everything in the bucket but a daemon's heartbeat, which comes and goes: bytes and
        metadata read anew, as boto3 sees them."""
        s3 = self.s3(site)
        rows = [row for row in self._rows(s3) if not row[0].startswith(OWN_PREFIX)]
        with ThreadPoolExecutor(HANDS) as hands:
            entries = list(hands.map(lambda row: self._entry(s3, *row), rows))
        found: Histories = {}
        for (key, _, _), entry in zip(rows, entries, strict=True):
            found.setdefault(key, []).append(entry)
        return found

    def rows(self, site: str) -> list[tuple[str, str, bool]]:
        """(key, version id, is a marker) of everything, newest first in each key."""
        return self._rows(self.s3(site))

    def _rows(self, s3: Any) -> list[tuple[str, str, bool]]:
        """(key, version id, is a marker), newest first in each key. One page is the whole
        truth on SeaweedFS; beyond that each key is listed by itself."""
        page = s3.list_object_versions(Bucket=self.bucket)
        if not page["IsTruncated"]:
            return _in_order(page)
        keys = sorted(_names(s3, self.bucket))
        rows: list[tuple[str, str, bool]] = []
        for key in keys:
            one = s3.list_object_versions(Bucket=self.bucket, Prefix=key)
            assert not one["IsTruncated"], key
            rows += [row for row in _in_order(one) if row[0] == key]
        return rows

    def _entry(self, s3: Any, key: str, version_id: str, is_marker: bool) -> Entry:
        if is_marker:
            return Entry(True, 0, "", "", ())
        got = s3.get_object(Bucket=self.bucket, Key=key, VersionId=version_id)
        body = got["Body"].read()
        own = {k: v for k, v in got["Metadata"].items() if k != STAMP_NAME}
        return Entry(
            False,
            len(body),
            got["ETag"],
            hashlib.sha256(body).hexdigest(),
            tuple(sorted(own.items())),
        )


@lru_cache(CLIENTS_MAX)
def client(endpoint: str, keys: Credentials) -> Any:
    """A boto3 client, made once: that takes longer than most of what it is asked. Its caller
    leaves it as it is."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name="us-east-1",
        config=BotoConfig(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            max_pool_connections=HANDS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _in_order(page: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """boto3 hands markers and versions apart: put together by SeaweedFS's ids, whose first
    16 hex digits count down from 2**63 - 1 as time goes on (newest first = ascending)."""
    rows = [(v["Key"], v["VersionId"], False) for v in page.get("Versions", [])]
    rows += [(m["Key"], m["VersionId"], True) for m in page.get("DeleteMarkers", [])]
    return sorted(rows)


def _names(s3: Any, bucket: str) -> set[str]:
    """Keys from every page of every listing; used only to know which to ask for one by one."""
    names: set[str] = set()
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        names |= {row["Key"] for row in (*page.get("Versions", []), *page.get("DeleteMarkers", []))}
    return names
