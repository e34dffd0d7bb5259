"""Parallel coordinates: a line a trial through its settings and what they reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from analysis.reporting import figure_style as style
from analysis.sweep_table.front import Standing
from analysis.sweep_table.load import Sweep
from analysis.sweep_table.table import TrialRow, cell_text, rate_text, trial_row
from trainables.records.byte_sizes import memory_text
from trainables.records.record import Outcome

NAMED = 5  # of the front, the best first, each in its own colour
OTHERS = 300  # more lines than this are a smear


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A column of the figure: its heading, a trial's place on it, and the words for a value."""

    title: str
    value: Callable[[TrialRow], float | None]
    words: Callable[[TrialRow], str]


AXES = (
    Axis(title="Model", value=lambda row: math.log(row.parameters or 1), words=lambda row: row.model),
    Axis(title="Batch", value=lambda row: math.log(row.batch_size), words=lambda row: str(row.batch_size)),
    Axis(
        title="Micro-batch",
        value=lambda row: math.log(row.micro_batch_size),
        words=lambda row: str(row.micro_batch_size),
    ),
    Axis(
        title="Learning rate",
        value=lambda row: math.log(row.learning_rate),
        words=lambda row: rate_text(row.learning_rate),
    ),
    Axis(title="Epochs", value=lambda row: row.epochs, words=lambda row: f"{row.epochs:g}"),
    Axis(title="Replay", value=lambda row: row.replay_ratio, words=lambda row: f"{row.replay_ratio:g}"),
    Axis(title="Peak", value=lambda row: row.peak_bytes, words=lambda row: memory_text(row.peak_bytes or 0)),
    Axis(
        title="Tokens/s",
        value=lambda row: row.tokens_per_second,
        words=lambda row: cell_text(row.tokens_per_second, "speed"),
    ),
    Axis(title="Style", value=lambda row: row.style, words=lambda row: cell_text(row.style, "decimal")),
    Axis(title="Spill-over", value=lambda row: row.spill_over, words=lambda row: cell_text(row.spill_over, "decimal")),
    Axis(
        title="Quality",
        value=lambda row: row.sample_quality,
        words=lambda row: cell_text(row.sample_quality, "decimal"),
    ),
)


def parallel_coordinates(sweep: Sweep) -> go.Figure | None:
    """Finished trials over every column that varies; the first on the front in colour, the rest in grey."""
    rows = [trial_row(record) for record in sweep.records if record.outcome is Outcome.FINISHED]
    axes = [axis for axis in AXES if len({axis.value(row) for row in rows}) > 1 and _is_whole(axis, rows)]
    if len(rows) < 2 or len(axes) < 2:
        return None
    standing = sweep.standing
    places = {trial_id: place for place, trial_id in enumerate(standing.front, 1)} | {standing.best: 0}
    ranked = sorted(rows, key=lambda row: (places.get(row.trial_id, len(rows) + 1), -_merit(row)))
    named = [row for row in ranked if row.trial_id in places][:NAMED]
    others = ranked[len(named) : len(named) + OTHERS]
    figure = go.Figure()
    spans = {axis.title: _span(axis, rows) for axis in axes}
    if others:
        xs: list[int | None] = []
        ys: list[float | None] = []
        for row in others:
            xs += [*range(len(axes)), None]
            ys += [*(_place(axis, row, spans[axis.title]) for axis in axes), None]
        line = {"color": "rgba(128,128,128,0.35)", "width": 1}
        figure.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=line, name="other trials", hoverinfo="skip"))
    for kind, row in enumerate(named):
        ys = [_place(axis, row, spans[axis.title]) for axis in axes]
        words = [f"Trial {row.number}: {axis.title} {style.label(axis.words(row))}" for axis in axes]
        trace = style.line(
            range(len(axes)), [y or 0.0 for y in ys], kind, mode="lines+markers", name=f"trial {row.number}"
        )
        look = style.marker(kind) | {"size": 8}
        figure.add_trace(trace.update(marker=look, text=words, hovertemplate="%{text}<extra></extra>"))
    for place, axis in enumerate(axes):
        figure.add_vline(x=place, line={"color": style.NEUTRAL, "width": 1})
        _label_ends(figure, place, axis, rows)
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[axis.title for axis in axes],
        side="top",
        showgrid=False,
        range=[-0.35, len(axes) - 0.65],
    )
    figure.update_yaxes(visible=False, range=[-0.13, 1.13])
    left_out = len(ranked) - len(named) - len(others)
    more = f" {left_out} more are not drawn." if left_out else ""
    coloured = _named_text(len(named), standing)
    subtitle = f"A line a finished trial, low at the foot of each column. In colour: {coloured}.{more}"
    return style.finish(figure, "Parallel coordinates", subtitle, 460)


def _named_text(count: int, standing: Standing) -> str:
    if standing.best is None:
        return "none, as none is on the front"
    return "the front" if count == len(standing.front) else f"the best and {count - 1} more of the front"


def _label_ends(figure: go.Figure, place: int, axis: Axis, rows: Sequence[TrialRow]) -> None:
    """The lowest and the highest value, at foot and head of the column."""
    by_value = sorted(rows, key=lambda row: axis.value(row) or 0.0)
    for row, y, anchor, shift in ((by_value[0], 0.0, "top", -6), (by_value[-1], 1.0, "bottom", 6)):
        words = style.label(axis.words(row))
        figure.add_annotation(x=place, y=y, text=words, yanchor=anchor, yshift=shift, showarrow=False)


def _is_whole(axis: Axis, rows: Sequence[TrialRow]) -> bool:
    return all(axis.value(row) is not None for row in rows)


def _span(axis: Axis, rows: Sequence[TrialRow]) -> tuple[float, float]:
    values = [axis.value(row) or 0.0 for row in rows]
    return min(values), max(values)


def _place(axis: Axis, row: TrialRow, span: tuple[float, float]) -> float:
    low, high = span
    return ((axis.value(row) or 0.0) - low) / (high - low)


def _merit(row: TrialRow) -> float:
    return (row.tokens_per_second or 0.0) if row.sample_quality is None else row.sample_quality
