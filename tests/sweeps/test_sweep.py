"""The main job for real: a Ray cluster of its own, Ray Train in Ray Tune, Optuna's study in SQLite, wandb offline."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import torch

from analysis.export import export_trial
from analysis.sweep_table.load import load_sweep
from tests.conftest import RunSweep
from tests.support.owed_fields import missing_fields
from tests.support.tuned_trial import draw_again
from tests.support.wandb_files import read_run
from trainables.memory.measuring.meter import ALLOWED_BYTES
from trainables.records.record import Outcome


@pytest.fixture(scope="module")
def smoke(run_sweep: RunSweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished smoke sweep's folder."""
    folder = tmp_path_factory.mktemp("smoke")
    done = run_sweep(folder, "--smoke", "--name", "first", "--wandb-model")
    assert done.returncode == 0, done.stderr
    return folder / "first"


def test_smoke_sweep_leaves_whole_records_and_a_report(smoke: Path) -> None:
    sweep = load_sweep(str(smoke))
    assert len(sweep.records) == 2
    assert [missing_fields(record) for record in sweep.records] == [[], []]
    assert {record.outcome for record in sweep.records} == {Outcome.FINISHED}
    assert all(record.left_over_bytes is not None for record in sweep.records)
    assert {(record.left_over_bytes or 0) <= ALLOWED_BYTES for record in sweep.records} == {True}
    assert (smoke / "report.html").stat().st_size > 1_000_000  # plotly is in it: it opens without a network


def test_peak_cuda_memory_is_null_with_a_reason_on_a_cpu(smoke: Path) -> None:
    for record in load_sweep(str(smoke)).records:
        assert record.report is not None
        memory = record.report.memory
        assert memory is not None
        assert memory.peak_cuda_reserved_bytes is None
        assert memory.cuda_absent_reason
        assert memory.counter == "cpu_probe_tensor_bytes"


def test_study_in_sqlite_holds_every_trial_and_none_is_left_running(smoke: Path) -> None:
    study = optuna.load_study(study_name="first", storage=f"sqlite:///{smoke}/study.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    for trial, record in zip(study.trials, load_sweep(str(smoke)).records, strict=True):
        assert trial.params["learning_rate"] == record.settings.learning_rate
        assert record.report is not None
        assert record.report.quality is not None
        assert trial.values[0] == record.report.quality.sample_quality


def test_every_trial_has_an_offline_wandb_run_of_its_own(smoke: Path) -> None:
    ids = {record.trial_id for record in load_sweep(str(smoke)).records}
    runs = [path.name.split("-", 3)[3] for path in (smoke / "wandb").glob("offline-run-*")]
    assert len(runs) == len(set(runs)) == 3
    (own,) = set(runs) - ids
    assert own.startswith("sweep-")


def test_the_sweep_has_a_run_with_its_report_and_on_request_its_best_model(smoke: Path) -> None:
    (folder,) = (smoke / "wandb").glob("offline-run-*-sweep-*")
    stored = read_run(folder)
    assert (stored.run.run_group, stored.run.job_type) == ("first", "report")
    assert (stored.summary["trials"], stored.summary["best"]["outcome"]) == (2, "finished")
    report, model = stored.artifacts["report-first"], stored.artifacts["model-first"]
    assert (report.kind, model.kind) == ("report", "model")
    assert report.files["report.html"].read_text() == (smoke / "report.html").read_text()
    assert {"model.safetensors", "tokenizer.json", "README.md"} <= set(model.files)
    assert all(path.stat().st_size for path in model.files.values())  # staged: the exported folder itself is gone


def test_exported_best_trial_writes_the_samples_of_its_record(smoke: Path, tmp_path: Path) -> None:
    folder = export_trial(str(smoke), "best", str(tmp_path / "model"))
    record = load_sweep(str(smoke)).best
    assert record is not None
    assert record.report is not None
    torch.set_num_threads(1)  # as each of two trials on two cores has
    assert draw_again(folder, record) == [sample.text for sample in record.report.samples]


def test_same_seed_gives_the_same_trials_and_the_same_losses(smoke: Path, run_sweep: RunSweep, tmp_path: Path) -> None:
    done = run_sweep(tmp_path, "--smoke", "--name", "again", "--wandb", "disabled")
    assert done.returncode == 0, done.stderr
    first, again = load_sweep(str(smoke)).records, load_sweep(str(tmp_path / "again")).records
    assert [record.settings for record in first] == [record.settings for record in again]
    for one, other in zip(first, again, strict=True):
        assert one.report is not None
        assert other.report is not None
        assert [point.loss for point in one.report.curve] == [point.loss for point in other.report.curve]
        assert one.report.evaluation == other.report.evaluation
        assert one.report.samples == other.report.samples
