"""Real wandb runs, written offline and read back from their files; and what happens when the service is away."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from sweeps.watch.run_content import measured_anatomy_rows
from tests.support.mirrored_records import (
    FACTS,
    FAILED,
    FINISHED,
    HOSTILE,
    HUB,
    RANDOM,
    UNFIT,
    folders_of,
    made_records,
    stored,
    tracker_into,
)
from tests.support.record_factory import MIB, make_curve, make_record
from trainables.records.record import Outcome, WorkerReport

pytestmark = pytest.mark.usefixtures("own_wandb")


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tracker has mirrored the made-up records, as a sweep would have told it."""
    folder = tmp_path_factory.mktemp("mirrored")
    tracker = tracker_into(folder)
    for record in made_records():
        tracker.started(record.trial_id, record.settings)
        if record.report is not None and record.report.curve:
            tracker.progressed(record.trial_id, record.report.curve[:5], 12)
            tracker.progressed(record.trial_id, record.report.curve[:5], 12)
            tracker.progressed(record.trial_id, record.report.curve[:9], 12)
        tracker.ended(record)
    return folder


def test_each_trial_is_one_offline_run(mirrored: Path) -> None:
    assert len(list((mirrored / "wandb").glob("offline-run-*"))) == 5
    for record in made_records():
        assert stored(mirrored, record.trial_id).run.run_id == record.trial_id


def test_a_run_is_named_grouped_and_tagged(mirrored: Path) -> None:
    run = stored(mirrored, FINISHED).run
    assert run.display_name == f"nano-1m-bs16-lr3e-4-{FINISHED}"
    assert (run.run_group, run.project, run.job_type) == ("made-up", "galactica-sweeps", "trial")
    assert {"nano-1m", "batch_memory", "bs16", "finished"} == set(stored(mirrored, FINISHED).tags)
    assert stored(mirrored, HUB).run.display_name == f"owner-model-bs8-lr1e-3-{HUB}"


def test_the_config_is_all_that_the_trial_was_told_by_topic(mirrored: Path) -> None:
    config = stored(mirrored, FINISHED).config
    config = {name: value for name, value in config.items() if not name.startswith("_wandb")}
    assert set(config) == {"model", "train", "memory", "data", "sampling", "provenance"}
    assert config["model"]["name"] == "nano-1m"
    assert (config["train"]["learning_rate"], config["train"]["batch_size"]) == (3e-4, 16)
    assert (config["memory"]["micro_batch_size"], config["memory"]["gpu"]) == (4, "a10")
    assert (config["data"]["data"], config["data"]["fingerprint"]) == ("shipped", "5c1e")
    assert config["provenance"] == dataclasses.asdict(FACTS.provenance) | {
        "sweep": "made-up",
        "question": "batch_memory",
    }
    told = {name: value for topic in config.values() for name, value in topic.items()}
    settings = dataclasses.asdict(made_records()[0].settings)
    settings["name"] = settings.pop("model")
    assert settings.items() <= told.items()  # nothing that the trial was told is left out


def test_the_curve_is_logged_once_a_step(mirrored: Path) -> None:
    rows = [row for row in stored(mirrored, FINISHED).history if "train/loss" in row]
    curve = make_curve(3e-4)
    assert [row["_step"] for row in rows] == list(range(1, 13))
    assert [row["train/loss"] for row in rows] == pytest.approx([point.loss for point in curve])
    assert [row["train/tokens"] for row in rows] == [point.tokens for point in curve]
    assert {row["train/learning_rate"] for row in rows} == {3e-4}


def test_the_summary_holds_outcome_memory_quality_and_speed(mirrored: Path) -> None:
    summary = stored(mirrored, FINISHED).summary
    assert (summary["outcome"], summary["tokens_per_second"]) == ("finished", 1234.5)
    assert (summary["peak_bytes_measured"], summary["memory_measured"]["peak_bytes"]) == (64 * MIB, 64 * MIB)
    assert summary["memory_measured"]["counter"] == "cpu_probe_tensor_bytes"
    assert (summary["sample_quality"], summary["spill_over"]) == (0.625, 0.1)
    assert summary["style"] == pytest.approx(0.85)  # between 0.9 on seen keywords and 0.8 on unseen ones
    assert summary["quality"]["sample_quality"] == 0.625
    assert summary["evaluation"]["quote_loss"] == 3.1


def test_predicted_memory_never_stands_under_the_name_of_the_measured(mirrored: Path) -> None:
    summary = stored(mirrored, UNFIT).summary
    assert summary["outcome"] == "predicted_not_to_fit"
    assert summary["memory_predicted"]["allocated_bytes"] == 150 * MIB
    assert summary["peak_bytes_predicted"] == 150 * MIB
    assert not [name for name in summary if name.startswith("memory") and "predicted" not in name]
    assert "peak_bytes_measured" not in summary
    assert "Predicted: 150 MiB allocated" in summary["error"]
    assert "predicted_not_to_fit" in stored(mirrored, UNFIT).tags


