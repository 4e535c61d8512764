"""moto's Route 53 with the check that a compare-and-swap needs.

moto (5.2) looks for a DELETE's record in the history of all changes, not in what stands, and
takes a batch change by change. The API reference of ChangeResourceRecordSets says: a DELETE
must match the record set that is there in every value, a CREATE must not find one, and of a
batch all is taken or nothing; otherwise `InvalidChangeBatch`.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from moto.route53.exceptions import Route53ClientError
from moto.route53.models import Route53Backend

_lock = threading.Lock()


class InvalidChangeBatch(Route53ClientError):
    def __init__(self) -> None:
        super().__init__("InvalidChangeBatch", "the batch does not fit to what stands")


def be_strict(patch: pytest.MonkeyPatch) -> None:
    """Put the check before moto's own work, until the patch is undone."""
    lenient = Route53Backend.change_resource_record_sets

    def strict(backend: Any, zone_id: str, changes: list[dict[str, Any]]) -> None:
        with _lock:
            _require_fitting(backend.get_hosted_zone(zone_id), changes)
            for change in changes:  # one by one: moto's own check takes no batch for one thing
                lenient(backend, zone_id, [change])

    patch.setattr(Route53Backend, "change_resource_record_sets", strict)


def _require_fitting(zone: Any, changes: list[dict[str, Any]]) -> None:
    stands = {(one.name.rstrip("."), one.type): one for one in zone.rrsets}
    for change in changes:
        wanted = change["ResourceRecordSet"]
        place = (wanted["Name"].rstrip("."), wanted["Type"])
        if change["Action"] == "CREATE" and place in stands:
            raise InvalidChangeBatch
        if change["Action"] == "DELETE" and not _is(stands.pop(place, None), wanted):
            raise InvalidChangeBatch


def _is(found: Any, wanted: dict[str, Any]) -> bool:
    if found is None:
        return False
    values = sorted(str(one["Value"]) for one in wanted.get("ResourceRecords", ()))
    return int(found.ttl) == int(wanted["TTL"]) and sorted(map(str, found.records)) == values
