"""What a machine with GPUs tells of them, by a driver that is made up: none of them is here."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from sweeps.batch_memory import QUESTION as BATCH_MEMORY
from sweeps.planning.choices import make_plan
from sweeps.planning.device import Device, detect_device
from sweeps.planning.options import SweepOptions
from sweeps.planning.placement import named_card
from trainables.memory.cards import LARGE_WORKSPACE_BYTES

MIB = 2**20


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, int]]:
    """The GPUs, each with its name (None: it tells none) and its MiB; the test puts them in."""
    gpus: list[tuple[str | None, int]] = []

    def name_of(index: int) -> str:
        name = gpus[index][0]
        if name is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
        return name

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(gpus))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", name_of)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda index: SimpleNamespace(total=gpus[index][1] * MIB))
    return gpus


def test_the_gpu_of_this_machine_is_known_by_its_name(driver: list[tuple[str | None, int]]) -> None:
    driver.append(("NVIDIA H200", 143_771))
    plan = make_plan(SweepOptions(), detect_device(), BATCH_MEMORY)
    assert (plan.gpu, plan.capacity_bytes) == ("h200", 143_771 * MIB)
    assert named_card(plan).workspace_bytes == LARGE_WORKSPACE_BYTES  # as Hopper has; a nameless card has none


def test_of_several_gpus_the_smallest_is_named(driver: list[tuple[str | None, int]]) -> None:
    driver += [("NVIDIA A10G", 23_028), ("Tesla T4", 15_360)]
    assert detect_device() == Device(gpus=2, gpu_bytes=15_360 * MIB, cpus=detect_device().cpus, gpu_name="Tesla T4")
    assert make_plan(SweepOptions(), detect_device(), BATCH_MEMORY).gpu == "t4"


def test_a_gpu_without_a_name_keeps_its_memory(driver: list[tuple[str | None, int]]) -> None:
    driver.append((None, 20_000))
    plan = make_plan(SweepOptions(), detect_device(), BATCH_MEMORY)
    assert (plan.gpu, plan.capacity_bytes) == ("this GPU", 20_000 * MIB)


def test_the_name_that_a_person_gives_stands_before_the_drivers(driver: list[tuple[str | None, int]]) -> None:
    driver.append(("NVIDIA H200", 143_771))
    plan = make_plan(SweepOptions(gpu="h100"), detect_device(), BATCH_MEMORY)
    assert (plan.gpu, plan.capacity_bytes) == ("h100", 143_771 * MIB)


def test_a_driver_without_a_gpu_is_a_machine_without_one(driver: list[tuple[str | None, int]]) -> None:
    assert not driver
    assert not detect_device().on_cuda
