"""The first word with a site: does it answer, do the clocks agree, are the keys accepted?

Asked before anything is done, so that the commonest troubles end a command at once, with
a sentence about the site and the principal and not about some request of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from farshore.config import Principal, Site
from farshore.errors import ClockSkew, Denied, StoreError, Unreachable
from farshore.s3.store import Store

CONTACT_SECONDS_MAX = 20.0
"""A site that has not answered by then, whatever was tried, is not there."""

SKEW_SECONDS_MAX = 900.0
"""S3 refuses signatures that are further off (RequestTimeTooSkewed)."""

BAD_KEYS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"}
)
"""S3's codes for keys that are wrong, whatever they may do."""

_UNREACHABLE_HINT = (
    "Check that the site is up, and its endpoint, the firewall and the route from this machine. "
    "Nothing was changed; run the command again when it answers."
)


async def make_contact(
    store: Store, site: Site, principal: Principal, *, seconds_max: float = CONTACT_SECONDS_MAX
) -> None:
    """Return when the site can be worked with as `principal`.

    `Unreachable` after `seconds_max` at the latest, `ClockSkew`, or `Denied` for keys
    that are not accepted. Missing rights are no matter of this.
    """
    try:
        async with asyncio.timeout(seconds_max):
            async with accepted(site, principal):
                require_common_time(site, await store.server_time_offset())
                await _ask_anything(store, site)
    except TimeoutError:
        raise Unreachable(
            f"{site.name} ({site.endpoint}) did not answer within {seconds_max:.0f} s.",
            hint=_UNREACHABLE_HINT,
        ) from None
    except Unreachable as error:
        hint = error.hint if not error.retryable else _UNREACHABLE_HINT
        raise Unreachable(
            f"{site.name} ({site.endpoint}) cannot be reached: {error.message}",
            hint=hint,
            action=error.action,
        ) from error


def require_common_time(site: Site, offset_s: float) -> None:
    """`ClockSkew` when our clock and the site's are too far apart to sign or to compare.

    `offset_s`: the site's clock minus ours.
    """
    if abs(offset_s) <= SKEW_SECONDS_MAX:
        return
    side = "ahead of" if offset_s > 0 else "behind"
    raise ClockSkew(
        f"The clock of {site.name} is {abs(offset_s):.0f} s {side} this machine's; "
        f"more than {SKEW_SECONDS_MAX:.0f} s cannot be signed.",
        hint="See which one is wrong with `date -u`. This machine's is set by "
        "`timedatectl set-ntp true`. Nothing was changed.",
    )


@contextlib.asynccontextmanager
async def accepted(site: Site, principal: Principal) -> AsyncIterator[None]:
    """Turn a refusal of the keys into one that says whose they are and where they come from."""
    try:
        yield
    except Denied as error:
        if error.code not in BAD_KEYS:
            raise
        source = site.credentials.get(principal)
        origin = f"They come from {source.label()}" if source else "farshore.toml says whence"
        raise Denied(
            f"The keys of the {principal} at {site.name} are not accepted ({error.code}).",
            hint=f"{origin}: [sites.{site.name}.credentials] in farshore.toml. {_WHY[error.code]}",
            status=error.status,
            code=error.code,
            action=error.action,
        ) from error


_WHY = {
    "InvalidAccessKeyId": "The site does not know this access key.",
    "SignatureDoesNotMatch": "The access key is known; the secret key or the site's region is "
    "wrong, or a proxy in between changes requests.",
    "InvalidToken": "The session token is wrong.",
    "ExpiredToken": "Fetch a new session token.",
}


async def _ask_anything(store: Store, site: Site) -> None:
    """A signed request that changes nothing; only a refusal of the keys matters."""
    try:
        await store.get_versioning(site.control_bucket)
    except (Unreachable, ClockSkew):
        raise
    except StoreError as error:
        if error.code in BAD_KEYS:
            raise
        # No bucket yet, or no right: the command's own requests will say it better.
