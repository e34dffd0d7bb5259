"""cluster.local.yaml on two hosts with a real sshd: who may ask, and what listens between machines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.network_hosts import Network, why_not
from tests.support.person import TOKEN, Person, status_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

# The list in docs/cluster.md; each beyond loopback on head or workers.
SSH, HEAD, EVERY_NODE, WORKERS = (
    {22},
    {6379, 10001, 44217, 44227},
    {8076, 8077, 8078, 8079, 8080, 52365},
    set(range(10002, 11000)),
)


@dataclass
class Started:
    person: Person
    network: Network
    head: str
    worker: str
    file: Path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("local")
    with Network() as network:
        head, worker = (network.gateway.removesuffix(".1") + end for end in (".10", ".11"))
        for address in (head, worker):
            network.start(address, {"OMP_NUM_THREADS": "1"})
        person = Person(folder, {"RAY_UP_enable_autoscaler_v2": "0"})
        overlay = folder / "overlay.yaml"
        mine = {
            "metadata": {"storage": str(folder / "results")},
            "provider": {"head_ip": head, "worker_ips": [worker]},
            "auth": {"ssh_user": "root", "ssh_private_key": str(network.key)},
            "docker": None,
        }
        overlay.write_text(yaml.safe_dump(mine))
        file = person.check("cluster.local.yaml", overlay)
        person.up(file)
        yield Started(person, network, head, worker, file)
        person.down(file)


def test_without_the_token_dashboard_jobs_and_board_answer_401(cluster: Started) -> None:
    with cluster.person.tunnel(cluster.file) as dashboard:
        for path in ("/api/jobs/", "/nodes?view=summary", "/api/v0/actors", "/logical/actors"):
            assert status_of(dashboard + path) == 401
            assert status_of(dashboard + path, "a wrong token") in (401, 403)
        assert status_of(f"{dashboard}/api/jobs/", TOKEN) == 200
    ask = "curl --silent --output /dev/null --write-out %{http_code}"
    assert cluster.network.run(cluster.head, f"{ask} http://127.0.0.1:8266/api/records") == "401"


def test_beyond_loopback_only_sshd_and_rays_own_ports_listen(cluster: Started) -> None:
    at_head = listening(cluster, cluster.head)
    assert SSH | {6379} <= at_head <= SSH | HEAD | EVERY_NODE | WORKERS
    wait_until(lambda: {8076, 8077} <= listening(cluster, cluster.worker), "a worker that has joined")
    at_worker = listening(cluster, cluster.worker)
    assert SSH < at_worker <= SSH | EVERY_NODE | WORKERS
    everywhere = listening(cluster, cluster.head, loopback=True)
    assert {8265, 8266} <= everywhere
    assert not {8265, 8266} & at_head


def listening(cluster: Started, address: str, *, loopback: bool = False) -> set[int]:
    """TCP ports with a listener on a host; those on loopback alone are left out unless asked for."""
    lines = cluster.network.run(address, "ss --listening --tcp --numeric --no-header").splitlines()
    ends = [line.split()[3].rpartition(":") for line in lines]
    return {int(port) for host, _, port in ends if loopback or not re.search(r"127\.|\[::1\]", host)}
