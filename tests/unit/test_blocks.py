"""Memory of large bodies: used again, and never while somebody looks at it."""

from __future__ import annotations

from farshore.s3.blocks import BLOCK_BYTES, BLOCKS_KEPT_MAX, COMMON_BYTES, Blocks


def test_a_block_that_nobody_looks_at_is_taken_again() -> None:
    blocks = Blocks()
    first = blocks.take()
    assert len(first) == BLOCK_BYTES
    assert blocks.take() is first


def test_a_block_is_not_taken_while_a_view_of_a_view_lives() -> None:
    blocks = Blocks()
    first = blocks.take()
    view = memoryview(first)[:10]
    kept = view[2:3]
    view.release()
    second = blocks.take()
    assert second is not first
    kept.release()
    assert blocks.take() is first


def test_more_blocks_than_are_kept_can_be_held() -> None:
    blocks = Blocks()
    views = [memoryview(blocks.take()) for _ in range(2 * BLOCKS_KEPT_MAX)]
    for number, view in enumerate(views):
        view[0] = number
    assert [view[0] for view in views] == list(range(2 * BLOCKS_KEPT_MAX))
    assert {len(view) for view in views} == {BLOCK_BYTES}


def test_the_common_one_is_always_the_same_and_no_block() -> None:
    blocks = Blocks()
    common = blocks.common
    assert len(common) == COMMON_BYTES
    view = memoryview(common)
    assert blocks.common is common
    assert blocks.take() is not common
    view.release()
