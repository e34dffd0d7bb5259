"""Peaks that others measured on real GPUs, predicted: python tests/benchmarks/memory_published.py --data FILE [--json].

FILE holds a JSON document a line, as in published_gpu_peaks.jsonl beside this script. The runs are those of
Stone-ResearchLife/xMem (MIT; arXiv 2510.21048): PyTorch 2.6, transformers 4.51, an RTX 3060 or 4060. Their loop is
written as a step (published_loop.py) and traced; no constant was fitted to the rows. No GPU, no network, some seconds
a row. A row that cannot be read or predicted is told of in a line of its own; the others are predicted all the same,
and the exit code is then 2.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import logging
import random
import sys
from pathlib import Path
from statistics import median, median_low
from typing import Any

from published_loop import published_loop
from published_rows import DTYPES, RIVALS, Line, check_row, read_lines

from trainables.memory.tracing.allocator import replay
from trainables.memory.tracing.recorder import CUBLAS_WORKSPACE_BYTES, trace
from trainables.memory.tracing.timeline import MemoryTrace, Shapes

STEPS = 4
# Where two outcomes are about as likely, seven orders were too few: distilgpt2 at batch 40 came to 14 of 40 and 26.
ADDRESS_ORDERS = 41
# Source: README of the measurements: about 400 MiB of the card is the context's and the display's.
UNAVAILABLE_BYTES = 400 * 2**20
TRACED_FIELDS = (
    "model",
    "optimizer",
    "micro_batch_size",
    "sequence_length",
    "precision",
    "attention",
    "zero_grad_mode",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """One row's answer; `error` says in a line why there is none."""

    predicted_reserved_bytes: int | None = None
    fits: bool | None = None
    error: str | None = None
    relative_error: float | None = None


def trace_row(row: dict[str, Any]) -> MemoryTrace:
    """The memory events of one published run; the same run on another card is not traced again.

    How long the batches of a run were is not published; each is taken to hold a line of the full length, which is what
    is most likely from two lines on, and in three runs of four from ten on (docs/results/memory.md).
    Raises: ValueError for what is missing in a row or not known.
    """
    check_row(row)
    return _traced(tuple(row.get(name) for name in TRACED_FIELDS))


@functools.lru_cache(maxsize=4)
def _traced(fields: tuple[Any, ...]) -> MemoryTrace:
    row = {name: value for name, value in zip(TRACED_FIELDS, fields, strict=True) if value is not None}
    config = check_row(row | {"gpu_total_bytes": 1})
    shapes = Shapes(
        vocabulary=config.vocab_size,
        tokens=row["micro_batch_size"] * row["sequence_length"],
        sequence_length=row["sequence_length"],
    )
    return trace(
        lambda recorder: published_loop(
            recorder,
            config,
            dtype=DTYPES[row.get("precision", "fp32")],
            attention=row["attention"],
            optimizer_name=row["optimizer"],
            batch_size=row["micro_batch_size"],
            lengths=[row["sequence_length"]] * STEPS,
            zero_grad_mode=row.get("zero_grad_mode", 0) % 3,
        ),
        device="cuda",
        shapes=shapes,
        workspace_bytes=CUBLAS_WORKSPACE_BYTES,
    )


def predict_row(row: dict[str, Any]) -> Prediction:
    """Reserved bytes and whether the run fits its card; what does not fit is given as it would be without a bound.

    Where the driver put the segments decides between free blocks of one size, and is not known: the median over
    several orders is taken, and the verdict of most of them.
    """
    try:
        traced = trace_row(row)
    except (ValueError, RuntimeError) as error:
        return Prediction(error=str(error).strip().splitlines()[0])
    capacity_bytes = row["gpu_total_bytes"] - UNAVAILABLE_BYTES
    bounded = [replay(traced, capacity_bytes, random.Random(seed)) for seed in range(ADDRESS_ORDERS)]
    fits = sum(made.fits for made in bounded) > ADDRESS_ORDERS // 2
    if not fits:
        bounded = [replay(traced, None, random.Random(seed)) for seed in range(ADDRESS_ORDERS)]
    reserved_bytes = median_low(made.reserved_bytes for made in bounded if made.fits)
    measured = row.get("measured_bytes")
    return Prediction(
        predicted_reserved_bytes=reserved_bytes,
        fits=fits,
        relative_error=reserved_bytes / measured - 1 if measured else None,
    )


