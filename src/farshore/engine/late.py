"""Late writes at the target: found by their stamps, or by what was noted when no answer came."""

from __future__ import annotations

from farshore.core import late
from farshore.core.align import Alignment
from farshore.core.join import KeyPair
from farshore.core.model import Version
from farshore.engine.look import read_stamp
from farshore.engine.side import Side

LOCKED = (
    "a write whose answer was lost arrived late, stands above what is newer, and cannot be "
    "purged: {error}"
)


async def late_writes(
    source_site: str, target: Side, pair: KeyPair, alignment: Alignment
) -> list[Version]:
    """Entries to be purged: none of them is the only one of its kind, or newer than what it
    stands on. `alignment` is that of `pair`.

    A second replica of one original is always ours, and one too many. The rest is only looked
    for where a write went unanswered, and above what the source explains: where its disks are
    lost, all that was copied from them looks as if it were foreign, or kept history.
    """
    found = []
    for entry in alignment.doubled:
        mark = await read_stamp(target, entry)
        if mark is not None and mark.site == source_site:
            found.append(entry)
    doubts = target.doubts_about(pair.key)
    if not doubts:
        return found
    newer = _newer_than_known(pair, alignment)
    for entry in [one for one in late.doubtful_extras(alignment, doubts) if one in newer]:
        mark = await read_stamp(target, entry) if not entry.is_marker else None
        ours = mark is not None and mark.site == source_site
        if mark is not None and ours and late.is_stray(entry, mark, pair.target, doubts):
            found.append(entry)
    return [*found, *(one for one in late.stray_markers(alignment, doubts) if one in newer)]


def _newer_than_known(pair: KeyPair, alignment: Alignment) -> list[Version]:
    """The target's entries above the oldest one that an entry of the source explains."""
    known = {replica.version_id for _, replica in alignment.pairs}
    places = [at for at, entry in enumerate(pair.target) if entry.version_id in known]
    return list(pair.target[: max(places)]) if places else []
