"""What a scan leaves over, as far as it takes back what was promised."""

from __future__ import annotations

LISTING_RESOLUTION_S = 1.0
"""Listings count whole seconds: what they date may be this much younger."""


def left_over(
    waiting: float | None, shown: float | None, promised: float | None, mark: float | None
) -> float | None:
    """The oldest change that a closed scan leaves: when it was made, None for none.

    `waiting`: of the backlog. It may be older than the watermark (`mark`) and tell nothing:
    an event that came late or lies, or a write that was under way while it was listed. Only
    what the scan has `shown` to be missing, of what was `promised` when it began, counts.
    """
    if waiting is None or mark is None:
        return waiting
    if shown is None or promised is None or shown + LISTING_RESOLUTION_S > promised:
        return max(waiting, mark)
    found = max(waiting, shown)
    return max(found, mark) if found + LISTING_RESOLUTION_S > mark else found
