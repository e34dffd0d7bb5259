"""What a cluster file must hold before `ray up` spends money on it; each rule gives its complaints, one line each."""

from __future__ import annotations

import copy
import difflib
import functools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sweeps.cluster.cluster_file import ClusterFile, worker_kinds

Complaints = Iterator[str]

TOKEN = "~/.ray/auth_token"
SMALLEST_DISK_GB = 100  # assumed: a GPU image of Ray with torch unpacks to about 30 GB, beside weights and checkpoints
SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}|hf_[A-Za-z0-9]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?:WANDB_API_KEY|RAY_AUTH_TOKEN|AWS_SECRET_ACCESS_KEY|HF_TOKEN|aws_secret_access_key)\s*[=:]\s*['\"]?\w"
)


def mistakes(cluster: ClusterFile) -> list[str]:
    """Everything wrong with the file that can be known without asking the cloud; empty for a good one."""
    found = list(_structure(cluster))
    if found:
        return found  # the other rules read what these hold
    rules = [_placeholders, _storage, _token, _dashboard, _secrets, _ray_itself, _image, _key, _mounts]
    rules += [_instances, _kinds, _region] if cluster["provider"]["type"] == "aws" else []
    ready = _as_ray_reads_it(cluster)
    return [complaint for rule in rules for complaint in rule(ready)]


def _structure(cluster: ClusterFile) -> Complaints:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import validate_config

    provider = cluster.get("provider") or {}
    kind = provider.get("type")
    if kind not in ("aws", "local"):
        yield f"provider type is {kind!r}; write aws or local, or see docs/cluster.md for other kinds of cluster."
        return
    if kind == "local" and not (provider.get("head_ip") and provider.get("worker_ips")):
        yield "provider names no machines; give head_ip and a list of worker_ips."
        return
    if kind == "aws" and "available_node_types" not in cluster:
        yield "no available_node_types; name a head and at least one GPU kind, as cluster.yaml does."
        return
    try:
        validate_config(_as_ray_reads_it(cluster))
    except ValidationError as error:
        yield _schema_complaint(error)
    except ValueError as error:  # Ray's own words: a head that is no node type, fewer workers at most than at least
        yield f"{error} Correct the names under available_node_types."


def _as_ray_reads_it(cluster: ClusterFile) -> ClusterFile:
    """The file with Ray's defaults filled in where it is silent."""
    from ray.autoscaler._private.util import prepare_config

    return prepare_config(copy.deepcopy(cluster))


def _schema_complaint(error: Any) -> str:
    place = ".".join(str(part) for part in error.absolute_path) or "the file"
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        unknown = next(key for key in error.instance if key not in known)
        return f"{place} has an unknown key {unknown!r}; {_nearest(unknown, known)}."
    return f"{place}: {error.message}; cluster.yaml shows the form that Ray takes."


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    return f"write {' or '.join(near)}" if near else f"known: {', '.join(sorted(known)[:12])}"


def _placeholders(cluster: ClusterFile) -> Complaints:
    for place, text in _texts(cluster):
        if "YOUR-" in text or "/YOUR/" in text:
            yield f"{place} is still {text!r}; put your own there, in an overlay or in the file."
        if text.startswith("192.0.2."):
            yield f"{place} is still the example address {text}; put your machine's."


def _storage(cluster: ClusterFile) -> Complaints:
    storage = cluster.get("metadata", {}).get("storage")
    if not storage:
        yield "metadata.storage names no place for results; write s3://bucket/prefix, or a folder all machines share."
    elif cluster["provider"]["type"] == "aws" and not re.fullmatch(r"s3://[a-zA-Z0-9.-]+(/.*)?", storage):
        yield f"metadata.storage is {storage!r}, which is lost with the machines; write s3://bucket/prefix."
    elif not storage.startswith(("s3://", "/")):
        yield f"metadata.storage is {storage!r}; write s3://bucket/prefix, or the full path of a shared folder."


def _token(cluster: ClusterFile) -> Complaints:
    source = cluster.get("file_mounts", {}).get(TOKEN)
    if source is None:
        yield f'file_mounts does not carry the token; add "{TOKEN}": "{TOKEN}".'
    elif not Path(source).expanduser().is_file():
        yield f"there is no token in {source}; make one with: ray get-auth-token --generate"
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        if any("ray start" in line and "RAY_AUTH_MODE=token" not in line for line in cluster[commands]):
            yield f"{commands} starts Ray without a token; write RAY_AUTH_MODE=token before 'ray start'."


def _dashboard(cluster: ClusterFile) -> Complaints:
    (start,) = [line for line in cluster["head_start_ray_commands"] if "ray start" in line][-1:] or [""]
    host = re.search(r"--dashboard-host[= ](\S+)", start)
    if host is None or host[1] not in ("127.0.0.1", "localhost"):
        host_named = host[1] if host else "left to Ray"
        yield f"the dashboard's host is {host_named}; write --dashboard-host=127.0.0.1 in head_start_ray_commands."


def _secrets(cluster: ClusterFile) -> Complaints:
    for place, text in _texts(cluster):
        if SECRETS.search(f"{place.rpartition('.')[2]}={text}") or SECRETS.search(text):
            yield f"{place} holds a secret; take it out, and send it as a file by file_mounts (~/.netrc for wandb)."


