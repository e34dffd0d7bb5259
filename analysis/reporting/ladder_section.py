"""The report's section of a size ladder: rungs, fits, frozen predictions with what came out, and what lies beyond."""

from __future__ import annotations

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.subplots import make_subplots

from analysis.ladder.climb import Climb, RungOutcome
from analysis.ladder.frozen import RungPrediction
from analysis.ladder.told import LadderFiles
from analysis.ladder.transfer import Forecast
from analysis.reporting import figure_style as style
from analysis.reporting.html_parts import figure_block, joined, part, plain_table
from analysis.sweep_table.load import Sweep
from analysis.sweep_table.table import MISSING, cell_text, rate_text

SHARES = {"sample_quality": "Quality", "spill_over": "Spill-over", "retention": "Retention"}
MEANING = (
    "Best learning rate and held-out quote loss against parameters. Filled: fitted from the rung's trials. Open with a"
    " bar: predicted before the rung ran, with its 90% interval, and beyond the last rung extrapolated and never run."
)


def ladder(sweep: Sweep) -> Markup:
    """The section as HTML; "" for a sweep that is no ladder."""
    if sweep.ladder is None or not sweep.facts.plan.rung_parameters:
        return Markup("")
    files = sweep.ladder
    climb = Climb(plan=sweep.facts.plan, records=sweep.records, earlier=files.earlier)
    outcomes = {place: out for place in range(len(climb.sizes)) if (out := climb.outcome(place))}
    if not outcomes:
        return part("paragraph", "No rung has a finished trial yet.", "muted")
    said = _said(climb, files, outcomes)
    parts = [
        figure_block("ladder", _figure(outcomes, said), MEANING, ""),
        _rungs_table(climb, outcomes),
        _predictions_table(files, outcomes, said),
        _gates(climb, files),
    ]
    return joined(*parts)


def _said(climb: Climb, files: LadderFiles, outcomes: dict[int, RungOutcome]) -> dict[int, RungPrediction]:
    """What is predicted of each rung: as it was frozen, or for one that has not run, from what is there now."""
    said = {place: told.prediction for place, told in files.predictions.items() if told.prediction}
    for place in range(max(outcomes) + 1, len(climb.sizes)):
        if place not in said and climb.below(place):
            said[place] = climb.predict(place)
    return said


def _rungs_table(climb: Climb, outcomes: dict[int, RungOutcome]) -> Markup:
    heads = ["Rung", "Parameters", "Trials", "Best learning rate", "Best batch", "Quote loss", *SHARES.values()]
    rows = []
    for place, out in outcomes.items():
        shares = [out.shares[name].value if name in out.shares else None for name in SHARES]
        rows.append(
            [
                out.size,
                f"{out.parameters:,}",
                f"{len(climb.rung(place).finished)} of {climb.trials_of(place)}",
                rate_text(out.learning_rate),
                f"{out.batch_size:.0f}",
                f"{out.loss:.3f}",
                *(MISSING if share is None else cell_text(share, "decimal") for share in shares),
            ]
        )
    caption = "Rungs that ran: best points by the fit of all trials, never a best trial's own values"
    return plain_table(heads, rows, caption, "rungs")


def _predictions_table(files: LadderFiles, outcomes: dict[int, RungOutcome], said: dict[int, RungPrediction]) -> Markup:
    heads = ["Size", "Predicted of it", "Prediction", "90% interval", "Form", "Came out", "Verdict", "Frozen, SHA-256"]
    rows = []
    for place, told in sorted(said.items()):
        out, frozen = outcomes.get(place), files.predictions.get(place)
        asked = [
            ("best learning rate", told.learning_rate, out and out.learning_rate, ".2e"),
            ("best batch", told.batch_size, out and out.batch_size, ".0f"),
            ("quote loss", told.loss, out and out.loss, ".3f"),
            *(
                (
                    title.lower(),
                    told.shares[name],
                    out.shares[name].value if out and name in out.shares else None,
                    ".3f",
                )
                for name, title in SHARES.items()
                if name in told.shares
            ),
        ]
        for name, forecast, value, digits in asked:
            rows.append([told.size, name, *_forecast_cells(forecast, value, digits, frozen is not None)])
            rows[-1].append(frozen.sha256[:16] if frozen else MISSING)
    broken = [part("paragraph", told.sha256, "") for told in files.predictions.values() if told.prediction is None]
    words = ("Predicted of it", "Form", "Verdict", "Frozen, SHA-256")
    table = plain_table(heads, rows, "Predictions against outcomes; misses are kept", "predictions", words)
    return joined(table, *broken)


def _forecast_cells(forecast: Forecast, value: float | None, digits: str, is_frozen: bool) -> list[str]:
    if value is None:
        verdict = "not run yet" if is_frozen else "extrapolated, not run"
    else:
        verdict = "hit" if forecast.holds(value) else "miss"
    interval = f"{forecast.low:{digits}} to {forecast.high:{digits}}"
    came = MISSING if value is None else f"{value:{digits}}"
    return [f"{forecast.value:{digits}}", interval, forecast.form, came, verdict]


def _gates(climb: Climb, files: LadderFiles) -> Markup:
    parts = []
    for place, conditions in sorted(files.gates.items()):
        lines = [
            Markup("<li>{}: {}</li>").format("holds" if holds else Markup("<strong>closed</strong>"), says)
            for holds, says in conditions
        ]
        heading = Markup("<h3>Gate before {}</h3>").format(climb.sizes[place][0])
        parts.append(joined(heading, Markup("<ul>{}</ul>").format(joined(*lines))))
    return joined(*parts)


def _figure(outcomes: dict[int, RungOutcome], said: dict[int, RungPrediction]) -> go.Figure:
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
        (1, [told.learning_rate for told in said.values()]),
        (2, [told.loss for told in said.values()]),
    ):
        figure.add_trace(
            go.Scatter(
                x=[told.parameters for told in said.values()],
                y=[forecast.value for forecast in forecasts],
                error_y={
                    "type": "data",
                    "array": [forecast.high - forecast.value for forecast in forecasts],
                    "arrayminus": [forecast.value - forecast.low for forecast in forecasts],
                },
                mode="markers",
                marker=style.open_marker(1),
                text=[style.label(told.size) for told in said.values()],
                name="predicted, 90% interval",
                showlegend=column == 1,
            ),
            row=1,
            col=column,
        )
    figure.update_xaxes(type="log", title_text="Parameters")
    figure.update_yaxes(type="log", col=1)
    return style.finish(figure, "What small sizes say of large ones", "Filled: fitted. Open: predicted.", 420)
