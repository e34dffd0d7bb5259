"""What is predicted of a size from those below it."""

import math

import pytest

from analysis.ladder.transfer import forecast_loss, forecast_rate, forecast_share, t_quantile

# GPT-3's peak rates (arXiv 2005.14165, table 2.1).
GPT3 = {125e6: 6e-4, 350e6: 3e-4, 1.3e9: 2e-4, 6.7e9: 1.2e-4}


def law(octaves: float) -> float:
    """1 + 2 n**-0.3 with n in units of the lowest rung: a floor, and a gain that falls with size."""
    return 1 + 2 * 2 ** (-0.3 * octaves)


def test_half_widths_are_those_of_students_tables():
    # Table of Student's t, two-sided 10%: 6.314 with one degree of freedom, 2.920 with two, 1.943 with six.
    assert [t_quantile(freedom) for freedom in (1, 2, 6)] == pytest.approx([6.314, 2.920, 1.943], abs=5e-4)


def test_a_floor_is_found_where_there_is_one():
    told = forecast_loss([(place, law(place)) for place in (0, 2, 4, 6)], 8)
    assert told.form == "floor"
    assert told.value == pytest.approx(law(8), rel=0.005)
    assert told.holds(law(8))


def test_the_last_value_competes_where_larger_models_end_no_better():
    # Fine-tuned OPT on a small set: nothing gained from the second size on.
    told = forecast_loss([(0, 1.2), (2, 0.9), (4, 0.9), (6, 0.9)], 8)
    assert told.form == "last"
    assert told.value == pytest.approx(0.9)


def test_misses_of_its_own_widen_a_ladders_interval():
    steady = forecast_loss([(place, law(place)) for place in (0, 2, 4, 6)], 8)
    bumpy = forecast_loss([(0, 3.0), (2, 2.0), (4, 2.6), (6, 2.0)], 8)
    assert bumpy.high / bumpy.low > 1.5 * steady.high / steady.low


def test_an_interval_is_the_wider_the_farther_it_looks():
    points = [(place, law(place)) for place in (0, 2, 4)]
    near, far = forecast_loss(points, 6), forecast_loss(points, 14)
    assert math.log(far.high / far.low) == pytest.approx(5 * math.log(near.high / near.low))


def test_one_rung_shows_no_trend():
    told = forecast_loss([(0, 3.0)], 2)
    assert told.form == "last"
    assert told.value == pytest.approx(3.0)


def test_a_share_stays_between_0_and_1():
    told = forecast_share([(0, 0.5), (2, 0.8), (4, 0.97)], 8)
    assert 0 <= told.low <= told.value <= told.high <= 1


def test_two_sizes_that_keep_their_rate_predict_one_that_keeps_it_nearly():
    told = forecast_rate([(0, 1e-3), (6, 1e-3)], 8)
    # The slope between them is 0; the belief of -0.35 an octave, with a spread of 0.3, pulls little over 6 octaves.
    assert told.holds(1e-3)
    assert abs(math.log2(told.value / 1e-3)) < 0.2


def test_gpt3s_first_three_rates_predict_the_next():
    *below, (size, rate) = [(math.log2(size), rate) for size, rate in GPT3.items()]
    told = forecast_rate(below, size)
    assert told.holds(rate)
    assert told.octaves < 2
