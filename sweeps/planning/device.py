"""What there is to train on: this machine, or the Ray cluster that RAY_ADDRESS names."""

from __future__ import annotations

import os
from dataclasses import dataclass

from data.doing import doing
from sweeps.planning.node_kinds import NodeKind, kinds_of_cluster, only_with, read_cluster_file
from sweeps.planning.options import OptionsError, SweepOptions
from sweeps.planning.ray_start import join_ray

MAX_CPU_TRIALS = 4  # at the same time on a machine: each takes about 1.5 GB in its three processes
MAX_CLUSTER_TRIALS = 8  # at the same time on a cluster's GPUs, each with a driver on the head; assumed, about 1 GB each


@dataclass(frozen=True, kw_only=True)
class Device:
    """What is offered: GPUs, the memory of a single machine's smallest or a cluster's largest (None without one, or
    not known), CPU cores.

    `gpu_name` is the driver's name of the GPU that has `gpu_bytes`, on a single machine; `kinds` are a cluster's kinds
    of nodes, none on a single machine.
    """

    gpus: int
    gpu_bytes: int | None
    cpus: int
    gpu_name: str | None = None
    kinds: tuple[NodeKind, ...] = ()

    @property
    def on_cuda(self) -> bool:
        """Whether there is a GPU to train on."""
        return self.gpus > 0

    @property
    def name(self) -> str:
        """In words, for a person and for a record's provenance."""
        if not self.kinds:
            return f"{self.gpus} GPU" if self.on_cuda else "cpu"
        if not self.on_cuda:
            return f"a cluster's {self.cpus} CPU cores"
        cards = sorted({kind.card.name or "unnamed GPU" for kind in self.kinds if kind.gpus})
        return f"a cluster's GPUs, {self.gpus} at most: {', '.join(cards)}"

    def most_trials(self, workers: int) -> int:
        """How many trials of `workers` workers may run at the same time."""
        if self.on_cuda:
            units = min(self.gpus, MAX_CLUSTER_TRIALS * workers) if self.kinds else self.gpus
        else:
            units = min(self.cpus, MAX_CPU_TRIALS)
            if self.kinds:
                units = sum(kind.most_nodes * min(kind.cpus, MAX_CPU_TRIALS) for kind in self.kinds)
        return max(1, units // workers)

    def cpu_threads(self, concurrent: int, workers: int) -> int:
        """Cores for each worker without a GPU; on a cluster never more than its smallest node has."""
        share = self.cpus // (concurrent * workers)
        smallest = min((kind.cpus for kind in self.kinds if kind.cpus), default=share)
        return max(1, min(share, smallest))


def find_device(options: SweepOptions) -> Device:
    """What the sweep can train on; the cluster that RAY_ADDRESS names is asked.

    Raises: RayStartError where no cluster answers there; OptionsError for a cluster file that cannot be read or is not
        used.
    """
    if os.environ.get("RAY_ADDRESS"):
        with doing("asking the cluster for its nodes"):
            nodes = _nodes_there()
        return _cluster(kinds_of_cluster(nodes, options.cluster_file, options.gpu))
    if options.cluster_file is None:
        return detect_device()
    if not options.dry_run:
        raise OptionsError(
            "--cluster-file names machines that are not here; add --dry-run, or run it there with `ray job submit`."
        )
    return _cluster(only_with(read_cluster_file(options.cluster_file), options.gpu))


def detect_device() -> Device:
    """The GPUs and cores of this machine, asked of the driver so that no CUDA context is made."""
    import pynvml

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return Device(gpus=0, gpu_bytes=None, cpus=cpus)
    count = pynvml.nvmlDeviceGetCount()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    sizes = [(int(pynvml.nvmlDeviceGetMemoryInfo(handle).total), index) for index, handle in enumerate(handles)]
    if not sizes:  # a driver without a GPU
        return Device(gpus=0, gpu_bytes=None, cpus=cpus)
    gpu_bytes, smallest = min(sizes)
    try:
        gpu_name = str(pynvml.nvmlDeviceGetName(handles[smallest]))
    except pynvml.NVMLError:  # one that tells no name
        gpu_name = None
    return Device(gpus=count, gpu_bytes=gpu_bytes, cpus=cpus, gpu_name=gpu_name)


def _cluster(kinds: tuple[NodeKind, ...]) -> Device:
    with_gpus = tuple(kind for kind in kinds if kind.gpus)
    chosen = with_gpus or kinds
    sizes = [kind.card.capacity_bytes for kind in with_gpus]
    return Device(
        gpus=sum(kind.gpus * kind.most_nodes for kind in chosen),
        gpu_bytes=None if None in sizes else max(filter(None, sizes), default=None),
        cpus=sum(kind.cpus * kind.most_nodes for kind in chosen),
        kinds=chosen,
    )


def _nodes_there() -> list[dict]:
    import ray

    join_ray()
    nodes = ray.nodes()
    ray.shutdown()  # the sweep joins anew with its name in the job's metadata, once it is known
    return nodes
