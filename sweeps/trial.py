"""One trial as a Ray Tune function: predict, train through Ray Train, and write exactly one record."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweeps.layout import SweepFacts, load_record, store_record
from sweeps.objectives import objectives_of, verdict
from sweeps.space import to_settings
from trainables.job import TrialJob, report_path
from trainables.memory.closed_form import ModelShape
from trainables.memory.oom_card import oom_card
from trainables.memory.predict import predict
from trainables.memory.remedies import remedies
from trainables.models import find_model, tokenizer_location
from trainables.record_json import report_from_json
from trainables.records import MemoryPrediction, Outcome, Provenance, TrialRecord, WorkerReport
from trainables.settings import TrialSettings
from trainables.storage import Storage, open_storage


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """What all trials of a sweep share."""

    facts: SweepFacts
    sweep_uri: str
    shapes: dict[str, ModelShape]
    provenance: Provenance
    cpu_threads: int


def run_trial(config: dict[str, Any], context: TrialContext) -> None:
    """Run the trial that `config` proposes and report its objectives to Tune."""
    from ray import tune

    storage = open_storage(context.sweep_uri)
    record = load_record(storage, config["trial_id"])
    if record is None:
        record = _record(config, context, storage)
        store_record(storage, record)
    objectives = objectives_of(context.facts.plan)
    told = verdict(record, objectives)
    tune.report({objective.name: value for objective, value in zip(objectives, told.values, strict=True)})


def _record(config: dict[str, Any], context: TrialContext, storage: Storage) -> TrialRecord:
    started, clock = datetime.now(UTC), time.monotonic()
    plan = context.facts.plan
    settings = to_settings(plan, config["proposal"])
    prediction, card_prediction = _predictions(settings, context)
    report, outcome = None, Outcome.PREDICTED_NOT_TO_FIT
    if prediction.fits:
        report = _train(settings, config["trial_id"], context, storage)
        outcome = report.outcome
    return TrialRecord(
        trial_id=config["trial_id"],
        number=config["number"],
        sweep=context.facts.name,
        settings=settings,
        outcome=outcome,
        prediction=prediction,
        card_prediction=card_prediction,
        memory_explanation=_explanation(outcome, settings, prediction, context),
        report=report,
        provenance=replace(context.provenance, tokenizer=_tokenizer_name(settings)),
        started_at=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
    )


def _predictions(settings: TrialSettings, context: TrialContext) -> tuple[MemoryPrediction, MemoryPrediction | None]:
    """For the device that trains, and from a CPU for the named card as well."""
    plan, shape = context.facts.plan, context.shapes[settings.model]
    on_card = predict(settings, shape, gpu=plan.gpu, capacity_bytes=plan.capacity_bytes, on_cuda=True)
    if plan.on_cuda:
        return on_card, None
    return predict(settings, shape, gpu=None, capacity_bytes=plan.memory_cap_bytes, on_cuda=False), on_card


def _explanation(
    outcome: Outcome, settings: TrialSettings, prediction: MemoryPrediction, context: TrialContext
) -> str | None:
    """Why a trial had no room, and what would make some; None for a trial that had."""
    if outcome not in (Outcome.OUT_OF_MEMORY, Outcome.PREDICTED_NOT_TO_FIT):
        return None
    shape, on_cuda = context.shapes[settings.model], context.facts.plan.on_cuda
    return oom_card(prediction, None, remedies(settings, shape, prediction, on_cuda=on_cuda))


def _train(settings: TrialSettings, trial_id: str, context: TrialContext, storage: Storage) -> WorkerReport:
    """Train through Ray Train; an earlier run of the same trial is resumed from its checkpoint.

    The workers' own word counts. Only where they left none does the error that ended them become the report.
    """
    if storage.exists(report_path(trial_id)):
        return report_from_json(storage.read_text(report_path(trial_id)))
    job = TrialJob(settings=settings, sweep_uri=context.sweep_uri, trial_id=trial_id, cpu_threads=context.cpu_threads)
    error = None
    try:
        _fit(job, context)
    except Exception as caught:  # noqa: BLE001 - the one place where whatever ended a trial becomes its record
        error = caught
    if storage.exists(report_path(trial_id)):
        return report_from_json(storage.read_text(report_path(trial_id)))
    return WorkerReport(outcome=Outcome.FAILED, device="unknown", error=_one_line(error))


def _fit(job: TrialJob, context: TrialContext) -> None:
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from trainables.fine_tune import train_worker

    plan = context.facts.plan
    TorchTrainer(
        train_worker,
        train_loop_config=asdict(job),
        scaling_config=ScalingConfig(
            num_workers=plan.workers,
            use_gpu=plan.on_cuda,
            resources_per_worker=worker_resources(plan.on_cuda, context.cpu_threads),
        ),
        torch_config=TorchConfig(backend="nccl" if plan.on_cuda else "gloo"),
        run_config=RunConfig(
            name=job.trial_id,
            storage_path=open_storage(context.sweep_uri).child("trials").uri,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    ).fit()


def _tokenizer_name(settings: TrialSettings) -> str:
    source = find_model(settings.model)
    location = tokenizer_location(source, settings.weights)
    return settings.model if location == source.location else f"{Path(location).name}, standing in for the model's own"


def worker_resources(on_cuda: bool, cpu_threads: int) -> dict[str, float]:
    """What one worker asks of Ray; a little less than its CPUs, so that the trial's driver fits beside it."""
    return {"CPU": cpu_threads - 0.2, **({"GPU": 1} if on_cuda else {})}


def _one_line(error: BaseException | None) -> str:
    failures = getattr(error, "worker_failures", None)
    cause = next(iter(failures.values())) if failures else error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no message'}"
