"""Peaks of other people's fine-tuning, stack by stack: python tests/benchmarks/memory_examination.py [--json].

    python tests/benchmarks/memory_examination.py --data ../shared/measurements/gpu_truths.jsonl

A row of the data is one run on real GPUs (fields as in gpu_truths.jsonl, configs in the folder gpu_truths_configs
beside it). What its settings do not determine is known before its error is: `overall` of the row is not "certain".
No GPU, no network. A trace is kept in the cache, so that the same rows asked again take a tenth of a second each.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
import warnings
from pathlib import Path
from statistics import median
from typing import Any

from examined_rows import NotExpressibleError, read_rows, stack_run

from trainables.memory.cards import Card, find_card
from trainables.memory.predict import TracedStep
from trainables.memory.stacks.step import stack_trace

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "measurements" / "gpu_truths.jsonl"
COUNTERS = ("allocated", "reserved", "device")


def main() -> int:
    """Predict every row. Returns: the exit code, 2 where the data cannot be read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", default="", help="rows whose id holds this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        rows = [row for row in read_rows(options.data) if options.only in row["id"]]
    except (OSError, ValueError) as error:
        print(f"error: {options.data}: {error}", file=sys.stderr)
        return 2
    answers = []
    for number, row in enumerate(rows, start=1):
        answers.append(answer(row, options.data.with_name("gpu_truths_configs")))
        if not options.json:
            print(_line(row, answers[-1]), flush=True)
        elif sys.stderr.isatty():
            print(f"\r{number} of {len(rows)} rows", end="", file=sys.stderr)
    if options.json:
        print(json.dumps({"rows": answers}, indent=1))
    else:
        print("\n".join(_summary(rows, answers)))
    return 0


def answer(row: dict[str, Any], configs: Path) -> dict[str, Any]:
    """What is predicted of a row, or in `error` why it cannot be told."""
    told: dict[str, Any] = dict.fromkeys(
        ("allocated_bytes", "reserved_bytes", "device_bytes", "fits", "stack", "error")
    )
    try:
        run = stack_run(row, configs)
        told["stack"] = run.stack
        made = TracedStep(stack_trace(run)).on(_card(row))
    except NotExpressibleError as error:
        return {"id": row["id"], **told, "error": str(error)}
    except Exception as error:  # noqa: BLE001 a row that fails is told of and loses no other
        return {
            "id": row["id"],
            **told,
            "error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        }
    told |= {name: getattr(made, name) for name in ("allocated_bytes", "reserved_bytes", "device_bytes", "fits")}
    return {"id": row["id"], **told}


def _card(row: dict[str, Any]) -> Card:
    """A row's card with the memory that the row says, or as much as is known of it."""
    try:
        known = find_card(row["gpu"])
    except ValueError:
        known = Card()
    return dataclasses.replace(known, capacity_bytes=row["gpu_total_bytes"] or known.capacity_bytes)


def error_of(row: dict[str, Any], told: dict[str, Any]) -> float | None:
    """The relative error by the counter that was measured, the most telling where several were."""
    for counter in COUNTERS:
        if counter in (row["measured"] or {}) and told[f"{counter}_bytes"] is not None:
            return told[f"{counter}_bytes"] / row["measured"][counter] - 1
    return None


def _line(row: dict[str, Any], told: dict[str, Any]) -> str:
    error = error_of(row, told)
    verdict = "" if told["fits"] is None else "fits" if told["fits"] else "does not fit"
    verdict += "" if told["fits"] is None or told["fits"] != row["out_of_memory"] else " (WRONG)"
    shown = told["error"] or ("" if error is None else f"{error:+.2%}")
    return f"{row['id']:48s} {row['overall']:8s} {shown:>9s}  {verdict}"


def _summary(rows: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[str]:
    lines = [""]
    for cards in ("one card", "sharded"):
        for certainty in ("certain", "all"):
            chosen = [
                (row, told)
                for row, told in zip(rows, answers, strict=True)
                if (row["gpus"] == 1) == (cards == "one card") and (certainty == "all" or row["overall"] == certainty)
            ]
            errors = sorted(abs(e) for row, told in chosen if (e := error_of(row, told)) is not None)
            called = [told["fits"] != row["out_of_memory"] for row, told in chosen if told["fits"] is not None]
            false_fits = sum(bool(told["fits"]) and row["out_of_memory"] for row, told in chosen)
            unsaid = sum(told["error"] is not None for _, told in chosen)
            if errors:
                lines.append(
                    f"{cards}, {certainty}: {len(errors)} peaks, median {median(errors):.2%}, nine in ten within"
                    f" {errors[max(0, -(-9 * len(errors) // 10) - 1)]:.1%}, worst {errors[-1]:.0%}; {sum(called)} of"
                    f" {len(called)} called right, {false_fits} false fits; {unsaid} not expressed"
                )
    return lines


if __name__ == "__main__":
    sys.exit(main())