def _ray_itself(cluster: ClusterFile) -> Complaints:
    for commands in ("head_setup_commands", "worker_setup_commands"):  # setup_commands are part of both by now
        if any(re.search(r"ray-wheels|pip3? install.*\bray\b", line) for line in cluster[commands]):
            yield f"{commands} installs another Ray over the image's; write 'setup_commands: []' or your own list."
            return  # once: the same line usually stands in both


def _image(cluster: ClusterFile) -> Complaints:
    import ray

    image = cluster.get("docker", {}).get("image", "")
    tag = image.rpartition("/")[2].partition(":")[2]
    if image and "YOUR-" not in image and tag in ("", "latest"):
        yield f"docker.image is {image!r}, which may be a different one tomorrow; write a version after a colon."
    version = re.match(r"\d+\.\d+\.\d+", tag)
    if image.startswith("rayproject/ray:") and version and version[0] != ray.__version__:
        yield f"docker.image has Ray {version[0]} and this machine {ray.__version__}; they must be the same."


def _key(cluster: ClusterFile) -> Complaints:
    key = cluster["auth"].get("ssh_private_key")
    if key and not Path(key).expanduser().is_file():
        yield f"auth.ssh_private_key: there is no key {key}; name one, or leave the line out and Ray makes one on AWS."
    if cluster["provider"]["type"] == "aws" and key:
        for name, kind in cluster["available_node_types"].items():
            if "KeyName" not in kind["node_config"]:
                yield f"node kind {name} has no KeyName; name the EC2 key pair of {key} in its node_config."
    if cluster["provider"]["type"] == "local" and not cluster["auth"].get("ssh_user"):
        yield "auth.ssh_user is missing; name the user who may log in on every machine."


def _mounts(cluster: ClusterFile) -> Complaints:
    for target, source in cluster.get("file_mounts", {}).items():
        if target != TOKEN and not Path(source).expanduser().exists():
            yield f"file_mounts sends {source} to {target}, which is not here; make it or take the line out."


def _instances(cluster: ClusterFile) -> Complaints:
    """Source: botocore's own description of EC2's RunInstances, which travels with it."""
    from botocore.validate import ParamValidator

    model = _ec2()
    shape: Any = model.operation_model("RunInstances").input_shape
    types: Any = model.shape_for("InstanceType")
    for name, kind in cluster["available_node_types"].items():
        config = {key: value for key, value in kind["node_config"].items() if key != "SubnetIds"}  # Ray's own key
        for key in config.keys() - shape.members.keys():
            yield f"node kind {name} has an unknown key {key!r} in node_config; {_nearest(key, shape.members)}."
        known = {key: value for key, value in config.items() if key in shape.members}
        report = ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **known}, shape)
        if report.has_errors():
            yield f"node kind {name}: {report.generate_report().splitlines()[0]}; correct its node_config."
        instance = config.get("InstanceType")
        if instance not in types.enum:
            yield f"node kind {name} has the unknown instance type {instance!r}; {_nearest(str(instance), types.enum)}."
        disks = [disk.get("Ebs", {}).get("VolumeSize", 0) for disk in config.get("BlockDeviceMappings", [])]
        if all(not isinstance(size, int) or size < SMALLEST_DISK_GB for size in disks):
            yield f"node kind {name} has no disk of {SMALLEST_DISK_GB} GB; set that VolumeSize in BlockDeviceMappings."


@functools.cache
def _ec2() -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model("ec2")


def _kinds(cluster: ClusterFile) -> Complaints:
    from ray.util import accelerators

    cards = [value for value in vars(accelerators).values() if isinstance(value, str) and not value.startswith("_")]
    if cluster["provider"].get("cache_stopped_nodes") is not False:
        yield "provider.cache_stopped_nodes is on, so stopped machines keep their disks, which cost money; write false."
    for name, kind in worker_kinds(cluster).items():
        asked = [key.partition(":")[2] for key in kind["resources"] if key.startswith("accelerator_type:")]
        for card in asked:
            if card not in cards:
                yield f"node kind {name} has the unknown accelerator type {card!r}; {_nearest(card, cards)}."
        if kind["resources"].get("GPU") and not asked:
            yield f'node kind {name} does not say which card it has; add "accelerator_type:A10G": 1 or the like.'
        if "IamInstanceProfile" not in kind["node_config"]:
            yield f"node kind {name} has no IamInstanceProfile and may not write results; name galactica-sweeps-worker."
    known = cluster["available_node_types"].keys()
    for name in cluster.get("metadata", {}).get("price_per_hour", {}).keys() - known:
        yield f"metadata.price_per_hour names the unknown node kind {name!r}; {_nearest(name, known)}."


def _region(cluster: ClusterFile) -> Complaints:
    region = cluster["provider"].get("region")
    for zone in (cluster["provider"].get("availability_zone") or "").split(","):
        if zone and region and not zone.strip().startswith(region):
            yield f"provider.availability_zone {zone.strip()} lies outside the region {region}; make them agree."


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in the file, with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from _texts(inside, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, inside in enumerate(value):
            yield from _texts(inside, f"{place}[{number}]")
    elif isinstance(value, str):
        yield place, value
