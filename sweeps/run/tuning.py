"""From a prepared sweep to its records: Ray, the study, and Tune's loop over trials."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.ladder.climb import Climb
from analysis.ladder.ladder_files import load_rungs
from data.doing import doing
from sweeps.planning.device import Device
from sweeps.planning.options import LadderOptions, SweepOptions
from sweeps.planning.ray_start import join_ray, local_ray
from sweeps.planning.space import trials_owed
from sweeps.run.dashboard import Board, job_options
from sweeps.run.interrupt import Interrupt
from sweeps.run.orphans import freeing_orphans, withdraw_requests
from sweeps.run.prepare import Prepared
from sweeps.search.limits import Limits
from sweeps.watch.gauges import Gauges
from sweeps.watch.live_table import LiveTable
from sweeps.watch.outlook import Outlook
from trainables.records.plan import SweepPlan
from trainables.records.record import TrialRecord
from trainables.records.storage import Storage, StorageError
from trainables.records.sweep_folder import History

if TYPE_CHECKING:
    from ray import tune

    from sweeps.search.early_stopping import StopWhatFallsBehind
    from sweeps.search.ladder_search import LadderSearch
    from sweeps.search.memory_guard import PointsThatFit
    from sweeps.search.searcher import RecordSearch

HEAD = "node:__internal_head__"  # what Ray gives the head and no other node
ENVIRONMENT = {  # what Ray and its workers read when they start
    "RAY_AIR_NEW_OUTPUT": "0",  # our own table stands in for Tune's
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a running trial reports tokens and loss alone
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",  # 60 by default: too few on a busy machine
    "GOMP_SPINCOUNT": "1000",  # spins, 300,000 by default: a thread that waits burns a core that others need
    "RAY_worker_niceness": "0",  # 15 by default: beside four busy programs on two cores a trial did not begin in 10 min
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: sweeps/run/interrupt.py
}
LOST_DRIVERS = 20  # times that one trial's driver may be lost with its process or node, and start again


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One run of a prepared sweep, from its history on, with what shows it and what ends it before its time."""

    prepared: Prepared
    history: History
    options: SweepOptions
    device: Device
    board: Board
    gauges: Gauges
    interrupt: Interrupt
    table: LiveTable
    outlook: Outlook

    def run(self) -> str | None:
        """Run what is owed and has no record yet.

        Returns: the limit that ended it before, None when none did.
        Raises: RayStartError; StorageError where the sweep's storage refused what was written, or did not answer for
            long.
        """
        owed = trials_owed(self.plan) - sum(record is not None for _, record in self.history.values())
        if owed <= 0:
            return None
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        # What Tune may fail to save of its own state when it is stopped is scratch to us, and no news to a person.
        logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)
        with _ray(self.prepared, self.device, self.board), _shut_down_quietly(self.prepared.storage):
            with doing("setting up the search, predicting memory"):
                search, scheduler = self._search(), self._scheduler()
            with (
                self.gauges,
                freeing_orphans(),
                tempfile.TemporaryDirectory(prefix="sweep-") as scratch,
                doing(self.outlook.text),
                self.table,
            ):
                self._tuner(search, scheduler, owed, scratch).fit()
        if search.storage_error:
            raise StorageError(f"what trials read or write fails ({search.storage_error})")
        return search.limit_reached

    @property
    def plan(self) -> SweepPlan:
        """The sweep's plan."""
        return self.prepared.facts.plan

    @property
    def concurrent(self) -> int:
        """How many trials run at the same time.

        One after the other on a CPU in a smoke run: the processes of a second trial take longer to start than it does.
        """
        if self.options.max_concurrent:
            return self.options.max_concurrent
        is_tiny = self.options.smoke and not self.plan.on_cuda
        return 1 if is_tiny else self.device.most_trials(self.plan.workers)

    def _search(self) -> RecordSearch | LadderSearch:
        """What proposes trials, and knows of those that have ended."""
        from sweeps.planning.placement import place_trial, training_card
        from sweeps.search.memory_guard import MemoryGuard, PointsThatFit

        plan, shapes, kinds = self.plan, self.prepared.shapes, self.device.kinds
        records = [record for _, record in self.history.values() if record is not None]
        guard = MemoryGuard(training_card(plan).capacity_bytes)
        for record in records:
            guard.learn(record)
        fits = PointsThatFit(plan, guard, lambda settings: place_trial(settings, plan, shapes, kinds))
        if isinstance(self.options, LadderOptions):
            return self._ladder_search(self.options, records, fits)
        return self._record_search(records, fits)

    def _record_search(self, records: list[TrialRecord], fits: PointsThatFit) -> RecordSearch:
        """Optuna's sampler, told of those records."""
        from sweeps.search.searcher import RecordSearch
        from sweeps.search.study import build_study, default_study

        facts, storage = self.prepared.facts, self.prepared.storage
        study_url = self.options.study or default_study(storage)
        study = build_study(facts, storage, study_url, fits if fits.guard.capacity_bytes else None)
        return RecordSearch(facts, storage.uri, study, self._limits, records, fits)

    def _ladder_search(self, options: LadderOptions, records: list[TrialRecord], fits: PointsThatFit) -> LadderSearch:
        """The climb up the rungs, as far as those records have come."""
        from sweeps.run.gatekeeper import Gatekeeper
        from sweeps.search.ladder_search import LadderSearch

        facts, storage = self.prepared.facts, self.prepared.storage
        climb = Climb(plan=self.plan, records=tuple(records), earlier=load_rungs(storage))
        gate = Gatekeeper(self.prepared, options, self.device, fits).why_closed
        return LadderSearch(facts, storage.uri, climb, gate, self._limits, fits)

    @property
    def _limits(self) -> Limits:
        return Limits(
            max_gpu_hours=self.options.max_gpu_hours,
            max_hours=self.options.max_hours,
            flat_trials=self.options.stop_when_flat,
            fail_fast=self.options.fail_fast,
        )

    def _scheduler(self) -> StopWhatFallsBehind | None:
        """What ends trials early, knowing what those of earlier runs reported."""
        if not self.plan.early_stopping:
            return None
        from sweeps.search.early_stopping import StopWhatFallsBehind, refill_rungs

        facts, storage = self.prepared.facts, self.prepared.storage
        scheduler = StopWhatFallsBehind(facts, storage.uri)
        proposals = [(facts.trial_id(number), self.history[number][0]) for number in sorted(self.history)]
        refill_rungs(scheduler, storage, self.plan, proposals)
        return scheduler

    def _tuner(
        self, search: RecordSearch | LadderSearch, scheduler: StopWhatFallsBehind | None, owed: int, scratch: str
    ) -> tune.Tuner:
        """Tune's loop over `owed` trials; its own files are scratch: records and checkpoints lie in the storage."""
        from ray import tune

        from sweeps.run.trial import TrialContext, run_trial

        context = TrialContext(
            facts=self.prepared.facts,
            sweep_uri=self.prepared.storage.uri,
            shapes=self.prepared.shapes,
            provenance=self.prepared.provenance,
            cpu_threads=self.device.cpu_threads(self.concurrent, self.plan.workers),
            kinds=self.device.kinds,
            price_per_gpu_hour=self.options.price_per_gpu_hour,
        )
        return tune.Tuner(
            tune.with_resources(tune.with_parameters(run_trial, context=context), _driver_resources(self.device)),
            tune_config=tune.TuneConfig(
                search_alg=search,
                scheduler=scheduler,
                num_samples=owed,
                max_concurrent_trials=self.concurrent,
                reuse_actors=True,  # a driver process imports torch once, not once a trial
            ),
            run_config=tune.RunConfig(
                name=self.prepared.facts.name,
                storage_path=scratch,
                verbose=0,
                stop=_stop_after(self.interrupt),
                failure_config=tune.FailureConfig(max_failures=LOST_DRIVERS),
            ),
        )


