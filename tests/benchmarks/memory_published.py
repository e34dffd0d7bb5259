"""Peaks that others measured on real GPUs, predicted: python tests/benchmarks/memory_published.py --data FILE [--json].

FILE holds a JSON document a line, as in published_gpu_peaks.jsonl beside this script. The runs are those of
Stone-ResearchLife/xMem (MIT; arXiv 2510.21048): PyTorch 2.6, transformers 4.51, an RTX 3060 or 4060. Their loop is
written as a step (published_loop.py) and traced; no constant was fitted to the rows. No GPU, no network, some seconds
a row.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import random
from pathlib import Path
from statistics import median, median_low
from typing import Any

import torch
from published_loop import published_loop
from published_models import published_config

from trainables.memory.allocator import replay
from trainables.memory.components import Shapes
from trainables.memory.timeline import MemoryTrace
from trainables.memory.trace import CUBLAS_WORKSPACE_BYTES, trace

STEPS = 4
ADDRESS_ORDERS = 7  # assumed: enough for a median
# Source: README of the measurements: about 400 MiB of the card is the context's and the display's.
UNAVAILABLE_BYTES = 400 * 2**20
RIVALS = ("xmem", "dnnmem", "llmem", "schedtune")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """One row's answer; `error` says in a line why there is none."""

    predicted_reserved_bytes: int | None = None
    fits: bool | None = None
    error: str | None = None
    relative_error: float | None = None


def trace_row(row: dict[str, Any]) -> MemoryTrace:
    """The memory events of one published run. Raises: ValueError for a model, optimizer or type that is not known.

    How long the batches of a run were is not published; each is taken to hold a line of the full length.
    """
    config = published_config(row["model"])
    if row.get("precision", "fp32") not in DTYPES:
        raise ValueError(f"unknown precision {row['precision']!r}; known: {', '.join(DTYPES)}.")
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
            zero_grad_mode=row.get("zero_grad_mode") or 0,
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
    except (ValueError, KeyError) as error:
        return Prediction(error=f"missing field {error}" if isinstance(error, KeyError) else str(error))
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
    judged = [(r["out_of_memory"], p.fits) for r, p in zip(rows, predictions, strict=True) if p.fits is not None]
    return {
        "median_absolute_error": {name: median(values) if values else None for name, values in errors.items()},
        "worst_absolute_error": {name: max(values, default=None) for name, values in errors.items()},
        "out_of_memory_calls_right": sum(oom is not fits for oom, fits in judged),
        "out_of_memory_calls": len(judged),
    }


def main() -> None:
    """Predict every row of a file and print a table or JSON."""
    parser = argparse.ArgumentParser(description="Predict published GPU peaks.")
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("published_gpu_peaks.jsonl"))
    parser.add_argument("--json", action="store_true", help="print rows and medians as one JSON document")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    try:
        rows = [json.loads(line) for line in options.data.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        parser.exit(2, f"{options.data} cannot be read: {error}\n")
    predictions = []
    for row in rows:
        predictions.append(predict_row(row))
        if not options.json:
            _print_row(row, predictions[-1])
    summary = summarize(rows, predictions)
    if options.json:
        print(json.dumps({"rows": [dataclasses.asdict(p) for p in predictions], **summary}, indent=1))
        return
    for name, value in summary["median_absolute_error"].items():
        worst = summary["worst_absolute_error"][name]
        if value is not None and worst is not None:
            print(f"{name:10s} median {value:7.2%}  worst {worst:7.2%}")
    print(f"fits or not: {summary['out_of_memory_calls_right']} of {summary['out_of_memory_calls']} rows right")


def _print_row(row: dict[str, Any], prediction: Prediction) -> None:
    name = f"{row.get('model', '?'):28s} {row.get('optimizer', '?'):9s} {row.get('micro_batch_size', '?'):>3}"
    if prediction.predicted_reserved_bytes is None:
        print(f"{name}  {prediction.error}", flush=True)
        return
    error = "" if prediction.relative_error is None else f"{prediction.relative_error:+.2%}"
    measured = "out of memory" if row["out_of_memory"] else f"{row['measured_bytes'] / 2**30:.3f} GiB"
    verdict = "fits" if prediction.fits else "does not fit"
    predicted = f"{prediction.predicted_reserved_bytes / 2**30:.3f} GiB, {verdict}"
    print(f"{name}  measured {measured:14s} predicted {predicted:24s} {error}", flush=True)


if __name__ == "__main__":
    main()
