"""Where the fit finds best points that are known by construction."""

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.ladder.landscape import Landscape
from analysis.ladder.rungs import LadderTrial
from tests.support.ladders import BATCHES, RATES, bowl_rung

RANGES = (RATES.low, RATES.high), (BATCHES.low, BATCHES.high)
# Best rates a third of an octave lower for each octave of size, over rungs 4 times apart: 2 octaves, two thirds.
RUNGS = [bowl_rung(10**6 * 4**step, best_rate=2 ** (-8 - 2 * step / 3), bottom=3 - 0.2 * step) for step in range(3)]


def test_best_points_of_every_rung_are_found_between_its_trials():
    landscape = Landscape(RUNGS, *RANGES)
    for step in range(3):
        found = landscape.optimum(step)
        assert found.rate.value == pytest.approx(-8 - 2 * step / 3, abs=0.15)
        assert found.batch.value == pytest.approx(5, abs=0.15)
        assert math.exp(found.log_loss.value) == pytest.approx(3 - 0.2 * step, rel=0.002)


def test_the_next_rungs_best_rate_lies_on_the_line_of_those_below():
    rate, batch = Landscape(RUNGS, *RANGES).ahead(math.log2(10**6 * 4**3))
    assert rate.value == pytest.approx(-10, abs=0.25)
    assert batch.value == pytest.approx(5, abs=0.4)


def test_a_size_farther_away_is_less_certain():
    landscape = Landscape(RUNGS, *RANGES)
    near, far = (landscape.ahead(RUNGS[-1].octaves + octaves)[0].deviation for octaves in (2, 8))
    assert far > 2 * near


def test_one_lucky_trial_far_from_the_bottom_does_not_move_it():
    lucky = replace(RUNGS[1].trials[0], loss=RUNGS[1].trials[0].loss * 0.99)
    rungs = [RUNGS[0], replace(RUNGS[1], trials=(lucky, *RUNGS[1].trials[1:])), RUNGS[2]]
    moved = Landscape(rungs, *RANGES).optimum(1).rate.value - Landscape(RUNGS, *RANGES).optimum(1).rate.value
    assert abs(moved) < 0.4


def test_trials_that_diverged_teach_nothing_and_harm_nothing():
    diverged = LadderTrial(learning_rate=RATES.high, batch_size=8, loss=math.inf)
    rungs = [replace(rung, trials=(*rung.trials, diverged)) for rung in RUNGS]
    assert Landscape(rungs, *RANGES).optimum(2).rate == Landscape(RUNGS, *RANGES).optimum(2).rate


def test_a_batch_that_was_never_varied_leaves_the_rate_to_be_found():
    rungs = [
        replace(rung, trials=tuple(replace(trial, batch_size=32) for trial in rung.trials if trial.batch_size > 60))
        for rung in RUNGS
    ]
    assert Landscape(rungs, *RANGES).optimum(1).rate.value == pytest.approx(-8 - 2 / 3, abs=0.3)


def test_noise_is_learned_from_what_the_bowl_leaves_over():
    draw = np.random.default_rng(7)
    noisy = [
        replace(r, trials=tuple(replace(t, loss=t.loss * math.exp(draw.normal(0, 0.01))) for t in r.trials))
        for r in RUNGS
    ]
    quiet, loud = Landscape(RUNGS, *RANGES), Landscape(noisy, *RANGES)
    assert quiet.noise < 0.002 < loud.noise
    assert loud.optimum(0).rate.deviation > quiet.optimum(0).rate.deviation


def test_the_slopes_that_the_fit_is_given_are_those_of_its_residuals():
    landscape = Landscape(RUNGS, *RANGES)
    place = landscape._found + 0.01
    steps = np.eye(len(place)) * 1e-6
    by_differences = [(landscape._residuals(place + s) - landscape._residuals(place - s)) / 2e-6 for s in steps]
    assert landscape._jacobian(place) == pytest.approx(np.array(by_differences).T, abs=1e-5)
