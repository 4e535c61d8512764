"""The record of what a site's server can do: probed once, kept in its control bucket."""

from __future__ import annotations

from typing import Any, NamedTuple

from farshore.config import Site
from farshore.control.documents import read_document, write_document
from farshore.errors import BucketMissing, Corrupt, StateError
from farshore.s3.capabilities import Capabilities
from farshore.s3.store import Store


class Record(NamedTuple):
    """Capabilities, and the place that they were probed at."""

    endpoint: str
    filer: str
    capabilities: Capabilities

    def holds_for(self, site: Site) -> bool:
        """Whether it still speaks of what the configuration names."""
        return (self.endpoint, self.filer) == (site.endpoint, site.filer)


def record_name(site: Site) -> str:
    """The document's key in the site's control bucket."""
    return f"capabilities/{site.name}.json"


async def read_record(store: Store, site: Site) -> Record | None:
    """What was recorded at the site itself; None when nothing was.

    `Corrupt` for a record that cannot be understood.
    """
    try:
        document = await read_document(store, site.control_bucket, record_name(site))
        if document is None:
            return None
        return _record(document.body)
    except BucketMissing:
        return None
    except (Corrupt, TypeError) as error:
        raise Corrupt(
            f"The record of what {site.name} can do is damaged: "
            f"{site.control_bucket}/{record_name(site)} there.",
            hint=f"Run `farshore probe {site.name}`: it finds out anew, and writes it again. "
            "Your files are not touched.",
        ) from error


def _record(body: dict[str, Any]) -> Record:
    """`TypeError` for what `write_record` did not write."""
    able = body.get("capabilities")
    if not isinstance(able, dict):
        raise TypeError("capabilities are an object")
    return Record(
        str(body.get("endpoint", "")), str(body.get("filer", "")), Capabilities.from_json(able)
    )


async def write_record(store: Store, site: Site, capabilities: Capabilities) -> None:
    """Replace the record. The last probe wins: it is no decision, only a measurement."""
    body = {
        "endpoint": site.endpoint,
        "filer": site.filer,
        "capabilities": capabilities.to_json(),
    }
    await write_document(store, site.control_bucket, record_name(site), body)


async def require_capabilities(store: Store, site: Site) -> Capabilities:
    """The capabilities to work by. `StateError` when there is no record that still holds."""
    record = await read_record(store, site)
    if record is None or not record.holds_for(site):
        raise StateError(
            f"What {site.name} ({site.endpoint}) can do has not been recorded yet.",
            hint="Run `farshore apply` first: it prepares both sites.",
        )
    return record.capabilities
