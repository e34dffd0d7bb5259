"""Checks of what was asked for, before it becomes a plan: which points stand for all, which objectives there are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.sweep_table.front import DIRECTIONS, FROM_SAMPLES
from sweeps.planning.options import CommonOptions, OptionsError
from sweeps.planning.questions import MicroBatch, Question


def divides(batch_size: int, micro_batch_size: int, workers: int) -> bool:
    """Whether a batch is made of whole micro-batches; so too where a count below one makes the question void."""
    return min(micro_batch_size, workers) < 1 or batch_size % (micro_batch_size * workers) == 0


def points_to_check(values: Mapping[str, Sequence[Any]], workers: int) -> list[dict[str, Any]]:
    """Points that hold every value once, a batch and a micro-batch without a partner among them."""
    batches, micros = values["batch_size"], values["micro_batch_size"]
    pairs = [(batch, micro) for batch, micro in itertools.product(batches, micros) if divides(batch, micro, workers)]
    pairs += [(batch, micros[0]) for batch in batches if batch not in {paired for paired, _ in pairs}]
    pairs += [(batches[0], micro) for micro in micros if micro not in {paired for _, paired in pairs}]
    first = {name: allowed[0] for name, allowed in values.items()}
    points = [first | {"batch_size": batch, "micro_batch_size": micro} for batch, micro in pairs]
    others = [name for name in values if name not in ("batch_size", "micro_batch_size")]
    return points + [points[0] | {name: value} for name in others for value in values[name]]


def check_automatic(
    micro_batch_sizes: Sequence[MicroBatch], batch_sizes: Sequence[int], workers: int, capacity_bytes: int | None
) -> None:
    """See that the largest micro-batch that fits can be told for every batch. Raises: OptionsError."""
    if len(micro_batch_sizes) > 1:
        sizes = " ".join(map(str, micro_batch_sizes))
        raise OptionsError(f"--micro-batch-sizes {sizes}; auto stands alone: leave either it or the numbers away.")
    if capacity_bytes is None:
        raise OptionsError(
            "--micro-batch-sizes auto needs to know a card's memory, and this cluster does not tell it; give"
            " --memory-cap, or numbers."
        )
    uneven = [size for size in batch_sizes if workers > 0 and size % workers]
    if uneven:
        raise OptionsError(
            f"--batch-sizes {uneven[0]} cannot be shared by {workers} workers; give a multiple of {workers}."
        )


def chosen_objectives(options: CommonOptions, question: Question) -> tuple[str, ...]:
    """What is strived for; without what is read from samples where weights are random and nothing was asked for.

    Raises: OptionsError.
    """
    asked = options.objectives
    if asked is None:
        return tuple(n for n in question.objectives if options.weights == "pretrained" or n not in FROM_SAMPLES)
    unknown = [name for name in asked if name not in DIRECTIONS]
    if unknown or not asked or len(set(asked)) < len(asked):
        raise OptionsError(f"--objectives={' '.join(asked)}; name each once, of {', '.join(DIRECTIONS)}.")
    if options.weights == "random" and set(asked) & set(FROM_SAMPLES):
        raise OptionsError(
            f"--weights random has no samples to score; leave {', '.join(FROM_SAMPLES)} out of --objectives."
        )
    return asked


def checked_share(flag: str, share: float | None) -> float | None:
    """The share as it is. Raises: OptionsError where it is none."""
    if share is not None and not 0 <= share <= 1:
        raise OptionsError(f"{flag}={share}; it must be from 0 to 1.")
    return share
