"""The engine that all sweeps share: from command-line arguments to records, end table and report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from data.command_line import INTERRUPTED, refuse
from data.doing import doing
from data.shown_command import argument_of, shown_command
from sweeps.planning.device import Device
from sweeps.planning.options import OptionsError, SweepOptions
from sweeps.planning.questions import Question, script_of
from sweeps.planning.ray_start import RayStartError
from sweeps.planning.space import starting_points, to_settings, trials_owed
from sweeps.run.dashboard import Board
from sweeps.run.interrupt import Interrupt
from sweeps.run.prepare import Prepared, prepare_new, prepare_resumed
from sweeps.run.sole_driver import sole_driver
from sweeps.run.tuning import Tuning
from sweeps.search.limits import cost_text
from sweeps.watch.follow import Follower, Listener
from sweeps.watch.gauges import Gauges
from sweeps.watch.live_table import LiveTable, check_columns, columns_of, print_end
from sweeps.watch.outlook import Outlook
from sweeps.watch.report_run import publish_sweep
from sweeps.watch.tracking import WandbTracker
from sweeps.watch.wandb_session import WandbSession, choose_mode
from trainables.records.layout import LAYOUT
from trainables.records.places import StorageError, parent_address
from trainables.records.plan import SweepPlan
from trainables.records.record import Outcome, TrialRecord
from trainables.records.settings import TrialSettings
from trainables.records.sweep_folder import load_history


def sweep(question: Question, options: SweepOptions, device: Device, plan: SweepPlan | None) -> int:
    """Run the sweep that answers `question`: a new one of this plan, or, without any, the one that is to go on.

    What it returns and raises is `sweeps.run.launch.main`'s.
    """
    if options.wandb_model and choose_mode(options.wandb) == "disabled":
        raise OptionsError("--wandb-model has nowhere to go, as wandb is disabled; leave one of the two out.")
    check_columns(question.columns)
    with doing("reading data and models"):
        prepared = prepare_resumed(question, options, device) if plan is None else prepare_new(plan, options, device)
    for note in prepared.notes:
        print(note)
    if options.dry_run:
        with doing("predicting the memory of each trial"):
            _print_dry_run(prepared, device)
        return 0
    with sole_driver(prepared.storage, prepared.facts.name):
        with doing("fitting the judge of style, laying out the sweep's folder"):
            prepared.lay_out()
        return _run_or_say(question, prepared, options, device)


def _run_or_say(question: Question, prepared: Prepared, options: SweepOptions, device: Device) -> int:
    """Run the sweep, or say why it cannot go on and with what it can once that is mended."""
    try:
        return _run(question, prepared, options, device)
    except StorageError as error:
        again = _resume_command(prepared)
        place = prepared.storage.uri
        refuse(StorageError(f"{error}; records in {place} are intact. Once it works again, resume with: {again}"))
        return 1
    except RayStartError as error:
        refuse(RayStartError(f"{error} Then resume with: {_resume_command(prepared)}"))
        return 1


def _run(question: Question, prepared: Prepared, options: SweepOptions, device: Device) -> int:
    plan, storage = prepared.facts.plan, prepared.storage
    owed, history = trials_owed(plan), load_history(storage)
    if owed < plan.trials:
        print(f"The space holds {owed} different trials; running these.")
    print(f"Sweep {prepared.facts.name}: {owed} trials on {_device_text(device)}, into {storage.uri}", flush=True)
    session = _wandb_session(prepared, options)
    with ExitStack() as stack:
        outlook = Outlook(owed)
        table = LiveTable(columns=columns_of(question, plan), outlook=outlook)
        gauges = Gauges(prepared.facts.name)
        stack.enter_context(Follower(storage, prepared.facts, [outlook, table, gauges]))
        if session is not None:
            tracker: Listener = WandbTracker(storage, prepared.facts, session)
            stack.enter_context(Follower(storage, prepared.facts, [tracker]))
        with doing("starting the board"):
            board = stack.enter_context(Board(storage.uri))
        interrupt = stack.enter_context(Interrupt())
        tuning = Tuning(
            prepared=prepared,
            history=history,
            options=options,
            device=device,
            board=board,
            gauges=gauges,
            interrupt=interrupt,
            table=table,
            outlook=outlook,
        )
        reason = tuning.run()
    with doing("reading the records"):
        records = _records(prepared)
    if records:
        print_end(records, plan, question)
    if options.price_per_gpu_hour is not None:
        print(cost_text(records))
    if reason:
        print(f"Ended before all trials: {reason}.")
    _print_next(prepared, records, owed)
    if session is not None and records:
        with doing("telling Weights & Biases how the sweep ended"):
            publish_sweep(storage, prepared.facts, session, with_model=options.wandb_model)
    failed = [record for record in records if record.outcome is Outcome.FAILED]
    if interrupt.is_set:
        return INTERRUPTED
    return 1 if failed or (len(records) < owed and not reason) else 0


def _wandb_session(prepared: Prepared, options: SweepOptions) -> WandbSession | None:
    mode, storage = choose_mode(options.wandb), prepared.storage
    if mode == "disabled":
        return None
    return WandbSession(prepared.facts.name, Path(storage.uri) if storage.is_local else Path.cwd(), mode)


def _records(prepared: Prepared) -> list[TrialRecord]:
    history = load_history(prepared.storage)
    return [record for _, (_, record) in sorted(history.items()) if record is not None]


def _device_text(device: Device) -> str:
    return device.name if device.on_cuda or device.kinds else f"{device.cpus} CPU cores (no CUDA GPU found)"


def _print_next(prepared: Prepared, records: Sequence[TrialRecord], owed: int) -> None:
    from analysis.report import write_report

    place = argument_of(prepared.storage.uri) if prepared.storage.is_local else prepared.storage.uri
    if len(records) < owed:
        print(
            f"{owed - len(records)} of {owed} trials have no record; resume with: {_resume_command(prepared)}",
            file=sys.stderr,
        )
    if records:
        with doing("making the report"):
            report = write_report(prepared.storage.uri)
        print(f"Report: {report}")
        print(f"Records: {place}/{LAYOUT.trials}/")
        print(f"Again:   {shown_command('analysis/report.py', place)}")


def _resume_command(prepared: Prepared) -> str:
    """What to type to go on with the sweep."""
    facts, storage = prepared.facts, prepared.storage
    place = parent_address(storage.uri)
    place = argument_of(place) if storage.is_local else place
    flags = [] if place == "results" else ["--storage", place]
    return shown_command(script_of(facts.plan.question), "--resume", "--name", facts.name, *flags)


def _print_dry_run(prepared: Prepared, device: Device) -> None:
    from analysis.sweep_table.table import rate_text
    from sweeps.planning.placement import describe_placements, named_card, place_trial, training_card
    from sweeps.search.memory_guard import MemoryGuard, PointsThatFit
    from trainables.memory.predict import predict_worker
    from trainables.records.byte_sizes import memory_text

    plan = prepared.facts.plan
    if plan.rung_trials:
        _print_ladder(prepared)
        return
    kinds = device.kinds if device.on_cuda else ()
    if kinds:
        print("Nodes that would serve, by size:")
        print(*describe_placements(plan, prepared.shapes, kinds), sep="\n")
    guard = MemoryGuard(training_card(plan).capacity_bytes)
    fits = PointsThatFit(plan, guard, lambda settings: place_trial(settings, plan, prepared.shapes, device.kinds))
    points = starting_points(plan, fits.as_predicted if guard.capacity_bytes else None)
    owed = trials_owed(plan)
    print(f"Would run {owed} trials into {prepared.storage.uri}; the first {len(points)}:")
    for number, point in enumerate(points):
        proposal = fits.proposal(point)
        settings = to_settings(plan, proposal)
        if plan.on_cuda or plan.memory_cap_bytes is not None:
            placed = fits.placement(proposal)
            expected = placed.prediction
            card = placed.kind.name if placed.kind else plan.gpu if plan.on_cuda else "the CPU"
        else:
            rows = plan.as_laid_out(settings)
            expected, card = predict_worker(rows, prepared.shapes[settings.model], named_card(plan)), plan.gpu
        needed = f"predicted {memory_text(expected.device_bytes)} on {card}"
        verdict = "fits" if expected.fits else "does not fit"
        print(
            f"  {number:2d}  {settings.model}  batch {settings.batch_size}  micro-batch {settings.micro_batch_size}"
            f"  lr {rate_text(settings.learning_rate)}{_dose(settings)}{_levers(settings, plan)}  {needed}: {verdict}"
        )


def _print_ladder(prepared: Prepared) -> None:
    from analysis.ladder.climb import Climb
    from analysis.ladder.ladder_files import load_rungs
    from sweeps.search.ladder_search import to_proposal

    climb = Climb(plan=prepared.facts.plan, records=(), earlier=load_rungs(prepared.storage))
    print(f"Would climb {climb.top + 1} of {len(climb.sizes)} rungs into {prepared.storage.uri}:")
    for place, (name, parameters) in enumerate(climb.sizes):
        planned = f"{climb.trials_of(place)} trials" if place <= climb.top else "predicted alone"
        print(f"  {place}  {name}  {parameters:,} parameters  {planned}")
    print("The first stage:")
    for number, point in climb.stage(0).items():
        proposal = to_proposal(climb.plan, climb.plan.models[0], point)
        print(f"  {number:2d}  batch {proposal['batch_size']}  lr {proposal['learning_rate']:.2e}")


def _levers(settings: TrialSettings, plan: SweepPlan) -> str:
    """What the trial has of the levers that are searched."""
    return "".join(f"  {name.replace('_', ' ')} {getattr(settings, name)}" for name in plan.levers)


def _dose(settings: TrialSettings) -> str:
    if settings.epochs is None:
        return ""
    return f"  epochs {settings.epochs:g}  replay {settings.replay_ratio:g}  {settings.token_budget:,} tokens"
