"""`farshore init`: ask for two sites, try their credentials, write farshore.toml.

Every question has an option, so machines answer all of them in one call. The file holds
where keys come from, never the keys.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import Console, JsonOption, config_path, run
from farshore.core.words import counted
from farshore.errors import Denied, UsageError

if TYPE_CHECKING:
    from farshore.config import Config, Principal

REGION = "us-east-1"
KINDS = ("env", "profile", "command")
REQUIRED: tuple[Principal, ...] = ("operator", "replicator")
OPTIONAL: tuple[Principal, ...] = ("app",)

SiteOption = Annotated[str, typer.Option(metavar="NAME=URL", help="A site and its endpoint.")]
RegionOption = Annotated[str, typer.Option(metavar="REGION", help="The region that requests name.")]


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """One site. `keys`: principal to (kind, value), such as ("env", "FARSHORE_EAST")."""

    name: str
    endpoint: str
    region: str
    keys: dict[Principal, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answers:
    """All that the file needs. `buckets`: (source, target); `pair` may be ""."""

    source: SiteAnswer
    target: SiteAnswer
    buckets: list[tuple[str, str]]
    pair: str = ""


def init(
    context: typer.Context,
    source: SiteOption = "",
    target: SiteOption = "",
    source_region: RegionOption = "",
    target_region: RegionOption = "",
    bucket: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=TARGET]", help="A bucket or pattern; may be repeated."),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE.PRINCIPAL=KIND:VALUE",
            help="Where keys come from, such as east.app=profile:acme; may be repeated. "
            "Without it: env:FARSHORE_SITE_PRINCIPAL.",
        ),
    ] = None,
    pair: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The pair's name, where the same two sites have several."
        ),
    ] = "",
    no_try: Annotated[bool, typer.Option("--no-try", help="Do not try the credentials.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the configuration file: asks for what no option says.

    The credentials are tried before anything is written.
    """
    path = config_path(context).absolute()
    if path.exists() and not force:
        raise UsageError(
            f"{path} exists already.", hint="Pass --force to replace it, or --config for another."
        )
    console = Console(as_json=as_json)
    ask = _ask if console.can_ask else _nobody
    given = _given_keys(keys or [])
    answers = Answers(
        _site("source", source, source_region, given, ask),
        _site("target", target, target_region, given, ask),
        _buckets(bucket or [], ask),
        pair,
    )
    _refuse_left_over(given)
    _write(path, answers, console, no_try=no_try)


def _write(path: Path, answers: Answers, console: Console, *, no_try: bool) -> None:
    from farshore.config.load import parse

    text = render(answers)
    config = parse(text, path)
    if not no_try:
        run(_try_all(config, console))
    _replace(path, text)
    console.say(f"Wrote {path}.")
    console.say("Next: `farshore apply` shows what it would prepare, and asks.")
    console.document({"path": str(path), "tried": not no_try})


