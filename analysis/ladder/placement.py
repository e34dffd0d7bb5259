"""Where a rung's trials stand: values of learning rate and batch, not names of a grid.

The lowest rung knows nothing: its first trials spread over the whole range, the last ones stand around the best point
of the fit. A further rung starts from the prediction: one trial on it and five around it, on an ellipse (the smallest
design that tells a bowl's place and shape, Box and Behnken's pentagon), then the rest where the fit then has its best
point. At the top three trials stand beside the predicted point, each told to the fit before the next is placed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from analysis.ladder.landscape import Landscape
from analysis.ladder.rungs import Rung
from analysis.ladder.transfer import t_quantile

SPREAD_FIRST = 8  # trials of the lowest rung that spread over the range
AROUND = 5  # trials on the ellipse around a prediction
# Half axes in octaves: a bowl of 1% an octave squared stands 0.5 to 1% over its bottom there, some times the noise.
RATE_REACH = 1.25
BATCH_REACH = 1.0
WIDEST_REACH = 2.0  # where the interval of a prediction is wider than the first of them
AGAIN = 0.7  # of those axes, once the rung's own trials say where its bottom is
NEAR_TOP = 0.5  # octaves beside the predicted point at the top
# The generalised golden ratio: multiples of its powers fill a square evenly, however many are taken.
# Source: M. Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018).
EVEN = (1 / 1.32471795724474602596, 1 / 1.32471795724474602596**2)


@dataclass(frozen=True, kw_only=True)
class LogRange:
    """A range of positive values, even in their logarithm."""

    low: float
    high: float

    def at(self, share: float) -> float:
        """The value at that share of the way from low to high."""
        return self.low * (self.high / self.low) ** min(1.0, max(0.0, share))

    def clip(self, value: float) -> float:
        """The value, or the end that it lies beyond."""
        return min(self.high, max(self.low, value))

    @property
    def octaves(self) -> float:
        """Doublings from low to high."""
        return math.log2(self.high / self.low)


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a trial is to stand."""

    learning_rate: float
    batch_size: float


def stages(trials: int, *, lowest: bool, top: bool = False) -> tuple[int, ...]:
    """How many trials a rung has after each of its stages; those of one stage can run side by side."""
    if top:
        return tuple(range(1, trials + 1))
    first = SPREAD_FIRST if lowest else AROUND + 1
    return (trials,) if trials <= first else (first, trials)


def next_stage(
    below: Sequence[Rung], rung: Rung, ranges: tuple[LogRange, LogRange], trials: int, *, top: bool = False
) -> tuple[Point, ...]:
    """Where the trials of the next stage of `rung` stand; none when it has all its `trials`.

    `ranges` are those of learning rate and batch. A stage depends on the stages before it and on nothing else, so a
    ladder that was killed in the middle of one goes on where it would have gone on.
    """
    done, start = len(rung.trials), 0
    for end in stages(trials, lowest=not below, top=top):
        if done < end:
            known = replace(rung, trials=rung.trials[:start])
            return tuple(_point(below, known, count, ranges, top=top) for count in range(done, end))
        start = end
    return ()


def _point(below: Sequence[Rung], known: Rung, count: int, ranges: tuple[LogRange, LogRange], *, top: bool) -> Point:
    rates, batches = ranges
    first = len(known.trials)
    if not below and not known.finished:
        rate, batch = ((0.5 + (count + 1) * even) % 1 for even in EVEN)
        return Point(learning_rate=rates.at(rate), batch_size=batches.at(batch))
    middle = best_point(below, known, ranges)
    if top:
        beside = middle.learning_rate * 2**NEAR_TOP if count == 1 else middle.learning_rate
        return replace(middle, learning_rate=rates.clip(beside))
    if first:
        return _around(middle, count - first, ranges, (AGAIN * RATE_REACH, AGAIN * BATCH_REACH))
    landscape = fit(tuple(below), ranges)
    half = t_quantile(landscape.freedom) * landscape.ahead(known.octaves)[0].deviation
    return _around(middle, count, ranges, (min(WIDEST_REACH, max(RATE_REACH, half)), BATCH_REACH))


def best_point(below: Sequence[Rung], rung: Rung, ranges: tuple[LogRange, LogRange]) -> Point:
    """The best point of a rung: by the fit of its trials where it has any, and else as the rungs below predict it."""
    rates, batches = ranges
    if rung.finished:
        best = fit((*below, rung), ranges).optimum(len(below))
        rate, batch = best.rate, best.batch
    else:
        rate, batch = fit(tuple(below), ranges).ahead(rung.octaves)
    return Point(learning_rate=rates.clip(2**rate.value), batch_size=batches.clip(2**batch.value))


@lru_cache(maxsize=32)
def fit(rungs: tuple[Rung, ...], ranges: tuple[LogRange, LogRange]) -> Landscape:
    """The landscape of the rungs that have a finished trial."""
    rates, batches = ranges
    return Landscape(rungs, (rates.low, rates.high), (batches.low, batches.high))


def _around(middle: Point, count: int, ranges: tuple[LogRange, LogRange], reach: tuple[float, float]) -> Point:
    """The middle for 0, then five points on an ellipse around it, the first towards lower rates, opposite ones next."""
    if count % (AROUND + 1) == 0:
        return middle
    rates, batches = ranges
    angle = math.pi + (2 * math.pi / AROUND) * 2 * (count - 1)
    u, v = reach[0] * math.cos(angle), reach[1] * math.sin(angle)
    return Point(
        learning_rate=rates.clip(middle.learning_rate * 2**u), batch_size=batches.clip(middle.batch_size * 2**v)
    )
