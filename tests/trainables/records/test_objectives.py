"""What each outcome tells the sampler, by hand; then that Optuna never takes an unfit trial for a good one."""

from __future__ import annotations

import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import create_trial

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.search.objectives import COMPLETED, FITS, verdict
from tests.support.record_factory import MIB, make_memory, make_quality, make_record
from trainables.records.documents import figures_from_json, to_json
from trainables.records.objectives import OBJECTIVES, aims_of
from trainables.records.plan import SweepPlan
from trainables.records.record import MemoryReport, Outcome, TrialRecord, WorkerReport

pytestmark = pytest.mark.usefixtures("quiet_optuna")
CPU = Device(gpus=0, gpu_bytes=None, cpus=2)
ALL = make_plan(SweepOptions(), CPU, BATCH_MEMORY)
WITHOUT_QUALITY = make_plan(SweepOptions(weights="random"), CPU, BATCH_MEMORY)


def told_of(record: TrialRecord, plan: SweepPlan) -> tuple[tuple[float, ...], dict[str, float]]:
    """The values, and the constraints that are violated."""
    told = verdict(record, plan)
    violated = {name: value for name, value in told.constraints.items() if value > 0}
    assert told.is_feasible is not bool(violated)
    return told.values, violated


def violation(record: TrialRecord) -> float:
    return max(verdict(record, ALL).constraints.values())


def out_of_memory(predicted_mib: float, capacity_mib: int | None, measured_mib: float | None = None) -> TrialRecord:
    """A trial that was started and ran out of memory, with what its worker had counted by then."""
    report = WorkerReport(
        outcome=Outcome.OUT_OF_MEMORY,
        device="cpu",
        memory=None if measured_mib is None else make_memory(int(measured_mib * MIB)),
        error="out of memory",
    )
    return make_record(
        outcome=Outcome.OUT_OF_MEMORY, predicted_mib=predicted_mib, capacity_mib=capacity_mib, report=report
    )


def test_three_figures_are_strived_for_and_two_with_random_weights() -> None:
    assert [(objective.name, objective.direction) for objective in aims_of(ALL).objectives] == [
        ("sample_quality", "maximize"),
        ("peak_bytes", "minimize"),
        ("tokens_per_second", "maximize"),
    ]
    assert aims_of(WITHOUT_QUALITY).names == ("peak_bytes", "tokens_per_second")


def test_a_finished_trial_tells_what_it_measured() -> None:
    record = make_record(quality=0.75, peak_mib=64, speed=500.0)
    assert told_of(record, ALL) == ((0.75, 64 * MIB, 500.0), {})
    assert told_of(record, WITHOUT_QUALITY) == ((64 * MIB, 500.0), {})


def test_a_finished_trial_without_quality_is_feasible_only_where_none_is_asked_for() -> None:
    record = make_record(quality=None, peak_mib=64, speed=500.0, predicted_mib=70)
    assert told_of(record, WITHOUT_QUALITY) == ((64 * MIB, 500.0), {})
    assert told_of(record, ALL) == ((0.0, 70 * MIB, 0.0), {COMPLETED: 1.0})


def test_a_trial_predicted_not_to_fit_tells_the_memory_it_would_need() -> None:
    record = make_record(outcome=Outcome.PREDICTED_NOT_TO_FIT, predicted_mib=150, capacity_mib=100)
    assert told_of(record, ALL) == ((0.0, 150 * MIB, 0.0), {FITS: 0.5})  # half as much again


def test_an_out_of_memory_trial_tells_the_larger_of_measured_and_predicted() -> None:
    assert told_of(out_of_memory(150, 100, measured_mib=300), ALL) == ((0.0, 300 * MIB, 0.0), {FITS: 2.0})
    assert verdict(out_of_memory(400, 100, measured_mib=300), ALL).values == (0.0, 400 * MIB, 0.0)


def test_running_out_of_memory_is_never_feasible_even_when_the_prediction_fitted() -> None:
    assert violation(out_of_memory(80, 100)) > 0
    assert violation(out_of_memory(80, None)) > 0


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.STOPPED_EARLY, Outcome.FAILED])
def test_a_trial_that_ended_otherwise_is_infeasible_by_one(outcome: Outcome) -> None:
    record = make_record(outcome=outcome, predicted_mib=120, capacity_mib=100_000)
    assert told_of(record, ALL) == ((0.0, 120 * MIB, 0.0), {COMPLETED: 1.0})


@pytest.mark.parametrize("speed", [math.nan, math.inf])
def test_a_figure_that_is_not_finite_never_reaches_the_sampler(speed: float) -> None:
    assert told_of(make_record(speed=speed, peak_mib=60, predicted_mib=70), ALL) == (
        (0.0, 70 * MIB, 0.0),
        {COMPLETED: 1.0},
    )


