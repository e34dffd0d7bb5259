"""How well small sizes predict large ones, without training: the ladder's planner over published tables and laws.

    python tests/benchmarks/ladder.py [--tables FOLDER] [--json]

The tables' cells are run as if they were trials: where the planner wants a rate and a batch, the nearest cell that it
has not had answers. Three rungs below at most, 12 + 8 + 8 trials, then the next size is predicted and three trials are
placed at it. Every size of a ladder that has two below it is predicted once. The best rate that it is held against is
the bottom of a bowl through all cells of that size. Losses are predicted for every table that has some, by at most four
sizes below. The synthetic laws (ladder_laws.py) have another form than the fit, on purpose.

JSON has an object a table: `ladders`; `lr_octaves_median`, the error of the best rate; `lr_coverage` and
`lr_width_octaves_median` of its 90% interval; `excess_loss_mean`, the best of the three top trials over the best there
is, as a share of it (0.0007 is 0.07%); `loss_error_median`, a share too; `loss_coverage`. null where a table has none.
About two minutes on two cores.
"""

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ladder_laws import draw
from ladder_tables import MOST_BELOW, Grid, apart, grids, lone_rates, losses

from analysis.ladder.landscape import Landscape
from analysis.ladder.placement import LogRange, Point, fit, next_stage
from analysis.ladder.rungs import LadderTrial, Rung
from analysis.ladder.transfer import Forecast, forecast_loss, forecast_optimum, forecast_rate

TABLES = Path(__file__).resolve().parents[3] / "shared" / "measurements" / "ladder"
TRIALS = (12, 8, 8)  # on the rungs below, lowest first; with two rungs the first two
TOP_TRIALS = 3
SYNTHETIC = 1000
Ranges = tuple[LogRange, LogRange]
Run = Callable[[Point], LadderTrial]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one ladder's prediction was worth; None where the ladder does not tell."""

    lr_octaves: float | None = None
    lr_width: float | None = None
    lr_covered: bool | None = None
    excess: float | None = None
    loss_error: float | None = None
    loss_covered: bool | None = None


def climb(rung: Rung, below: tuple[Rung, ...], ranges: Ranges, run: Run, trials: int, *, top: bool = False) -> Rung:
    """The rung with its trials, run stage by stage."""
    while stage := next_stage(below, rung, ranges, trials, top=top):
        rung = replace(rung, trials=(*rung.trials, *(run(point) for point in stage)))
    return rung


def nearest_unused(cells: Iterable[LadderTrial]) -> Run:
    """A run that answers with the nearest cell that it has not given yet."""
    left = list(cells)

    def run(point: Point) -> LadderTrial:
        def distance(cell: LadderTrial) -> float:
            across = math.log2(cell.learning_rate / point.learning_rate)
            return math.hypot(across, math.log2(cell.batch_size / point.batch_size))

        left.sort(key=distance)
        return left.pop(0)

    return run


def loss_answer(told: Forecast, outcome: float) -> dict[str, Any]:
    """The fields about the loss."""
    return {"loss_error": abs(told.value / outcome - 1), "loss_covered": told.holds(outcome)}


def rate_answer(told: Forecast, best: float) -> dict[str, Any]:
    """The fields about the learning rate."""
    error = abs(math.log2(told.value / best))
    return {"lr_octaves": error, "lr_width": told.octaves, "lr_covered": told.holds(best)}


def predict(rungs: tuple[Rung, ...], octaves: float, ranges: Ranges) -> tuple[Forecast, Forecast]:
    """Best rate and loss of a size from the rungs below it."""
    landscape = fit(rungs, ranges)
    bottoms = [landscape.optimum(place).log_loss for place in range(len(rungs))]
    points = [(rung.octaves, math.exp(bottom.value)) for rung, bottom in zip(rungs, bottoms, strict=True)]
    return forecast_optimum(landscape, octaves)[0], forecast_loss(points, octaves, bottoms[-1].deviation)


