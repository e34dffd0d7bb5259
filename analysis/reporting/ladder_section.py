"""The report's section of a size ladder: rungs, fits, frozen predictions with what came out, and what lies beyond."""

from __future__ import annotations

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.subplots import make_subplots

from analysis.ladder.climb import RungOutcome
from analysis.ladder.frozen import RungPrediction
from analysis.reporting import figure_style as style
from analysis.reporting.html_parts import figure_block, joined, part, plain_table
from analysis.sweep_table.ladder_tables import NO_RUNG, PREDICTION_HEADS, RUNG_HEADS, Gate, ladder_tables
from analysis.sweep_table.load import Sweep

MEANING = (
    "Best learning rate and held-out quote loss against parameters. Filled: fitted from the rung's trials. Open with a"
    " bar: predicted before the rung ran, with its 90% interval, and beyond the last rung extrapolated and never run."
)

RUNGS = "Rungs that ran: best points by the fit of all trials, never a best trial's own values"
PREDICTIONS = "Predictions against outcomes, misses included"


def ladder(sweep: Sweep) -> Markup:
    """The section as HTML; "" for a sweep that is no ladder."""
    if sweep.ladder is None or not sweep.facts.plan.rung_parameters:
        return Markup("")
    tables = ladder_tables(sweep.facts.plan, sweep.records, sweep.ladder)
    if tables is None:
        return part("paragraph", NO_RUNG, "muted")
    words = ("Predicted of it", "Form", "Verdict", "Frozen, SHA-256")
    return joined(
        figure_block("ladder", _figure(tables.outcomes, tables.predictions), MEANING, ""),
        plain_table(list(RUNG_HEADS), [list(row) for row in tables.rung_rows], RUNGS, "rungs"),
        plain_table(
            list(PREDICTION_HEADS), [list(row) for row in tables.prediction_rows], PREDICTIONS, "predictions", words
        ),
        *(part("paragraph", line, "") for line in tables.broken),
        *map(_gate, tables.gates),
    )


def _gate(gate: Gate) -> Markup:
    lines = [
        Markup("<li>{}: {}</li>").format("holds" if holds else Markup("<strong>closed</strong>"), says)
        for holds, says in gate.lines
    ]
    heading = Markup("<h3>Gate before {}</h3>").format(gate.size)
    return joined(heading, Markup("<ul>{}</ul>").format(joined(*lines)))


def _figure(outcomes: dict[int, RungOutcome], predictions: dict[int, RungPrediction]) -> go.Figure:
    figure = make_subplots(rows=1, cols=2, subplot_titles=["Best learning rate", "Held-out quote loss"])
    sizes = [out.parameters for out in outcomes.values()]
    for column, values in (
        (1, [out.learning_rate for out in outcomes.values()]),
        (2, [out.loss for out in outcomes.values()]),
    ):
        names = [style.label(out.size) for out in outcomes.values()]
        trace = go.Scatter(x=sizes, y=values, mode="markers", marker=style.marker(0), text=names, name="fitted")
        figure.add_trace(trace.update(showlegend=column == 1), row=1, col=column)
    for column, forecasts in (
        (1, [prediction.learning_rate for prediction in predictions.values()]),
        (2, [prediction.loss for prediction in predictions.values()]),
    ):
        figure.add_trace(
            go.Scatter(
                x=[prediction.parameters for prediction in predictions.values()],
                y=[forecast.value for forecast in forecasts],
                error_y={
                    "type": "data",
                    "array": [forecast.high - forecast.value for forecast in forecasts],
                    "arrayminus": [forecast.value - forecast.low for forecast in forecasts],
                },
                mode="markers",
                marker=style.open_marker(1),
                text=[style.label(prediction.size) for prediction in predictions.values()],
                name="predicted, 90% interval",
                showlegend=column == 1,
            ),
            row=1,
            col=column,
        )
    figure.update_xaxes(type="log", title_text="Parameters")
    figure.update_yaxes(type="log", col=1)
    return style.finish(figure, "What small sizes say about large ones", "Filled: fitted. Open: predicted.", 420)
