"""Ranges of a sweep: values from one number to another, as far apart as they are large, so that places are logarithms.

A sampler draws places in the order of the values (sweeps/search/sampler.py), evenly: of a range that is log-uniform.
Everything that holds of lists holds of it, no point tried twice, the guard of memory, and what is near.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sweeps.planning.options import OptionsError, SweepOptions
from trainables.records.plan import AUTO, MicroBatch

STEP = 1.05  # assumed: rates nearer to one another than by a twentieth are told apart by no sweep
RANGES = {"learning_rate": "learning_rate_range", "batch_size": "batch_size_range"}
LISTS = {"learning_rate_range": "learning_rates", "batch_size_range": "batch_sizes"}


def check_ranges(options: SweepOptions) -> None:
    """See that ranges are ranges, and that no list was given beside one. Raises: OptionsError."""
    for name, listed in LISTS.items():
        span = getattr(options, name)
        if span is None:
            continue
        given = f"--{name.replace('_', '-')} {' '.join(f'{end:g}' for end in span)}"
        if not 0 < span[0] < span[1] < math.inf:
            raise OptionsError(f"{given}; give the lower end first, both above 0.")
        if getattr(options, listed) is not None:
            raise OptionsError(f"{given} and --{listed.replace('_', '-')}: give one of the two.")


def rates_within(low: float, high: float) -> tuple[float, ...]:
    """Rates from `low` to `high`, each about a twentieth above the one before, to three digits."""
    steps = max(1, round(math.log(high / low) / math.log(STEP)))
    between = (float(f"{low * (high / low) ** (place / steps):.3g}") for place in range(1, steps))
    return (low, *sorted({rate for rate in between if low < rate < high}), high)


def batches_within(low: int, high: int, workers: int) -> tuple[int, ...]:
    """Batches from `low` to `high`: one to seven, or four to seven times a power of two, for each worker."""
    units = (2**power for power in range(high.bit_length()))
    sizes = {workers * unit * count for unit in units for count in range(4 if unit > 1 else 1, 8)}
    return tuple(sorted(size for size in sizes if low <= size <= high))


def divided(batches: Sequence[int], workers: int, micro_batch_sizes: Sequence[MicroBatch]) -> tuple[int, ...]:
    """Those of a range's batches that a micro-batch divides. Raises: OptionsError where none does."""
    sizes = [workers if size == AUTO else int(size) * workers for size in micro_batch_sizes]
    found = tuple(batch for batch in batches if any(size > 0 and batch % size == 0 for size in sizes))
    if not found:
        given = " or ".join(map(str, micro_batch_sizes))
        raise OptionsError(f"--batch-size-range has no batch that micro-batches of {given} divide; widen it.")
    return found


def nearest(value: float, values: Sequence[float]) -> float | None:
    """The value of a range that stands for another number; None for one outside."""
    if not values[0] <= value <= values[-1]:
        return None
    return min(values, key=lambda one: abs(math.log(one / value)))
