"""What the rest of farshore reads: frozen values, checked, with the answers it needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from farshore.config.fences import BY_POLICY, FenceWay
from farshore.config.pace import UNLIMITED, Pace
from farshore.config.switches import Switch
from farshore.core.rules import Rule
from farshore.core.verdict import Objectives
from farshore.credentials import CredentialSource
from farshore.errors import ConfigError

Principal = Literal["operator", "replicator", "app"]
PRINCIPALS: tuple[Principal, ...] = ("operator", "replicator", "app")

SCOPE_DIGITS = 16
"""Of a digest that tells one scope from another; no secret hangs on it."""


@dataclass(frozen=True, slots=True)
class FilerTls:
    """TLS to a filer, both sides verified. The files are absolute; `server_name` is ""
    where the certificate is for the address's host."""

    ca_file: Path
    cert_file: Path
    key_file: Path
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """One region. `ca_file` is absolute; `filer` and `filer_grpc`
    (host:port) are "" where there is none. Without `filer_tls`
    `filer_grpc` is in the clear."""

    name: str
    endpoint: str
    region: str
    location: str
    filer: str
    filer_grpc: str
    ca_file: Path | None
    control_bucket: str
    credentials: Mapping[Principal, CredentialSource]
    fence: FenceWay = BY_POLICY
    pace: Pace = UNLIMITED
    filer_tls: FilerTls | None = None


@dataclass(frozen=True, slots=True)
class BucketMap:
    """One entry of `pair.buckets`. Both sides have a `*`, or neither has."""

    source: str
    target: str

    @property
    def is_pattern(self) -> bool:
        return "*" in self.source

    def target_of(self, bucket: str) -> str | None:
        """The target's name of a source bucket; None when this entry does not match it."""
        if not self.is_pattern:
            return self.target if bucket == self.source else None
        head, tail = self.source.split("*")
        if len(bucket) < len(head) + len(tail):
            return None
        if not (bucket.startswith(head) and bucket.endswith(tail)):
            return None
        return self.target.replace("*", bucket[len(head) : len(bucket) - len(tail)])


@dataclass(frozen=True, slots=True)
class Pair:
    """`name` is for messages and for the control bucket's documents; `source` and `target` are
    names of sites."""

    name: str
    source: str
    target: str
    buckets: tuple[BucketMap, ...]
    rules: tuple[Rule, ...]

    @property
    def scope(self) -> str:
        """A digest of what is replicated: which buckets go where, by which rules."""
        buckets = sorted((entry.source, entry.target) for entry in self.buckets)
        rules = [asdict(rule) for rule in self.rules]
        text = json.dumps([self.source, self.target, buckets, rules], sort_keys=True)
        return sha256(text.encode()).hexdigest()[:SCOPE_DIGITS]

    @property
    def has_patterns(self) -> bool:
        """Whether the source's buckets must be listed to know what is meant."""
        return any(entry.is_pattern for entry in self.buckets)


@dataclass(frozen=True, slots=True)
class WebhookSource:
    """Storage servers call us. The bearer token is in the variable `token_env`, or in
    `token_file` (absolute), where that is not None."""

    token_env: str
    token_file: Path | None = None


SQS_WAIT_S = 20
"""A long poll, where the configuration does not say; more SQS does not take."""


@dataclass(frozen=True, slots=True)
class SqsSource:
    """A queue of S3 events. `ca_file` is absolute; `wait_s`: of one request for messages."""

    queue_url: str
    region: str
    credentials: CredentialSource
    ca_file: Path | None
    wait_s: int = SQS_WAIT_S


@dataclass(frozen=True, slots=True)
class NatsSource:
    """A JetStream stream of bucket notifications. `ca_file` is absolute.

    `secret_env` names the variable that holds the password of `user`, or a token where
    there is no user; "" where the server wants neither.
    """

    servers: tuple[str, ...]
    stream: str
    consumer: str
    user: str
    secret_env: str
    ca_file: Path | None


@dataclass(frozen=True, slots=True)
class FilerSource:
    """The source's SeaweedFS filer: its address is the site's."""


FeedSource = WebhookSource | SqsSource | NatsSource | FilerSource


@dataclass(frozen=True, slots=True)
class Limits:
    """What all sites share. `memory_bytes` bounds the bodies in flight."""

    concurrency_max: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Daemon:
    """What `farshore run` does beside copying. Port 0 is any free one. The API's token is in the
    variable `token_env`, or in `token_file` (absolute); "" and None: in a file of our own."""

    host: str
    port: int
    token_env: str
    scan_every_s: float
    sweep_every_s: float
    sweep_versions_per_s: float
    deletes_count: int
    deletes_share: float
    token_file: Path | None = None


Voice = Literal["gentle", "loud"]


@dataclass(frozen=True, slots=True)
class Notify:
    """Somebody to tell. `env`: the environment variable that holds the Apprise URL."""

    env: str
    voice: Voice


@dataclass(frozen=True, slots=True)
class Config:
    """One farshore.toml. `path` is the file, `state_dir` is absolute."""

    path: Path
    sites: Mapping[str, Site]
    pair: Pair
    feeds: tuple[FeedSource, ...]
    limits: Limits
    daemon: Daemon
    objectives: Objectives
    switch: Switch
    notify: tuple[Notify, ...]
    state_dir: Path

    @property
    def folder(self) -> Path:
        """Where credentials commands run and relative paths begin."""
        return self.path.parent

    @property
    def source(self) -> Site:
        return self.site(self.pair.source)

    @property
    def target(self) -> Site:
        return self.site(self.pair.target)

    def site(self, name: str) -> Site:
        """`ConfigError` for a name that the file does not have."""
        if name in self.sites:
            return self.sites[name]
        known = ", ".join(self.sites)
        raise ConfigError(f'There is no site "{name}" in {self.path}.', hint=f"Known: {known}.")

    def resolve_buckets(self, source_bucket_names: Iterable[str]) -> list[tuple[str, str]]:
        """(source, target) of every bucket that is replicated, sorted by source.

        Buckets named in the file are always there, whether they exist or not; patterns
        pick from `source_bucket_names`. A name beats a pattern; of patterns the first in
        the file wins. Control buckets never match a pattern. `ConfigError` when two
        source buckets would share one target.
        """
        found = {entry.source: entry.target for entry in self.pair.buckets if not entry.is_pattern}
        patterns = [entry for entry in self.pair.buckets if entry.is_pattern]
        for bucket in sorted(set(source_bucket_names) - {self.source.control_bucket}):
            for entry in patterns:
                target = entry.target_of(bucket)
                if target is not None:
                    found.setdefault(bucket, target)
        self._refuse_shared_targets(found)
        return sorted(found.items())

    def _refuse_shared_targets(self, found: Mapping[str, str]) -> None:
        sources: dict[str, list[str]] = {}
        for source, target in found.items():
            sources.setdefault(target, []).append(source)
        problems = tuple(
            f'the buckets {" and ".join(sorted(names))} would both go to "{target}" at '
            f"{self.pair.target}: give one of them its own target"
            for target, names in sorted(sources.items())
            if len(names) > 1
        )
        if self.target.control_bucket in sources:
            problems += (
                f'"{self.target.control_bucket}" at {self.pair.target} is the control bucket '
                "and cannot receive replicas: give that bucket another target",
            )
        if problems:
            raise ConfigError(f"The buckets of {self.path} cannot be mapped.", problems=problems)
