"""What several tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.marking import kinds_of
from tests.support.real_browser import browser, chromium
from tests.support.waiting import PATIENCE_SECONDS

__all__ = ["browser", "chromium"]
# Processes that test beside one another share the cores, so none takes them all. Torch reads it when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that runs the tests in the background has interrupts ignored, which all that they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No example is timed: the machine is shared, and what a test claims is not its speed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent
# What tests start is this checkout's too, whichever one is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a cluster or a browser, and begin with the clusters: they take longest."""
    for item in items:
        for kind in kinds_of(item):
            item.add_marker(kind)
    with_cluster = {item.path for item in items if item.get_closest_marker("cluster")}
    items.sort(key=lambda item: item.path not in with_cluster)  # stable: else as collected


RunSweep = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def sweep_environment() -> Iterator[dict[str, str]]:
    """An environment in which a sweep's own Ray keeps to a folder of its own, and nothing is asked of the network."""
    folder = tempfile.mkdtemp(prefix="ray-")  # short: Ray's sockets lie below it, and their paths may have 107 bytes
    unwanted = ("RAY_ADDRESS", "WANDB_API_KEY", "WANDB_MODE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    yield environment | {"RAY_TMPDIR": folder, "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "HOME": folder}
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sweep_command() -> list[str]:
    """The main job, as a person types it."""
    return [sys.executable, str(ROOT / "sweeps" / "batch_memory.py")]


@pytest.fixture(scope="session")
def run_sweep(sweep_environment: dict[str, str], sweep_command: list[str]) -> RunSweep:
    """Runs the main job to its end with the given flags, its results in a folder of its own."""

    def run(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*sweep_command, "--storage", str(folder), *flags],
            env=sweep_environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    return run


@pytest.fixture
def quiet_optuna() -> Iterator[None]:
    """No line of Optuna's about each trial, and its verbosity as before for the tests that follow."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(verbosity)


@pytest.fixture(scope="module")
def own_wandb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No settings of whoever runs the tests; and wandb's own folders outside their home."""
    with pytest.MonkeyPatch.context() as environment:
        for name in os.environ:
            if name.startswith("WANDB_"):
                environment.delenv(name)
        for kind in ("CONFIG", "CACHE", "DATA"):
            environment.setenv(f"WANDB_{kind}_DIR", str(tmp_path_factory.mktemp("wandb")))
        yield
