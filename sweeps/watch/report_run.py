"""The sweep's own run in Weights & Biases: its report as an artifact, its trials as a table, its best model on request.

Its id is made from the sweep's, so a sweep that goes on writes into the same run.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.export import BEST, export_trial
from analysis.sweep_table.load import Sweep, load_sweep
from analysis.sweep_table.table import plain_row, trial_row
from data.errors import UserError
from sweeps.watch.wandb_session import WandbSession, troubles
from trainables.records.layout import LAYOUT
from trainables.records.storage import Storage
from trainables.records.sweep_folder import SweepFacts


def publish_sweep(storage: Storage, facts: SweepFacts, session: WandbSession, *, with_model: bool = False) -> None:
    """Write the sweep's run; its report must lie in `storage`. Why a model cannot be exported goes to stderr."""
    sweep = load_sweep(storage.uri)
    tags = [facts.question, "report"]
    run = session.open(
        f"sweep-{facts.token}",
        name=f"{facts.name} report",
        job_type="report",
        tags=tags,
        config={"options": asdict(facts.plan), "provenance": asdict(facts.provenance)},
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


def summary_of(sweep: Sweep) -> dict[str, Any]:
    """What the sweep's run says of it: what it strives for, which trials are on the front, the best one's row."""
    return {
        "trials": len(sweep.records),
        "objectives": list(sweep.facts.aims.names),
        "front": list(sweep.standing.front),
        "best": plain_row(trial_row(sweep.best)) if sweep.best is not None else {},
    }


def _write(run: Any, storage: Storage, facts: SweepFacts, sweep: Sweep, model_folder: str | None) -> None:
    import wandb

    rows = [trial_row(record) for record in sweep.records]
    if rows:
        cells: list[Any] = [list(plain_row(row).values()) for row in rows]
        run.log({"trials": wandb.Table(columns=list(plain_row(rows[0])), data=cells)})
    summary = summary_of(sweep)
    run.summary.update(summary)
    run.log_artifact(_report_artifact(storage, facts))
    if model_folder is None:
        return
    try:
        run.log_artifact(_model_artifact(facts, export_trial(storage.uri, BEST, model_folder), summary["best"]))
    except UserError as error:
        print(f"wandb: no model is uploaded: {' '.join(str(error).split())}", file=sys.stderr)


def _report_artifact(storage: Storage, facts: SweepFacts) -> Any:
    """The report and the trials' table beside it."""
    import wandb

    artifact = wandb.Artifact(f"report-{facts.name}", type="report", metadata={"sweep": facts.name})
    for name in (LAYOUT.report, f"{LAYOUT.table}.csv"):
        with artifact.new_file(name, encoding="utf-8") as file:
            file.write(storage.read_text(name))
    return artifact


def _model_artifact(facts: SweepFacts, folder: Path, metadata: dict[str, Any]) -> Any:
    import wandb

    artifact = wandb.Artifact(f"model-{facts.name}", type="model", metadata=metadata)
    artifact.add_dir(str(folder))
    return artifact
