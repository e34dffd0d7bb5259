"""Sweeps that are killed, have two workers a trial, little memory or no micro-batch given: each for real."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import optuna

from analysis.sweep_table.load import load_sweep
from tests.conftest import RunSweep
from tests.support.owed_fields import missing_fields
from tests.support.waiting import wait_until
from trainables.records.record import Outcome

SMALL = ("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "--micro-batch-sizes", "4", "--token-budget", "4000")
ONE_BY_ONE = ("--max-concurrent", "1")  # one controller and one worker are started, not two
RANDOM = ("--weights", "random", "--wandb", "disabled")  # where memory and records are all that is asked


def test_killed_sweep_goes_on_with_resume_and_no_record_is_lost_or_doubled(
    sweep_environment: dict[str, str], sweep_command: list[str], run_sweep: RunSweep, tmp_path: Path
) -> None:
    flags = ("--name", "killed", "--trials", "3", *ONE_BY_ONE, *RANDOM, *SMALL, "--token-budget", "30000")
    process = subprocess.Popen(
        [*sweep_command, "--storage", str(tmp_path), *flags],
        env=sweep_environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    trials = tmp_path / "killed" / "trials"
    try:
        wait_until(lambda: len(list(trials.glob("*/record.json"))) == 1, "the first record")
        wait_until(lambda: list(trials.glob("0001-*/checkpoints/*/manifest-0.json")), "a checkpoint of the second")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path: path.read_text() for path in trials.glob("*/record.json")}
    assert 1 <= len(before) < 3

    done = run_sweep(tmp_path, "--name", "killed", "--resume")

    assert done.returncode == 0, done.stderr
    sweep = load_sweep(str(tmp_path / "killed"))
    assert [record.number for record in sweep.records] == [0, 1, 2]
    assert len({json.dumps(str(record.settings)) for record in sweep.records}) == 3
    assert all(path.read_text() == text for path, text in before.items())
    resumed = sweep.records[1].report
    assert resumed is not None
    assert resumed.resumed_from_step
    assert [point.step for point in resumed.curve] == sorted({point.step for point in resumed.curve})
    assert not sweep.unreadable


def test_two_workers_train_one_trial_together(run_sweep: RunSweep, tmp_path: Path) -> None:
    done = run_sweep(
        tmp_path, "--name", "pair", "--trials", "1", "--workers-per-trial", "2", "--wandb", "disabled", *SMALL
    )
    assert done.returncode == 0, done.stderr
    (record,) = load_sweep(str(tmp_path / "pair")).records
    assert record.outcome is Outcome.FINISHED
    assert record.settings.accumulation_steps == 1  # 8 sequences = 4 x 2 workers
    assert missing_fields(record) == []


def test_trials_beyond_the_memory_cap_become_records_of_their_own_kind(run_sweep: RunSweep, tmp_path: Path) -> None:
    # 16 MiB: below what a micro-batch of 8 holds, above weights and optimizer states of 0.3M parameters (about 4 MiB).
    flags = (*SMALL[:4], "--micro-batch-sizes", "1", "8", "--token-budget", "4000", "--learning-rates", "1e-3", *RANDOM)
    done = run_sweep(tmp_path, "--name", "capped", "--memory-cap", "16MiB", *ONE_BY_ONE, *flags)
    assert done.returncode == 0, done.stderr
    records = {record.settings.micro_batch_size: record for record in load_sweep(str(tmp_path / "capped")).records}
    assert records[1].outcome is Outcome.FINISHED
    assert records[8].outcome in (Outcome.OUT_OF_MEMORY, Outcome.PREDICTED_NOT_TO_FIT)
    assert [missing_fields(record) for record in records.values()] == [[], []]


def test_a_micro_batch_that_nobody_gave_is_the_largest_that_fits_also_after_resume(
    run_sweep: RunSweep, tmp_path: Path
) -> None:
    # Measured peaks, README: nano-0.3m 18.8 MiB with 2 sequences, 60.9 with 8, so 4 take 33; nano-1m 38.3 with 2, 59.6
    # with 4. Under 45 MiB they get 4 and 2.
    flags = ("--model-sizes", "nano-0.3m", "nano-1m", "--batch-sizes", "8", "--micro-batch-sizes", "auto")
    flags = (*flags, "--learning-rates", "1e-3", "--token-budget", "4000", "--memory-cap", "45MiB")
    flags = (*flags, *RANDOM)
    for more in (("--trials", "1"), ("--resume", "--trials", "2")):
        done = run_sweep(tmp_path, "--name", "auto", *flags, *more)
        assert done.returncode == 0, done.stderr
    records = load_sweep(str(tmp_path / "auto")).records
    assert {record.settings.model: record.settings.micro_batch_size for record in records} == {
        "nano-0.3m": 4,
        "nano-1m": 2,
    }
    assert [(record.outcome, record.automatic_micro_batch) for record in records] == [(Outcome.FINISHED, True)] * 2
    assert f"micro {records[1].settings.micro_batch_size} " in done.stdout
    study = optuna.load_study(study_name="auto", storage=f"sqlite:///{tmp_path}/auto/study.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    assert "micro_batch_size" not in study.trials[0].params
