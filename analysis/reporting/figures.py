"""The report's figures as functions of records; each returns None when the records hold nothing to draw.

Colours and marker shapes differ together, so that nothing hangs on colour alone. Predicted and measured are never
joined, and a figure says which is which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.reporting import figure_style as style
from analysis.sweep_table.front import nondominated
from analysis.sweep_table.load import Sweep
from analysis.sweep_table.table import COUNTERS, TrialRow, rate_text, trial_row
from trainables.records.byte_sizes import MemoryUnit, memory_text, memory_unit
from trainables.records.objectives import listed
from trainables.records.record import TrialRecord

CURVES_SHOWN = 60  # more lines than this are a smear
PANELS_A_ROW = 3
CAPACITY_HEADROOM = 2.5  # a capacity further above the points than this is named, not drawn


def memory_against_batch(records: Sequence[TrialRecord]) -> go.Figure | None:
    """Peak memory against batch size, a panel for each model: measured filled, predicted open, capacity as a line."""
    rows = [row for row in map(trial_row, records) if row.peak_bytes or row.predicted_bytes]
    if not rows:
        return None
    models, micro_batches = style.models_in(rows), sorted({row.micro_batch_size for row in rows})
    panel_rows, columns = -(-len(models) // PANELS_A_ROW), min(len(models), PANELS_A_ROW)
    titles = [style.label(model) for model in models]
    figure = make_subplots(
        rows=panel_rows, cols=columns, shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.03
    )
    unit = memory_unit(size for row in rows for size in (row.peak_bytes, row.predicted_bytes))
    for position, model in enumerate(models):
        panel_row, column = position // columns + 1, position % columns + 1
        for kind, micro_batch in enumerate(micro_batches):
            group = [row for row in rows if (row.model, row.micro_batch_size) == (model, micro_batch)]
            for trace in _measured_and_predicted(group, unit, kind):
                figure.add_trace(trace, row=panel_row, col=column)
    _add_memory_key(figure, rows, micro_batches)
    above = _add_capacity(figure, records, rows, unit)
    figure.update_xaxes(**style.log_ticks([row.batch_size for row in rows]))
    figure.update_xaxes(title_text="Batch size (sequences per step)", row=panel_rows)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text=f"Peak memory, {unit.name}", col=1)
    subtitle = "Shape and colour: micro-batch. Filled: measured. Open: predicted before launch." + above
    return style.finish(figure, "Peak memory by batch size, a panel for each model", subtitle, 190 + 280 * panel_rows)


def pareto(sweep: Sweep) -> go.Figure | None:
    """Peak memory against quality (against speed where quality was not measured), the sweep's front filled."""
    finished = [row for row in map(trial_row, sweep.records) if row.outcome == "finished"]
    rows = [row for row in finished if row.peak_bytes is not None and row.tokens_per_second is not None]
    judged = any(row.sample_quality is not None for row in rows)
    height = _quality if judged else _speed
    rows = [row for row in rows if height(row) is not None]
    if not rows:
        return None
    front = set(sweep.standing.front)
    unit, fastest = memory_unit(row.peak_bytes for row in rows), max(row.tokens_per_second or 0 for row in rows) or 1
    figure = go.Figure()
    counters = sorted({row.peak_counter or "" for row in rows})
    for counter in counters:
        figure.add_trace(_envelope([row for row in rows if row.peak_counter == counter], height, unit))
    for kind, model in enumerate(style.models_in(rows)):
        group = [row for row in rows if row.model == model]
        # The area, not the width, of a marker says how fast; the fastest is 24 pixels wide.
        sizes = [max(7.0, 24 * math.sqrt((row.tokens_per_second or 0) / fastest)) for row in group]
        filled, hollow = style.marker(kind), style.open_marker(kind)
        symbols = [(filled if row.trial_id in front else hollow)["symbol"] for row in group]
        look = filled | {"size": sizes, "symbol": symbols, "opacity": 0.9, "line": {"width": 1.5}}
        name = style.label(model)
        figure.add_trace(style.points(group, _peak_in(unit), height, name, look).update(showlegend=False))
        figure.add_trace(style.legend_entry(name, filled))
    counted = ", ".join(COUNTERS.get(counter, style.label(counter)) for counter in counters)
    figure.update_xaxes(title_text=f"Peak memory, measured, {unit.name} ({counted})")
    figure.update_yaxes(title_text="Sample quality" if judged else "Tokens per second")
    headings = listed([objective.heading for objective in sweep.facts.aims.objectives])
    subtitle = f"Filled: on the front of {headings}. Larger: faster. Line: the highest within a given memory."
    return style.finish(figure, f"Peak memory against {'quality' if judged else 'speed'}", subtitle, 500)


