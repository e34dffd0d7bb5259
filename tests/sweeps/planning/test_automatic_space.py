"""A sweep with automatic micro-batches: its space, what it asks for, what it keeps, what it learns from others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import changed_by, make_plan
from sweeps.planning.device import Device
from sweeps.planning.node_kinds import NodeKind
from sweeps.planning.options import SweepOptions, parse_options
from sweeps.planning.placement import Placement
from sweeps.planning.questions import Question
from sweeps.planning.space import distributions, space_of, space_size, starting_points, to_settings
from sweeps.sample_quality import QUESTION as SAMPLE_QUALITY
from sweeps.search.memory_guard import MemoryGuard, PointsThatFit
from sweeps.search.searcher import RecordSearch
from sweeps.search.study import attributes, build_study
from sweeps.search.warm_start import earlier_trials
from tests.support.record_factory import make_facts, make_record, write_sweep
from trainables.memory.correction import Correction
from trainables.records.plan import SweepPlan
from trainables.records.record import MemoryPrediction, Outcome, TrialRecord
from trainables.records.settings import TrialSettings
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import load_facts, load_history, store_facts, store_record

CPU = Device(gpus=0, gpu_bytes=None, cpus=4)
GPU = Device(gpus=1, gpu_bytes=16 * 2**30, cpus=8)
UNNAMED = NodeKind(name="other", gpus=1, cpus=4, most_nodes=1)
CLUSTER = Device(gpus=1, gpu_bytes=None, cpus=4, kinds=(UNNAMED,))  # a card that nobody names
AUTO: dict[str, Any] = {"micro_batch_sizes": ("auto",)}
FINGERPRINT = make_record().provenance.data_fingerprint


def plan(device: Device = CPU, **options: Any) -> SweepPlan:
    return make_plan(SweepOptions(**AUTO | options), device, BATCH_MEMORY)


def test_the_space_is_without_the_micro_batch_and_no_point_comes_twice() -> None:
    made = plan(trials=40)
    assert list(made.space) == list(distributions(made)) == ["model", "batch_size", "learning_rate"]
    assert space_size(made) == 3 * 3 * 4 == space_of(made).combinations
    points = starting_points(made, count=40)
    assert len({json.dumps(point, sort_keys=True) for point in points}) == 36
    assert starting_points(made) == starting_points(plan(trials=40)) != starting_points(plan(trials=40, seed=1))


def test_settings_hold_the_number_and_are_not_made_without_one() -> None:
    point = starting_points(plan())[0]
    assert to_settings(plan(), point | {"micro_batch_size": 4}).micro_batch_size == 4
    with pytest.raises(ValueError, match=r"lacks \['micro_batch_size'\]"):
        to_settings(plan(), point)


@pytest.mark.parametrize(
    ("question", "device", "options", "wanted"),
    [
        (SAMPLE_QUALITY, GPU, SweepOptions(), ("auto",)),
        (SAMPLE_QUALITY, GPU, SweepOptions(objectives=("style", "tokens_per_second")), (8,)),
        (SAMPLE_QUALITY, GPU, SweepOptions(smoke=True), (8,)),
        (SAMPLE_QUALITY, CPU, SweepOptions(), (8,)),
        (BATCH_MEMORY, GPU, SweepOptions(), (2, 4, 8)),
        (BATCH_MEMORY, GPU, SweepOptions(objectives=("sample_quality",)), ("auto",)),
        (BATCH_MEMORY, GPU, SweepOptions(objectives=("sample_quality", "peak_bytes")), (2, 4, 8)),
        (BATCH_MEMORY, GPU, SweepOptions(objectives=("sample_quality",), micro_batch_sizes=(4,)), (4,)),
        (BATCH_MEMORY, CPU, SweepOptions(objectives=("sample_quality",)), (2, 4, 8)),
        (SAMPLE_QUALITY, CLUSTER, SweepOptions(), (8,)),  # nothing to bound it by
        (SAMPLE_QUALITY, CLUSTER, SweepOptions(memory_cap="10GiB"), ("auto",)),
    ],
)
def test_it_is_automatic_on_a_card_where_no_objective_asks_for_it(
    question: Question, device: Device, options: SweepOptions, wanted: tuple[Any, ...]
) -> None:
    assert make_plan(options, device, question).micro_batch_sizes == wanted


@pytest.mark.parametrize(
    ("device", "options", "said"),
    [
        (CPU, {"micro_batch_sizes": ("auto", 4)}, "--micro-batch-sizes auto 4; auto stands alone"),
        (CPU, {"micro_batch_sizes": (4, "auto")}, "--micro-batch-sizes 4 auto; auto stands alone"),
        (CPU, {"micro_batch_sizes": ("auto", "auto")}, "twice"),
        (CPU, {"batch_sizes": (8, 9), "workers_per_trial": 2}, "--batch-sizes 9 cannot be shared by 2 workers"),
        (CPU, {"batch_sizes": (0,)}, "batch_size=0; it must be at least 1"),
        (CLUSTER, {}, "needs to know a card's memory"),
    ],
)
def test_what_it_does_not_go_with_is_one_line(device: Device, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(device, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_word_is_an_option_that_the_sweep_keeps(tmp_path: Path) -> None:
    options = parse_options(["--micro-batch-sizes", "auto"], "…")
    made = make_plan(options, CPU, BATCH_MEMORY)
    facts = make_facts(made)
    store_facts(open_storage(str(tmp_path)), facts)
    assert json.loads((tmp_path / "sweep.json").read_text())["options"]["micro_batch_sizes"] == ["auto"]
    loaded = load_facts(open_storage(str(tmp_path))).plan
    assert (loaded, changed_by(options, loaded), changed_by(SweepOptions(), loaded)) == (made, None, None)
    assert changed_by(SweepOptions(micro_batch_sizes=(4,)), loaded) == "--micro-batch-sizes"
    assert changed_by(options, make_plan(SweepOptions(), CPU, BATCH_MEMORY)) == "--micro-batch-sizes"


class Sweep:
    """A sweep's folder and a searcher on it, which takes micro-batches of `size`; started anew as after a crash."""

    def __init__(self, folder: Path) -> None:
        self.storage: Storage = open_storage(str(folder))
        self.facts = make_facts(plan())
        self.restart(4)

    def restart(self, size: int) -> None:
        self.study = build_study(self.facts, self.storage, None)

        def place(told: TrialSettings) -> Placement:
            need = told.micro_batch_size
            prediction = MemoryPrediction(
                allocated_bytes=need,
                reserved_bytes=need,
                device_bytes=need,
                capacity_bytes=size,
                fits=need <= size,
                peak_phase="backward",
                components={},
                method="trace",
            )
            return Placement(prediction=prediction)

        points = PointsThatFit(self.facts.plan, MemoryGuard(size), place)
        self.search = RecordSearch(self.facts, self.storage.uri, self.study, points=points)

    def suggest(self, name: str) -> dict[str, Any]:
        return self.search.suggest(name)

    def finish(self, name: str, config: dict[str, Any]) -> None:
        told = {"trial_id": config["trial_id"], "settings": self.facts.plan.settings(**config["proposal"])}
        store_record(self.storage, make_record(config["number"], automatic_micro_batch=True, **told))
        self.search.on_trial_complete(name)


