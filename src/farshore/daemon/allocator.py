"""Large blocks go back to the system: what glibc learns by itself keeps them for ever.

Once glibc has freed a block of a megabyte that it had asked the system for, it takes blocks up
to that size from its heap (mallopt(3), M_MMAP_THRESHOLD: "dynamic"). Small ones that live longer
settle between them, and the heap only grows: under a mixed load from 15 to 21 MiB within 8,800
writes, with 12 MiB in use all the time. Thresholds that stand still kept it at 12.6 MiB.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

LARGE_BYTES = 128 * 1024
"""Blocks from here up are the system's: what glibc begins with. A request to a site needs none
(`s3.blocks`): one costs some 14 microseconds."""

TOP_BYTES_MAX = 1024 * 1024
"""So much may be free at the heap's end: less, and every read would move it."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's <malloc.h>."""

CHOSEN_BY = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def give_back_large_blocks(environment: Mapping[str, str]) -> bool:
    """For this process, from now on. Whether it was done: not where the environment has chosen
    something, and not where the C library is another one, which has no such habit."""
    if any(environment.get(name) for name in CHOSEN_BY):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES) and mallopt(M_TRIM_THRESHOLD, TOP_BYTES_MAX))
