"""The searcher over real Optuna studies and real files: what is written when, and what a crash leaves to be found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device
from sweeps.planning.options import SweepOptions
from sweeps.planning.space import starting_points
from sweeps.search.objectives import COMPLETED, FITS
from sweeps.search.searcher import RecordSearch
from sweeps.search.study import build_study
from tests.support.record_factory import MIB, make_facts, make_record
from trainables.records.record import Outcome, TrialRecord
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import SweepFacts, load_history, store_record

pytestmark = pytest.mark.usefixtures("quiet_optuna")
PLAN = make_plan(SweepOptions(trials=20), Device(gpus=0, gpu_bytes=None, cpus=2), BATCH_MEMORY)


@dataclasses.dataclass
class Sweep:
    """A sweep's folder, and a searcher on it that can be started anew at any time, as after a crash."""

    storage: Storage
    facts: SweepFacts
    url: str | None

    def __post_init__(self) -> None:
        self.started = 0
        self.restart()

    def restart(self) -> None:
        self.study = build_study(self.facts, self.storage, self.url)
        self.search = RecordSearch(self.facts, self.storage.uri, self.study)

    def suggest(self) -> tuple[str, dict[str, Any]]:
        """Ask for a trial. Returns: Tune's own id for it, and the proposal."""
        self.started += 1
        tunes = f"tune_{self.started:05d}"
        return tunes, self.search.suggest(tunes)

    def record(self, config: dict[str, Any], outcome: Outcome = Outcome.FINISHED, **given: Any) -> TrialRecord:
        """Write the record of a trial, with figures that follow from its number."""
        number = config["number"]
        record = make_record(
            number,
            outcome=outcome,
            quality=0.3 + 0.01 * number,
            peak_mib=100 + number,
            speed=1000.0 + number,
            trial_id=config["trial_id"],
            settings=PLAN.settings(**config["proposal"]),
            **given,
        )
        store_record(self.storage, record)
        return record

    def run(self, count: int) -> list[dict[str, Any]]:
        """So many trials from proposal to end, all finished. Returns: their proposals."""
        configs = []
        for _ in range(count):
            tunes, config = self.suggest()
            self.record(config)
            self.search.on_trial_complete(tunes)
            configs.append(config)
        return configs

    def states(self) -> list[TrialState]:
        return [trial.state for trial in self.study.trials]


def make_sweep(folder: Path, url: str | None = None, **changes: Any) -> Sweep:
    plan = dataclasses.replace(PLAN, **changes)
    facts = make_facts(plan)
    return Sweep(open_storage(str(folder / "sweep")), facts, url)


@pytest.fixture
def sweep(request: pytest.FixtureRequest, tmp_path: Path) -> Sweep:
    return make_sweep(tmp_path, f"sqlite:///{tmp_path}/study.db" if getattr(request, "param", "") == "sqlite" else None)


in_memory_and_sqlite = pytest.mark.parametrize("sweep", ["memory", "sqlite"], indirect=True)


def told(trial: FrozenTrial) -> tuple[Any, ...]:
    """What makes a trial of a study: everything but the times."""
    return trial.number, trial.state, trial.params, trial.values, trial.constraints, trial.user_attrs


def test_the_first_proposals_are_the_starting_points_in_order(sweep: Sweep) -> None:
    configs = [sweep.suggest()[1] for _ in range(12)]
    assert [config["proposal"] for config in configs] == starting_points(PLAN)
    assert [(config["number"], config["trial_id"]) for config in configs[:3]] == [
        (0, "0000-abc123"),
        (1, "0001-abc123"),
        (2, "0002-abc123"),
    ]


def test_a_proposal_is_on_disk_before_anything_runs(sweep: Sweep) -> None:
    _, config = sweep.suggest()
    written = sweep.storage.read_text("trials/0000-abc123/proposal.json")
    assert json.loads(written) == config["proposal"]
    assert load_history(sweep.storage) == {0: (config["proposal"], None)}


