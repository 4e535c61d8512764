"""Reading farshore.toml: text, then form, then values. A bad file lists every problem."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from farshore.config.crosswise import problems_between
from farshore.config.fields import CredentialForm, TokenForm
from farshore.config.form import DaemonForm, FeedForm, FileForm, RuleForm, SiteForm
from farshore.config.load_switch import switch_values
from farshore.config.locate import Lines
from farshore.config.problems import from_validation, render, secrets_in_file
from farshore.config.quantity import duration_seconds
from farshore.config.values import (
    PRINCIPALS,
    SQS_WAIT_S,
    BucketMap,
    Config,
    Daemon,
    FeedSource,
    FilerSource,
    Limits,
    NatsSource,
    Notify,
    Pair,
    Principal,
    Site,
    SqsSource,
    WebhookSource,
)
from farshore.core.rules import MarkerPolicy, Rule
from farshore.core.verdict import Objectives
from farshore.credentials import CredentialSource
from farshore.errors import ConfigError

FILE_BYTES_MAX = 4 * 2**20
"""A configuration larger than this is something else."""

_SYNTAX_PLACE = re.compile(r"^(?P<what>.*?) \(at line (?P<line>\d+), column \d+\)$", re.DOTALL)


def load(path: Path) -> Config:
    """Read one file. `ConfigError` holds every problem, each with its line."""
    path = path.absolute()
    return parse(_read(path), path)


def parse(text: str, path: Path) -> Config:
    """Read a file's text as if it stood at `path`."""
    document = _toml(text, path)
    problems = secrets_in_file(document)
    form: FileForm | None = None
    try:
        form = FileForm.model_validate(document)
    except ValidationError as error:
        problems += [from_validation(e) for e in error.errors(include_url=False)]
    problems += problems_between(document)
    if problems or form is None:
        raise _error(path, render(problems, Lines(text)))
    return _values(form, path)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no file {path}.",
            hint="Run `farshore init` to write one, or name it: farshore --config PATH …",
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} is larger than {FILE_BYTES_MAX} bytes: not a configuration.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error(path, (f"line {line}: not UTF-8 text; save the file as UTF-8",)) from None


def _toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply: not a configuration.") from None
    except tomllib.TOMLDecodeError as error:
        # tomllib's own words hold the place, never the value.
        found = _SYNTAX_PLACE.match(str(error))
        line = int(found["line"]) if found else text.count("\n") + 1
        what = found["what"] if found else str(error).partition(" (")[0]
        raise _error(path, (f"line {line}: not TOML: {what}",)) from None


def _error(path: Path, problems: tuple[str, ...]) -> ConfigError:
    count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
    return ConfigError(
        f"{path} has {count}.",
        problems=problems,
        hint="docs/configuration.md has every key; `farshore config schema` is for editors.",
    )


def _principals(site: SiteForm) -> Iterator[tuple[Principal, CredentialForm]]:
    for principal in PRINCIPALS:
        source: CredentialForm | None = getattr(site.credentials, principal)
        if source is not None:
            yield principal, source


def _values(form: FileForm, path: Path) -> Config:
    pair = form.pair
    return Config(
        path=path,
        sites={name: _site(name, site, form, path) for name, site in form.sites.items()},
        pair=Pair(
            name=pair.name or f"{pair.source}-{pair.target}",
            source=pair.source,
            target=pair.target,
            buckets=tuple(BucketMap(e.source, e.target or e.source) for e in pair.buckets),
            rules=tuple(_rule(rule) for rule in pair.rules),
        ),
        feeds=tuple(_feed(feed, path.parent) for feed in form.feeds),
        limits=Limits(
            concurrency_max=form.limits.concurrency_max,
            memory_bytes=form.limits.memory,
        ),
        daemon=_daemon(form.daemon, path.parent),
        objectives=Objectives(
            rpo_s=form.objectives.rpo,
            verify_max_age_s=form.objectives.verify_max_age,
            scan_max_age_s=form.objectives.scan_max_age,
            doctor_max_age_s=form.objectives.doctor_max_age,
            **_drills(form.objectives.drill_max_age),
        ),
        switch=switch_values(form, path.parent, _source),
        notify=tuple(Notify(entry.url.env, entry.voice) for entry in form.notify),
        state_dir=path.parent / form.state.dir,
    )


def _drills(max_age: float | None) -> dict[str, Any]:
    return {} if max_age is None else {"drill_max_age_s": max_age, "drill_wanted": True}


def _daemon(form: DaemonForm, folder: Path) -> Daemon:
    host, _, port = form.listen.rpartition(":")
    return Daemon(
        host=host.strip("[]"),
        port=int(port),
        token_env=_env(form.token),
        token_file=_file(form.token, folder),
        scan_every_s=form.scan_every,
        sweep_every_s=form.sweep_every,
        sweep_versions_per_s=form.sweep_versions_per_s,
        deletes_count=form.deletes_count,
        deletes_share=form.deletes_share,
    )


def _site(name: str, site: SiteForm, form: FileForm, path: Path) -> Site:
    return Site(
        name=name,
        endpoint=site.endpoint,
        region=site.region,
        location=site.location,
        filer=site.filer or "",
        filer_grpc=site.filer_grpc or "",
        ca_file=path.parent / site.ca_file if site.ca_file else None,
        control_bucket=site.control_bucket or form.pair.control_bucket,
        credentials={principal: _source(source) for principal, source in _principals(site)},
        fence=site.fence.way(),
        pace=(site.limits or form.limits).pace(),
        filer_tls=site.filer_tls.values(path.parent) if site.filer_tls else None,
    )


def _source(form: CredentialForm) -> CredentialSource:
    if form.env is not None:
        return CredentialSource("env", form.env)
    if form.profile is not None:
        return CredentialSource("profile", form.profile)
    return CredentialSource("command", form.command or "")


def _feed(form: FeedForm, folder: Path) -> FeedSource:
    """The form has seen to it that the keys of its kind are there."""
    token_env = _env(form.token)
    ca_file = folder / form.ca_file if form.ca_file else None
    if form.kind == "sqs" and form.queue_url and form.region and form.credentials:
        wait_s = form.wait or SQS_WAIT_S
        return SqsSource(form.queue_url, form.region, _source(form.credentials), ca_file, wait_s)
    if form.kind == "nats" and form.servers and form.stream and form.consumer:
        secret_env = form.password.env if form.password else token_env
        return NatsSource(
            tuple(form.servers), form.stream, form.consumer, form.user or "", secret_env, ca_file
        )
    if form.kind == "webhook":
        return WebhookSource(token_env, _file(form.token, folder))
    return FilerSource()


def _env(form: TokenForm | None) -> str:
    return (form.env if form else None) or ""


def _file(form: TokenForm | None, folder: Path) -> Path | None:
    return folder / form.file if form and form.file else None


def _rule(form: RuleForm) -> Rule:
    word, _, delay = form.delete_markers.partition(" ")
    policies: dict[str, MarkerPolicy] = {
        "replicate": "replicate",
        "never": "never",
        "after": "after",
    }
    return Rule(
        prefix=form.prefix,
        tags=tuple(sorted(form.tags.items())),
        delete_markers=policies[word],
        delay_s=duration_seconds(delay) if delay else 0.0,
        priority=form.priority,
        exclude=form.exclude,
    )