def learning_rate(records: Sequence[TrialRecord]) -> go.Figure | None:
    """Learning rate against quality for each model (against held-out loss where quality was not measured)."""
    rows = [row for row in map(trial_row, records) if row.outcome == "finished"]
    judged = any(row.sample_quality is not None for row in rows)
    height, better = (_quality, max) if judged else (_quote_loss, min)
    rows = [row for row in rows if height(row) is not None]
    if not rows:
        return None
    figure = go.Figure()
    for kind, model in enumerate(style.models_in(rows)):
        group = [row for row in rows if row.model == model]
        best: dict[float, float] = {}
        for row in group:
            value = height(row) or 0.0
            best[row.learning_rate] = better(best.get(row.learning_rate, value), value)
        name = style.label(model)
        if len(best) < len(group):  # a rate was tried more than once, so the best at a rate says something
            rates = sorted(best)
            heights = [best[rate] for rate in rates]
            figure.add_trace(
                style.line(rates, heights, kind, mode="lines", legendgroup=name, showlegend=False, hoverinfo="skip")
            )
        figure.add_trace(style.points(group, lambda row: row.learning_rate, height, name, style.marker(kind)))
    figure.update_xaxes(title_text="Learning rate", **style.log_ticks([row.learning_rate for row in rows], rate_text))
    figure.update_yaxes(title_text="Sample quality" if judged else "Loss on held-out quotes, nats per token")
    subtitle = "A marker a trial. Where a rate was tried more than once, a line joins the best at each rate."
    return style.finish(figure, f"Learning rate against {'quality' if judged else 'loss'}", subtitle, 440)


def loss_curves(records: Sequence[TrialRecord]) -> go.Figure | None:
    """Training loss against tokens, a line a trial; of very many trials those that end lowest."""
    curves = [(record, record.report.curve) for record in records if record.report and record.report.curve]
    if not curves:
        return None
    lowest = sorted(curves, key=lambda pair: pair[1][-1].loss)[:CURVES_SHOWN]
    models = style.models_in(trial_row(record) for record, _ in lowest)
    figure, named = go.Figure(), set()
    for record, curve in sorted(lowest, key=lambda pair: models.index(pair[0].settings.model)):
        row, kind = trial_row(record), models.index(record.settings.model)
        settings = {"name": style.label(row.model), "legendgroup": row.model, "showlegend": row.model not in named}
        hover = {"text": [style.hover(row)] * len(curve), "hovertemplate": "%{text}<br>loss %{y:.3f}<extra></extra>"}
        look = {"mode": "lines+markers", "marker": style.marker(kind) | {"size": 7, "maxdisplayed": 6}, "opacity": 0.8}
        tokens, losses = [point.tokens for point in curve], [point.loss for point in curve]
        figure.add_trace(style.line(tokens, losses, kind, **settings, **hover, **look))
        named.add(row.model)
    figure.update_xaxes(title_text="Tokens trained on", rangemode="tozero")
    figure.update_yaxes(title_text="Training loss, nats per token")
    left_out = len(curves) > len(lowest)
    subtitle = f"The {CURVES_SHOWN} of {len(curves)} trials that end lowest." if left_out else "A line a trial."
    return style.finish(figure, "Training loss against tokens", subtitle, 440)


def _measured_and_predicted(rows: list[TrialRow], unit: MemoryUnit, kind: int) -> list[go.Scatter]:
    """Filled markers for what was measured inside larger open ones for what was predicted."""
    traces = []
    predicted, measured = [r for r in rows if r.predicted_bytes], [r for r in rows if r.peak_bytes]
    if predicted:
        name, look = f"predicted, micro-batch {predicted[0].micro_batch_size}", style.open_marker(kind)
        traces.append(style.points(predicted, _batch, lambda row: _in(unit, row.predicted_bytes), name, look))
    if measured:
        name, look = f"micro-batch {measured[0].micro_batch_size}", style.marker(kind)
        traces.append(style.points(measured, _batch, _peak_in(unit), name, look))
    return [trace.update(showlegend=False, legendgroup=f"micro-batch {rows[0].micro_batch_size}") for trace in traces]


