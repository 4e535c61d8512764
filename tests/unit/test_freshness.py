"""Read your writes: the near site only once it surely has them."""

from __future__ import annotations

from farshore.application.freshness import MARGIN_S, ReadYourWrites


class Mark:
    """A watermark that a test moves."""

    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self) -> float | None:
        return self.at


def test_what_this_process_did_not_write_is_read_nearby() -> None:
    assert ReadYourWrites("west", Mark()).where("a") == "west"


def test_a_write_is_read_where_it_was_made_until_the_watermark_has_passed_it() -> None:
    mark = Mark()
    reads = ReadYourWrites("west", mark)
    reads.wrote("a", "east", 100.0)
    assert reads.where("a") == "east", "nothing is known of the watermark"
    mark.at = 100.0
    assert reads.where("a") == "east", "the Date header counts whole seconds"
    mark.at = 100.0 + MARGIN_S
    assert reads.where("a") == "west"
    mark.at = None
    assert reads.where("a") == "west", "what has arrived once stays there"


def test_a_write_at_the_near_site_needs_no_wait() -> None:
    reads = ReadYourWrites("west", Mark())
    reads.wrote("a", "west", 100.0)
    assert reads.where("a") == "west"


def test_forgotten_keys_are_read_with_care_until_the_newest_of_them_has_arrived() -> None:
    mark = Mark()
    mark.at = 50.0
    reads = ReadYourWrites("west", mark, keys_max=2)
    for number in range(4):
        reads.wrote(f"k{number}", "east", 100.0 + number)
    assert reads.where("k0") == "east"
    assert reads.where("never written here") == "east"
    mark.at = 101.0 + MARGIN_S
    assert reads.where("k0") == "west"
    assert reads.where("k3") == "east"
