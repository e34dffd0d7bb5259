"""Published tables as ladders: cells to run as if they were trials, and losses of sizes that grow.

Each table's facts and licence stand in the folder's own README; none of them is part of the project.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.ladder.rungs import LadderTrial, Rung

CLOSEST = 1.15  # times the parameters: nearer sizes of a table count as one, the larger
MOST_BELOW = 4  # rungs below the one that is predicted
OLMO = ("loss_c4_en", "loss_pile", "loss_wikitext_103")
SUFFIXES = ("Instruct-2507", "VL", "Base", "Thinking")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A ladder whose rungs have a cell for many rates and batches."""

    name: str
    rungs: tuple[Rung, ...]
    compares_loss: bool = True  # whether the rungs' losses are one model family's on one text


@dataclass(frozen=True, kw_only=True)
class Losses:
    """A ladder of one loss a size: (parameters, loss), smallest first."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Rates:
    """A ladder of one best or chosen learning rate a size: (parameters, rate), smallest first."""

    name: str
    points: tuple[tuple[float, float], ...]


def read(folder: Path, table: str) -> list[dict[str, str]]:
    """The rows of a table; none where the folder has no such table."""
    path = folder / f"{table}.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def grouped(rows: Iterable[dict[str, str]], *columns: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Rows by the values of some columns, in the order in which those come first."""
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        groups["/".join(row[column] for column in columns)].append(row)
    yield from groups.items()


def grids(folder: Path) -> Iterator[tuple[str, Grid]]:
    """Ladders over learning rate and batch: Step Law's dense and expert models, and LoRA fine-tuning by rate alone."""
    for table, size, loss in (("steplaw_dense", "n", "loss"), ("steplaw_moe", "n_active", "loss_smooth")):
        for group, rows in grouped(read(folder, table), "group"):
            yield table, Grid(name=group, rungs=_rungs(rows, size, loss))
    rows = [row for row in read(folder, "tinker_sft_lora") if row["test_nll"] and row["diverged"] != "True"]
    for group, family in grouped(rows, "group"):
        for kind, models in grouped([row | {"kind": _kind(row["model"])} for row in family], "kind"):
            best = max(
                grouped(models, "lora_rank"), key=lambda ranked: len(_rungs(ranked[1], "n", "test_nll", least=3))
            )
            rungs = _rungs(best[1], "n", "test_nll", least=3)
            yield "tinker_sft_lora", Grid(name=f"{group}/{kind or 'plain'}", rungs=rungs, compares_loss=False)


def _kind(model: str) -> str:
    return next((suffix for suffix in SUFFIXES if suffix in model), "")


def _rungs(rows: list[dict[str, str]], size: str, loss: str, least: int = 1) -> tuple[Rung, ...]:
    cells: dict[int, dict[tuple[float, float], float]] = defaultdict(dict)
    for row in rows:
        place = float(row["lr"]), float(row.get("batch_sequences") or 1)
        cells[round(float(row[size]))][place] = float(row[loss])
    made = [
        Rung(
            name=f"{parameters:.3g}",
            parameters=parameters,
            trials=tuple(LadderTrial(learning_rate=r, batch_size=b, loss=value) for (r, b), value in found.items()),
        )
        for parameters, found in sorted(cells.items())
        if len(found) >= least
    ]
    return tuple(made)


def losses(folder: Path) -> Iterator[tuple[str, Losses]]:
    """Ladders of one loss a size."""
    for table, columns, by, size in (
        ("olmo_ladder", OLMO, ("group",), "n"),
        ("gadre_overtraining", ("loss_c4_en",), ("group", "chinchilla"), "n"),
        ("farseer", ("loss",), ("d",), "n"),
        ("gemstones", ("loss",), ("group", "d"), "n"),
        ("finetune_30models", ("test_loss",), ("group", "examples"), "n"),
        ("lingle_optima", ("loss",), ("group",), "n"),
        ("published_recipes", ("pile_test_loss",), ("group",), "n"),
    ):
        for group, rows in grouped(read(folder, table), *by):
            for column in columns:
                yield table, Losses(name=f"{group}/{column}", points=_least(rows, size, column))
    for group, rows in grouped(read(folder, "porian_isoflop"), "group"):
        best = [min(budget, key=lambda row: float(row["loss"])) for _, budget in grouped(rows, "flops")]
        yield "porian_isoflop", Losses(name=group, points=_least(best, "n", "loss"))


def lone_rates(folder: Path) -> Iterator[tuple[str, Rates]]:
    """Ladders of one rate a size: Lingle's optima, and what papers used (conventions, no optima)."""
    for table in ("lingle_optima", "published_recipes"):
        for group, rows in grouped(read(folder, table), "group"):
            points = tuple(sorted((float(row["n"]), float(row["lr"])) for row in rows))
            yield table, Rates(name=group, points=points)


def _least(rows: list[dict[str, str]], size: str, column: str) -> tuple[tuple[float, float], ...]:
    found: dict[float, float] = {}
    for row in rows:
        if row[column]:
            found[float(row[size])] = min(float(row[column]), found.get(float(row[size]), float("inf")))
    return tuple(sorted(found.items()))


def apart(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Points whose sizes are farther apart than noise in naming them, the largest kept."""
    kept: list[tuple[float, float]] = []
    for point in reversed(points):
        if not kept or kept[-1][0] >= CLOSEST * point[0]:
            kept.append(point)
    return tuple(reversed(kept))
