"""Kills processes of running sweeps at random and counts what they left: no record may be lost or doubled.

Question: does every sweep end, with each owed record exactly once, whatever of it is killed?
Command: python -m tests.benchmarks.kills --kills 100 --seed 0 --rows kills.jsonl
It runs on a Ray cluster of one head and two nodes with a declared GPU each, all on this machine; nodes and raylets are
real processes of Ray's. What is to be killed next is drawn first, and waited for. A killed driver of the sweep is
started again with --resume, as a person would. Each sweep that ended well adds a line to the file of --rows, so that
a hundred kills can be had in several runs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
from ray.cluster_utils import Cluster

from analysis.sweep_table.load import load_sweep
from tests.support.waiting import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
TARGETS = {
    "worker": "ray::RayTrainWorker",
    "controller": "ray::TrainController",
    "mailbox": "ray::Mailbox",
    "trial driver": "ray::ImplicitFunc",
}
KINDS = (*TARGETS, "sweep driver", "raylet", "node")
NODES = 2
LONGEST_PAUSE_SECONDS = 4.0  # between the moment when there is something to kill, and the kill
LOOK_SECONDS = 0.2
SPACE = (
    *("--weights", "random", "--model-sizes", "nano-0.3m", "--precision", "fp32"),
    *("--batch-sizes", "8", "16", "32", "--micro-batch-sizes", "2", "4", "8", "--sequence-length", "128"),
)
SWEEP_SECONDS = 900  # far above what a sweep of ten nano trials takes, kills included


class Range:
    """A small cluster on which sweeps run while things are shot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        os.environ["RAY_TMPDIR"] = str(folder)
        os.environ["RAY_enable_metrics_collection"] = "0"  # noqa: SIM112 - with it Ray takes both cores once nodes died
        (folder / "ray").mkdir()  # where the address of this cluster, and of no other, is written
        head = {
            "num_cpus": 4,  # as cluster.yaml's; Ray starts as many processes at once as a node has cores
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": free_port(),
        }
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self._add_node() for _ in range(NODES)]

    def environment(self) -> dict[str, str]:
        """For a sweep that is to run here."""
        given = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
        return given | {"RAY_ADDRESS": self.cluster.address, "HF_HUB_OFFLINE": "1"}

    def shoot(self, kind: str, sweep: subprocess.Popen[bytes], dice: random.Random) -> bool:
        """Kill one process, or node, of this kind. Returns: whether there was one."""
        if kind == "sweep driver":
            sweep.kill()
            return True
        if kind in ("raylet", "node"):
            node = self.nodes.pop(dice.randrange(len(self.nodes)))
            if kind == "raylet":
                node.kill_raylet(check_alive=False)
            self.cluster.remove_node(node, allow_graceful=False)
            self.nodes.append(self._add_node())
            return True
        found = self._processes(TARGETS[kind])
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            dice.choice(found).kill()
            return True
        return False

    def _add_node(self) -> Any:
        return self.cluster.add_node(num_cpus=1, num_gpus=1)

    def has(self, kind: str) -> bool:
        """Whether there is one of this kind to kill."""
        return kind not in TARGETS or bool(self._processes(TARGETS[kind]))

    def _processes(self, title: str) -> list[psutil.Process]:
        """Processes of this cluster of that title: those that have its folder in their environment."""
        mine = []
        for process in psutil.process_iter(["cmdline"]):
            if process.info["cmdline"] and process.info["cmdline"][0].startswith(title):
                with contextlib.suppress(psutil.Error):
                    if process.environ().get("RAY_TMPDIR") == str(self.folder):
                        mine.append(process)
        return mine


def command_of(place: Range, name: str) -> list[str]:
    """What starts the sweep, or goes on with it; more flags are to follow."""
    script = ROOT / "sweeps" / "batch_memory.py"
    return [sys.executable, str(script), "--storage", str(place.folder / "results"), "--name", name]