def test_a_failed_trial_says_why_and_ends_as_failed(mirrored: Path) -> None:
    failed = stored(mirrored, FAILED)
    assert (failed.summary["outcome"], failed.summary["error"], failed.exit_code) == ("failed", "worker died", 1)
    assert stored(mirrored, FINISHED).exit_code == 0
    assert stored(mirrored, UNFIT).exit_code == 0


def table(folder: Path, trial_id: str, name: str) -> list[dict[str, Any]]:
    """The rows of a run's table; `name` is the first part of its file's name."""
    (run_folder,) = folders_of(folder, trial_id)
    (path,) = (run_folder / "files" / "media" / "table").rglob(f"{name}_*.table.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def samples_table(folder: Path, trial_id: str) -> list[dict[str, str]]:
    return table(folder, trial_id, "samples")


def test_the_anatomy_is_a_table_of_predictions_and_the_timeline_one_of_measurements(mirrored: Path) -> None:
    anatomy = table(mirrored, FINISHED, "anatomy_predicted_table")
    quarter = (
        int(64 * 1.04 * MIB) // 4
    )  # the made-up record predicts 4% more than was measured, a quarter of it weights
    assert anatomy == [
        {"component": "weights", "predicted_bytes": quarter, "predicted_for": "this machine"},
    ]
    assert table(mirrored, FINISHED, "timeline_measured_table") == [
        {"phase": "backward", "measured_peak_bytes": 64 * MIB, "counter": "cpu_probe_tensor_bytes"}
    ]
    assert table(mirrored, UNFIT, "anatomy_predicted_table")
    (unfit,) = folders_of(mirrored, UNFIT)
    assert not list(unfit.rglob("*timeline_measured*"))
    shown = {chart["panel_config"]["panelDefId"] for chart in stored(mirrored, FINISHED).charts.values()}
    assert shown == {"wandb/bar/v0"}  # drawn on the run's page without any set-up


def test_measured_components_are_rows_of_their_own() -> None:
    record = made_records()[0]
    assert record.report is not None
    assert record.report.memory is not None
    assert measured_anatomy_rows(record) == []
    memory = dataclasses.replace(record.report.memory, components={"loss": 24, "weights": 40})
    record = dataclasses.replace(record, report=dataclasses.replace(record.report, memory=memory))
    assert measured_anatomy_rows(record) == [["weights", 40], ["loss", 24]]


def test_losses_are_drawn_against_tokens_without_set_up(mirrored: Path) -> None:
    assert stored(mirrored, FINISHED).axes["train/loss"] == "train/tokens"


def test_samples_stand_beside_the_base_model(mirrored: Path) -> None:
    rows = samples_table(mirrored, FINISHED)
    assert [row["prompt"] for row in rows] == ["hope:", "virus:", "phosphorylation:"]
    assert rows[0] == {
        "prompt": "hope:",
        "kind": "seen",
        "seed": 0,
        "base": "hope was measured in 42 samples, and the mean was lower than in the control group [1].",
        "tuned": "Hope is the thing that keeps the lamp lit.",
    }
    assert not list(folders_of(mirrored, RANDOM)[0].rglob("samples*"))


def test_hostile_text_in_samples_stays_text(mirrored: Path) -> None:
    rows = samples_table(mirrored, HUB)
    assert rows[0]["prompt"] == f"{HOSTILE}:"
    assert rows[0]["tuned"] == HOSTILE
    # A plain table cell, which wandb's page escapes: no media type that would render it.
    media = [path for path in folders_of(mirrored, HUB)[0].rglob("media/**/*") if path.is_file()]
    assert {path.suffixes[-2] + path.suffix for path in media} == {".table.json"}


def test_a_trial_that_was_mirrored_is_not_mirrored_again(mirrored: Path) -> None:
    assert (mirrored / "trials" / FINISHED / "mirrored-to-wandb").read_text() == "offline"
    before = folders_of(mirrored, FINISHED)
    record = made_records()[0]
    tracker = tracker_into(mirrored)
    tracker.started(record.trial_id, record.settings)
    tracker.progressed(record.trial_id, make_curve(3e-4), 12)
    tracker.ended(record)
    assert folders_of(mirrored, FINISHED) == before


def test_report_of_a_trial_without_any_figure_is_mirrored(tmp_path: Path) -> None:
    report = WorkerReport(outcome=Outcome.OUT_OF_MEMORY, device="cpu", error="out of memory")
    record = make_record(2, trial_id=UNFIT, outcome=Outcome.OUT_OF_MEMORY, report=report, prediction=None)
    tracker = tracker_into(tmp_path)
    tracker.started(record.trial_id, record.settings)
    tracker.ended(record)
    assert "out_of_memory" in stored(tmp_path, UNFIT).tags
    summary = stored(tmp_path, UNFIT).summary
    assert (summary["outcome"], summary["error"]) == ("out_of_memory", "out of memory")
