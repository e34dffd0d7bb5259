"""cluster.yaml from `ray up` to `ray down`: a spot worker comes for a sweep that asks for a GPU, and goes again.

Real: Ray's launcher, jobs and autoscaler, sshd. Stand-ins: moto for AWS, hosts of this machine for its instances, and a
declared GPU, which Ray counts and hands out while no card stands behind it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cloud import BUCKET, Cloud
from tests.cluster.hosts import ROOT, Network, why_not
from tests.cluster.launch import Person, wait_until

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

UP_SECONDS, JOB_SECONDS, DOWN_SECONDS = 180, 300, 90
IDLE_SECONDS = 300  # Ray Train 2.60 keeps a lost controller's wish for nodes for 180 s, then the idle time begins
PLACE = f"s3://{BUCKET}/sweeps"
SWEEP = (
    *("batch_memory", "--smoke", "--weights", "random", "--precision", "fp32", "--max-concurrent", "1"),
    *("--wandb", "disabled", "--storage", PLACE, "--name", "spot"),
)


def test_a_spot_gpu_worker_comes_when_asked_writes_to_the_bucket_and_nothing_is_left_running(tmp_path: Path) -> None:
    with Network() as network, Cloud(network) as cloud:
        cloud.host_environment["OMP_NUM_THREADS"] = "1"
        person = Person(tmp_path, cloud.environment)
        file = person.check("cluster.yaml", cloud.overlay(tmp_path / "overlay.yaml"))

        person.up(file, UP_SECONDS)
        assert running(cloud) == ["m5.xlarge"]
        with person.tunnel(file) as dashboard:
            script = str(ROOT / "sweeps" / "submit.py")
            person.run([sys.executable, script, "--address", dashboard, *SWEEP], JOB_SECONDS)
        (worker,) = [each for each in cloud.instances().values() if each["InstanceType"] == "g5.xlarge"]
        assert worker["InstanceLifecycle"] == "spot"
        # The head has no GPU to give: what trained did so on the worker, which has none behind its declaration.
        ended = [(record["outcome"], record["report"]["device"]) for record in records(cloud)]
        assert ended == [("finished", "cpu")] * 2

        wait_until(lambda: running(cloud) == ["m5.xlarge"], IDLE_SECONDS, "idle workers gone")
        person.down(file, DOWN_SECONDS)
        wait_until(lambda: not cloud.instances("running", "pending"), 10, "no instance left")
        wait_until(lambda: not network.addresses, 10, "no host left")


def running(cloud: Cloud) -> list[str]:
    """The instance types that run, sorted."""
    return sorted(each["InstanceType"] for each in cloud.instances("running").values())


def records(cloud: Cloud) -> list[dict[str, Any]]:
    """The sweep's records, out of the bucket."""
    store = cloud.client("s3")
    listed = store.list_objects_v2(Bucket=BUCKET, Prefix="sweeps/spot/trials/")["Contents"]
    keys = [each["Key"] for each in listed if each["Key"].endswith("/record.json")]
    return [json.load(store.get_object(Bucket=BUCKET, Key=key)["Body"]) for key in keys]
