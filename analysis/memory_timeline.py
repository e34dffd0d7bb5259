"""The memory of two training steps over time, stacked by component, as a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analysis.figure_page import write_page
from trainables.memory.cards import Card
from trainables.memory.predict import TracedStep
from trainables.memory.tracing.timeline import COMPONENTS, MemoryTrace
from trainables.memory.tracing.trial_trace import trial_trace
from trainables.records.byte_sizes import GIB, memory_text
from trainables.records.settings import TrialSettings

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_POINTS = 2000  # more than a screen is wide; each keeps the highest level it stands for
HEIGHT = 640  # pixels
# What lies over the step's own tensors, with the colours of no component.
SLACK, CONTEXT = "allocator slack", "CUDA context"
OUTSIDE = {SLACK: "rgba(128,128,128,0.45)", CONTEXT: "rgba(128,128,128,0.7)"}


def write_timeline(settings: TrialSettings, card: Card, path: str) -> None:
    """Draw the timeline into `path`, an .html file of about 5 MB, whole or not at all.

    Raises: UserError for another ending; OSError when the file cannot be written.
    """
    trace = trial_trace(settings, card)
    title = (
        f"{settings.model}, {settings.micro_batch_size} x {settings.sequence_length}, {settings.precision} (predicted)"
    )
    figure = _figure(settings, trace, card, title)
    if card.on_cuda and card.capacity_bytes is not None:
        figure.add_hline(
            y=card.capacity_bytes / GIB,
            line_dash="dash",
            line_color="#D4002A",
            annotation_text=f"{card.name}: {memory_text(card.capacity_bytes)}",
        )
    write_page(figure, title, path)


def _figure(settings: TrialSettings, trace: MemoryTrace, card: Card, title: str) -> go.Figure:
    import plotly.graph_objects as go

    from analysis.reporting import anatomy
    from analysis.reporting.figure_style import NEUTRAL, finish, label

    colours: dict[str, str] = dict(zip(anatomy.COMPONENTS, anatomy.COLOURS, strict=True)) | OUTSIDE
    levels = stacked_levels(trace)
    if card.on_cuda:
        levels |= levels_outside(trace, card, levels)
    figure = go.Figure()
    for name, sizes in levels.items():
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
    taken = "taken of the device, GiB" if card.on_cuda else "allocated, GiB"
    figure.update_layout(hovermode="x", xaxis_title="allocations and frees, in order", yaxis_title=taken)
    return figure


def levels_outside(trace: MemoryTrace, card: Card, levels: dict[str, list[int]]) -> dict[str, list[int]]:
    """What a GPU needs beside the tensors of `levels`, at the same points: with it the highest is the device's need."""
    reserved = TracedStep(trace).reserved_levels(card)
    stretch = _stretch(trace, MOST_POINTS)
    highest = [max(reserved[start : start + stretch]) for start in range(0, len(reserved), stretch)]
    allocated = (sum(sizes) for sizes in zip(*levels.values(), strict=True))
    slack = [most - known for most, known in zip(highest, allocated, strict=True)]
    return {SLACK: slack, CONTEXT: [card.constants.context_bytes] * len(slack)}


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
