"""One trial as a Ray Tune function: predict, train through Ray Train, and write exactly one record."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweeps.planning.node_kinds import NodeKind
from sweeps.planning.placement import Placement, cpu_of, named_card, place_trial
from sweeps.planning.space import to_settings
from sweeps.run.attempts import Attempts
from sweeps.run.failures import FRUITLESS_ATTEMPTS, cause_line, classify, is_hopeless, wait_seconds
from sweeps.run.workers import WorkerSpec, workers_for
from sweeps.search.early_stopping import ProgressReports
from sweeps.search.limits import STORAGE_ERROR, price_of
from sweeps.search.memory_guard import Expected
from sweeps.search.objectives import verdict
from trainables.memory.cards import Card
from trainables.memory.correction import corrected
from trainables.memory.explaining.oom_card import explain_no_room
from trainables.memory.predict import predict_worker
from trainables.model.models import ModelShape, find_model, tokenizer_location
from trainables.records.documents import report_from_json
from trainables.records.layout import LAYOUT
from trainables.records.record import (
    FailureKind,
    MemoryPrediction,
    Outcome,
    Provenance,
    TrialRecord,
    WorkerReport,
)
from trainables.records.settings import TrialSettings
from trainables.records.storage import Storage, open_storage
from trainables.records.sweep_folder import SweepFacts, load_record, store_record
from trainables.training.checkpoint_store import CheckpointStore
from trainables.working.job import TrialJob


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """What all trials of a sweep share. `kinds` are a joined cluster's kinds of nodes."""

    facts: SweepFacts
    sweep_uri: str
    shapes: dict[str, ModelShape]
    provenance: Provenance
    cpu_threads: int
    kinds: tuple[NodeKind, ...] = ()
    price_per_gpu_hour: float | None = None


class StorageLostError(OSError):
    """The sweep's storage refuses what the workers write."""


def run_trial(config: dict[str, Any], context: TrialContext) -> None:
    """Run the trial that `config` proposes and report its objectives to Tune."""
    from ray import tune

    storage, plan = open_storage(context.sweep_uri), context.facts.plan
    try:
        record = load_record(storage, config["trial_id"])
        if record is None:
            record = _record(config, context, storage)
            store_record(storage, record)
    except OSError as error:  # nothing can be told of the trial: it is owed, and the sweep ends
        tune.report({STORAGE_ERROR: cause_line(error)} | dict.fromkeys(plan.objectives, 0.0))
        return
    tune.report(dict(zip(plan.objectives, verdict(record, plan).values, strict=True)))


def _record(config: dict[str, Any], context: TrialContext, storage: Storage) -> TrialRecord:
    started, clock = datetime.now(UTC), time.monotonic()
    plan, trial_id = context.facts.plan, config["trial_id"]
    settings = to_settings(plan, config["proposal"])
    rows = plan.as_laid_out(settings)  # what decides memory
    attempts = Attempts(storage, trial_id)
    prediction = card_prediction = report = explanation = failure = None
    placement = None
    outcome = Outcome.PREDICTED_NOT_TO_FIT
    try:
        expected: Expected = config["expected"]
        placement = expected.placement or place_trial(settings, plan, context.shapes, context.kinds)
        prediction = corrected(placement.prediction, expected.correction)
        if not plan.on_cuda:  # for the named card as well
            card_prediction = predict_worker(rows, context.shapes[settings.model], named_card(plan))
        if prediction.fits:
            report, failure = _train(settings, trial_id, context, storage, attempts, placement)
            outcome = report.outcome
            if plan.on_cuda and report.device == "cpu":  # GPUs that were declared, on machines that have none
                on_cpu = predict_worker(rows, context.shapes[settings.model], cpu_of(plan))
                prediction, card_prediction = on_cpu, prediction
        explanation = _explanation(outcome, report, rows, prediction, context)
    except StorageLostError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where whatever ended a trial becomes its record
        storage.write_text(LAYOUT.trial(trial_id).error, traceback.format_exc())
        outcome, failure = Outcome.FAILED, classify(error)
        report = WorkerReport(outcome=outcome, device="unknown", error=cause_line(error))
    has_gpus = plan.on_cuda and not (report and report.device == "cpu")
    gpu_seconds = attempts.seconds * settings.workers if has_gpus else 0.0
    return TrialRecord(
        trial_id=trial_id,
        number=config["number"],
        sweep=context.facts.name,
        settings=settings,
        outcome=outcome,
        prediction=prediction,
        card_prediction=card_prediction,
        memory_explanation=explanation,
        report=report,
        provenance=_provenance(settings, context, placement),
        started_at=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
        failure=failure,
        interruptions=attempts.interruptions,
        gpu_seconds=gpu_seconds,
        left_over_bytes=attempts.left_over_bytes,
        price=price_of(gpu_seconds, context.price_per_gpu_hour),
        automatic_micro_batch=plan.has_automatic_micro_batch,
    )


