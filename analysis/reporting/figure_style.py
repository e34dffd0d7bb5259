"""What the figures share: colours with marker shapes, labels that stay text, axis ticks, and the frame."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from analysis.sweep_table.table import COUNTERS, TrialRow, cell_text, rate_text
from trainables.records.byte_sizes import memory_text

# Okabe and Ito's colours, the light ones darkened: each has a contrast of 3:1 or more on both of the report's grounds.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#C46A9B", "#A87B00", "#3A96D2", "#808080")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
NEUTRAL = "#808080"
LABEL_CHARACTERS = 60
TICKS_SHOWN = 10

Value = Callable[[TrialRow], float | None]


def marker(kind: int) -> dict[str, Any]:
    """The filled marker of the `kind`-th series; colour and shape repeat at different lengths, so pairs rarely do."""
    return {"color": PALETTE[kind % len(PALETTE)], "symbol": SYMBOLS[kind % len(SYMBOLS)], "size": 9}


def open_marker(kind: int) -> dict[str, Any]:
    """The open marker of the `kind`-th series, wide enough to be seen around a filled one."""
    return marker(kind) | {"symbol": f"{SYMBOLS[kind % len(SYMBOLS)]}-open", "size": 15, "line": {"width": 1.5}}


def label(text: str) -> str:
    """`text` for a name, title or hover of plotly: one line, not too long, and no markup."""
    line = " ".join(text.split())
    return html.escape(line if len(line) <= LABEL_CHARACTERS else line[: LABEL_CHARACTERS - 1] + "…", quote=False)


def models_in(rows: Iterable[TrialRow]) -> list[str]:
    """The models of `rows`, each once, from the smallest to the largest."""
    parameters: dict[str, int] = {}
    for row in rows:
        parameters[row.model] = max(parameters.get(row.model, 0), row.parameters or 0)
    return sorted(parameters, key=lambda model: (parameters[model], model))


def hover(row: TrialRow) -> str:
    """What pointing at a trial says."""
    lines = [
        f"<b>Trial {row.number}</b> {label(row.trial_id)}",
        f"{label(row.model)}, batch {row.batch_size}, micro-batch {row.micro_batch_size}, "
        f"learning rate {rate_text(row.learning_rate)}",
    ]
    if row.epochs is not None:
        lines.append(f"epochs {row.epochs:g}, replay {row.replay_ratio or 0:g}")
    if row.style is not None and row.spill_over is not None and row.epochs is not None:
        lines.append(f"style {cell_text(row.style, 'decimal')}, spill-over {cell_text(row.spill_over, 'decimal')}")
    if row.peak_bytes is not None:
        counter = COUNTERS.get(row.peak_counter or "", "counter unknown")
        lines.append(f"measured peak {memory_text(row.peak_bytes)} ({counter})")
    if row.predicted_bytes is not None:
        lines.append(f"predicted {memory_text(row.predicted_bytes)} for {label(row.predicted_for or '')}")
    if row.sample_quality is not None:
        lines.append(f"quality {cell_text(row.sample_quality, 'decimal')}")
    if row.tokens_per_second is not None:
        lines.append(f"{cell_text(row.tokens_per_second, 'speed')} tokens/s")
    return "<br>".join(lines)


def points(rows: Sequence[TrialRow], x: Value, y: Value, name: str, style: dict[str, Any]) -> go.Scatter:
    """A marker for each row, at (`x`, `y`)."""
    return go.Scatter(
        x=[x(row) for row in rows],
        y=[y(row) for row in rows],
        mode="markers",
        name=name,
        legendgroup=name,
        marker=style,
        cliponaxis=False,
        text=[hover(row) for row in rows],
        hovertemplate="%{text}<extra></extra>",
    )


def legend_entry(name: str, style: dict[str, Any]) -> go.Scatter:
    """A line in the legend that stands for all traces of the group `name`."""
    return go.Scatter(x=[None], y=[None], mode="markers", name=name, legendgroup=name, marker=style)


def line(xs: Sequence[float], ys: Sequence[float], kind: int, **settings: Any) -> go.Scatter:
    """A line of the `kind`-th series, with its own colour, dashes and a few of its markers."""
    return go.Scatter(
        x=list(xs),
        y=list(ys),
        line={"color": PALETTE[kind % len(PALETTE)], "dash": DASHES[kind % len(DASHES)], "width": 1.5},
        **settings,
    )


def log_ticks(values: Sequence[float], text: Callable[[float], str] = str) -> dict[str, Any]:
    """Axis settings for a logarithmic axis over `values`: a tick at each while they are few, else at powers of ten."""
    distinct = sorted(set(values))
    low, high = math.log10(distinct[0]), math.log10(distinct[-1])
    margin = max(0.08 * (high - low), 0.1)
    settings: dict[str, Any] = {"type": "log", "range": [low - margin, high + margin]}
    if len(distinct) > TICKS_SHOWN:
        return settings | {"dtick": 1, "exponentformat": "power"}
    return settings | {"tickvals": distinct, "ticktext": [text(value) for value in distinct]}


def finish(figure: go.Figure, title: str, subtitle: str, height: int) -> go.Figure:
    """Give the figure its title, legend and quiet frame; the page's own style sheet sets text and grid colours."""
    figure.update_layout(
        template="none",
        title={
            "text": title,
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
        }
        | {"pad": {"t": 12}, "font": {"size": 16}, "subtitle": {"text": subtitle, "font": {"size": 13}}},
        height=height,
        margin={"l": 64, "r": 16, "t": 92, "b": 110},
        font={"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#33373d"},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "itemsizing": "constant"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        hoverlabel={"align": "left"},
    )
    axis = {"gridcolor": "rgba(128,128,128,0.25)", "zeroline": False, "ticks": "", "automargin": True}
    figure.update_xaxes(**axis, linecolor=NEUTRAL, title={"standoff": 8, "font": {"size": 13}})
    figure.update_yaxes(**axis, title={"standoff": 8, "font": {"size": 13}})
    figure.update_annotations(font={"size": 13})
    return figure
