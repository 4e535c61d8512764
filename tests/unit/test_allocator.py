"""Large blocks go back to the system, whatever was freed before."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from farshore.daemon.allocator import CHOSEN_BY, LARGE_BYTES, give_back_large_blocks

CHILD = """
import ctypes, sys
from farshore.daemon.allocator import LARGE_BYTES, give_back_large_blocks

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in "abcdefghij"]

library = ctypes.CDLL(None)
library.mallinfo.restype = Info

def mapped():
    return library.mallinfo().d  # hblks: blocks that are the system's

if sys.argv[1] == "fixed":
    assert give_back_large_blocks({})
learnt = bytearray(4 * LARGE_BYTES)
del learnt
before = mapped()
large = [bytearray(LARGE_BYTES + 1) for _ in range(8)]
print(mapped() - before)
"""


@pytest.mark.parametrize(("how", "mapped"), [("fixed", 8), ("as it is", 0)])
def test_what_was_freed_before_does_not_keep_large_blocks_in_the_heap(
    how: str, mapped: int
) -> None:
    """The second row shows the habit that the first one breaks. Another library has none, and is
    left alone."""
    if platform.libc_ver()[0] != "glibc":
        assert not give_back_large_blocks({})
        return
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, how], capture_output=True, text=True, check=True, env={}
    )
    assert int(ended.stdout) == mapped


@pytest.mark.parametrize("name", CHOSEN_BY)
def test_what_the_environment_has_chosen_stays(name: str) -> None:
    assert not give_back_large_blocks({name: str(LARGE_BYTES)})
