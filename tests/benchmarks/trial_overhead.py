"""What a trial costs beyond its training: ours, a stock Train-in-Tune script, Hugging Face's search, in turn.

Question: how many seconds does a trial take from the end of the one before to its own, less its training?
Command: python tests/benchmarks/trial_overhead.py --rounds 2 --trials 5
The same nano trials everywhere: nano-0.3m with random weights, 30 steps of 8 x 128 tokens, one trial at a time, one
thread. The first trial of each search, with all that starts once, stands apart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from analysis.sweep_table.load import load_sweep

ROOT = Path(__file__).resolve().parent.parent.parent
STEPS, TOKENS = 30, 8 * 128
ARM_SECONDS = 300
ARMS = ("ours", "train-in-tune", "hugging-face")


def run(arm: str, trials: int, folder: Path) -> tuple[float, list[float]]:
    """One search. Returns: seconds to the end of its first trial; each later trial's, its training taken off."""
    lines, began = folder / "trials.jsonl", time.time()
    if arm == "ours":
        rates = [f"{1e-4 * 1.3**number:.3g}" for number in range(trials)]
        command = [
            str(ROOT / "sweeps" / "batch_memory.py"),
            *("--storage", str(folder), "--name", "ours", "--trials", str(trials)),
            *("--model-sizes", "nano-0.3m", "--batch-sizes", "8", "--micro-batch-sizes", "8", "--weights", "random"),
            *("--token-budget", str(STEPS * TOKENS), "--sequence-length", "128", "--max-concurrent", "1"),
            *("--wandb", "disabled", "--learning-rates", *rates),
        ]
    else:
        command = [str(ROOT / "tests" / "benchmarks" / "stock_searches.py"), arm, str(trials), str(STEPS), str(lines)]
    environment = os.environ | {"RAY_TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("RAY_ADDRESS", None)
    log = folder / "log"
    with log.open("w") as written:
        done = subprocess.run(
            [sys.executable, *command], env=environment, stdout=written, stderr=written, timeout=ARM_SECONDS
        )
    if done.returncode:
        raise RuntimeError(f"{arm} ended with {done.returncode}:\n{log.read_text()[-2000:]}")
    ends = ends_of_ours(folder / "ours") if arm == "ours" else [json.loads(line) for line in lines.open()]
    assert len(ends) == trials, f"{arm} ran {len(ends)} of {trials} trials"
    later = itertools.pairwise(ends)
    return ends[0]["ended_at"] - began, [
        after["ended_at"] - before["ended_at"] - after["train_seconds"] for before, after in later
    ]


def ends_of_ours(folder: Path) -> list[dict[str, float]]:
    """The end of each trial of ours, as its record was written, and its training."""
    ends = []
    for record in load_sweep(str(folder)).records:
        assert record.report is not None
        assert record.report.train_seconds is not None
        path = folder / "trials" / record.trial_id / "record.json"
        ends.append({"ended_at": path.stat().st_mtime, "train_seconds": record.report.train_seconds})
    return sorted(ends, key=lambda end: end["ended_at"])


def parts_of_ours(folder: Path) -> list[dict[str, float]]:
    """Where the seconds of each trial of ours but the first went, by the times at which its files were written."""
    parts, before = [], 0.0
    for record in load_sweep(str(folder)).records:
        assert record.report is not None
        place = folder / "trials" / record.trial_id
        proposed, reported, recorded = (
            (place / name).stat().st_mtime for name in ("proposal.json", "report.json", "record.json")
        )
        (attempt,) = json.loads((place / "attempts.json").read_text())
        trained = record.report.train_seconds or 0.0
        parts.append(
            {
                "Tune, from record to next proposal": proposed - before,
                "driver: from proposal to handing over": attempt["began_at"] - proposed,
                "worker: all but steps": reported - attempt["began_at"] - trained,
                "driver: from report to record": recorded - reported,
            }
        )
        before = recorded
    return parts[1:]


def main() -> int:
    """Print the seconds of each search as it ends, then medians."""
    parser = argparse.ArgumentParser(description="What a trial costs beyond its training.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    arguments = parser.parse_args()
    first: dict[str, list[float]] = {arm: [] for arm in arguments.arms}
    later: dict[str, list[float]] = {arm: [] for arm in arguments.arms}
    parts: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        for arm in arguments.arms:
            folder = Path(tempfile.mkdtemp(prefix="o-"))  # short: Ray's sockets lie below it
            begin, rest = run(arm, arguments.trials, folder)
            first[arm].append(begin)
            later[arm] += rest
            if arm == "ours":
                parts += parts_of_ours(folder / "ours")
            shutil.rmtree(folder, ignore_errors=True)
            print(
                f"{arm}: first trial's end {begin:.1f} s; {' '.join(f'{seconds:.2f}' for seconds in rest)}", flush=True
            )
    for arm in arguments.arms:
        print(
            f"{arm}: median {statistics.median(later[arm]):.2f} s a trial beyond training"
            f" ({min(later[arm]):.2f} to {max(later[arm]):.2f}, {len(later[arm])} trials);"
            f" {statistics.median(first[arm]):.1f} s to the end of the first"
        )
    for name in parts[0] if parts else ():
        print(f"  ours, {name}: median {statistics.median(part[name] for part in parts):.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
