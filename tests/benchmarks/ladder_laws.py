"""Synthetic ladders whose law is not the fitted one: a floor, a bend, a cliff, noise that grows.

Losses add a floor, a gain that falls with size and a cost of standing beside the best point, where the fit multiplies;
the cost rises faster than a bowl towards high rates, up to a cliff where a trial diverges, and slower towards low ones;
the line of best points is bent; bowls get narrower or wider from rung to rung; noise grows with the distance from the
best point. Every figure is drawn anew for each ladder.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.ladder.placement import LogRange
from analysis.ladder.rungs import LadderTrial

RUNGS = 4  # three below and the top
# Octaves, wide enough that no ladder's best points come near its ends.
RATES = LogRange(low=2.0**-16, high=2.0**-4)
BATCHES = LogRange(low=4, high=1024)


@dataclass(frozen=True, kw_only=True)
class Law:
    """One synthetic world: sizes, and what a trial of each would show."""

    parameters: tuple[int, ...]
    best_rates: tuple[float, ...]  # log2
    best_batches: tuple[float, ...]  # log2
    bottoms: tuple[float, ...]  # loss at the best point
    trial: Callable[[int, float, float], LadderTrial]  # rung, rate, batch
    cost: Callable[[int, float, float], float]  # loss above the bottom, without noise
    rates: LogRange
    batches: LogRange


def draw(seed: int) -> Law:
    """The world of that number."""
    draw = np.random.default_rng(seed)
    ratios = draw.uniform(3, 6, RUNGS - 1)
    sizes = 10 ** draw.uniform(5.5, 8) * np.cumprod([1, *ratios])
    s = np.log2(sizes / sizes[0])
    slope, bend = draw.uniform(-0.75, 0.05), draw.normal(0, 0.03)
    rates = draw.uniform(-10, -7) + slope * s + bend * s**2 / 2 + draw.normal(0, 0.12, RUNGS)
    slope, bend = draw.uniform(-0.15, 0.5), draw.normal(0, 0.03)
    batches = draw.uniform(4, 6) + slope * s + bend * s**2 / 2 + draw.normal(0, 0.12, RUNGS)
    floor, gain, exponent = draw.uniform(0.5, 2), draw.uniform(0.5, 3), draw.uniform(0.1, 0.4)
    bottoms = floor + gain * 2 ** (-exponent * s) * (1 + draw.normal(0, 0.01, RUNGS))
    narrower = 2 ** (draw.uniform(-0.15, 0.15) * s)
    curve, batch_curve = 0.02 * math.e ** draw.normal(0, 0.5), 0.013 * math.e ** draw.normal(0, 0.4)
    ridge, steep, cliff = draw.uniform(0, 0.45), draw.uniform(0.1, 0.6), draw.uniform(3, 5)
    noise = draw.uniform(0.0005, 0.003)
    ranges = _around(rates, RATES, 6), _around(batches, BATCHES, 5)

    def cost(rung: int, rate: float, batch: float) -> float:
        u, v = math.log2(rate) - rates[rung], math.log2(batch) - batches[rung]
        u -= ridge * v
        by_rate = (math.exp(steep * u) - 1 - steep * u) / steep**2  # u**2 / 2 near 0
        return narrower[rung] * (curve * by_rate + batch_curve * (math.cosh(0.4 * v) - 1) / 0.16)

    def trial(rung: int, rate: float, batch: float) -> LadderTrial:
        u = math.log2(rate) - rates[rung]
        above = cost(rung, rate, batch)
        loss = bottoms[rung] + above + draw.normal(0, noise * bottoms[rung] + 0.05 * above)
        return LadderTrial(learning_rate=rate, batch_size=batch, loss=float(loss) if u < cliff else math.inf)

    return Law(
        parameters=tuple(round(size) for size in sizes),
        best_rates=tuple(rates),
        best_batches=tuple(batches),
        bottoms=tuple(bottoms),
        trial=trial,
        cost=cost,
        rates=ranges[0],
        batches=ranges[1],
    )


def _around(best: np.ndarray, widest: LogRange, octaves: float) -> LogRange:
    """A range that somebody might have chosen: all the best points inside, not in its middle."""
    low, high = best.min() - 0.3 * octaves / 2, best.max() + 0.7 * octaves / 2
    return LogRange(low=max(widest.low, 2.0**low), high=min(widest.high, 2.0**high))
