"""Ladders for tests whose best points are known by construction."""

from __future__ import annotations

import math

from analysis.ladder.placement import LogRange
from analysis.ladder.rungs import LadderTrial, Rung

RATES, BATCHES = LogRange(low=2.0**-14, high=2.0**-5), LogRange(low=4, high=256)


def bowl_loss(rate: float, batch: float, *, best_rate: float, best_batch: float, bottom: float) -> float:
    """Lowest at the best point; log loss bends by 1% an octave squared in rate and in batch."""
    u, v = math.log2(rate / best_rate), math.log2(batch / best_batch)
    return bottom * math.exp(0.01 * u**2 / 2 + 0.01 * v**2 / 2)


def bowl_rung(parameters: int, *, best_rate: float, best_batch: float = 32, bottom: float = 3.0) -> Rung:
    """A rung whose trials lie on the bowl, three rates by three batches, none of them on its bottom."""
    places = [(best_rate * 2**u, best_batch * 2**v) for u in (-1.3, 0.4, 1.7) for v in (-1.3, -0.4, 1.1)]
    made = tuple(
        LadderTrial(
            learning_rate=rate,
            batch_size=batch,
            loss=bowl_loss(rate, batch, best_rate=best_rate, best_batch=best_batch, bottom=bottom),
        )
        for rate, batch in places
    )
    return Rung(name=f"{parameters:,}", parameters=parameters, trials=made)
