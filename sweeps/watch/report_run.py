"""The sweep's own run in Weights & Biases: its report as an artifact, its trials as a table, its best model on request.

Its id is made from the sweep's, so a sweep that goes on writes into the same run.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from analysis.export import BEST, export_trial
from analysis.report import REPORT_NAME, TABLE_NAME
from analysis.sweep_table.front import best_record
from analysis.sweep_table.load import Sweep, load_sweep, objectives_of
from analysis.sweep_table.table import TrialRow, trial_row
from data.errors import UserError
from sweeps.watch.wandb_session import WandbSession, troubles
from trainables.records.layout import SweepFacts
from trainables.records.storage import Storage


def publish_sweep(storage: Storage, facts: SweepFacts, session: WandbSession, *, with_model: bool = False) -> None:
    """Write the sweep's run; its report must lie in `storage`. A model that cannot be exported is said on stderr."""
    sweep = load_sweep(storage.uri)
    tags = [facts.question, "report"]
    run = session.open(
        f"sweep-{facts.token}",
        name=f"{facts.name} report",
        job_type="report",
        tags=tags,
        config={"options": asdict(facts.plan), "provenance": facts.provenance},
    )
    if run is None:
        return
    try:
        with tempfile.TemporaryDirectory(prefix="model-") as scratch:
            _write(run, storage, facts, sweep, f"{scratch}/model" if with_model else None)
            session.close(run)  # while the model's files are still there
    except troubles() as error:
        session.give_up(run, error)
        print(f"wandb: the sweep's report is not mirrored; it lies in {storage.uri}.", file=sys.stderr)


def _write(run: Any, storage: Storage, facts: SweepFacts, sweep: Sweep, model_folder: str | None) -> None:
    import wandb

    rows = [trial_row(record) for record in sweep.records]
    cells: list[Any] = [list(asdict(row).values()) for row in rows]
    names: list[Any] = [field.name for field in fields(TrialRow)]
    run.log({"trials": wandb.Table(columns=names, data=cells)})
    best = best_record(sweep.records)
    told = asdict(trial_row(best)) if best is not None else {}
    run.summary.update({"trials": len(rows), "objectives": list(objectives_of(sweep)), "best": told})
    run.log_artifact(_report_artifact(storage, facts))
    if model_folder is None:
        return
    try:
        run.log_artifact(_model_artifact(facts, export_trial(storage.uri, BEST, model_folder), told))
    except UserError as error:
        print(f"wandb: no model is uploaded: {' '.join(str(error).split())}", file=sys.stderr)


def _report_artifact(storage: Storage, facts: SweepFacts) -> Any:
    """The report and the trials' table beside it."""
    import wandb

    artifact = wandb.Artifact(f"report-{facts.name}", type="report", metadata={"sweep": facts.name})
    for name in (REPORT_NAME, f"{TABLE_NAME}.csv"):
        with artifact.new_file(name, encoding="utf-8") as file:
            file.write(storage.read_text(name))
    return artifact


def _model_artifact(facts: SweepFacts, folder: Path, metadata: dict[str, Any]) -> Any:
    import wandb

    artifact = wandb.Artifact(f"model-{facts.name}", type="model", metadata=metadata)
    artifact.add_dir(str(folder))
    return artifact
