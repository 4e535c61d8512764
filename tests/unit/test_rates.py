"""How fast it goes, however often somebody asks."""

from __future__ import annotations

import pytest

from farshore.daemon.rates import SAMPLES_MAX, WINDOW_S, Rates


def test_without_time_between_nothing_is_said() -> None:
    rates = Rates()
    assert rates.at(7.0, 5, 50) == (0.0, 0.0)
    assert rates.at(7.0, 9, 90) == (0.0, 0.0)
    assert rates.at(9.0, 9, 90) == (2.0, 20.0)


def test_only_the_last_minute_counts() -> None:
    rates = Rates()
    for second in range(200):
        rates.at(float(second), 1000 * second, 0)
    for second in range(200, 201 + round(WINDOW_S)):
        found = rates.at(float(second), 200_000 + second, 0)
    assert found[0] == pytest.approx(1.0)


@pytest.mark.parametrize("apart_s", [0.0, 0.01, 0.7, 1.0, 5.0, 100.0])
def test_few_samples_are_kept(apart_s: float) -> None:
    rates = Rates()
    most = 0
    for number in range(3000):
        rates.at(number * apart_s, number, number)
        most = max(most, len(rates))
    assert most <= SAMPLES_MAX


def test_what_is_asked_often_is_answered_for_the_whole_minute() -> None:
    rates = Rates()
    for number in range(20_000):
        found = rates.at(number / 100, number, 0)
    assert found[0] == pytest.approx(100.0, rel=0.01)


def test_counters_that_begin_anew() -> None:
    rates = Rates()
    rates.at(0.0, 1000, 1000)
    rates.clear()
    rates.at(10.0, 0, 0)
    assert rates.at(12.0, 4, 8) == (2.0, 4.0)
