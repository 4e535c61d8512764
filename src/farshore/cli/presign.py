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

METHODS = ("GET", "HEAD", "PUT")
PRINCIPALS: tuple[Principal, ...] = ("app", "replicator", "operator")


def presign(
    context: typer.Context,
    bucket: Annotated[str, typer.Argument(help="The bucket.")],
    key: Annotated[str, typer.Argument(help="The object's key.")],
    site: Annotated[str, typer.Option(help="The site; the pair's source without it.")] = "",
    version: Annotated[str, typer.Option(help="A version's id at that site.")] = "",
    method: Annotated[str, typer.Option(help="GET, HEAD or PUT.")] = "GET",
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
        raise UsageError(f"--method {method} is not offered.", hint=f"One of {', '.join(METHODS)}.")
    who = next((known for known in PRINCIPALS if known == principal), None)
    if who is None:
        raise UsageError(f"There is no principal {principal}.", hint=", ".join(PRINCIPALS))
    config = load_config(context)
    name = site or config.pair.source
    url = run(_url(config, name, who, (method, bucket, key, version), seconds))
    until = datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC)
    console = Console(as_json=as_json)
    console.say(url)
    console.document(
        {"url": url, "site": name, "method": method, "expires": until.isoformat(timespec="seconds")}
    )


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
