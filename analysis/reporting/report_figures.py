"""The report's figures with the words that stand beside them, in the order of the page; a comparison shows the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from analysis.reporting import figures
from analysis.reporting.anatomy import anatomy
from analysis.reporting.importance import FEWEST_TRIALS, importance_figure
from analysis.reporting.parallel import parallel_coordinates
from analysis.reporting.quality_parts import quality_parts
from analysis.reporting.spill_over import style_against_spill_over
from analysis.sweep_table.load import Sweep
from trainables.records.record import TrialRecord

Draw = Callable[[Sweep], go.Figure | None]


def _of_records(draw: Callable[[Sequence[TrialRecord]], go.Figure | None]) -> Draw:
    """A figure in which no trial is marked as better than another."""
    return lambda sweep: draw(sweep.records)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A figure: identity, word in the list of sections, its section's heading, how it is drawn, and what it says."""

    identity: str
    word: str
    heading: str
    draw: Draw
    meaning: str
    absent: str


FIGURES = (
    Shown(
        identity="memory",
        word="Memory",
        heading="Memory against batch size",
        draw=_of_records(figures.memory_against_batch),
        meaning="Peak memory of one worker against batch size. Gradient accumulation lets the batch grow while the"
        " micro-batch, and with it the memory, stays.",
        absent="No trial has a measured or predicted peak.",
    ),
    Shown(
        identity="anatomy",
        word="Anatomy",
        heading="Anatomy of the peak",
        draw=_of_records(anatomy),
        meaning="What the peak is made of, as predicted, and as measured in the probe step where a record has it; else"
        " the mark is the measured peak.",
        absent="No trial has a prediction by component.",
    ),
    Shown(
        identity="pareto",
        word="Pareto front",
        heading="Pareto front",
        draw=figures.pareto,
        meaning="Each finished trial by its measured peak memory and what it reached; up and to the left is better.",
        absent="No trial finished with a measured peak and speed.",
    ),
    Shown(
        identity="parts",
        word="Quality",
        heading="Why this quality",
        draw=_of_records(quality_parts),
        meaning="Quality is a product of parts, each 1 at its best; held-out human lines reach 0.97. Spill-over costs"
        " half of the score at most, retention its square root.",
        absent="No finished trial has a quality.",
    ),
    Shown(
        identity="rates",
        word="Learning rate",
        heading="Learning rate",
        draw=_of_records(figures.learning_rate),
        meaning="What each learning rate reached, for each model, on a logarithmic scale.",
        absent="No finished trial has a quality or a held-out loss.",
    ),
    Shown(
        identity="importance",
        word="Importance",
        heading="Which settings mattered",
        draw=_of_records(importance_figure),
        meaning="How much worse a random forest, fitted to the trials, predicts a result when one setting is shuffled.",
        absent=f"No forest is drawn: it takes {FEWEST_TRIALS} finished trials, and results that settings explain.",
    ),
    Shown(
        identity="parallel",
        word="Parallel",
        heading="Parallel coordinates",
        draw=parallel_coordinates,
        meaning="Each finished trial as a line through its settings and its results.",
        absent="Fewer than two finished trials differ.",
    ),
    Shown(
        identity="curves",
        word="Loss",
        heading="Training loss",
        draw=_of_records(figures.loss_curves),
        meaning="Training loss of each trial as it saw more tokens.",
        absent="No trial logged a training loss.",
    ),
)
STYLE = Shown(
    identity="style",
    word="Style",
    heading="Style and spill-over",
    draw=style_against_spill_over,
    meaning="Style on quotation prompts against its spill-over onto scientific ones; up and to the left is better.",
    absent="No trial has a measured style.",
)
