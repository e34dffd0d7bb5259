"""From a prepared sweep to its records: Ray, the study, and Tune's loop over trials."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import tempfile
from collections.abc import Iterator

from analysis.ladder.climb import Climb
from analysis.ladder.told import load_rungs
from sweeps.planning.device import Device
from sweeps.planning.options import LadderOptions, SweepOptions
from sweeps.planning.ray_start import join_ray, local_ray
from sweeps.run.dashboard import Board, job_options
from sweeps.run.interrupt import Interrupt
from sweeps.run.orphans import freeing_orphans, withdraw_requests
from sweeps.run.prepare import Prepared
from sweeps.search.limits import Limits
from sweeps.watch.gauges import Gauges
from trainables.records.layout import load_history
from trainables.records.record import Provenance
from trainables.records.storage import StorageError

HEAD = "node:__internal_head__"  # what Ray gives the head and no other node
LOST_DRIVERS = 20  # times that one trial's driver may be lost with its process or node, and start again


def tune_trials(
    prepared: Prepared,
    options: SweepOptions,
    device: Device,
    owed: int,
    board: Board,
    gauges: Gauges,
    interrupt: Interrupt,
) -> str | None:
    """Run what is owed and has no record yet.

    Returns: the limit that ended it before, None when none did.
    Raises: RayStartError; StorageError where the sweep's storage refused what was written, or did not answer for long.
    """
    history = load_history(prepared.storage)
    records = [record for _, record in history.values() if record is not None]
    if len(records) >= owed:
        return None
    plan = prepared.facts.plan
    concurrent = options.max_concurrent or device.most_trials(plan.workers)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our own table stands in for Tune's
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")  # a running trial reports tokens and loss alone
    os.environ.setdefault("RAY_DASHBOARD_STARTUP_TIMEOUT_S", "300")  # 60 by default: too few on a busy machine
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # billions by default: threads that wait burn cores others need
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C is ours: sweeps/run/interrupt.py

    import ray
    from ray import tune

    from sweeps.run.placement import predicted, training_card
    from sweeps.run.trial import TrialContext, run_trial
    from sweeps.search.early_stopping import StopWhatFallsBehind, refill_rungs
    from sweeps.search.memory_guard import MemoryGuard, PointsThatFit
    from sweeps.search.searcher import RecordSearch
    from sweeps.search.study import build_study, default_study

    class Ending(tune.Stopper):
        """Ends all trials after Ctrl-C; what has no record is owed to a later run."""

        def __call__(self, trial_id: str, result: dict) -> bool:
            return False

        def stop_all(self) -> bool:
            return interrupt.is_set

    # What Tune may fail to save of its own state when it is stopped is scratch to us, and no news to a person.
    logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)
    ray_up = contextlib.ExitStack()
    ray_up.enter_context(_ray(prepared, device, board))
    try:
        context = TrialContext(
            facts=prepared.facts,
            sweep_uri=prepared.storage.uri,
            shapes=prepared.shapes,
            provenance=Provenance(**prepared.facts.provenance),
            cpu_threads=device.cpu_threads(concurrent, plan.workers),
            kinds=device.kinds,
            price_per_gpu_hour=options.price_per_gpu_hour,
        )
        guard = MemoryGuard(training_card(plan).capacity_bytes)
        for record in records:
            guard.learn(record)
        fits = PointsThatFit(plan, guard, lambda settings: predicted(settings, plan, prepared.shapes, device.kinds))
        limits = Limits(
            max_gpu_hours=options.max_gpu_hours,
            max_hours=options.max_hours,
            flat_trials=options.stop_when_flat,
            fail_fast=options.fail_fast,
        )
        if isinstance(options, LadderOptions):
            from sweeps.run.gatekeeper import Gatekeeper
            from sweeps.search.ladder_search import LadderSearch

            search = LadderSearch(
                prepared.facts,
                prepared.storage.uri,
                Climb(plan=plan, records=tuple(records), earlier=load_rungs(prepared.storage)),
                Gatekeeper(prepared, options, device, fits).why_closed,
                limits,
                guard,
                fits.proposal,
            )
        else:
            search = RecordSearch(
                prepared.facts,
                prepared.storage.uri,
                build_study(
                    prepared.facts,
                    prepared.storage,
                    options.study or default_study(prepared.storage),
                    fits if guard.capacity_bytes else None,
                ),
                limits,
                records,
                guard,
                fits.proposal,
            )
        scheduler = StopWhatFallsBehind(prepared.facts, prepared.storage.uri) if plan.early_stopping else None
        if scheduler:
            proposals = [(prepared.facts.trial_id(number), history[number][0]) for number in sorted(history)]
            refill_rungs(scheduler, prepared.storage, plan, proposals)
        with gauges, freeing_orphans(), tempfile.TemporaryDirectory(prefix="sweep-") as scratch:
            tune.Tuner(
                tune.with_resources(tune.with_parameters(run_trial, context=context), _driver_resources(device)),
                tune_config=tune.TuneConfig(
                    search_alg=search,
                    scheduler=scheduler,
                    num_samples=owed - len(records),
                    max_concurrent_trials=concurrent,
                    reuse_actors=True,  # a driver process imports torch once, not once a trial
                ),
                # Tune's own files are scratch: records and checkpoints lie in the sweep's storage.
                run_config=tune.RunConfig(
                    name=prepared.facts.name,
                    storage_path=scratch,
                    verbose=0,
                    stop=Ending(),
                    failure_config=tune.FailureConfig(max_failures=LOST_DRIVERS),
                ),
            ).fit()
        if search.storage_error:
            raise StorageError(f"what trials read or write fails ({search.storage_error})")
        return search.limit_reached
    finally:
        if os.environ.get("RAY_ADDRESS"):  # a cluster that outlives the sweep
            withdraw_requests(prepared.storage)
        # Where a thread that follows the sweep collects garbage while Ray goes down, and finds one of Tune's object
        # references in it, Ray ends the whole process: "accesses the Ray's worker after it is shutdown" (ray 2.60).
        gc.collect()
        gc.disable()
        ray.shutdown()
        gc.enable()
        ray_up.close()
        with contextlib.suppress(OSError):  # what Ray Train wrote of worker groups; no one reads it again
            prepared.storage.delete_folder("workers")


@contextlib.contextmanager
def _ray(prepared: Prepared, device: Device, board: Board) -> Iterator[None]:
    """The cluster that RAY_ADDRESS names, else one on this machine, its dashboard on loopback only.

    Raises: RayStartError.
    """
    import ray

    if os.environ.get("RAY_ADDRESS"):
        join_ray(**job_options(prepared))
        print(f"Board: {board.address}", flush=True)
        yield
        return
    board.announce()
    local = local_ray(num_cpus=device.cpus, include_dashboard=True, dashboard_host="127.0.0.1", **job_options(prepared))
    with local:
        dashboard = f"http://{ray.get_runtime_context().worker.node.webui_url}"
        board.allow(dashboard)
        print(f"Ray dashboard: {dashboard}\nBoard: {board.address}, also in the dashboard's Metrics tab", flush=True)
        yield


def _driver_resources(device: Device) -> dict[str, float]:
    """What a trial's driver asks of Ray: next to nothing, on the head where its workers' nodes come and go.

    A head may offer no cores at all, to keep work away from it.
    """
    return {HEAD: 0.001} if device.kinds and device.on_cuda else {"cpu": 0.01}
