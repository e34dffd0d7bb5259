"""The memory of one training step over time, stacked by component, as a page that needs nothing else."""

from __future__ import annotations

import contextlib
import os
import uuid

from data.errors import UserError
from trainables.memory.timeline import COMPONENTS, MemoryTrace
from trainables.memory.trial_trace import trial_trace
from trainables.settings import TrialSettings

GIB = 2**30
MOST_POINTS = 2000  # more than a screen is wide; each keeps the highest level it stands for


def write_timeline(
    settings: TrialSettings, path: str, *, on_cuda: bool, gpu: str | None, capacity_bytes: int | None
) -> None:
    """Draw the second step's timeline into `path`, an .html file of about 5 MB.

    Raises: UserError for another ending; OSError when the file cannot be written.
    """
    if not path.endswith(".html"):
        raise UserError(f"plot={path}: only .html can be written; name it FILE.html.")
    import plotly.graph_objects as go

    trace = trial_trace(settings, device="cuda" if on_cuda else "cpu", gpu=gpu)
    levels = stacked_levels(trace)
    figure = go.Figure()
    positions = list(range(len(next(iter(levels.values())))))
    for name, sizes in levels.items():
        figure.add_scatter(
            x=positions,
            y=[size / GIB for size in sizes],
            name=name.replace("_", " "),
            stackgroup="memory",
            mode="lines",
        )
    if on_cuda and capacity_bytes is not None:
        figure.add_hline(
            y=capacity_bytes / GIB, line_dash="dash", annotation_text=f"{gpu}: {capacity_bytes / GIB:.1f} GiB"
        )
    title = (
        f"{settings.model}, {settings.micro_batch_size} x {settings.sequence_length}, {settings.precision} (predicted)"
    )
    figure.update_layout(title=title, xaxis_title="allocations and frees, in order", yaxis_title="allocated, GiB")
    beside = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(figure.to_html(include_plotlyjs=True))
        os.replace(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)


def stacked_levels(trace: MemoryTrace, most_points: int = MOST_POINTS) -> dict[str, list[int]]:
    """Bytes of each component after each event, thinned to the highest moment of each stretch of events."""
    current: dict[str, int] = dict.fromkeys(COMPONENTS, 0)
    stretch = max(1, -(-len(trace.events) // most_points))
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
