"""What a lister promises, and which one suits an endpoint's capabilities."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from farshore.core.model import Version
from farshore.errors import Refused
from farshore.s3.capabilities import Capabilities
from farshore.s3.filer import Filer
from farshore.s3.listing.directories import FilerLister
from farshore.s3.listing.histories import Batch
from farshore.s3.listing.plain import PlainLister
from farshore.s3.listing.split import SplitLister
from farshore.s3.store import Store


class Lister(Protocol):
    """A way to walk a bucket in which no version is lost. Raises what `Store` raises."""

    def walk(
        self, bucket: str, prefix: str = "", *, after: str = ""
    ) -> AsyncGenerator[Batch, None]:
        """Batches of whole histories (all entries of one key, newest first).

        Keys are strictly ascending by code point, over all batches, and greater than
        `after`. The next page is fetched while the caller works on one. Raises
        `BadListing` when the server contradicts itself, or when completeness cannot be
        shown. Close the iterator (`aclose`) when stopping early.
        """
        ...

    async def history(self, bucket: str, key: str) -> list[Version]:
        """All entries of exactly this key, newest first; [] when there are none."""
        ...


def lister_for(store: Store, capabilities: Capabilities, *, filer: Filer | None) -> Lister:
    """The lister for the probed strategy. `Refused` when the probe found no complete one."""
    match capabilities.listing:
        case "plain":
            return PlainLister(store)
        case "split":
            return SplitLister(store)
        case "filer" if filer is not None:
            return FilerLister(store, filer)
        case "filer":
            raise Refused(
                f"{store.site} ({capabilities.server}) loses versions between the pages of its "
                "listings; it was probed with a filer, and now none is configured",
                hint='set `filer = "http://…"` for this site',
            )
        case None:
            raise _no_strategy(store.site, capabilities)


def _no_strategy(site: str, capabilities: Capabilities) -> Refused:
    if not capabilities.probed_at:
        return Refused(
            f"{site} has not been probed: whether its listings are complete is not known",
            hint=f"run `farshore probe {site}`",
        )
    return Refused(
        f"{site} ({capabilities.server}) was probed at {capabilities.probed_at}, and no way was "
        "found to list its versions without losing some",
        hint=f"`farshore probe {site}` shows the evidence; for a SeaweedFS, set `filer` for the "
        "site",
    )
