"""The engine that all sweeps share: from command-line arguments to records, end table and report."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from data.errors import UserError
from sweeps.dashboard import Board
from sweeps.follow import Follower, Listener
from sweeps.layout import load_history
from sweeps.live_table import LiveTable, print_end
from sweeps.options import CommonOptions, exit_with, parse_options
from sweeps.plan import Device, detect_device
from sweeps.prepare import Prepared, prepare_new, prepare_resumed
from sweeps.questions import QUESTIONS
from sweeps.space import space_size, starting_points, to_settings
from sweeps.tracking import WandbTracker, choose_mode
from trainables.records import Outcome, Provenance, TrialRecord
from trainables.settings import TrialSettings

LOST_DRIVERS = 20  # times that one trial's driver may be lost with its process or node, and start again
MAX_CPU_TRIALS = 4  # at the same time: each takes about 1.5 GB in its three processes


def main(name: str, description: str, arguments: Sequence[str]) -> int:
    """Run the sweep of the question `name` from the command line.

    Returns: 0 when every trial has a record and none failed, 1 when one is missing or failed, 2 for a person's mistake.
    """
    question = QUESTIONS[name]
    try:
        options = parse_options(arguments, description, question.options)
        device = detect_device()
        prepare = prepare_resumed if options.resume else prepare_new
        prepared = prepare(question, options, device)
    except UserError as error:
        return exit_with(error)
    for note in prepared.notes:
        print(note)
    if options.dry_run:
        _print_dry_run(prepared)
        return 0
    return _run(prepared, options, device)


def _run(prepared: Prepared, options: CommonOptions, device: Device) -> int:
    plan, storage = prepared.facts.plan, prepared.storage
    question = QUESTIONS[plan.question]
    owed = min(plan.trials, space_size(plan))
    if owed < plan.trials:
        print(f"The space holds {owed} different trials; running these.")
    print(f"Sweep {prepared.facts.name}: {owed} trials on {_device_text(device)}, into {storage.uri}", flush=True)
    with ExitStack() as stack:
        table = stack.enter_context(LiveTable(columns=question.columns))
        stack.enter_context(Follower(storage, prepared.facts, [table]))
        mode = choose_mode(options.wandb)
        if mode != "disabled":
            folder = Path(storage.uri) if storage.is_local else Path.cwd()
            tracker: Listener = WandbTracker(storage, prepared.facts, folder, mode)
            stack.enter_context(Follower(storage, prepared.facts, [tracker]))
        board = stack.enter_context(Board(storage.uri))
        _tune(prepared, options, device, owed, board)
    records = _records(prepared)
    print_end(records, question=question)
    _print_next(prepared, records, owed)
    failed = [record for record in records if record.outcome is Outcome.FAILED]
    return 1 if failed or len(records) < owed else 0


def _tune(prepared: Prepared, options: CommonOptions, device: Device, owed: int, board: Board) -> None:
    """Run what is owed and has no record yet."""
    remaining = owed - len(_records(prepared))
    if remaining <= 0:
        return
    plan = prepared.facts.plan
    concurrent = options.max_concurrent or _default_concurrency(device, plan.workers)
    threads = max(1, device.cpus // (concurrent * plan.workers))
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")  # how often the controller looks; 2 s by default
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our own table stands in for Tune's
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

    import ray
    from ray import tune

    from sweeps.search import RecordSearch, build_study
    from sweeps.trial import TrialContext, run_trial

    _start_ray(device, board)
    try:
        study_url = f"sqlite:///{prepared.storage.uri}/study.db" if prepared.storage.is_local else None
        study = build_study(prepared.facts, prepared.storage, study_url)
        context = TrialContext(
            facts=prepared.facts,
            sweep_uri=prepared.storage.uri,
            shapes=prepared.shapes,
            provenance=Provenance(**prepared.facts.provenance),
            cpu_threads=threads,
        )
        with tempfile.TemporaryDirectory(prefix="sweep-") as scratch:
            tune.Tuner(
                tune.with_resources(tune.with_parameters(run_trial, context=context), {"cpu": 0.1}),
                tune_config=tune.TuneConfig(
                    search_alg=RecordSearch(prepared.facts, prepared.storage.uri, study),
                    num_samples=remaining,
                    max_concurrent_trials=concurrent,
                    reuse_actors=True,  # a driver process imports torch once, not once a trial
                ),
                # Tune's own files are scratch: records and checkpoints lie in the sweep's storage.
                run_config=tune.RunConfig(
                    name=prepared.facts.name,
                    storage_path=scratch,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=LOST_DRIVERS),
                ),
            ).fit()
    finally:
        ray.shutdown()


def _start_ray(device: Device, board: Board) -> None:
    """Join the cluster that RAY_ADDRESS names, else start one on this machine, its dashboard on loopback only."""
    import ray

    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
        print(f"Board: {board.address}", flush=True)
        return
    board.announce()
    ray.init(
        address="local",
        num_cpus=device.cpus,
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    dashboard = f"http://{ray.get_runtime_context().worker.node.webui_url}"
    board.allow(dashboard)
    print(f"Ray dashboard: {dashboard}\nBoard: {board.address}, also in the dashboard's Metrics tab", flush=True)


def _default_concurrency(device: Device, workers: int) -> int:
    units = device.gpus if device.on_cuda else min(device.cpus, MAX_CPU_TRIALS)
    return max(1, units // workers)


def _records(prepared: Prepared) -> list[TrialRecord]:
    history = load_history(prepared.storage)
    return [record for _, (_, record) in sorted(history.items()) if record is not None]


def _device_text(device: Device) -> str:
    return f"{device.gpus} GPU" if device.on_cuda else f"{device.cpus} CPU cores (no CUDA GPU found)"


def _print_next(prepared: Prepared, records: Sequence[TrialRecord], owed: int) -> None:
    from analysis.report import write_report

    place = os.path.relpath(prepared.storage.uri) if prepared.storage.is_local else prepared.storage.uri
    if len(records) < owed:
        print(f"{owed - len(records)} of {owed} trials have no record; run again with --resume.", file=sys.stderr)
    if records:
        print(f"Report: {write_report(prepared.storage.uri)}")
    print(f"Records: {place}/trials/")
    print(f"Again:   python analysis/report.py {place}")


def _print_dry_run(prepared: Prepared) -> None:
    from analysis.table import memory_text, rate_text
    from trainables.memory.predict import predict

    plan = prepared.facts.plan
    points = starting_points(plan)
    owed = min(plan.trials, space_size(plan))
    print(f"Would run {owed} trials into {prepared.storage.uri}; the first {len(points)}:")
    for number, point in enumerate(points):
        settings = to_settings(plan, point)
        predicted = predict(
            settings,
            prepared.shapes[settings.model],
            gpu=plan.gpu,
            capacity_bytes=plan.capacity_bytes,
            on_cuda=True,
        )
        needed = f"predicted {memory_text(predicted.device_bytes)} on {plan.gpu}"
        fits = "fits" if predicted.fits else "does not fit"
        print(
            f"  {number:2d}  {settings.model}  batch {settings.batch_size}  micro-batch {settings.micro_batch_size}"
            f"  lr {rate_text(settings.learning_rate)}{_dose(settings)}  {needed}: {fits}"
        )


def _dose(settings: TrialSettings) -> str:
    if settings.epochs is None:
        return ""
    return f"  epochs {settings.epochs:g}  replay {settings.replay_ratio:g}  {settings.token_budget:,} tokens"
