"""The counters of a run: what they keep is bounded, what they count is not."""

from __future__ import annotations

from farshore.engine.tally import CAUSES_MAX, EXAMPLES_MAX, OTHER_CAUSES, NotCopied, Tally


def refused(number: int, cause: str = "Denied") -> NotCopied:
    return NotCopied("files", f"k{number}", "v", "FAILED", cause, "why")


def test_examples_are_the_first_ones_and_bounded() -> None:
    tally = Tally()
    for number in range(EXAMPLES_MAX + 5):
        tally.refuse(refused(number))
    assert tally.not_copied == [refused(number) for number in range(EXAMPLES_MAX)]
    assert tally.failures == EXAMPLES_MAX + 5


def test_who_is_never_asked_for_examples_keeps_none() -> None:
    tally = Tally(examples_max=0)
    tally.refuse(refused(1))
    assert (tally.not_copied, tally.failures) == ([], 1)


def test_a_server_that_finds_ever_new_words_is_counted_in_one() -> None:
    tally = Tally()
    for number in range(CAUSES_MAX + 5):
        tally.refuse(refused(number, f"Code{number}"))
    tally.refuse(refused(0, "Code0"))
    assert len(tally.causes) == CAUSES_MAX + 1
    assert (tally.causes[OTHER_CAUSES], tally.causes["Code0"]) == (5, 2)
    assert tally.causes.total() == tally.failures == CAUSES_MAX + 6
