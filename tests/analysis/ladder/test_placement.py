"""Where trials are placed."""

import math
from dataclasses import replace

import pytest

from analysis.ladder.placement import RATE_REACH, WIDEST_REACH, LogRange, next_stage, stages
from analysis.ladder.rungs import LadderTrial, Rung
from tests.support.ladders import BATCHES, RATES, bowl_loss, bowl_rung

RANGES = RATES, BATCHES
EMPTY = Rung(name="small", parameters=10**6)


def run(rung: Rung, points, best_rate: float = 2**-9) -> Rung:
    made = tuple(
        LadderTrial(
            learning_rate=point.learning_rate,
            batch_size=point.batch_size,
            loss=bowl_loss(point.learning_rate, point.batch_size, best_rate=best_rate, best_batch=32, bottom=3.0),
        )
        for point in points
    )
    return replace(rung, trials=(*rung.trials, *made))


def test_the_lowest_rung_spreads_eight_trials_over_the_whole_range():
    points = next_stage((), EMPTY, RANGES, 12)
    assert len(points) == 8
    for values, span in (([p.learning_rate for p in points], RATES), ([p.batch_size for p in points], BATCHES)):
        shares = sorted(math.log2(value / span.low) / span.octaves for value in values)
        # Even: in each half of the range lie three to five of the eight, and no end is bare for two of their shares.
        assert 3 <= sum(share < 0.5 for share in shares) <= 5
        assert shares[0] < 0.25
        assert shares[-1] > 0.75


def test_the_lowest_rungs_last_trials_stand_around_its_best_point():
    spread = run(EMPTY, next_stage((), EMPTY, RANGES, 12))
    around = next_stage((), spread, RANGES, 12)
    assert len(around) == 4
    assert around[0].learning_rate == pytest.approx(2**-9, rel=0.35)  # within 0.4 octaves
    assert all(abs(math.log2(point.learning_rate / 2**-9)) < 1.6 for point in around)


def test_a_further_rung_starts_on_the_prediction_with_five_trials_around_it():
    below = (bowl_rung(10**6, best_rate=2**-8),)
    points = next_stage(below, Rung(name="next", parameters=4 * 10**6), RANGES, 8)
    assert len(points) == 6
    offsets = [math.log2(point.learning_rate / points[0].learning_rate) for point in points]
    assert -WIDEST_REACH <= min(offsets) <= -RATE_REACH + 1e-9
    assert sum(offsets) == pytest.approx(0, abs=1e-9)  # a pentagon's corners balance


def test_a_stage_that_was_cut_off_goes_on_with_the_points_that_it_lacks():
    below = (bowl_rung(10**6, best_rate=2**-8),)
    rung = Rung(name="next", parameters=4 * 10**6)
    whole = next_stage(below, rung, RANGES, 8)
    assert next_stage(below, run(rung, whole[:3]), RANGES, 8) == whole[3:]


def test_a_rung_with_all_its_trials_has_no_next_stage():
    rung = EMPTY
    while points := next_stage((), rung, RANGES, 12):
        rung = run(rung, points)
    assert len(rung.trials) == 12


def test_at_the_top_each_trial_waits_for_the_one_before():
    below = (bowl_rung(10**6, best_rate=2**-8), bowl_rung(4 * 10**6, best_rate=2**-9))
    assert stages(3, lowest=False, top=True) == (1, 2, 3)
    top = Rung(name="top", parameters=16 * 10**6)
    first = next_stage(below, top, RANGES, 3, top=True)
    assert len(first) == 1
    assert first[0].learning_rate == pytest.approx(2**-10, rel=0.3)


def test_no_trial_leaves_the_range():
    narrow = LogRange(low=2**-8.5, high=2**-8), LogRange(low=24, high=40)
    below = (bowl_rung(10**6, best_rate=2**-8),)
    for point in next_stage(below, Rung(name="next", parameters=64 * 10**6), narrow, 8):
        assert narrow[0].low <= point.learning_rate <= narrow[0].high
        assert narrow[1].low <= point.batch_size <= narrow[1].high
