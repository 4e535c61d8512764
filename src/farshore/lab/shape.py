"""What a lab may look like, and whether the one that is up looks like that."""

from __future__ import annotations

import re
from collections.abc import Sequence

from farshore.errors import LabError, UsageError
from farshore.lab import front_door as door
from farshore.lab.state import LabRecord

_SITE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check_names(sites: Sequence[str], buckets: Sequence[str]) -> None:
    if not sites or not buckets:
        raise UsageError("a lab needs at least one site and one bucket")
    for what, names, pattern in (("site", sites, _SITE_NAME), ("bucket", buckets, _BUCKET_NAME)):
        if len(set(names)) != len(names):
            raise UsageError(f"a {what} is named twice: {', '.join(names)}")
        for name in names:
            if not pattern.fullmatch(name):
                raise UsageError(
                    f"{name!r} is not a {what}'s name",
                    hint="use lower-case letters, digits and dashes",
                )


def check_front_door(sites: Sequence[str]) -> None:
    """Told before anything is made."""
    if len(sites) < 2:
        raise UsageError("a front door stands before two sites, and the lab has one")
    door.binary()


def check_same(
    record: LabRecord,
    sites: Sequence[str] | None,
    tls: bool | None,
    buckets: Sequence[str] | None,
    front_door: bool | None,
) -> None:
    """Whether what is asked for, as far as it is said, is what runs."""
    running = tuple(site.name for site in record.sites)
    same_sites = sites is None or tuple(sites) == running
    same_buckets = buckets is None or set(buckets) <= set(record.buckets)
    same_door = front_door in (None, record.front_door is not None)
    if not (same_sites and same_buckets and same_door and tls in (None, record.tls)):
        kind = " with TLS" if record.tls else ""
        kind += " behind a front door" if record.front_door else ""
        raise LabError(
            f"a lab of another shape is up here: {', '.join(running)}{kind}, "
            f"buckets {', '.join(record.buckets)}",
            hint="end it with `farshore lab down`, or use another folder with --dir",
        )
