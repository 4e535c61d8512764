"""Pages of held deletes: what is left free is used again, over any number of rows."""

from __future__ import annotations

from farshore.control.held import PAGE_COST_MAX, cost
from farshore.control.keeper import Pages
from farshore.journal.deletes import StandingDelete


def row(number: int) -> StandingDelete:
    return StandingDelete("files", f"{number:05d}" + "é" * 900, "v", 1.0, "held")


FITS = PAGE_COST_MAX // cost(row(0))


def test_rows_that_come_and_go_take_no_more_pages() -> None:
    pages = Pages()
    for number in range(10 * FITS):
        pages.put(row(number))
        pages.drop(row(number).name)
    assert pages.count == 1
    assert pages.names(1) == []


def test_a_page_in_the_middle_is_filled_again_and_none_is_overfilled() -> None:
    pages = Pages()
    for number in range(3 * FITS):
        pages.put(row(number))
    assert pages.count == 3
    for name in pages.names(1):
        pages.drop(name)
    for number in range(4 * FITS, 5 * FITS):
        pages.put(row(number))
    assert pages.count == 3
    assert [len(pages.names(page)) for page in (1, 2, 3)] == [FITS] * 3
    pages.put(row(9 * FITS))
    assert pages.count == 4


def test_a_row_that_is_put_again_stays_where_it_is_and_counts_once() -> None:
    pages = Pages()
    for _ in range(3 * FITS):
        pages.put(row(1))
    assert (pages.count, pages.names(1)) == (1, [row(1).name])
