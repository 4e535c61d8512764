"""`farshore presign`: a URL to one object that carries its own signature."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from farshore.cli.console import Console, JsonOption, load_config, run
from farshore.errors import UsageError

if TYPE_CHECKING:
    from farshore.config import Config, Principal

EXPIRES_SECONDS_MAX = 7 * 86400
"""S3's own limit of X-Amz-Expires."""

ACTIVE = "active"
"""In place of a site's name: the one that the switch points to, by the control record."""

METHODS = ("get", "head", "put")
PRINCIPALS: tuple[Principal, ...] = ("app", "replicator", "operator")


def presign(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="get, head or put.")],
    key: Annotated[str, typer.Argument(help="The object's key.")],
    site: Annotated[
        str, typer.Option(help='The site; "active": where clients go, by the control record.')
    ] = ACTIVE,
    bucket: Annotated[
        str, typer.Option(help="The bucket's name at the source; the pair's only one without it.")
    ] = "",
    version: Annotated[str, typer.Option(help="A version's id at that site.")] = "",
    expires: Annotated[str, typer.Option(help="How long it works, up to 7d.")] = "15m",
    principal: Annotated[
        str, typer.Option("--as", help="Whose rights it carries: app, replicator or operator.")
    ] = "app",
    as_json: JsonOption = False,
) -> None:
    """Print a URL that whoever has it may use until it expires.

    It carries the principal's rights to this one object: hand it on with care.
    """
    seconds = _seconds(expires)
    if method not in METHODS:
        raise UsageError(f"presign {method} is not offered.", hint=f"One of {', '.join(METHODS)}.")
    who = next((known for known in PRINCIPALS if known == principal), None)
    if who is None:
        raise UsageError(f"There is no principal {principal}.", hint=", ".join(PRINCIPALS))
    config = load_config(context)
    name = run(_active(config)) if site == ACTIVE else site
    config.site(name)
    where = _bucket(config, name, bucket)
    url = run(_url(config, name, who, (method.upper(), where, key, version), seconds))
    until = datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC)
    console = Console(as_json=as_json)
    console.say(url)
    console.document(
        {
            "url": url,
            "site": name,
            "method": method,
            "bucket": where,
            "expires": until.isoformat(timespec="seconds"),
        }
    )


def _bucket(config: Config, site: str, asked: str) -> str:
    """The bucket's name at that site: the target's where the pair maps it to another."""
    named = [entry.source for entry in config.pair.buckets if not entry.is_pattern]
    if not asked and (len(config.pair.buckets) != 1 or not named):
        raise UsageError("Which bucket is meant?", hint="Name it: --bucket NAME.")
    bucket = asked or named[0]
    if site != config.pair.target:
        return bucket
    return dict(config.resolve_buckets([bucket])).get(bucket, bucket)


async def _active(config: Config) -> str:
    from farshore.cli.endpoint import active

    where, _ = await active(config)
    return where.site


async def _url(
    config: Config, site: str, who: Principal, what: tuple[str, str, str, str], seconds: int
) -> str:
    from farshore.control.sites import open_store

    store = open_store(config, site, who)
    try:
        return store.presign(*what, expires_s=seconds)
    finally:
        await store.aclose()


def _seconds(text: str) -> int:
    from farshore.config.quantity import duration_seconds

    try:
        seconds = int(duration_seconds(text))
    except ValueError as error:
        raise UsageError(f"--expires {text}: {error}.") from None
    if not 1 <= seconds <= EXPIRES_SECONDS_MAX:
        raise UsageError(f"--expires {text} is not from 1s to 7d.", hint="S3 allows 7 days.")
    return seconds