def run_sweep(
    place: Range, name: str, trials: int, token_budget: int, kills: int, dice: random.Random, last: float
) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """One sweep to its end, under fire until the moment `last`.

    Returns: what was killed, and which interruptions the records tell of. Raises: AssertionError, as `check` does.
    """
    results, shot = place.folder / "results", collections.Counter[str]()
    log = (place.folder / f"{name}.log").open("ab")

    def start(flags: list[str]) -> subprocess.Popen[bytes]:
        everything = [*command_of(place, name), "--wandb", "disabled", *flags]
        return subprocess.Popen(everything, env=place.environment(), stdout=log, stderr=log, cwd=place.folder)

    sweep = start(["--trials", str(trials), "--token-budget", str(token_budget), *SPACE])
    until = time.monotonic() + SWEEP_SECONDS
    kind, pause = dice.choice(KINDS), dice.uniform(0, LONGEST_PAUSE_SECONDS)
    while (code := sweep.poll()) != 0:
        assert code in (None, -signal.SIGKILL), f"sweep {name} ended with {code}; see {log.name}"
        assert time.monotonic() < until, f"sweep {name} did not end; see {log.name}"
        if code is not None:
            sweep = start(["--resume"])
        time.sleep(LOOK_SECONDS)
        has_begun = (results / name / "sweep.json").exists()
        if shot.total() == kills or time.monotonic() > last or not has_begun or not place.has(kind):
            continue
        time.sleep(pause)
        if place.shoot(kind, sweep, dice):
            shot[kind] += 1
            kind, pause = dice.choice(KINDS), dice.uniform(0, LONGEST_PAUSE_SECONDS)
    return shot, check(results / name, trials)


def check(folder: Path, trials: int) -> collections.Counter[str]:
    """Every owed record is there once, and in the sampler's study. Returns: what they survived, by kind.

    Raises: AssertionError.
    """
    sweep = load_sweep(str(folder))
    assert not sweep.unreadable, sweep.unreadable
    assert [record.number for record in sweep.records] == list(range(trials)), "records were lost or doubled"
    assert len({str(record.settings) for record in sweep.records}) == trials, "a trial ran twice"
    outcomes = collections.Counter(record.outcome.value for record in sweep.records)
    assert set(outcomes) == {"finished"}, outcomes
    study = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder}/study.db")
    known = [(trial.number, trial.state.name, trial.params["learning_rate"]) for trial in study.trials]
    assert known == [(record.number, "COMPLETE", record.settings.learning_rate) for record in sweep.records], known
    return collections.Counter(one.kind.value for record in sweep.records for one in record.interruptions)


def main() -> int:
    """Sweeps of ten trials under fire, until as many were killed as was asked for."""
    parser = argparse.ArgumentParser(description="Kill processes of running sweeps at random.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--trials", type=int, default=10, help="trials of each sweep")
    parser.add_argument("--per-sweep", type=int, default=10, help="kills within one sweep, at most")
    parser.add_argument("--token-budget", type=int, default=120_000, help="tokens of each trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf, help="then kill nothing more, and end")
    parser.add_argument("--rows", type=Path, help="file that gets a line of JSON for each sweep")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="k-"))  # short: Ray's sockets lie below it
    dice, total, sweeps, began = random.Random(arguments.seed), collections.Counter[str](), 0, time.monotonic()
    place = Range(folder)
    try:
        last = began + arguments.seconds
        while total.total() < arguments.kills and time.monotonic() < last:
            wanted = min(arguments.per_sweep, arguments.kills - total.total())
            shot, survived = run_sweep(
                place, f"s{sweeps}", arguments.trials, arguments.token_budget, wanted, dice, last
            )
            total, sweeps = total + shot, sweeps + 1
            seconds = round(time.monotonic() - began)
            row = {"seed": arguments.seed, "kills": dict(shot), "interruptions": dict(survived)}
            if arguments.rows:
                with arguments.rows.open("a") as rows:
                    rows.write(json.dumps(row | {"records": arguments.trials, "until_seconds": seconds}) + "\n")
            print(f"sweep {sweeps}: {row}; {total.total()} kills, {seconds} s", flush=True)
    finally:
        place.cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"kills": dict(total), "sweeps": sweeps, "records": sweeps * arguments.trials}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