def _add_memory_key(figure: go.Figure, rows: list[TrialRow], micro_batches: list[int]) -> None:
    """Legend entries: shape and colour for the micro-batch, then what filled and open markers stand for."""
    entries = [(f"micro-batch {size}", style.marker(kind)) for kind, size in enumerate(micro_batches)]
    filled, hollow = ({**look, "color": style.NEUTRAL} for look in (style.marker(0), style.open_marker(0)))
    counters = sorted({row.peak_counter for row in rows if row.peak_counter})
    entries += [(f"measured ({COUNTERS.get(counter, style.label(counter))})", filled) for counter in counters]
    predicted = sorted({(row.predicted_for or "", row.predicted_counter or "") for row in rows if row.predicted_bytes})
    entries += [(f"predicted for {style.label(device)} ({counter})", hollow) for device, counter in predicted]
    for name, look in entries:
        figure.add_trace(style.legend_entry(name, look))


def _add_capacity(figure: go.Figure, records: Iterable[TrialRecord], rows: list[TrialRow], unit: MemoryUnit) -> str:
    """Draw each known capacity as a dashed line. Returns: words that name those too far above the points."""
    largest = max(max(row.peak_bytes or 0, row.predicted_bytes or 0) for row in rows)
    capacities: dict[int, str] = {}
    for record in records:
        for size_bytes, name in _capacities(record):
            capacities.setdefault(size_bytes, f"{name}, {memory_text(size_bytes)}")
    for size_bytes, text in capacities.items():
        if size_bytes <= CAPACITY_HEADROOM * largest:
            figure.add_hline(_in(unit, size_bytes), line={"dash": "dash", "width": 1.5, "color": style.NEUTRAL})
            place = {"x": 0, "xref": "x domain", "xanchor": "left", "y": _in(unit, size_bytes), "yanchor": "bottom"}
            figure.add_annotation(text=text, showarrow=False, **place)
    above = [text for size_bytes, text in sorted(capacities.items()) if size_bytes > CAPACITY_HEADROOM * largest]
    return f" Above the figure: {'; '.join(above)}." if above else ""


def _capacities(record: TrialRecord) -> list[tuple[int, str]]:
    """The capacities that a record knows, each with its name; a memory cap stands in for the device's own."""
    if record.settings.memory_cap_bytes:
        return [(record.settings.memory_cap_bytes, "memory cap")]
    report, prediction, found = record.report, record.prediction, []
    if report and report.memory and report.memory.capacity_bytes:
        found.append((report.memory.capacity_bytes, f"capacity of {style.label(report.device)}"))
    if prediction and prediction.capacity_bytes:
        found.append((prediction.capacity_bytes, f"capacity of {style.label(prediction.gpu or 'this machine')}"))
    return found


def _envelope(rows: list[TrialRow], height: style.Value, unit: MemoryUnit) -> go.Scatter:
    """Steps through the trials that none beats in the two values shown."""
    pairs = np.array([[-(row.peak_bytes or 0), height(row) or 0.0] for row in rows], dtype=float)
    front = sorted((rows[index].peak_bytes or 0, height(rows[index])) for index in nondominated(pairs))
    line = {"color": style.NEUTRAL, "width": 1.5, "shape": "hv"}
    xs, ys = [_in(unit, size) for size, _ in front], [value for _, value in front]
    return go.Scatter(x=xs, y=ys, mode="lines", line=line, name="highest within a given memory", hoverinfo="skip")


def _in(unit: MemoryUnit, size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / unit.size_bytes


def _peak_in(unit: MemoryUnit) -> style.Value:
    return lambda row: _in(unit, row.peak_bytes)


def _batch(row: TrialRow) -> float:
    return row.batch_size


def _quality(row: TrialRow) -> float | None:
    return row.sample_quality


def _speed(row: TrialRow) -> float | None:
    return row.tokens_per_second


def _quote_loss(row: TrialRow) -> float | None:
    return row.quote_loss