def render(answers: Answers) -> str:
    """The file's text."""
    lines = ["# farshore: every key is in docs/configuration.md", ""]
    for site in (answers.source, answers.target):
        lines += [f"[sites.{_quoted_name(site.name)}]", f"endpoint = {_quoted(site.endpoint)}"]
        lines += [f"region = {_quoted(site.region)}", ""]
        lines += [f"[sites.{_quoted_name(site.name)}.credentials]"]
        for principal, (kind, value) in site.keys.items():
            lines.append(f"{principal} = {{ {kind} = {_quoted(value)} }}")
        lines.append("")
    lines += ["[pair]", *([f"name = {_quoted(answers.pair)}"] if answers.pair else [])]
    lines += [f"source = {_quoted(answers.source.name)}"]
    lines += [f"target = {_quoted(answers.target.name)}"]
    for source, target in answers.buckets:
        lines += ["", "[[pair.buckets]]", f"source = {_quoted(source)}"]
        lines += [f"target = {_quoted(target)}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False)


def _quoted_name(name: str) -> str:
    return name if name.replace("-", "").isalnum() and name.isascii() else _quoted(name)


Ask = Callable[[str, str], str]
"""(question, default) to the answer; "" for no default."""


def _ask(question: str, default: str) -> str:
    answer: str = typer.prompt(question, default=default or None, err=True)
    return answer.strip()


def _nobody(question: str, default: str) -> str:
    if default:
        return default
    raise UsageError(
        f"There is nobody to ask: {question}?",
        hint="Without a terminal give --source, --target and --bucket: farshore init --help",
    )


def _site(
    side: str, option: str, region: str, given: dict[tuple[str, str], tuple[str, str]], ask: Ask
) -> SiteAnswer:
    name, _, endpoint = option.partition("=")
    name = name or ask(f"The {side}'s name, such as {_example(side)}", "")
    endpoint = endpoint or ask(f"The endpoint of {name}, such as https://s3.example.net", "")
    region = region or ask(f"The region of {name}", REGION)
    keys: dict[Principal, tuple[str, str]] = {}
    for principal in REQUIRED:
        default = f"env:{_variable(name, principal)}"
        said = given.pop((name, principal), None)
        keys[principal] = said or _kind(ask(f"Keys of the {principal} at {name}", default))
    for principal in OPTIONAL:
        said = given.pop((name, principal), None)
        answer = "none" if said else ask(f"Keys of the {principal} at {name}, or none", "none")
        if said or answer != "none":
            keys[principal] = said or _kind(answer)
    return SiteAnswer(name, endpoint, region, keys)


def _example(side: str) -> str:
    return "east" if side == "source" else "west"


def _variable(site: str, principal: str) -> str:
    return f"FARSHORE_{site}_{principal}".upper().replace("-", "_")


def _buckets(options: list[str], ask: Ask) -> list[tuple[str, str]]:
    names = options or ask(
        "The buckets, separated by commas, such as files or prod-*=dr-*", ""
    ).split(",")
    found = []
    for name in names:
        source, _, target = name.strip().partition("=")
        found.append((source, target or source))
    return found


def _given_keys(options: list[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """(site, principal) to (kind, value)."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for option in options:
        who, equals, source = option.partition("=")
        site, dot, principal = who.rpartition(".")
        if not (equals and dot and principal in (*REQUIRED, *OPTIONAL)):
            raise UsageError(
                "--keys is not SITE.PRINCIPAL=KIND:VALUE.",
                hint="Write --keys east.operator=profile:acme; principals are operator, "
                "replicator and app.",
            )
        found[site, principal] = _kind(source)
    return found


def _refuse_left_over(given: dict[tuple[str, str], tuple[str, str]]) -> None:
    if given:
        names = ", ".join(f"{site}.{principal}" for site, principal in given)
        raise UsageError(
            f"--keys speaks of a site that is neither source nor target: {names}.",
            hint="Use the names that --source and --target give.",
        )


def _kind(source: str) -> tuple[str, str]:
    kind, colon, value = source.partition(":")
    if kind not in KINDS or not colon or not value:
        # What was typed is not repeated: it may be a key.
        raise UsageError(
            "Where keys come from is written as KIND:VALUE.",
            hint="env:FARSHORE_EAST, profile:acme, or command:cat keys.json. Never the keys.",
        )
    return kind, value


async def _try_all(config: Config, console: Console) -> None:
    from farshore.control.sites import open_store

    for site in (config.source, config.target):
        for principal in site.credentials:
            store = open_store(config, site.name, principal)
            try:
                seen = f"{counted(len(await store.list_buckets()), 'bucket')} seen"
            except Denied as error:
                if error.code != "AccessDenied":
                    raise
                seen = "accepted, but may not list all buckets"  # a right that only patterns need
            finally:
                await store.aclose()
            console.note(f"{principal} at {site.name}: {seen}")


def _replace(path: Path, text: str) -> None:
    """Whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", hint="Choose another with --config."
        ) from None
