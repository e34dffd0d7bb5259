"""Measured trials correct the predictions that follow: worked out by hand, on records that were never run."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.support.record_factory import make_record
from trainables.memory.correction import FIRST_ERROR, corrected, correction_of
from trainables.records.record import MemoryPrediction, Outcome, TrialRecord

MIB = 2**20


def measured(predicted_mib: int, measured_mib: int, outcome: Outcome = Outcome.FINISHED) -> TrialRecord:
    made = make_record(peak_mib=measured_mib, predicted_mib=predicted_mib)
    return dataclasses.replace(made, outcome=outcome)


def prediction(allocated_mib: int, cap_mib: int) -> MemoryPrediction:
    size = allocated_mib * MIB
    return MemoryPrediction(
        allocated_bytes=size,
        reserved_bytes=size,
        device_bytes=size,
        low_bytes=size,
        high_bytes=size,
        capacity_bytes=cap_mib * MIB,
        fits=allocated_mib <= cap_mib,
        peak_phase="backward",
        components={"weights": size},
        method="trace",
    )


def test_without_a_measured_trial_nothing_is_corrected() -> None:
    made = correction_of([])
    assert (made.count, made.ratio, made.error) == (0, 1.0, FIRST_ERROR)
    assert corrected(prediction(100, 110), made) == prediction(100, 110)


def test_one_trial_counts_half_and_many_almost_whole() -> None:
    # Ratios of 1.21: beside one imagined exact trial their geometric mean is 1.1, and of 9 of them 1.21 ** 0.9.
    assert correction_of([measured(100, 121)]).ratio == pytest.approx(1.1)
    assert correction_of([measured(100, 121)] * 9).ratio == pytest.approx(1.21**0.9)


def test_the_interval_narrows_with_the_number_of_exact_trials() -> None:
    errors = [correction_of([measured(100, 100)] * count).error for count in (0, 1, 3, 8)]
    assert errors == sorted(errors, reverse=True)
    # After 8: the first error over nine trials, and a tenth more variance for the mean's own error, over two.
    assert errors[-1] == pytest.approx(0.02 * math.sqrt((1 + 1 / 9) / 2 / 9))


def test_a_correction_above_one_may_say_that_a_trial_does_not_fit_and_tells_its_count() -> None:
    made = corrected(prediction(100, 105), correction_of([measured(100, 121)]))
    assert made.device_bytes == round(110 * MIB)
    assert (made.fits, made.corrected_by_trials) == (False, 1)
    assert made.low_bytes is not None
    assert made.high_bytes is not None
    assert made.low_bytes < made.device_bytes < made.high_bytes
    assert (made.allocated_bytes, made.components) == (100 * MIB, {"weights": 100 * MIB})


def test_a_correction_below_one_never_makes_a_trial_fit() -> None:
    made = corrected(prediction(106, 105), correction_of([measured(121, 100)]))
    assert made.device_bytes < 105 * MIB
    assert not made.fits


def test_what_ran_out_of_memory_is_refused_from_then_on_and_what_needs_more() -> None:
    # 80 of 100 MiB ran out: it needed 1% more than there was at least, 101 / 80 of what was predicted.
    without_figures = dataclasses.replace(make_record(), outcome=Outcome.OUT_OF_MEMORY, prediction=prediction(80, 100))
    assert without_figures.report is not None
    lost = dataclasses.replace(without_figures, report=dataclasses.replace(without_figures.report, memory=None))
    made = correction_of([lost])
    assert (made.count, made.worst) == (0, pytest.approx(101 / 80))
    assert [corrected(prediction(size, 100), made).fits for size in (79, 80)] == [True, False]
    assert correction_of([], worst=made.worst).worst == made.worst  # it outlasts the trial that told it


def test_only_peaks_that_are_whole_correct() -> None:
    assert correction_of([measured(100, 121, Outcome.FAILED)]).count == 0
    assert correction_of([measured(100, 121, Outcome.OUT_OF_MEMORY)]).count == 1  # a CPU's probe ends its step
    on_cuda = make_record(peak_mib=121, predicted_mib=100, cuda=True)
    assert correction_of([dataclasses.replace(on_cuda, outcome=Outcome.OUT_OF_MEMORY)]).count == 0
    assert correction_of([on_cuda]).ratio == pytest.approx(math.sqrt(121 / 120))  # reserved: 100 + 20 MiB predicted
