"""What the peak is made of: a bar a configuration, components as predicted, the measured peak as a mark beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from analysis import figure_style as style
from analysis.table import TrialRow, memory_unit, trial_row
from trainables.records import MemoryPrediction, TrialRecord

BARS_SHOWN = 16  # the largest; more are no longer read
# In the order in which they are stacked, so that a colour means one component in every report.
COMPONENTS = (
    "weights",
    "gradients",
    "optimizer_states",
    "activations",
    "attention_matrices",
    "loss",
    "temporaries",
    "autocast_copies",
    "inputs",
    "workspaces",
)
# plotly has no patterns that read well at this size on both grounds: lighter and darker neighbours instead.
COLOURS = (
    "#0072B2",
    "#3A96D2",
    "#8A6FC0",
    "#D55E00",
    "#A87B00",
    "#009E73",
    "#C46A9B",
    "#B04A4A",
    "#808080",
    "#5F7A8A",
)


def anatomy(records: Sequence[TrialRecord], *, on_card: bool = False) -> go.Figure | None:
    """Components of the predicted peak, stacked; `on_card`: as predicted for the card named beside a CPU's run."""
    bars = _bars(records, on_card)
    if not bars:
        return None
    unit = memory_unit(prediction.allocated_bytes for _, prediction in bars)
    names = [_name(row) for row, _ in bars]
    found = {name for _, prediction in bars for name in prediction.components}
    figure = go.Figure()
    for name in [*COMPONENTS, *sorted(found - set(COMPONENTS))]:
        if name not in found:
            continue
        colour = COLOURS[COMPONENTS.index(name) % len(COLOURS)] if name in COMPONENTS else style.NEUTRAL
        sizes = [prediction.components.get(name, 0) / unit.size_bytes for _, prediction in bars]
        shown = name.replace("_", " ")
        figure.add_trace(
            go.Bar(
                y=names,
                x=sizes,
                orientation="h",
                name=style.label(shown),
                marker={"color": colour, "line": {"color": "rgba(255,255,255,0.6)", "width": 0.5}},
                hovertemplate=f"{style.label(shown)}, predicted: %{{x:.3g}} {unit.name}<extra></extra>",
            )
        )
    if not on_card and (measured := [(_name(row), row.peak_bytes) for row, _ in bars if row.peak_bytes]):
        figure.add_trace(
            go.Scatter(
                y=[name for name, _ in measured],
                x=[(size or 0) / unit.size_bytes for _, size in measured],
                mode="markers",
                name="peak, measured",
                marker={"symbol": "line-ns-open", "size": 22, "line": {"width": 3}, "color": "#D4002A"},
                hovertemplate=f"measured peak: %{{x:.3g}} {unit.name}<extra></extra>",
            )
        )
    device = bars[0][1].gpu or "this machine"
    figure.update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")
    figure.update_xaxes(title_text=f"Memory at the peak, {unit.name}", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    subtitle = "Bars: predicted. A configuration a bar, the largest first."
    return style.finish(figure, f"The peak by component, {style.label(device)}", subtitle, 190 + 30 * len(bars))


def _bars(records: Sequence[TrialRecord], on_card: bool) -> list[tuple[TrialRow, MemoryPrediction]]:
    """One for each configuration that needs memory of its own; those with a measurement come before those without."""
    found: dict[str, tuple[TrialRow, MemoryPrediction]] = {}
    for record in records:
        prediction: Any = record.card_prediction if on_card else record.prediction
        if prediction is None or not prediction.components:
            continue
        row = trial_row(record)
        known = found.get(_name(row))
        if known is None or (known[0].peak_bytes is None and row.peak_bytes is not None):
            found[_name(row)] = (row, prediction)
    return sorted(found.values(), key=lambda pair: -pair[1].allocated_bytes)[:BARS_SHOWN]


def _name(row: TrialRow) -> str:
    return f"{style.label(row.model)}, micro-batch {row.micro_batch_size}"
