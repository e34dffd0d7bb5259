"""A ladder is climbed stage by stage, by records alone; killed anywhere, it goes on and runs nothing twice."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ray.tune.search import Searcher

from analysis.ladder.climb import Climb
from analysis.ladder.frozen import freeze
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import OptionsError
from sweeps.planning.placement import Placement
from sweeps.scale_ladder import QUESTION as SCALE_LADDER
from sweeps.search.ladder_search import LadderSearch, workable_batch
from sweeps.search.memory_guard import MemoryGuard, PointsThatFit
from tests.support.ladders import bowl_loss
from tests.support.record_factory import MIB, make_facts, make_memory, make_record
from tests.sweeps.search.test_memory_guard import prediction
from trainables.memory.correction import corrected
from trainables.records.plan import SweepPlan
from trainables.records.record import Outcome
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import load_history, store_record

DEVICE = Device(gpus=0, gpu_bytes=None, cpus=2)
PARAMETERS = (106_560, 311_424, 1_114_368, 3_801_600)


def ladder_plan(**options) -> SweepPlan:
    plan = make_plan(
        SCALE_LADDER.options(model_sizes=("nano-0.3m", "nano-1m", "nano-4m"), **options), DEVICE, SCALE_LADDER
    )
    return dataclasses.replace(plan, rung_parameters=PARAMETERS[1:])


def run_one(
    storage: Storage, told, *, outcome: Outcome = Outcome.FINISHED, needed: tuple[int, int] | None = None
) -> None:
    """The trial's record, as a world would have it whose best rate halves from rung to rung.

    `needed` is what was predicted of its memory and what it took, in MiB.
    """
    proposal, place = told["proposal"], told["number"] // 100
    loss = bowl_loss(
        proposal["learning_rate"],
        proposal["batch_size"],
        best_rate=2 ** (-7 - place),
        best_batch=12,
        bottom=4 - place / 2,
    )
    made = make_record(
        told["number"],
        model=proposal["model"],
        rate=proposal["learning_rate"],
        batch_size=proposal["batch_size"],
        micro_batch_size=proposal["micro_batch_size"],
        outcome=outcome,
        trial_id=told["trial_id"],
    )
    if made.report and made.report.evaluation:
        evaluation = dataclasses.replace(made.report.evaluation, quote_loss=loss)
        made = dataclasses.replace(made, report=dataclasses.replace(made.report, evaluation=evaluation))
    if made.report and needed:
        memory = make_memory(needed[1] * MIB)
        report = dataclasses.replace(made.report, memory=memory)
        made = dataclasses.replace(made, prediction=prediction(needed[0]), report=report)
    store_record(storage, made)


def searcher(
    storage: Storage, plan: SweepPlan, gate=lambda climb, place: None, points: PointsThatFit | None = None
) -> LadderSearch:
    """A searcher as a new run makes it: from the records that are there."""
    records = tuple(record for _, record in load_history(storage).values() if record is not None)
    return LadderSearch(make_facts(plan), storage.uri, Climb(plan=plan, records=records), gate, points=points)


def climb_all(
    storage: Storage, plan: SweepPlan, gate=lambda climb, place: None, killed_after: int = 10**6
) -> list[int]:
    """Numbers of the trials in the order in which they began; each run of the program ends after so many."""
    begun: list[int] = []
    while True:
        search = searcher(storage, plan, gate)
        for count in range(killed_after + 1):
            told = search.suggest(f"tune-{count}")
            if told == Searcher.FINISHED:
                return begun
            if count == killed_after:
                break  # proposed, written down, never run
            begun.append(told["number"])
            run_one(storage, told)
            search.on_trial_complete(f"tune-{count}")


def test_rungs_run_lowest_first_with_as_many_trials_as_they_are_to_have(tmp_path):
    storage = open_storage(str(tmp_path))
    assert climb_all(storage, ladder_plan()) == [*range(12), *range(100, 108), *range(200, 203)]


@pytest.mark.parametrize("killed_after", [1, 3, 7])
def test_a_ladder_killed_at_every_stage_ends_with_the_trials_of_one_that_was_not(tmp_path, killed_after):
    whole, cut = open_storage(str(tmp_path / "whole")), open_storage(str(tmp_path / "cut"))
    plan = ladder_plan()
    begun = climb_all(cut, plan, killed_after=killed_after)
    assert sorted(begun) == sorted(climb_all(whole, plan))
    assert len(set(begun)) == len(begun)  # nothing ran twice
    ours, theirs = load_history(cut), load_history(whole)
    assert {number: proposal for number, (proposal, _) in ours.items()} == {n: p for n, (p, _) in theirs.items()}


def test_a_stage_waits_for_its_last_trial_before_the_next_is_placed(tmp_path):
    storage, plan = open_storage(str(tmp_path)), ladder_plan()
    search = searcher(storage, plan)
    told = [search.suggest(f"tune-{count}") for count in range(9)]
    assert [one and one["number"] for one in told] == [*range(8), None]


def test_the_gate_is_asked_once_before_each_rung_but_the_lowest(tmp_path):
    asked: list[int] = []
    climb_all(open_storage(str(tmp_path)), ladder_plan(), lambda climb, place: asked.append(place))
    assert asked == [1, 2]


def test_a_rung_s_trial_is_handed_one_prediction_with_the_one_correction_also_after_a_restart(tmp_path):
    storage, plan, asked = open_storage(str(tmp_path)), ladder_plan(), []

    def place(settings) -> Placement:
        asked.append(settings)
        return Placement(prediction=prediction(80))  # of 100 MiB

    for _run in range(2):  # the second is a new run's: its guard learns from the records that are there
        guard = MemoryGuard(100 * MIB)
        for _, record in load_history(storage).values():
            if record is not None:
                guard.learn(record)
        search = searcher(storage, plan, points=PointsThatFit(plan, guard, place))
        told = search.suggest("tune-0")
        expected = told["expected"]
        known = 0 if told["number"] == 0 else 1
        assert (expected.placement.prediction.device_bytes, expected.correction.count) == (80 * MIB, known)
        # A trial of which 40 MiB were predicted took 60: half as much again, and 120 MiB are not there.
        assert corrected(expected.placement.prediction, expected.correction).fits == (known == 0)
        assert len(asked) == 1
        asked.clear()
        run_one(storage, told, needed=(40, 60))
        search.on_trial_complete("tune-0")
    assert [record and record.number for _, record in load_history(storage).values()] == [0, 1]


def test_a_closed_gate_ends_the_run_and_says_why(tmp_path):
    storage, plan = open_storage(str(tmp_path)), ladder_plan()
    begun = climb_all(storage, plan, lambda climb, place: "closed" if place == 1 else None)
    assert begun == list(range(12))
    search = searcher(storage, plan, lambda climb, place: "closed")
    assert search.suggest("tune") == Searcher.FINISHED
    assert search.limit_reached == "closed"


def test_what_was_frozen_before_a_rung_holds_what_came_out_of_it(tmp_path):
    storage, plan = open_storage(str(tmp_path)), ladder_plan()

    def gate(climb: Climb, place: int) -> None:
        freeze(storage, place, climb.predict(place))

    climb_all(storage, plan, gate)
    for place in (1, 2):
        told = json.loads((tmp_path / "ladder" / f"rung-{place}.json").read_text())["prediction"]
        assert told["learning_rate"]["low"] <= 2 ** (-7 - place) <= told["learning_rate"]["high"]
        assert told["trials"] == [*range(12), *(range(100, 108) if place == 2 else ())]


def test_a_trial_that_diverged_counts_as_run_and_the_ladder_goes_on(tmp_path):
    storage, plan = open_storage(str(tmp_path)), ladder_plan()
    search = searcher(storage, plan)
    first = search.suggest("tune-0")
    run_one(storage, first, outcome=Outcome.DIVERGED)
    search.on_trial_complete("tune-0")
    assert climb_all(storage, plan) == [*range(1, 12), *range(100, 108), *range(200, 203)]


def test_sizes_above_the_top_are_not_run(tmp_path):
    plan = ladder_plan(until="nano-1m")
    assert plan.trials == 12 + 3
    assert climb_all(open_storage(str(tmp_path)), plan) == [*range(12), *range(100, 103)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stop_when_flat": 5}, "--stop-when-flat cannot be set for a ladder"),
        ({"learning_rate_range": (1e-2, 1e-3)}, "give the lower end first"),
        ({"batch_size_range": (0, 8)}, "give the lower end first"),
        ({"rung_trials": (4, 8, 3)}, "the lowest rung needs at least 8, each further one 6"),
        ({"rung_trials": (12, 100, 3)}, "each must be from 1 to 99"),
        ({"until": "6.7b"}, "--until 6.7b is not one of the rungs nano-0.3m, nano-1m, nano-4m"),
    ],
)
def test_what_a_person_can_get_wrong_is_told_in_one_line(options, words):
    with pytest.raises(OptionsError) as caught:
        ladder_plan(**options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_that_is_not_shipped_says_how_to_build_it():
    from trainables.model.models import ModelError, find_model

    with pytest.raises(ModelError, match=r"build_nano.py --size nano-9m"):
        find_model("nano-9m")


@pytest.mark.parametrize(
    ("wanted", "given"), [(5.2, 5), (9.2, 10), (13.2, 14), (17, 16), (27, 28), (33, 32), (100, 96)]
)
def test_a_batch_is_four_to_seven_times_a_power_of_two(wanted, given):
    # 9.2 lies between 8 and 10, 13.2 between 12 and 14, 27 between 24 and 28, 100 between 96 and 112.
    assert workable_batch(wanted, 1) == given


def test_a_batch_is_shared_evenly_by_the_workers():
    assert workable_batch(26, 4) == 24  # 6.5 each: even wins