def test_asking_twice_for_one_trial_gives_one_proposal(sweep: Sweep) -> None:
    tunes, config = sweep.suggest()
    assert sweep.search.suggest(tunes) == config
    assert list(load_history(sweep.storage)) == [0]


@in_memory_and_sqlite
def test_no_ended_trial_is_left_running(sweep: Sweep) -> None:
    (finished, one), (unfit, two), (failed, three), (vanished, _), _ = (sweep.suggest() for _ in range(5))
    sweep.record(one)
    sweep.record(two, Outcome.OUT_OF_MEMORY, predicted_mib=150, capacity_mib=100)
    sweep.record(three, Outcome.FAILED, error="worker died")
    for tunes, error in ((unfit, False), (finished, False), (vanished, True), (failed, True)):
        sweep.search.on_trial_complete(tunes, error=error)
    assert sweep.states()[:5] == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.FAIL,
        TrialState.RUNNING,  # it was never ended
    ]
    first, second = sweep.study.trials[:2]
    assert (first.values, first.constraints) == ([0.3, 100 * MIB, 1000.0], {FITS: 0.0, COMPLETED: 0.0})
    assert (second.values, second.constraints) == ([0.0, 150 * MIB, 0.0], {FITS: 0.5, COMPLETED: 0.0})
    assert (first.user_attrs["outcome"], second.user_attrs["outcome"]) == ("finished", "out_of_memory")
    assert first.user_attrs["record"]["settings"]["batch_size"] == first.params["batch_size"]
    assert first.user_attrs["record"]["report"]["samples"] == []
    assert [trial.number for trial in sweep.study.best_trials] == [0]


def test_an_end_told_twice_counts_once(sweep: Sweep) -> None:
    tunes, config = sweep.suggest()
    sweep.record(config)
    sweep.search.on_trial_complete(tunes)
    sweep.search.on_trial_complete(tunes)
    assert sweep.states()[0] is TrialState.COMPLETE


@in_memory_and_sqlite
def test_a_study_built_from_the_records_is_the_study_that_ran(sweep: Sweep, tmp_path: Path) -> None:
    sweep.run(3)
    for outcome in (Outcome.OUT_OF_MEMORY, Outcome.PREDICTED_NOT_TO_FIT, Outcome.DIVERGED, Outcome.FAILED):
        tunes, config = sweep.suggest()
        sweep.record(config, outcome, predicted_mib=150, capacity_mib=100)
        sweep.search.on_trial_complete(tunes)
    ran = [told(trial) for trial in sweep.study.trials[:7]]
    for url in (None, f"sqlite:///{tmp_path}/again.db"):
        again = build_study(sweep.facts, sweep.storage, url)
        assert [told(trial) for trial in again.trials[:7]] == ran
        assert [trial.state for trial in again.trials[7:]] == [TrialState.WAITING] * 5
        assert again.directions == sweep.study.directions
        assert again.metric_names == ["sample_quality", "peak_bytes", "tokens_per_second"]


@in_memory_and_sqlite
def test_what_was_under_way_is_proposed_again_first_under_its_number(sweep: Sweep) -> None:
    begun = [sweep.suggest() for _ in range(5)]
    for tunes, config in (begun[0], begun[3]):  # 1, 2 and 4 are under way when the process is killed
        sweep.record(config)
        sweep.search.on_trial_complete(tunes)
    sweep.restart()
    again = [sweep.suggest()[1] for _ in range(4)]
    assert again[:3] == [begun[1][1], begun[2][1], begun[4][1]]
    assert (again[3]["number"], again[3]["proposal"]) == (5, starting_points(PLAN)[5])


def test_a_sampled_trial_that_was_under_way_is_proposed_again(sweep: Sweep) -> None:
    sweep.run(13)
    lost = sweep.suggest()[1]
    sweep.restart()
    assert lost["number"] == 13
    assert sweep.suggest()[1] == lost


