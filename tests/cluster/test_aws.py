"""cluster.yaml from `ray up` to `ray down`: a spot worker comes for a sweep that asks for a GPU, the head is lost in
mid-sweep, a new one goes on from the bucket, and the worker goes again.

Real: Ray's launcher, jobs and autoscaler, sshd. Stand-ins: moto for AWS, hosts of this machine for its instances, and a
declared GPU, which Ray counts and hands out while no card stands behind it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.cloud import BUCKET, Cloud
from tests.support.network_hosts import ROOT, Network, why_not
from tests.support.person import Person
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

IDLE_SECONDS = 150  # less than the 180 s for which Ray Train 2.60 would keep machines that nobody takes back
PLACE = f"s3://{BUCKET}/sweeps"
TRIALS = 2
SWEEP = ("batch_memory", "--max-concurrent", "1", "--wandb", "disabled", "--storage", PLACE, "--name", "spot")
ASKED = (
    *("--smoke", "--weights", "random", "--precision", "fp32", "--trials", str(TRIALS)),
    *("--token-budget", "60000"),  # seconds long, to be interrupted
)


def test_a_spot_gpu_worker_comes_when_asked_a_lost_head_costs_no_record_and_nothing_is_left_running(
    tmp_path: Path,
) -> None:
    with Network() as network, Cloud(network) as cloud:
        cloud.host_environment["OMP_NUM_THREADS"] = "1"
        person = Person(tmp_path, cloud.environment)
        file = person.check("cluster.yaml", cloud.overlay(tmp_path / "overlay.yaml"))
        submit = [sys.executable, str(ROOT / "sweeps" / "submit.py")]

        person.up(file)
        assert running(cloud) == ["m5.xlarge"]
        with person.tunnel(file) as dashboard:
            following = person.start([*submit, "--address", dashboard, *SWEEP, *ASKED])
            wait_until(lambda: half_way(cloud) or following.poll() is not None, "a half of the sweep")
            begun = trials(cloud)
            lose_head(cloud, network)
            following.kill()
            following.wait()
        (worker,) = [each for each in cloud.instances().values() if each["InstanceType"] == "g5.xlarge"]
        assert worker["InstanceLifecycle"] == "spot"
        before = records(cloud)
        assert len(before) == 1, (tmp_path / "started.log").read_text()

        person.up(file)
        with person.tunnel(file) as dashboard:
            person.run([*submit, "--address", dashboard, *SWEEP, "--resume"])
        first, second = records(cloud)
        assert first == before[0]
        # The second was gone on with, by its worker, who outlived the head, or from its checkpoint; none was made anew.
        assert [first["trial_id"], second["trial_id"]] == trials(cloud) == begun
        # The head has no GPU to give: what trained did so on a worker, which has none behind its declaration.
        assert [(each["outcome"], each["report"]["device"]) for each in (first, second)] == [("finished", "cpu")] * 2

        wait_until(lambda: running(cloud) == ["m5.xlarge"], "idle workers gone", IDLE_SECONDS)
        person.down(file)
        wait_until(lambda: not cloud.instances("running", "pending"), "no instance left")
        wait_until(lambda: not network.addresses, "no host left")


def half_way(cloud: Cloud) -> bool:
    """Whether the first trial has its record, and the second a checkpoint: its manifest is the last of its files."""
    told = keys(cloud)
    recorded = {key.split("/")[3] for key in told if key.endswith("/record.json")}
    saved = {key.split("/")[3] for key in told if key.endswith("/manifest-0.json")}
    return len(recorded) == 1 and bool(saved - recorded)


def lose_head(cloud: Cloud, network: Network) -> None:
    """Take the head's machine away, with all that runs on it."""
    ((name, head),) = [item for item in cloud.instances("running").items() if item[1]["InstanceType"] == "m5.xlarge"]
    cloud.client("ec2").terminate_instances(InstanceIds=[name])
    wait_until(lambda: head["PrivateIpAddress"] not in network.addresses, "the end of the head")


def running(cloud: Cloud) -> list[str]:
    """The instance types that run, sorted."""
    return sorted(each["InstanceType"] for each in cloud.instances("running").values())


def keys(cloud: Cloud) -> list[str]:
    """What the sweep's trials have in the bucket, sorted."""
    listed = cloud.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="sweeps/spot/trials/")
    return sorted(each["Key"] for each in listed.get("Contents", []))


def trials(cloud: Cloud) -> list[str]:
    """The trials that were begun, in their order."""
    return sorted({key.split("/")[3] for key in keys(cloud)} - {""})  # the folder itself has a key, too


def records(cloud: Cloud) -> list[dict[str, Any]]:
    """The sweep's records, out of the bucket, in the order of its trials."""
    store, found = cloud.client("s3"), [key for key in keys(cloud) if key.endswith("/record.json")]
    return [json.load(store.get_object(Bucket=BUCKET, Key=key)["Body"]) for key in found]
