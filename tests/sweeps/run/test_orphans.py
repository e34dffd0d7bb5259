"""Placement groups whose creator was killed, on a real Ray: they go, and those of the living stay."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table

from sweeps.planning.ray_start import local_ray
from sweeps.run.orphans import remove_orphans
from tests.support.waiting import wait_until


@pytest.fixture
def own_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tempfile.mkdtemp(prefix="ray-")  # short: Ray's sockets lie below it
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    with local_ray(num_cpus=3, include_dashboard=False):
        yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def state_of(group: PlacementGroup) -> Any:
    return placement_group_table(group)["state"]


def free_cpus() -> float:
    return ray.available_resources().get("CPU", 0.0)


@pytest.mark.usefixtures("own_ray")
def test_cores_of_a_killed_creator_come_back_and_those_of_the_living_stay_taken() -> None:
    class Creator:  # it stands where Ray Train's controller stands
        def make(self) -> tuple[int, PlacementGroup]:
            group = placement_group([{"CPU": 1}])
            ray.get(group.ready())
            return os.getpid(), group

    creator: Any = ray.remote(num_cpus=0)(Creator)
    killed, living, mine = creator.remote(), creator.remote(), placement_group([{"CPU": 1}])
    (pid, orphan), (_, kept) = ray.get([killed.make.remote(), living.make.remote()])
    ray.get(mine.ready())
    assert remove_orphans() == 0
    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: remove_orphans() == 1, "the orphan found")

    wait_until(lambda: free_cpus() == 1.0, "its core back")
    assert [state_of(group) for group in (orphan, kept, mine)] == ["REMOVED", "CREATED", "CREATED"]
    assert remove_orphans() == 0
