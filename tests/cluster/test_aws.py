"""cluster.yaml from `ray up` to `ray down`: a spot worker comes for a task that asks for a GPU, and goes again.

Real: Ray's launcher, jobs and autoscaler, sshd. Stand-ins: moto for AWS, hosts of this machine for its instances, and a
declared GPU, which Ray counts and hands out while no card stands behind it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.cloud import BUCKET, Cloud
from tests.cluster.hosts import ROOT, Network, why_not
from tests.cluster.launch import RAY, Person, wait_until

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

UP_SECONDS, JOB_SECONDS, IDLE_SECONDS, DOWN_SECONDS = 180, 240, 90, 90
PLACE = f"s3://{BUCKET}/sweeps"
ON_A_GPU = (
    "import ray, socket; from trainables.storage import open_storage; "
    f"mark = lambda: open_storage('{PLACE}').write_text('ran-on', socket.gethostname()); "
    "ray.get(ray.remote(num_gpus=1, resources={'accelerator_type:A10G': 0.001})(mark).remote())"
)


def test_a_spot_gpu_worker_comes_when_asked_writes_to_the_bucket_and_nothing_is_left_running(tmp_path: Path) -> None:
    with Network() as network, Cloud(network) as cloud:
        cloud.host_environment["OMP_NUM_THREADS"] = "1"
        person = Person(tmp_path, cloud.environment)
        file = person.check("cluster.yaml", cloud.overlay(tmp_path / "overlay.yaml"))

        person.up(file, UP_SECONDS)
        assert running(cloud) == ["m5.xlarge"]
        with person.tunnel(file) as dashboard:
            submit = [RAY, "job", "submit", "--address", dashboard, "--working-dir", str(ROOT), "--"]
            person.run([*submit, "python", "-c", ON_A_GPU], JOB_SECONDS)
        (worker,) = [each for each in cloud.instances().values() if each["InstanceType"] == "g5.xlarge"]
        assert worker["InstanceLifecycle"] == "spot"
        written = cloud.client("s3").get_object(Bucket=BUCKET, Key="sweeps/ran-on")["Body"].read().decode()
        assert written == worker["PrivateIpAddress"].replace(".", "-")

        wait_until(lambda: running(cloud) == ["m5.xlarge"], IDLE_SECONDS, "idle workers gone")
        person.down(file, DOWN_SECONDS)
        wait_until(lambda: not cloud.instances("running", "pending"), 10, "no instance left")
        wait_until(lambda: not network.addresses, 10, "no host left")


def running(cloud: Cloud) -> list[str]:
    """The instance types that run, sorted."""
    return sorted(each["InstanceType"] for each in cloud.instances("running").values())
