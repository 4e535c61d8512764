"""One process's way to a site while roles change: everything that it sends may arrive late."""

from __future__ import annotations

from farshore.s3.wrap import Operation
from farshore.testing.store.scripts import WRITES
from tests.simulation.network import Form, Network


class RolesNetwork(Network):
    """Late are not only writes of the pair's own keys, but those to the control buckets (documents
    and leases, with a condition or without), to the buckets' policies, and tags, too."""

    def _is_late(self, operation: Operation, form: Form) -> bool:
        if form == "stream" or operation.name not in WRITES:
            return False
        if form == "repeatable" and not self._weather.late_blind:
            return False
        return self._chance(self._weather.late)
