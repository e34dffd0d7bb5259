"""What the peak is made of: a bar a configuration, components as predicted, the measured peak as a mark beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from analysis.reporting import figure_style as style
from analysis.sweep_table.table import TrialRow, trial_row
from trainables.records.byte_sizes import memory_unit
from trainables.records.record import MemoryPrediction, TrialRecord

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
MARK = "#D4002A"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar: its name, bytes by component, and the measured peak to mark on it, where that is known in whole only."""

    name: str
    components: dict[str, int]
    is_measured: bool = False
    peak_bytes: int | None = None


def anatomy(records: Sequence[TrialRecord], *, on_card: bool = False) -> go.Figure | None:
    """Components of the peak, stacked; `on_card`: as predicted for the card named beside a CPU's run."""
    bars = _bars(records, on_card)
    if not bars:
        return None
    unit = memory_unit(sum(bar.components.values()) for bar in bars)
    found = {name for bar in bars for name in bar.components}
    figure = go.Figure()
    for name in [*COMPONENTS, *sorted(found - set(COMPONENTS))]:
        if name not in found:
            continue
        colour = COLOURS[COMPONENTS.index(name)] if name in COMPONENTS else style.NEUTRAL
        shown = style.label(name.replace("_", " "))
        figure.add_trace(
            go.Bar(
                y=[bar.name for bar in bars],
                x=[bar.components.get(name, 0) / unit.size_bytes for bar in bars],
                orientation="h",
                name=shown,
                marker={"color": colour, "line": {"color": "rgba(255,255,255,0.6)", "width": 0.5}}
                | {"pattern": {"shape": ["/" if bar.is_measured else "" for bar in bars], "solidity": 0.35}},
                text=["measured" if bar.is_measured else "predicted" for bar in bars],
                textposition="none",
                hovertemplate=f"{shown}, %{{text}}: %{{x:.3g}} {unit.name}<extra></extra>",
            )
        )
    if marked := [bar for bar in bars if bar.peak_bytes is not None]:
        figure.add_trace(
            go.Scatter(
                y=[bar.name for bar in marked],
                x=[(bar.peak_bytes or 0) / unit.size_bytes for bar in marked],
                mode="markers",
                name="peak, measured",
                marker={"symbol": "line-ns-open", "size": 22, "line": {"width": 3}, "color": MARK},
                hovertemplate=f"measured peak: %{{x:.3g}} {unit.name}<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")
    figure.update_xaxes(title_text=f"Memory at the peak, {unit.name}", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", dtick=1)  # a label for every bar
    hatched = " Hatched: measured." if any(bar.is_measured for bar in bars) else ""
    subtitle = f"Plain bars: predicted.{hatched} A configuration each, the largest first."
    title = f"The peak by component, {_device(records, on_card)}"
    return style.finish(figure, title, subtitle, 190 + 30 * len(bars))


def _bars(records: Sequence[TrialRecord], on_card: bool) -> list[Bar]:
    """The configurations that need memory of their own, as predicted, and as measured below where that is known."""
    found: dict[str, tuple[TrialRow, TrialRecord, MemoryPrediction]] = {}
    for record in records:
        prediction = record.card_prediction if on_card else record.prediction
        row = trial_row(record)
        if prediction is None or not prediction.components:
            continue
        known = found.get(_name(row))
        if known is None or (known[0].peak_bytes is None and row.peak_bytes is not None):
            found[_name(row)] = (row, record, prediction)
    largest = sorted(found.values(), key=lambda item: -item[2].allocated_bytes)[:BARS_SHOWN]
    bars = []
    for row, record, prediction in largest:
        memory = record.report.memory if record.report and not on_card else None
        measured = memory.components if memory else None
        peak_bytes = None if measured or not memory else memory.peak_bytes
        bars.append(Bar(name=_name(row), components=prediction.components, peak_bytes=peak_bytes))
        if measured:
            bars.append(Bar(name=f"{_name(row)}, measured", components=measured, is_measured=True))
    return bars


def _device(records: Sequence[TrialRecord], on_card: bool) -> str:
    predictions = [record.card_prediction if on_card else record.prediction for record in records]
    named = {style.label(prediction.gpu or "this machine") for prediction in predictions if prediction is not None}
    return ", ".join(sorted(named))


def _name(row: TrialRow) -> str:
    return f"{style.label(row.model)}, micro-batch {row.micro_batch_size}"