def test_a_record_with_neither_report_nor_prediction_is_still_told() -> None:
    record = make_record(outcome=Outcome.FAILED, report=None, prediction=None)
    assert told_of(record, ALL) == ((0.0, 0.0, 0.0), {COMPLETED: 1.0})


@settings(max_examples=100, deadline=None)
@given(
    outcome=st.sampled_from(Outcome),
    quality=st.none() | st.floats(),
    speed=st.floats(),
    peak_bytes=st.integers(0, 2**50),
    capacity_mib=st.none() | st.integers(1, 2**20),
    weights=st.sampled_from(["pretrained", "random"]),
)
def test_every_value_is_finite_and_only_finished_trials_are_feasible(
    outcome: Outcome,
    quality: float | None,
    speed: float,
    peak_bytes: int,
    capacity_mib: int | None,
    weights: str,
) -> None:
    memory: MemoryReport = make_memory(peak_bytes)
    report = WorkerReport(
        outcome=outcome,
        device="cpu",
        tokens_per_second=speed,
        memory=memory,
        quality=None if quality is None else make_quality(quality),
    )
    plan = ALL if weights == "pretrained" else WITHOUT_QUALITY
    told = verdict(make_record(outcome=outcome, report=report, capacity_mib=capacity_mib), plan)
    assert len(told.values) == len(plan.objectives)
    assert all(math.isfinite(value) for value in (*told.values, *told.constraints.values()))
    if outcome is not Outcome.FINISHED:
        assert not told.is_feasible


@settings(max_examples=100, deadline=None)
@given(needs=st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)).map(sorted), capacity_mib=st.integers(1, 10_000))
def test_violation_grows_with_need_over_capacity(needs: list[int], capacity_mib: int) -> None:
    less, more = (violation(out_of_memory(need, capacity_mib)) for need in needs)
    assert less <= more
    if needs[0] > 1.01 * capacity_mib and needs[1] > needs[0]:
        assert less < more
        assert more == pytest.approx(needs[1] / capacity_mib - 1, rel=1e-3)


def test_room_that_was_left_is_told_below_zero() -> None:
    record = make_record(quality=0.75, peak_mib=64, predicted_mib=60, capacity_mib=256)
    assert verdict(record, ALL).constraints == {FITS: -0.75, COMPLETED: 0.0}


def test_budgets_for_forgetting_and_copying_are_constraints_of_their_own() -> None:
    plan = make_plan(SweepOptions(min_retention=0.97, max_copied_share=0.25), CPU, BATCH_MEMORY)
    record = make_record(quality=0.75)  # its retention is 0.95, a hundredth of its words are copied
    told = verdict(record, plan)
    assert told.constraints == {
        FITS: 0.0,
        COMPLETED: 0.0,
        "retention": pytest.approx(0.02),
        "memorisation": pytest.approx(-0.24),
    }
    assert (told.values[0], told.is_feasible) == (0.75, False)
    assert told_of(out_of_memory(150, 100), plan)[1] == {FITS: 0.5}


@pytest.mark.parametrize("name", ["sample_quality", "peak_bytes", "spill_over"])
def test_one_figure_alone_can_be_strived_for(name: str) -> None:
    plan = make_plan(SweepOptions(objectives=(name,)), CPU, BATCH_MEMORY)
    (objective,) = aims_of(plan).objectives
    assert objective.direction == ("maximize" if name == "sample_quality" else "minimize")
    record = make_record(quality=0.5, peak_mib=64)  # its spill-over is 0.1
    assert verdict(record, plan).values == ({"sample_quality": 0.5, "peak_bytes": 64 * MIB, "spill_over": 0.1}[name],)


def study_of(records: list[TrialRecord]) -> optuna.Study:
    study = optuna.create_study(directions=[objective.direction for objective in aims_of(ALL).objectives])
    for record in records:
        told = verdict(record, ALL)
        study.add_trial(create_trial(values=list(told.values), constraints=told.constraints))
    return study


def test_optuna_never_counts_an_out_of_memory_trial_among_the_best() -> None:
    # The out-of-memory trial tells the least memory of all: without its violation it would be on the front.
    study = study_of([make_record(0, peak_mib=100), out_of_memory(10, 5), make_record(1, peak_mib=200, quality=0.4)])
    assert [trial.number for trial in study.best_trials] == [0]


def test_optuna_has_no_best_trial_when_none_finished() -> None:
    assert study_of([out_of_memory(10, 5), make_record(1, outcome=Outcome.DIVERGED)]).best_trials == []


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_reads_nothing_that_those_who_search_and_show_do_not_load(name: str) -> None:
    record = make_record(0)
    assert record.report is not None
    assert record.report.samples
    assert record.report.curve
    figures = figures_from_json(to_json(record))
    assert figures.report is not None
    assert not figures.report.samples
    measured = OBJECTIVES[name].measured
    assert measured(figures.report) == measured(record.report)
