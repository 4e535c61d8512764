"""Memory for large bodies, used again as soon as nobody looks at it.

A fresh megabyte for every read costs its page faults and leaves the processor's cache:
a quarter of the CPU of copying large objects.
"""

from __future__ import annotations

BLOCK_BYTES = 1024 * 1024

BLOCKS_KEPT_MAX = 16
"""Blocks that stay for the next body. More are made while more are looked at, and let go."""

COMMON_BYTES = 128 * 1024
"""What is read at once where no large body is to come."""


class Blocks:
    """Blocks of `BLOCK_BYTES`. One that somebody still looks at is never given out.

    A view (`memoryview`) of a bytearray forbids to resize it, whoever holds the view: a
    reader, a hash, a transport's backlog. So nothing has to be handed back.
    """

    def __init__(self) -> None:
        self._kept: list[bytearray] = []
        self._common = bytearray()

    @property
    def common(self) -> bytearray:
        """One for all who copy what they read at once, and keep no view of it."""
        if not self._common:
            self._common = bytearray(COMMON_BYTES)
        return self._common

    def take(self) -> bytearray:
        """A block that is free; its content is of no meaning. Look at it to keep it."""
        for block in self._kept:
            if _is_free(block):
                return block
        block = bytearray(BLOCK_BYTES)
        if len(self._kept) < BLOCKS_KEPT_MAX:
            self._kept.append(block)
        return block


def _is_free(block: bytearray) -> bool:
    try:
        block.append(0)
    except BufferError:
        return False
    block.pop()
    return True
