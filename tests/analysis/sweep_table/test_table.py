"""The table's rows, the words for its numbers, and the Pareto front worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.sweep_table.front import nondominated, standing_of
from analysis.sweep_table.table import COLUMNS, TrialRow, all_columns, cell_text, count_text, rate_text, trial_row
from tests.support.record_factory import MIB, default_facts, make_record
from trainables.records.byte_sizes import memory_text, memory_unit
from trainables.records.objectives import OBJECTIVES
from trainables.records.record import MemoryPrediction, Outcome, TrialRecord

AIMS = default_facts().aims  # quality, peak and speed


def front_of(records: list[TrialRecord]) -> list[int]:
    """Numbers of the trials on the front."""
    return [int(trial_id.split("-")[0]) for trial_id in standing_of(records, AIMS).front]


def best_of(records: list[TrialRecord]) -> int | None:
    best = standing_of(records, AIMS).best
    return None if best is None else int(best.split("-")[0])


def test_a_row_holds_what_the_record_holds() -> None:
    row = trial_row(make_record(5, quality=0.62, peak_mib=100, speed=800.0, predicted_mib=110))
    assert (row.number, row.trial_id, row.model, row.parameters) == (5, "0005-c0ffee", "nano-1m", 1_061_376)
    assert (row.batch_size, row.micro_batch_size, row.learning_rate) == (8, 4, 1e-3)
    assert (row.quote_loss, row.sample_quality, row.spill_over, row.retention) == (3.1, 0.62, 0.1, 0.95)
    assert (row.peak_bytes, row.peak_counter) == (100 * MIB, "cpu_probe_tensor_bytes")
    assert (row.predicted_bytes, row.predicted_counter) == (110 * MIB, "allocated")
    assert (row.tokens_per_second, row.outcome, row.error) == (800.0, "finished", None)


def test_reserved_bytes_are_compared_with_reserved_bytes() -> None:
    row = trial_row(make_record(cuda=True, predicted_mib=110))
    assert (row.peak_counter, row.predicted_counter) == ("cuda_reserved", "reserved")
    assert row.predicted_bytes == 130 * MIB  # the factory reserves 20 MiB more than it allocates


def test_a_trial_never_started_has_its_prediction_and_its_reason() -> None:
    row = trial_row(make_record(outcome=Outcome.PREDICTED_NOT_TO_FIT, predicted_mib=300, capacity_mib=200))
    assert (row.peak_bytes, row.predicted_bytes, row.sample_quality) == (None, 300 * MIB, None)
    assert row.error == (
        "Predicted: 300 MiB allocated, 320 MiB reserved, 800 MiB of the device at backward; capacity 200 MiB."
        " Never started."
    )


def test_columns_and_row_name_the_same_fields() -> None:
    assert {column.name for column in COLUMNS} == {field.name for field in dataclasses.fields(TrialRow)} - {"further"}


@pytest.mark.parametrize(
    ("rate", "words"), [(3e-4, "3e-4"), (0.001, "1e-3"), (0.00123, "1.23e-3"), (1.0, "1e0"), (0.05, "5e-2")]
)
def test_learning_rates_are_short(rate: float, words: str) -> None:
    assert rate_text(rate) == words


@pytest.mark.parametrize(
    ("count", "words"), [(302_848, "0.30M"), (1_061_376, "1.1M"), (125_000_000, "125M"), (1_315_000_000, "1.3B")]
)
def test_parameters_are_counted_as_people_say_them(count: int, words: str) -> None:
    assert count_text(count) == words


def test_memory_takes_the_unit_of_the_largest() -> None:
    assert memory_unit([100 * MIB, None, 900 * MIB]).name == "MiB"
    assert memory_unit([100 * MIB, 2**30]).name == "GiB"
    assert memory_unit([]).name == "MiB"
    assert memory_text(3 * 2**29) == "1.50 GiB"
    assert memory_text(MIB // 2) == "0.50 MiB"


def test_what_was_not_measured_is_a_dash() -> None:
    assert {cell_text(None, column.kind) for column in COLUMNS} == {"–"}


def test_objective_values_are_those_of_finished_trials() -> None:
    assert AIMS.values(make_record(quality=0.5, peak_mib=1, speed=10.0)) == {
        "sample_quality": 0.5,
        "peak_bytes": float(MIB),
        "tokens_per_second": 10.0,
    }
    assert set(AIMS.values(make_record(quality=None)) or {}) == {"peak_bytes", "tokens_per_second"}
    for outcome in set(Outcome) - {Outcome.FINISHED}:
        assert AIMS.values(make_record(outcome=outcome)) is None
    assert AIMS.values(make_record(speed=math.nan)) is None


def test_the_front_of_a_worked_example() -> None:
    made = [
        make_record(0, quality=0.9, peak_mib=400, speed=100),  # best quality
        make_record(1, quality=0.5, peak_mib=100, speed=100),  # least memory
        make_record(2, quality=0.5, peak_mib=200, speed=100),  # trial 1 needs less and loses nothing
        make_record(3, quality=0.4, peak_mib=300, speed=900),  # fastest
        make_record(4, quality=0.8, peak_mib=400, speed=100),  # trial 0 writes better and loses nothing
        make_record(5, quality=0.7, peak_mib=300, speed=150),  # between: nobody has all three
        make_record(6, quality=1.0, peak_mib=1, speed=9999, outcome=Outcome.STOPPED_EARLY),
    ]
    assert front_of(made) == [0, 1, 3, 5]


def test_equals_stand_side_by_side_on_the_front() -> None:
    made = [make_record(number, quality=0.5, peak_mib=100, speed=100) for number in (2, 0, 1)]
    assert front_of(made) == [0, 1, 2]


def test_a_tie_in_one_objective_is_settled_by_the_others() -> None:
    made = [make_record(0, quality=0.5, peak_mib=100, speed=90), make_record(1, quality=0.5, peak_mib=100, speed=100)]
    assert front_of(made) == [1]


def test_without_quality_memory_and_speed_decide() -> None:
    made = [
        make_record(0, quality=None, peak_mib=100, speed=100),
        make_record(1, quality=None, peak_mib=200, speed=100),
        make_record(2, quality=None, peak_mib=200, speed=200),
    ]
    assert front_of(made) == [0, 2]


def test_peaks_of_different_counters_are_not_compared() -> None:
    made = [make_record(0, peak_mib=100), make_record(1, peak_mib=900, cuda=True)]
    assert front_of(made) == [0, 1]


def test_no_records_have_an_empty_front_and_no_best() -> None:
    for made in ([], [make_record(outcome=Outcome.FAILED)]):
        assert (front_of(made), best_of(made)) == ([], None)


def test_the_best_writes_best_then_needs_least() -> None:
    made = [
        make_record(0, quality=0.8, peak_mib=300),
        make_record(1, quality=0.8, peak_mib=200),
        make_record(2, quality=0.7, peak_mib=100),
        make_record(3, quality=None, peak_mib=1, speed=99999),
        make_record(4, quality=0.9, outcome=Outcome.DIVERGED),
    ]
    assert best_of(made) == 1


def test_without_any_quality_the_best_is_the_fastest() -> None:
    assert best_of([make_record(0, quality=None, speed=10), make_record(1, quality=None, speed=20)]) == 1


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=12))
def test_nothing_on_the_front_is_dominated_and_everything_else_is(values: list[tuple[int, int, int]]) -> None:
    made = [
        make_record(number, quality=quality / 4, peak_mib=1 + memory, speed=1 + speed)
        for number, (quality, memory, speed) in enumerate(values)
    ]

    def dominates(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
        no_worse = one[0] >= other[0] and one[1] <= other[1] and one[2] >= other[2]
        return no_worse and one != other

    expected = [i for i, value in enumerate(values) if not any(dominates(other, value) for other in values)]
    assert front_of(made) == expected


def test_ten_thousand_rows_may_all_be_on_the_front() -> None:
    """With x + y constant, no row dominates another."""
    xs = np.arange(10_000.0)
    assert len(nondominated(np.stack([xs, -xs, xs * 0], axis=1))) == 10_000


def test_every_objective_has_a_column() -> None:
    assert set(OBJECTIVES) <= {column.name for column in all_columns()}


def test_a_prediction_for_a_named_gpu_says_so() -> None:
    record = make_record()
    assert isinstance(record.prediction, MemoryPrediction)
    named = dataclasses.replace(record, prediction=dataclasses.replace(record.prediction, gpu="NVIDIA A10"))
    assert trial_row(record).predicted_for == "this machine"
    assert trial_row(named).predicted_for == "NVIDIA A10"
