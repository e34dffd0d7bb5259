"""Two sweeps in one page: what differs, what each reached, and the same figures side by side, on the same axes."""

from __future__ import annotations

import html
import math
from typing import Any

import plotly.graph_objects as go

from analysis.reporting import comparison
from analysis.reporting.html_parts import figure_block, text
from analysis.reporting.report_figures import FIGURES, STYLE, Shown
from analysis.reporting.report_page import Section, whole_page
from analysis.sweep_table.load import RecordsError, Sweep

ALIGNED = ("pareto", "style", "curves")  # figures with one pair of linear axes


def render_comparison(first: Sweep, second: Sweep) -> str:
    """The page. Raises: RecordsError where one of the two has no trial, so that there is nothing to hold against."""
    for sweep in (first, second):
        if not sweep.records:
            raise RecordsError(f"sweep {sweep.name} has no recorded trial yet, so there is nothing to compare.")
    answer = comparison.best_line(first) + comparison.best_line(second) + comparison.warnings(first, second)
    sections = [
        Section(identity="answer", word="Answer", heading="", content=answer + comparison.results_table(first, second)),
        Section(
            identity="settings",
            word="Settings",
            heading="Which settings differ",
            content=comparison.settings_table(first, second),
        ),
        Section(
            identity="shared",
            word="Same trials",
            heading="Trials that both ran",
            content=comparison.shared_trials(first, second),
        ),
        *(_pair(shown, first, second) for shown in (*FIGURES, STYLE)),
    ]
    return whole_page(f"{first.name} and {second.name}", "Two sweeps side by side", sections)


def _pair(shown: Shown, first: Sweep, second: Sweep) -> Section:
    drawn = [shown.draw(sweep.records) for sweep in (first, second)]
    if shown.identity in ALIGNED and drawn[0] is not None and drawn[1] is not None:
        _share_axes(drawn[0], drawn[1])
    halves = "".join(
        f"<div><h3>{text(sweep.name)}</h3>"
        + figure_block(f"{shown.identity}-{at}", figure, f"{_narrow(figure)}{shown.meaning}", shown.absent)
        + "</div>"
        for at, (sweep, figure) in enumerate(zip((first, second), drawn, strict=True))
    )
    content = f"<div class='pair'>{halves}</div>"
    return Section(identity=shown.identity, word=shown.word, heading=shown.heading, content=content)


def _narrow(figure: go.Figure | None) -> str:
    """Make a figure fit half the page. Returns: its subtitle, taken off, for the words below it."""
    if figure is None:
        return ""
    layout: Any = figure.layout
    subtitle = html.unescape(layout.title.subtitle.text or "")
    layout.title.subtitle.text = ""
    layout.margin.t = 64
    figure.for_each_xaxis(lambda axis: axis.update(title_text=(axis.title.text or "").partition(" (")[0]))
    return f"{subtitle} " if subtitle else ""


def _share_axes(one: go.Figure, other: go.Figure) -> None:
    """Give both the range that holds all points of both, a twentieth around it."""
    for axis in ("x", "y"):
        values = [
            value
            for figure in (one, other)
            for trace in figure.to_dict()["data"]
            for value in trace.get(axis) or ()
            if isinstance(value, int | float) and math.isfinite(value)
        ]
        if not values:
            continue
        margin = 0.05 * (max(values) - min(values)) or 1.0
        span: Any = [min(values) - margin, max(values) + margin]
        for figure in (one, other):
            (figure.update_xaxes if axis == "x" else figure.update_yaxes)(range=span)