def over_grid(grid: Grid) -> list[Answer]:
    """One answer for every size of a grid that has two below it."""
    cells = [trial for rung in grid.rungs for trial in rung.trials]
    rates, batches = [cell.learning_rate for cell in cells], [cell.batch_size for cell in cells]
    ranges = LogRange(low=min(rates), high=max(rates)), LogRange(low=min(batches), high=max(batches))
    answers = []
    for place in range(2, len(grid.rungs)):
        below: tuple[Rung, ...] = ()
        for rung, trials in zip(grid.rungs[max(0, place - len(TRIALS)) : place], TRIALS, strict=False):
            most = min(trials, len(rung.trials))
            below = (*below, climb(replace(rung, trials=()), below, ranges, nearest_unused(rung.trials), most))
        top = grid.rungs[place]
        rate, loss = predict(below, top.octaves, ranges)
        truth = Landscape([top], (ranges[0].low, ranges[0].high), (ranges[1].low, ranges[1].high)).optimum(0)
        told = rate_answer(rate, 2**truth.rate.value)
        if grid.compares_loss:
            tried = climb(replace(top, trials=()), below, ranges, nearest_unused(top.trials), TOP_TRIALS, top=True)
            best = min(trial.loss for trial in top.trials)
            told["excess"] = min(trial.loss for trial in tried.trials) / best - 1
            told |= loss_answer(loss, math.exp(truth.log_loss.value))
        answers.append(Answer(**told))
    return answers


def over_law(seed: int) -> Answer:
    """The answer of one synthetic ladder."""
    law, below = draw(seed), ()
    ranges = law.rates, law.batches
    for place, trials in enumerate(TRIALS):
        rung = Rung(name=str(place), parameters=law.parameters[place])
        run = lambda point, place=place: law.trial(place, point.learning_rate, point.batch_size)  # noqa: E731
        below = (*below, climb(rung, below, ranges, run, trials))
    place, top = len(TRIALS), Rung(name="top", parameters=law.parameters[-1])
    rate, loss = predict(below, top.octaves, ranges)
    top = climb(top, below, ranges, lambda p: law.trial(place, p.learning_rate, p.batch_size), TOP_TRIALS, top=True)
    best = min(top.trials, key=lambda trial: trial.loss)
    excess = law.cost(place, best.learning_rate, best.batch_size) / law.bottoms[place]
    told = rate_answer(rate, 2 ** law.best_rates[place]) | loss_answer(loss, law.bottoms[place])
    return Answer(excess=excess, **told)


def over_points(points: tuple[tuple[float, float], ...], *, of_rates: bool) -> list[Answer]:
    """One answer for every size with two below it, from one loss or one rate a size."""
    logs = [(math.log2(size), value) for size, value in apart(points)]
    answers = []
    for place in range(2, len(logs)):
        below, (octaves, outcome) = logs[max(0, place - MOST_BELOW) : place], logs[place]
        if of_rates:
            answers.append(Answer(**rate_answer(forecast_rate(below, octaves), outcome)))
        else:
            answers.append(Answer(**loss_answer(forecast_loss(below, octaves), outcome)))
    return answers


def summary(table: str, answers: list[Answer]) -> dict[str, Any]:
    """The row of a table."""

    def of(field: str, reckon: Callable[[list[float]], float]) -> float | None:
        told = [float(value) for answer in answers if (value := getattr(answer, field)) is not None]
        return round(reckon(told), 5) if told else None

    return {
        "table": table,
        "ladders": len(answers),
        "lr_octaves_median": of("lr_octaves", statistics.median),
        "lr_coverage": of("lr_covered", statistics.fmean),
        "lr_width_octaves_median": of("lr_width", statistics.median),
        "excess_loss_mean": of("excess", statistics.fmean),
        "loss_error_median": of("loss_error", statistics.median),
        "loss_coverage": of("loss_covered", statistics.fmean),
    }


def published(folder: Path) -> dict[str, list[Answer]]:
    """Answers of every ladder of the tables in the folder, by table."""
    told: dict[str, list[Answer]] = defaultdict(list)
    for table, grid in grids(folder):
        told[table] += over_grid(grid)
    for table, ladder in losses(folder):
        told[table] += over_points(ladder.points, of_rates=False)
    for table, ladder in lone_rates(folder):
        told[f"{table} (rates)"] += over_points(ladder.points, of_rates=True)
    return {table: answers for table, answers in told.items() if answers}


def main(arguments: list[str] | None = None) -> int:
    """Print the table. Returns: 0; 2 where the folder has no tables and no synthetic ladders were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the published tables")
    parser.add_argument("--synthetic", type=int, default=SYNTHETIC, help="synthetic ladders")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if not any(options.tables.glob("*.csv")):
        print(f"{options.tables} has no tables: only synthetic ladders are run.", file=sys.stderr)
    told = published(options.tables)
    if options.synthetic:
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            told["synthetic"] = pool.map(over_law, range(options.synthetic), chunksize=10)
    rows = [summary(table, answers) for table, answers in told.items()]
    if whole := [answer for table, answers in told.items() if table != "synthetic" for answer in answers]:
        rows.append(summary("all published", whole))
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    columns = list(rows[0])
    print(" | ".join(columns))
    for row in rows:
        print(" | ".join("-" if row[column] is None else str(row[column]) for column in columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