def test_a_proposal_that_was_not_written_leaves_its_number_to_another(sweep: Sweep) -> None:
    """Killed between the folder and the file of number 12, while 13 was written already."""
    sweep.run(12)
    (_, twelve), (_, thirteen) = sweep.suggest(), sweep.suggest()
    sweep.storage.delete_folder("trials/0012-abc123")
    Path(sweep.storage.uri, "trials/0012-abc123").mkdir()
    sweep.restart()
    again = [sweep.suggest()[1] for _ in range(3)]
    assert [config["number"] for config in again] == [12, 13, 14]
    assert again[1] == thirteen
    assert set(again[0]["proposal"]) == set(twelve["proposal"])


def test_numbers_are_never_given_twice_to_different_trials(sweep: Sweep) -> None:
    seen: dict[int, dict[str, Any]] = {}
    for _ in range(4):
        begun = [sweep.suggest() for _ in range(4)]
        for tunes, config in begun:
            assert seen.setdefault(config["number"], config) == config
            if config["number"] % 3:
                sweep.record(config)
                sweep.search.on_trial_complete(tunes)
        sweep.restart()
    assert sorted(seen) == list(range(len(seen)))


def test_a_second_build_replaces_the_first_study(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, f"sqlite:///{tmp_path}/study.db")
    sweep.run(2)
    sweep.suggest()
    for _ in range(2):
        sweep.restart()
        assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/study.db") == ["made-up"]
        assert sweep.states() == [TrialState.COMPLETE] * 2 + [TrialState.WAITING] * 10


def test_more_trials_asked_for_later_begin_with_the_same_points(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, trials=3)
    configs = sweep.run(3)
    sweep.facts = dataclasses.replace(sweep.facts, plan=dataclasses.replace(sweep.facts.plan, trials=14))
    sweep.restart()
    configs += sweep.run(11)
    assert [config["number"] for config in configs] == list(range(14))
    assert [config["proposal"] for config in configs[:12]] == starting_points(PLAN)


def test_after_the_starting_points_the_sampler_stays_inside_the_space(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    for config in sweep.run(20)[12:]:
        assert {name: config["proposal"][name] in values for name, values in PLAN.space.items()} == dict.fromkeys(
            PLAN.space, True
        )
        PLAN.settings(**config["proposal"])


def test_same_seed_and_history_give_the_same_proposals(tmp_path: Path) -> None:
    runs = [make_sweep(tmp_path / name, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))]
    first, second, other = ([config["proposal"] for config in sweep.run(18)] for sweep in runs)
    assert first == second
    assert first != other
    for sweep in runs[:2]:
        sweep.restart()
    after = [[sweep.suggest()[1]["proposal"] for _ in range(3)] for sweep in runs[:2]]
    assert after[0] == after[1]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_every_sampler_goes_on_after_a_crash_and_proposes_nothing_twice(tmp_path: Path, sampler: str) -> None:
    sweep = make_sweep(tmp_path, sampler=sampler, objectives=("sample_quality",), batch_sizes=(8,))  # 36 points
    configs = sweep.run(20)
    lost = sweep.suggest()[1]
    sweep.restart()
    assert sweep.suggest()[1] == lost
    configs += [lost, *sweep.run(15)]
    assert len({json.dumps(config["proposal"], sort_keys=True) for config in configs}) == 36
    assert [trial.state for trial in sweep.study.trials if trial.number != 20] == [TrialState.COMPLETE] * 35
    assert sweep.study.best_trial.number == 35  # the quality of the made-up records rises with their number


def test_random_weights_strive_for_two_figures(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, weights="random", objectives=("peak_bytes", "tokens_per_second"))
    tunes, config = sweep.suggest()
    sweep.record(config)
    sweep.search.on_trial_complete(tunes)
    assert sweep.study.metric_names == ["peak_bytes", "tokens_per_second"]
    assert sweep.study.trials[0].values == [100 * MIB, 1000.0]


def test_tune_keeps_no_copy_of_what_is_made_from_records(sweep: Sweep, tmp_path: Path) -> None:
    sweep.suggest()
    sweep.search.save(str(tmp_path / "searcher"))
    assert (tmp_path / "searcher").stat().st_size == 0