def test_a_proposal_is_written_down_with_its_number_and_the_study_goes_without(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    config = sweep.suggest("a")
    point = starting_points(sweep.facts.plan)[0]
    assert config["proposal"] == load_history(sweep.storage)[0][0] == point | {"micro_batch_size": 4}
    sweep.finish("a", config)
    sweep.restart(8)
    assert sweep.study.trials[0].params == point == {n: config["proposal"][n] for n in point}
    assert sweep.study.trials[0].user_attrs["figures"]["micro_batch_size"] == 4  # what the dashboard shows


def test_the_driver_is_handed_what_the_guard_predicted(tmp_path: Path) -> None:
    config = Sweep(tmp_path).suggest("a")
    placement = config["expected"].placement
    assert (placement.prediction.device_bytes, placement.prediction.fits, placement.kind) == (4, True, None)
    assert config["expected"].correction == Correction()
    assert len(repr(config["expected"])) < 100  # Tune makes a folder's name of it


def test_a_trial_that_has_trained_keeps_its_number_and_one_that_has_not_is_chosen_anew(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    before = [sweep.suggest(name) for name in "abc"]
    sweep.storage.write_text(f"trials/{before[0]['trial_id']}/checkpoints/00000004/manifest-0.json", "{}")
    sweep.storage.write_text(f"trials/{before[1]['trial_id']}/report.json", "{}")
    sweep.restart(2)
    after = [sweep.suggest(name) for name in "def"]
    assert [config["proposal"]["micro_batch_size"] for config in after] == [4, 4, 2]
    assert [config["proposal"] | {"micro_batch_size": 4} for config in after] == [c["proposal"] for c in before]


def test_whatever_was_chosen_a_point_is_tried_once(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    seen = []
    for number in range(36):
        if number in (5, 20):
            sweep.restart(2 if number == 5 else 8)
        config = sweep.suggest(str(number))
        sweep.finish(str(number), config)
        seen.append({name: value for name, value in config["proposal"].items() if name != "micro_batch_size"})
    assert len({json.dumps(point, sort_keys=True) for point in seen}) == 36 == space_size(sweep.facts.plan)


def record_of(made: SweepPlan, number: int, size: int, *, automatic: bool, **given: Any) -> TrialRecord:
    point = {"model": "nano-1m", "batch_size": 8, "learning_rate": (1e-3, 3e-3)[number], "micro_batch_size": size}
    return make_record(number, settings=made.settings(**point), automatic_micro_batch=automatic, **given)


def test_earlier_trials_are_the_same_point_whatever_number_was_chosen(tmp_path: Path) -> None:
    made = plan()
    records = [record_of(made, 0, 8, automatic=True), record_of(made, 1, 2, automatic=True)]
    told = earlier_trials([write_sweep(tmp_path / "old", records)], made, FINGERPRINT)
    assert [one.point for one in told] == [
        {"model": "nano-1m", "batch_size": 8, "learning_rate": rate} for rate in (1e-3, 3e-3)
    ]


def test_a_given_micro_batch_tells_an_automatic_sweep_of_quality_but_not_of_memory(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "old", [record_of(plan(), 0, 2, automatic=False, quality=0.25)])
    (told,) = earlier_trials([uri], plan(objectives=("sample_quality",)), FINGERPRINT)
    assert told.values == (0.25,)
    with pytest.raises(UserError, match="its micro-batch was given, this sweep's is automatic"):
        earlier_trials([uri], plan(), FINGERPRINT)


def test_under_another_cap_another_number_was_chosen_and_its_memory_tells_nothing(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "old", [record_of(plan(memory_cap="1GiB"), 0, 2, automatic=True)])
    assert len(earlier_trials([uri], plan(objectives=("sample_quality",)), FINGERPRINT)) == 1
    with pytest.raises(UserError, match="its memory_cap_bytes is 1073741824, this sweep's None"):
        earlier_trials([uri], plan(), FINGERPRINT)


def test_a_number_that_was_chosen_is_a_point_of_a_sweep_that_searches_it(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "old", [record_of(plan(), 0, 4, automatic=True)])
    (told,) = earlier_trials([uri], make_plan(SweepOptions(), CPU, BATCH_MEMORY), FINGERPRINT)
    assert told.point["micro_batch_size"] == 4


def test_a_number_that_is_searched_is_a_parameter_of_the_study_and_no_figure() -> None:
    figures = attributes(make_record(outcome=Outcome.FINISHED), dataclasses.replace(plan(), micro_batch_sizes=(4,)))
    assert "micro_batch_size" not in figures["figures"]  # it is a parameter there
