"""A sweep on a joined cluster of several nodes, whose GPUs are declared: this machine has none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from analysis.sweep_table.load import load_sweep
from sweeps.run.orphans import COORDINATOR
from tests.conftest import ROOT
from tests.support.owed_fields import missing_fields
from tests.support.waiting import PATIENCE_SECONDS, free_port
from trainables.records.record import Outcome

SMALL = ("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "--micro-batch-sizes", "4", "--token-budget", "4000")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without GPU and two nodes with a card each, as they would be on AWS."""
    folder = tempfile.mkdtemp(prefix="c-")  # short: Ray's sockets lie below it
    former, os.environ["RAY_TMPDIR"] = os.environ.get("RAY_TMPDIR"), folder
    head = {"num_cpus": 4, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": free_port()}
    started = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            started.add_node(num_cpus=1, num_gpus=1, resources={"accelerator_type:A10G": 1})
        yield started
    finally:
        started.shutdown()
        os.environ.pop("RAY_TMPDIR")
        if former is not None:
            os.environ["RAY_TMPDIR"] = former
        shutil.rmtree(folder, ignore_errors=True)


def test_a_trial_sharded_over_two_nodes_asks_for_their_cards_and_tells_what_they_really_were(
    cluster: Cluster, sweep_environment: dict[str, str], tmp_path
) -> None:
    script = str(ROOT / "sweeps" / "batch_memory.py")
    flags = (
        "--trials",
        "1",
        "--gpus-per-trial",
        "2",
        "--parallel",
        "fsdp",
        "--precision",
        "fp32",
        "--sequence-length",
        "128",
    )
    done = subprocess.run(
        [sys.executable, script, "--name", "far", "--storage", str(tmp_path), *flags, *SMALL],
        env=sweep_environment | {"RAY_ADDRESS": str(cluster.address)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert "1 trials on a cluster's GPUs, 2 at most: a10" in done.stdout
    (record,) = load_sweep(str(tmp_path / "far")).records
    assert record.outcome is Outcome.FINISHED
    assert missing_fields(record) == []
    assert (record.settings.workers, record.settings.parallel) == (2, "fsdp")
    assert record.provenance.device == "2 x a10, node kind 1 x A10G"  # what was asked for
    assert record.report is not None
    assert record.report.device == "cpu"  # what was there
    assert record.report.memory is not None
    assert record.report.memory.peak_cuda_reserved_bytes is None
    assert record.gpu_seconds == 0.0
    assert record.report.parameters == 311_424  # all of them, though a worker holds half
    assert record.report.evaluation is not None
    assert record.report.evaluation.quote_loss < record.report.evaluation.quote_loss_before
    assert record.prediction is not None
    assert record.prediction.gpu is None
    assert record.card_prediction is not None
    assert record.card_prediction.gpu == "a10"
    # The autoscaler may let the machines go: no request for nodes outlives the sweep.
    ray.init(cluster.address, log_to_driver=False)
    try:
        coordinator: Any = ray.get_actor(COORDINATOR, namespace=COORDINATOR)
        assert ray.get(coordinator.__ray_call__.remote(lambda actor: list(actor._ongoing_reqs))) == []
    finally:
        ray.shutdown()
