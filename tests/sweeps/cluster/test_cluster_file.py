"""Plausible mistakes in a cluster file, each refused in one line; the shipped files hold none of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.cluster.cluster_file import ClusterFileError, laid_over, read_cluster, worker_kinds
from sweeps.cluster.cluster_rules import mistakes
from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[3]
MINE = {
    "metadata": {"storage": "s3://my-bucket/sweeps"},
    "docker": {"image": "registry.example:5000/galactica-sweeps:0.1.0"},
}
MY_MACHINES = {
    **MINE,
    "provider": {"head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]},
    "auth": {"ssh_user": "me"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that has a token and a key."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (".ray/auth_token", ".ssh/id_ed25519"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("not a real one")
    return tmp_path


def on_aws() -> dict[str, Any]:
    return laid_over(read_cluster(ROOT / "cluster.yaml"), MINE)


def on_machines() -> dict[str, Any]:
    return laid_over(read_cluster(ROOT / "cluster.local.yaml"), MY_MACHINES)


def test_the_shipped_files_are_right_once_a_person_has_put_in_what_is_theirs(home: Path) -> None:
    assert mistakes(on_aws()) == []
    assert mistakes(on_machines()) == []
    assert mistakes(laid_over(on_aws(), {"docker": None})) == []


def test_the_shipped_files_say_what_is_still_a_persons_to_put_in(home: Path) -> None:
    aws = mistakes(read_cluster(ROOT / "cluster.yaml"))
    assert [line.split(" is still ")[0] for line in aws] == ["docker.image", "metadata.storage"]
    local = mistakes(read_cluster(ROOT / "cluster.local.yaml"))
    places = {"auth.ssh_user", "docker.image", "metadata.storage", "provider.head_ip"}
    assert {line.split(" is still ")[0] for line in local} == places | {
        "provider.worker_ips[0]",
        "provider.worker_ips[1]",
    }


Change = Callable[[dict[str, Any]], None]


def put(*keys: str | int, value: Any) -> Change:
    def change(cluster: dict[str, Any]) -> None:
        place: Any = cluster
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def drop(*keys: str) -> Change:
    def change(cluster: dict[str, Any]) -> None:
        place = cluster
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


def swap(commands: str, old: str, new: str) -> Change:
    def change(cluster: dict[str, Any]) -> None:
        assert any(old in line for line in cluster[commands])
        cluster[commands] = [line.replace(old, new) for line in cluster[commands]]

    return change


A10G = ("available_node_types", "a10g")
ON_AWS: dict[str, tuple[Change, str, str]] = {
    "a typo in a key": (put("idle_timeout_minuts", value=5), "'idle_timeout_minuts'", "write idle_timeout_minutes"),
    "a typo in a node's key": (
        put(*A10G, "node_config", "InstanceMarketOption", value={}),
        "a10g has an unknown key 'InstanceMarketOption'",
        "write InstanceMarketOptions",
    ),
    "a typo deeper in a node": (
        put(*A10G, "node_config", "BlockDeviceMappings", 0, "Ebs", "VolumeSizes", value=1),
        '"VolumeSizes"',
        "correct its node_config",
    ),
    "a word where a number belongs": (
        put("max_workers", value="eight"),
        "'eight' is not of type",
        "cluster.yaml shows",
    ),
    "an unknown instance type": (
        put(*A10G, "node_config", "InstanceType", value="g5.xlarg"),
        "'g5.xlarg'",
        "g5.xlarge",
    ),
    "a head that is no node kind": (put("head_node_type", value="haed"), "head_node_type", "available_node_types"),
    "a key that is not there": (
        lambda c: (put("auth", "ssh_private_key", value="~/.ssh/none.pem")(c), name_keys(c))[0],
        "no key ~/.ssh/none.pem",
        "name one",
    ),
    "no bucket": (drop("metadata", "storage"), "metadata.storage names no place", "write s3://bucket/prefix"),
    "a bucket that is a folder": (
        put("metadata", "storage", value="/home/me"),
        "lost with the machines",
        "write s3://",
    ),
    "a token that does not travel": (drop("file_mounts", "~/.ray/auth_token"), "not carry the token", "add "),
    "a head without a token": (
        swap("head_start_ray_commands", "RAY_AUTH_MODE=token ", ""),
        "head_start_ray_commands starts Ray without a token",
        "write RAY_AUTH_MODE=token",
    ),
    "an open dashboard": (
        swap("head_start_ray_commands", "127.0.0.1", "0.0.0.0"),
        "host is 0.0.0.0",
        "write --dashboard-host=127.0.0.1",
    ),
    "start commands left to Ray": (
        drop("head_start_ray_commands"),
        "without a token",
        "write RAY_AUTH_MODE=token",
    ),
    "set-up left to Ray, which is a nightly wheel": (
        drop("setup_commands"),
        "another Ray",
        "write 'setup_commands: []'",
    ),
    "a secret in the file": (
        put("docker", "run_options", value=["--env=WANDB_API_KEY=0123"]),
        "docker.run_options[0] holds a secret",
        "send it as a file",
    ),
    "an image without a version": (
        put("docker", "image", value="me/sweeps"),
        "a different one tomorrow",
        "write a version",
    ),
    "another Ray in the image": (put("docker", "image", value="rayproject/ray:2.9.0"), "Ray 2.9.0", "must be the same"),
    "stopped machines that are kept": (
        drop("provider", "cache_stopped_nodes"),
        "cache_stopped_nodes is on",
        "write false",
    ),
    "a small disk": (
        put(*A10G, "node_config", "BlockDeviceMappings", 0, "Ebs", "VolumeSize", value=8),
        "a10g has no disk of 100 GB",
        "VolumeSize",
    ),
    "a card that Ray does not know": (
        put(*A10G, "resources", value={"GPU": 1, "accelerator_type:A10GB": 1}),
        "'A10GB'",
        "A10G",
    ),
    "a kind that may not write results": (
        drop(*A10G, "node_config", "IamInstanceProfile"),
        "may not write results",
        "galactica-sweeps-worker",
    ),
    "a price for no kind": (put("metadata", "price_per_hour", value={"a10": 1.0}), "'a10'", "write a10g"),
    "a zone elsewhere": (put("provider", "region", value="eu-west-1"), "lies outside the region eu-west-1", "agree"),
    "a file that is not there": (put("file_mounts", "~/.netrc", value="~/.netrc"), "~/.netrc", "take the line out"),
    "a cloud that is not known": (put("provider", "type", value="awz"), "'awz'", "write aws or local"),
}


def name_keys(cluster: dict[str, Any]) -> None:
    for kind in cluster["available_node_types"].values():
        kind["node_config"]["KeyName"] = "mine"


@pytest.mark.parametrize("mistake", ON_AWS)
def test_a_mistake_is_told_with_how_to_mend_it(home: Path, mistake: str) -> None:
    change, what, mend = ON_AWS[mistake]
    cluster = json.loads(json.dumps(on_aws()))  # lets go of what the file's anchors share: one place changes
    change(cluster)
    found = mistakes(cluster)
    assert found
    assert what in found[0]
    assert mend in found[0]
    assert all("\n" not in line for line in found)
    alike = ("start commands left to Ray", "a zone elsewhere")  # two commands lack it; three zones lie there
    assert len(found) == 1 or mistake in alike


def test_a_key_needs_the_name_of_its_pair_in_every_kind(home: Path) -> None:
    found = mistakes(laid_over(on_aws(), {"auth": {"ssh_private_key": "~/.ssh/id_ed25519"}}))
    assert [line.split(";")[0] for line in found] == [
        f"node kind {name} has no KeyName" for name in ("head", "a10g", "a10g-x4", "a100-x8", "h100-x8")
    ]


def test_machines_without_addresses_are_refused(home: Path) -> None:
    (found,) = mistakes(laid_over(on_machines(), {"provider": {"head_ip": None}}))
    assert found == "provider names no machines; give head_ip and a list of worker_ips."


def test_the_command_writes_a_good_file_and_refuses_a_bad_one_with_exit_code_2(home: Path) -> None:
    overlay, written = home / "mine.yaml", home / "out" / "cluster.yaml"
    overlay.write_text(yaml.safe_dump(MINE))
    command = [sys.executable, str(ROOT / "sweeps/check_cluster.py"), str(ROOT / "cluster.yaml")]
    command += ["--overlay", str(overlay), "--output", str(written)]
    (home / ".ray/auth_token").rename(home / "token")
    refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.endswith("there is no token in ~/.ray/auth_token; make one with: ray get-auth-token --generate")
    assert not written.exists()
    (home / "token").rename(home / ".ray/auth_token")
    passed = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (passed.returncode, passed.stderr) == (0, "")
    assert read_cluster(written) == on_aws()


def test_an_overlay_joins_mappings_takes_away_by_null_and_replaces_the_rest() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert laid_over(base, {"a": {"c": [3], "e": {"f": 5}}, "d": None}) == {"a": {"b": 1, "c": [3], "e": {"f": 5}}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_broken_yaml_is_told_by_its_line(tmp_path: Path) -> None:
    broken = tmp_path / "cluster.yaml"
    broken.write_text("cluster_name: a\nauth: {ssh_user: b\n")
    with pytest.raises(ClusterFileError, match=r"cluster\.yaml:3: .*; correct the YAML there\.$"):
        read_cluster(broken)
    with pytest.raises(ClusterFileError, match="cannot be read"):
        read_cluster(tmp_path / "none.yaml")


def test_every_gpu_kind_starts_from_zero_on_spot_and_the_head_on_demand() -> None:
    cluster = read_cluster(ROOT / "cluster.yaml")
    for kind in worker_kinds(cluster).values():
        assert kind["min_workers"] == 0
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert kind["resources"]["GPU"] >= 1
    head = cluster["available_node_types"]["head"]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert "GPU" not in head["resources"]