def _stop_after(interrupt: Interrupt) -> tune.Stopper:
    """Ends all trials after Ctrl-C; what has no record is owed to a later run."""
    from ray import tune

    class Ending(tune.Stopper):
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return interrupt.is_set

    return Ending()


@contextlib.contextmanager
def _shut_down_quietly(storage: Storage) -> Iterator[None]:
    """Whatever happens while it is entered, Ray is shut down at the end, and leaves no requests and files behind."""
    import ray

    try:
        yield
    finally:
        if os.environ.get("RAY_ADDRESS"):  # a cluster that outlives the sweep
            withdraw_requests(storage)
        # Where a thread that follows the sweep collects garbage while Ray goes down, and finds one of Tune's object
        # references in it, Ray ends the whole process: "accesses the Ray's worker after it is shutdown" (ray 2.60).
        gc.collect()
        gc.disable()
        with doing("stopping Ray"):
            ray.shutdown()
        gc.enable()
        with contextlib.suppress(OSError):  # what Ray Train wrote of worker groups; no one reads it again
            storage.delete_folder("workers")


@contextlib.contextmanager
def _ray(prepared: Prepared, device: Device, board: Board) -> Iterator[None]:
    """The cluster that RAY_ADDRESS names, else one on this machine, its dashboard on loopback only.

    Raises: RayStartError.
    """
    with doing("importing Ray"):
        import ray

    if os.environ.get("RAY_ADDRESS"):
        with doing("joining the Ray cluster"):
            join_ray(**job_options(prepared))
        print(f"Board: {board.address}", flush=True)
        yield
        return
    board.announce()
    with contextlib.ExitStack() as stack:
        with doing("starting Ray"):
            options = job_options(prepared)
            stack.enter_context(
                local_ray(num_cpus=device.cpus, include_dashboard=True, dashboard_host="127.0.0.1", **options)
            )
        dashboard = f"http://{ray.get_runtime_context().worker.node.webui_url}"
        board.allow(dashboard)
        print(f"Ray dashboard: {dashboard}\nBoard: {board.address}, also in the dashboard's Metrics tab", flush=True)
        yield


def _driver_resources(device: Device) -> dict[str, float]:
    """What a trial's driver asks of Ray: next to nothing, on the head where its workers' nodes come and go.

    A head may offer no cores at all, to keep work away from it.
    """
    return {HEAD: 0.001} if device.kinds and device.on_cuda else {"cpu": 0.01}
