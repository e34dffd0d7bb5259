"""Two sweeps at once, on a machine on which another project's Ray runs: none hinders another, none is driven twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.sweep_table.load import load_sweep
from tests.support.storage_spellings import SMALL
from tests.support.told import complaint
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.slow
FLAGS = ("--wandb", "disabled", "--trials", "1", *SMALL)

# Another project's Ray: it holds an actor of its own on the machine's usual ports, and says at the end who joined it.
FOREIGN = """
import sys
import ray
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1])
@ray.remote(num_cpus=1)
class Held:
    def answer(self):
        return 42
held = Held.remote()
assert ray.get(held.answer.remote()) == 42
print("up", flush=True)
sys.stdin.readline()
assert ray.get(held.answer.remote()) == 42
print(len(ray._private.state.jobs()), flush=True)
"""


@pytest.fixture
def foreign_ray(sweep_environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A Ray of another project's, in the folder where those of sweeps lie too."""
    process = subprocess.Popen(
        [sys.executable, "-c", FOREIGN, sweep_environment["RAY_TMPDIR"]],
        env=sweep_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield process
    if process.poll() is None:
        process.communicate("end\n", timeout=PATIENCE_SECONDS)


def test_two_sweeps_beside_another_projects_ray_end_well_and_a_running_name_is_refused(
    foreign_ray: subprocess.Popen[str],
    sweep_environment: dict[str, str],
    sweep_command: list[str],
    tmp_path: Path,
) -> None:
    def start(name: str, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*sweep_command, "--storage", str(tmp_path), "--name", name, *FLAGS, *more],
            env=sweep_environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    running = {name: start(name) for name in ("one", "two")}
    wait_until((tmp_path / "one" / "sweep.json").exists, "the first sweep's document")
    for more, said in (((), "'one' is already in"), (("--resume",), "'one' is already running, by process")):
        second = subprocess.run(
            [*sweep_command, "--storage", str(tmp_path), "--name", "one", "--wandb", "disabled", *more],
            env=sweep_environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert second.returncode == 2
        assert complaint(second.stderr).count("\n") == 1
        assert said in second.stderr
    for name, sweep in running.items():
        _, told = sweep.communicate(timeout=PATIENCE_SECONDS)
        assert sweep.returncode == 0, told
        assert "Traceback" not in told
        (record,) = load_sweep(str(tmp_path / name)).records
        assert (record.sweep, record.outcome) == (name, "finished")
    said, _ = foreign_ray.communicate("end\n", timeout=PATIENCE_SECONDS)
    assert (foreign_ray.returncode, said) == (0, "1\n")  # its actor answered, and its own job was the only one
