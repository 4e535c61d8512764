"""Large blocks go back to the system: what glibc learns by itself keeps them for ever.

Once glibc has freed a block of a megabyte that it had asked the system for, it takes blocks up
to that size from its heap (mallopt(3), M_MMAP_THRESHOLD: "dynamic"). Small ones that live longer
settle between them, and the heap only grows: by 2.6 MiB for 1,000 bodies of 0.2 to 5 MiB, with
what was in use the same at the end. So the thresholds stand still here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

LARGE_BYTES = 512 * 1024
"""Blocks from here up are the system's. asyncio reads into blocks of 256 KiB: these are not."""

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