def _explanation(
    outcome: Outcome,
    report: WorkerReport | None,
    settings: TrialSettings,
    prediction: MemoryPrediction,
    context: TrialContext,
) -> str | None:
    """Why a trial had no room, and what would make some; None for a trial that had."""
    if outcome not in (Outcome.OUT_OF_MEMORY, Outcome.PREDICTED_NOT_TO_FIT):
        return None
    card = Card(name=prediction.gpu, capacity_bytes=prediction.capacity_bytes, on_cuda=context.facts.plan.on_cuda)
    return explain_no_room(settings, context.shapes[settings.model], prediction, card, report)


def _train(
    settings: TrialSettings,
    trial_id: str,
    context: TrialContext,
    storage: Storage,
    attempts: Attempts,
    placement: Placement,
) -> tuple[WorkerReport, FailureKind | None]:
    """Train through Ray Train until the workers have reported how it ended, or there is no hope of that.

    The workers' own word counts: where they left a report, it is the trial's. Where they were lost, another attempt
    goes on from the newest checkpoint that is whole.

    Raises: StorageLostError where the sweep's storage refuses for good, which is no fault of the trial's.
    """
    spec, threads = _worker_spec(settings, context, placement), context.cpu_threads
    if placement.kind is not None:
        threads = max(1, int(placement.kind.cpus_per_gpu))
    stops_early = context.facts.plan.early_stopping is not None
    job = TrialJob(
        settings=settings,
        sweep_uri=context.sweep_uri,
        trial_id=trial_id,
        cpu_threads=threads,
        stops_early=stops_early,
        language_model=context.facts.plan.language_model,
    )
    on_look = ProgressReports(storage, trial_id) if stops_early else None
    checkpoints = CheckpointStore(storage, trial_id, workers=settings.workers)
    fruitless, newest = 0, _newest(checkpoints)
    while not storage.exists(LAYOUT.trial(trial_id).report):
        attempts.begin()
        group = workers_for(spec)
        error = group.run(job, on_look)
        if error is None or storage.exists(LAYOUT.trial(trial_id).report):
            attempts.end(left_over_bytes=group.left_over_bytes)
            continue
        kind, reason = classify(error), cause_line(error)
        reached = _newest(checkpoints)
        fruitless, newest = (0 if reached > newest else fruitless + 1), reached
        if kind is FailureKind.STORAGE and (is_hopeless(error) or fruitless > FRUITLESS_ATTEMPTS):
            attempts.end(kind, reason)
            raise StorageLostError(reason)
        if kind is FailureKind.BUG or fruitless > FRUITLESS_ATTEMPTS:
            attempts.end()
            storage.write_text(LAYOUT.trial(trial_id).error, str(error))
            return WorkerReport(outcome=Outcome.FAILED, device="unknown", error=reason), kind
        attempts.end(kind, reason)
        time.sleep(wait_seconds(fruitless))
    return report_from_json(storage.read_text(LAYOUT.trial(trial_id).report)), None


def _newest(checkpoints: CheckpointStore) -> int:
    return max(checkpoints.steps(), default=-1)


def _worker_spec(settings: TrialSettings, context: TrialContext, placement: Placement) -> WorkerSpec:
    from torch.distributed import is_nccl_available

    on_cuda = context.facts.plan.on_cuda
    kind = placement.kind
    return WorkerSpec(
        workers=settings.workers,
        use_gpu=on_cuda,
        resources=worker_resources(on_cuda, context.cpu_threads if kind is None else kind.cpus_per_gpu),
        backend="nccl" if on_cuda and is_nccl_available() else "gloo",
        sweep_uri=context.sweep_uri,
        accelerator=kind.accelerator if kind else None,
        on_one_node=kind is not None and settings.workers <= kind.gpus,
    )


def _provenance(settings: TrialSettings, context: TrialContext, placement: Placement | None) -> Provenance:
    origin = find_model(settings.model).origin if settings.weights == "pretrained" else ""
    provenance = replace(context.provenance, tokenizer=_tokenizer_name(settings), model_origin=origin)
    kind = placement.kind if placement else None
    if kind is None:
        return provenance
    return replace(provenance, device=f"{settings.workers} x {kind.card.name or 'GPU'}, node kind {kind.name}")


def _tokenizer_name(settings: TrialSettings) -> str:
    source = find_model(settings.model)
    location = tokenizer_location(source, settings.weights)
    return settings.model if location == source.location else f"{Path(location).name}, standing in for the model's own"


def worker_resources(on_cuda: bool, cpus: float) -> dict[str, float]:
    """What one worker asks of Ray; a little less than its `cpus`, so that the trial's driver fits beside it."""
    return {"CPU": cpus - 0.2 if cpus >= 1 else 0.8 * cpus, **({"GPU": 1} if on_cuda else {})}
