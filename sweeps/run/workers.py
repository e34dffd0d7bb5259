"""The worker processes of a trial's driver: one Ray Train run that takes trial after trial while it stays clean.

Starting a controller and workers, and their import of torch and transformers, costs more than a nano trial; a driver
that serves many trials pays it once. A group is given up after an error, and after a trial that left anything behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from sweeps.run.orphans import remember_request
from sweeps.watch.nameplate import Nameplate, trial_title
from trainables.records.storage import open_storage
from trainables.working.job import TrialJob

LOOK_SECONDS = 0.2  # between looks whether the workers still live
CLOSE_SECONDS = 10.0  # for workers to exit; what is left then is ended with the driver
TRAIN_SETTINGS = {  # of the trial's driver, which hands them on to its controller
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # how often the controller looks; 2 s by default
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "900",  # 60 s by default: a node from zero takes minutes
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process for what trainables/working/spot_notice.py sees itself
}


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """How many workers, what each asks of Ray, torch's collective backend, and where the sweep lies.

    `accelerator` is Ray's name of the card that is wanted; `on_one_node` refuses to spread them.
    """

    workers: int
    use_gpu: bool
    resources: dict[str, float]
    backend: str
    sweep_uri: str
    accelerator: str | None = None
    on_one_node: bool = False


class WorkerGroup:
    """Workers that run one job after another."""

    def __init__(self, spec: WorkerSpec) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from trainables.working.mailbox import Mailbox

        self.spec = spec
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here, max_concurrency=1000)
        self._mailbox: Any = actor.remote(spec.workers)
        self._name = f"group-{secrets.token_hex(4)}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._fit: Future[Any] = self._thread.submit(self._serve)
        self._is_spent = False
        self.left_over_bytes: int | None = None  # on a device, after the last job that came to its end

    @property
    def is_up(self) -> bool:
        """Whether the workers can take a job: they live, or are still to start, and no trial spoilt them."""
        return not (self._is_spent or self._fit.done())

    def run(self, job: TrialJob, on_look: Callable[[], None] | None = None) -> BaseException | None:
        """Run `job` on all workers, and `on_look` now and then meanwhile.

        Returns: what took them down, None when they came to the end of it.
        """
        import ray
        from ray.exceptions import RayActorError

        self.left_over_bytes = None
        ended = self._mailbox.put.options(name=trial_title(job)).remote(asdict(job))
        with Nameplate(job) as nameplate:
            while self.is_up:
                if ray.wait([ended], timeout=LOOK_SECONDS)[0]:
                    try:
                        is_fit, self.left_over_bytes = ray.get(ended)
                    except RayActorError as error:  # the mailbox is lost, and with it the way to the workers
                        self._is_spent = True
                        return error
                    self._is_spent = not is_fit
                    return None
                nameplate.show_when_due()
                if on_look:
                    on_look()
        return self._fit.exception() or RuntimeError("the workers exited before the trial ended.")

    def close(self) -> None:
        """Let the workers exit, and forget what Ray Train wrote about them."""
        import ray

        self._mailbox.close.remote()
        with contextlib.suppress(TimeoutError):
            self._fit.exception(CLOSE_SECONDS)
        ray.kill(self._mailbox)
        self._thread.shutdown(wait=False)
        with contextlib.suppress(OSError):
            open_storage(self.spec.sweep_uri).delete_folder(f"workers/{self._name}")

    def _serve(self) -> None:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from trainables.working.serve import serve_trials

        for name, value in TRAIN_SETTINGS.items():
            os.environ.setdefault(name, value)
        storage = open_storage(self.spec.sweep_uri)
        trainer = TorchTrainer(
            serve_trials,
            train_loop_config={"mailbox": self._mailbox},
            scaling_config=ScalingConfig(
                num_workers=self.spec.workers,
                use_gpu=self.spec.use_gpu,
                resources_per_worker=self.spec.resources,
                accelerator_type=self.spec.accelerator,
                placement_strategy="STRICT_PACK" if self.spec.on_one_node else "PACK",
            ),
            torch_config=TorchConfig(backend=self.spec.backend),
            run_config=RunConfig(
                name=self._name,
                storage_path=storage.child("workers").uri,
                # Which failure is worth another attempt is decided by sweeps.run.failures, not by Ray Train.
                failure_config=FailureConfig(max_failures=0, max_preemption_failures=0),
            ),
        )
        remember_request(storage, self._name, trainer.train_run_context.run_id)
        trainer.fit()


_group: WorkerGroup | None = None


def workers_for(spec: WorkerSpec) -> WorkerGroup:
    """This process's group: the one that is up where it is of this kind, else a new one."""
    global _group
    if _group is not None and not (_group.is_up and _group.spec == spec):
        _group.close()
        _group = None
    if _group is None:
        _group = WorkerGroup(spec)
    return _group