def summarize(rows: list[dict[str, Any]], predictions: list[Prediction]) -> dict[str, Any]:
    """Median and worst absolute errors, ours beside the rivals', and how many rows were called rightly."""
    errors = {"ours": [abs(p.relative_error) for p in predictions if p.relative_error is not None]}
    for rival in RIVALS:
        pairs = [(r.get(f"{rival}_bytes"), r.get("measured_bytes")) for r in rows]
        errors[rival] = [abs(guess / truth - 1) for guess, truth in pairs if guess and truth]
    judged = [
        (row["out_of_memory"], prediction.fits)
        for row, prediction in zip(rows, predictions, strict=True)
        if prediction.fits is not None and row.get("out_of_memory") is not None
    ]
    return {
        "median_absolute_error": {name: median(values) if values else None for name, values in errors.items()},
        "worst_absolute_error": {name: max(values, default=None) for name, values in errors.items()},
        "out_of_memory_calls_right": sum(oom is not fits for oom, fits in judged),
        "out_of_memory_calls": len(judged),
    }


def main(arguments: list[str] | None = None) -> int:
    """Predict every row of a file and print a table or JSON. Returns: the exit code, 2 where a row is bad."""
    parser = argparse.ArgumentParser(description="Predict published GPU peaks.")
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("published_gpu_peaks.jsonl"))
    parser.add_argument("--json", action="store_true", help="print rows and medians as one JSON document")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    try:
        lines = read_lines(options.data)
    except (OSError, ValueError) as error:
        print(f"error: {options.data} cannot be read: {error}", file=sys.stderr)
        return 2
    predictions = []
    for line in lines:
        predictions.append(Prediction(error=line.error) if line.error else predict_row(line.row))
        if predictions[-1].error:
            print(f"{options.data}:{line.number}: {predictions[-1].error}", file=sys.stderr, flush=True)
        elif not options.json:
            _print_row(line, predictions[-1])
    summary = summarize([line.row for line in lines], predictions)
    if options.json:
        print(json.dumps({"rows": [dataclasses.asdict(p) for p in predictions], **summary}, indent=1))
    else:
        _print_summary(summary)
    return 2 if any(prediction.error for prediction in predictions) else 0


def _print_row(line: Line, prediction: Prediction) -> None:
    row, reserved_bytes, measured_bytes = line.row, prediction.predicted_reserved_bytes, line.row.get("measured_bytes")
    assert reserved_bytes is not None
    error = "" if prediction.relative_error is None else f"{prediction.relative_error:+.2%}"
    measured = f"{measured_bytes / 2**30:.3f} GiB" if measured_bytes else ""
    measured = "out of memory" if row.get("out_of_memory") else measured
    predicted = f"{reserved_bytes / 2**30:.3f} GiB, {'fits' if prediction.fits else 'does not fit'}"
    name = f"{row['model']:28s} {row['optimizer']:9s} {row['micro_batch_size']:>3}"
    print(f"{name}  measured {measured:14s} predicted {predicted:24s} {error}", flush=True)


def _print_summary(summary: dict[str, Any]) -> None:
    for name, value in summary["median_absolute_error"].items():
        worst = summary["worst_absolute_error"][name]
        if value is not None and worst is not None:
            print(f"{name:10s} median {value:7.2%}  worst {worst:7.2%}")
    print(f"fits or not: {summary['out_of_memory_calls_right']} of {summary['out_of_memory_calls']} rows right")


if __name__ == "__main__":
    sys.exit(main())
