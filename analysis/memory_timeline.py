"""The memory of two training steps over time, stacked by component, as a page that needs nothing else."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from data.errors import UserError
from trainables.memory.cards import Card
from trainables.memory.tracing.timeline import COMPONENTS, MemoryTrace
from trainables.memory.tracing.trial_trace import trial_trace
from trainables.records.byte_sizes import GIB, memory_text
from trainables.records.settings import TrialSettings

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_POINTS = 2000  # more than a screen is wide; each keeps the highest level it stands for
HEIGHT = 640  # pixels
# The system's colours follow a person's light or dark; the figure itself has no ground of its own.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>:root {{ color-scheme: light dark }} body {{ margin: 12px; background: Canvas }}
.js-plotly-plot .main-svg text {{ fill: CanvasText !important }}</style></head>
<body>{figure}</body></html>
"""


def write_timeline(settings: TrialSettings, card: Card, path: str) -> None:
    """Draw the timeline into `path`, an .html file of about 5 MB, whole or not at all.

    Raises: UserError for another ending; OSError when the file cannot be written.
    """
    if not path.endswith(".html"):
        raise UserError(f"plot={path}: only .html can be written; name it FILE.html.")
    from markupsafe import escape

    trace = trial_trace(settings, card)
    title = (
        f"{settings.model}, {settings.micro_batch_size} x {settings.sequence_length}, {settings.precision} (predicted)"
    )
    figure = _figure(settings, trace, title)
    if card.on_cuda and card.capacity_bytes is not None:
        figure.add_hline(
            y=card.capacity_bytes / GIB,
            line_dash="dash",
            line_color="#D4002A",
            annotation_text=f"{card.name}: {memory_text(card.capacity_bytes)}",
        )
    drawn = figure.to_html(include_plotlyjs=True, full_html=False, config={"responsive": True, "displayModeBar": False})
    beside = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(PAGE.format(title=escape(title), figure=drawn))
        os.replace(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)


def _figure(settings: TrialSettings, trace: MemoryTrace, title: str) -> go.Figure:
    import plotly.graph_objects as go

    from analysis.reporting import anatomy
    from analysis.reporting.figure_style import NEUTRAL, finish, label

    colours: dict[str, str] = dict(zip(anatomy.COMPONENTS, anatomy.COLOURS, strict=True))
    figure = go.Figure()
    for name, sizes in stacked_levels(trace).items():
        figure.add_scatter(
            y=[size / GIB for size in sizes],
            name=name.replace("_", " "),
            stackgroup="memory",
            line={"width": 0, "shape": "hv"},  # a line of its own would cover what is a moment wide
            fillcolor=colours[name],
            hovertemplate="%{y:.2f} GiB<extra>%{fullData.name}</extra>",
        )
    stretch = _stretch(trace, MOST_POINTS)
    for event, phase in phase_starts(trace):
        figure.add_vline(
            x=event // stretch,
            line_dash="dot",
            line_color=NEUTRAL,
            line_width=1,
            annotation_text=phase,
            annotation_textangle=-90,
        )
    subtitle = (
        f"{settings.attention} attention, {settings.loss} loss,"
        f" {'checkpointing' if settings.gradient_checkpointing else 'no checkpointing'}, {settings.optimizer}"
    )
    finish(figure, label(title), label(subtitle), HEIGHT)
    figure.update_layout(hovermode="x", xaxis_title="allocations and frees, in order", yaxis_title="allocated, GiB")
    return figure


def phase_starts(trace: MemoryTrace) -> Iterator[tuple[int, str]]:
    """Where forward, backward and optimizer phases begin: the number of the first allocation of each, and its name."""
    current = ""
    for number, event in enumerate(trace.events):
        phase = trace.allocations[event].phase if event >= 0 else current
        if phase != current and phase in ("forward", "backward", "optimizer"):
            yield number, phase
        current = phase


def _stretch(trace: MemoryTrace, most_points: int) -> int:
    return max(1, -(-len(trace.events) // most_points))


def stacked_levels(trace: MemoryTrace, most_points: int = MOST_POINTS) -> dict[str, list[int]]:
    """Bytes of each component after each event, thinned to the highest moment of each stretch of events."""
    current: dict[str, int] = dict.fromkeys(COMPONENTS, 0)
    stretch = _stretch(trace, most_points)
    points: list[dict[str, int]] = []
    best, best_total, total = dict(current), -1, 0
    for number, event in enumerate(trace.events, start=1):
        index, sign = (event, 1) if event >= 0 else (~event, -1)
        size = sign * trace.block_size(index)
        current[trace.allocations[index].component] += size
        total += size
        if total > best_total:
            best, best_total = dict(current), total
        if number % stretch == 0 or number == len(trace.events):
            points.append(best)
            best_total = -1
    return {name: [point[name] for point in points] for name in COMPONENTS if any(point[name] for point in points)}
