"""Finding out what a site's server can do, in its control bucket."""

from __future__ import annotations

from farshore.clock import SystemClock
from farshore.control.bucket import Access
from farshore.s3.capabilities import Capabilities
from farshore.s3.probe import probe


async def probe_site(access: Access) -> Capabilities:
    """Probe as the replicator. Everything that the probe writes, it purges."""
    bucket = access.site.control_bucket
    report = await probe(access.replicator, bucket, filer=access.filer, clock=SystemClock())
    return report.capabilities
