"""The report's section on style: what was taken on where it is wanted, and what spilled over to where it is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from analysis.reporting import figure_style as look
from analysis.reporting.html_parts import joined, plain_table
from analysis.sweep_table.front import nondominated
from analysis.sweep_table.load import Sweep
from analysis.sweep_table.table import MISSING, TrialRow, cell_text, trial_row
from trainables.records.objectives import listed
from trainables.records.record import QualityReport, TrialRecord


def style_tables(sweep: Sweep) -> Markup:
    """Near and far prompts in figures, and what replay costs and buys."""
    return joined(near_and_far(sweep), replay_table(sweep.records))


def style_against_spill_over(sweep: Sweep) -> go.Figure | None:
    """Each scored trial by style and spill-over, the sweep's front filled; larger markers had more text replayed."""
    rows = [row for row in map(trial_row, sweep.records) if row.style is not None and row.outcome == "finished"]
    if not rows:
        return None
    on_front = set(sweep.standing.front)
    keeping = {record.trial_id for record in sweep.records if sweep.facts.aims.keeps_budgets(record)}
    within = [row for row in rows if row.trial_id in keeping]
    gains = np.array([[row.style or 0.0, -_spill_over(row)] for row in within], dtype=float).reshape(-1, 2)
    front = sorted((within[index] for index in nondominated(gains)), key=_spill_over)
    figure = go.Figure()
    joined = {"color": look.NEUTRAL, "width": 1.5, "shape": "hv"}
    xs, ys = [_spill_over(row) for row in front], [row.style for row in front]
    figure.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=joined, name="none has both better", hoverinfo="skip"))
    most = max(row.replay_ratio or 0 for row in rows) or 1
    for kind, model in enumerate(look.models_in(rows)):
        group = [row for row in rows if row.model == model]
        # The area of a marker says how much was replayed.
        sizes = [9 + 13 * ((row.replay_ratio or 0) / most) ** 0.5 for row in group]
        filled, hollow = look.marker(kind), look.open_marker(kind)
        symbols = [(filled if row.trial_id in on_front else hollow)["symbol"] for row in group]
        marker = filled | {"size": sizes, "symbol": symbols, "opacity": 0.85, "line": {"width": 1.5}}
        points = look.points(group, _spill_over, lambda row: row.style, look.label(model), marker)
        figure.add_trace(points.update(showlegend=False))
        figure.add_trace(look.legend_entry(look.label(model), look.marker(kind)))
    figure.update_xaxes(title_text="Spill-over: style gained on scientific prompts (lower is better)")
    figure.update_yaxes(title_text="Style on quotation prompts")
    headings = listed([objective.heading for objective in sweep.facts.aims.objectives])
    subtitle = (
        f"Filled: on the front of {headings}. Larger: more base text replayed. Line: none has more style with as little"
        f" spill-over{', within the budgets' if sweep.facts.aims.budgets else ''}."
    )
    return look.finish(figure, "Style against spill-over", subtitle, 480)


def near_and_far(sweep: Sweep) -> Markup:
    """Base model, best and worst trial against kinds of prompt, from keywords of the training set to far science."""
    scored = [(record, record.report.quality) for record in sweep.records if record.report and record.report.quality]
    if not scored:
        return Markup("")
    ranked = sorted(scored, key=lambda pair: (-pair[1].sample_quality, pair[0].number))
    best = next((pair for pair in ranked if pair[0].trial_id == sweep.standing.best), None)
    first, worst = best or ranked[0], ranked[-1]
    named = [(f"Base, {first[0].settings.model}", first[1], True)]
    named.append((f"{'Best' if best else 'Highest quality'}, trial {first[0].number}", first[1], False))
    if worst is not first:
        named.append((f"Lowest quality, trial {worst[0].number}", worst[1], False))
    kinds = (
        ("Keywords seen in training", "style_seen"),
        ("Keywords not in training", "style_unseen"),
        ("Scientific words, where it is not wanted", "style_off_domain"),
    )
    cells = [
        [meaning, *(cell_text(_style(quality, name, is_base), "decimal") for _, quality, is_base in named)]
        for meaning, name in kinds
    ]
    kept = [MISSING if is_base else cell_text(quality.retention, "decimal") for _, quality, is_base in named]
    cells.append(["Science kept (retention)", *kept])
    caption = "Near and far prompts: how far completions are in the style of the quotes, over that of human lines."
    return plain_table(["Prompts", *(name for name, _, _ in named)], cells, caption, "near")


def replay_table(records: Iterable[TrialRecord]) -> Markup:
    """Means over the trials of each replay ratio; empty where there are fewer than two ratios."""
    groups: dict[float, list[TrialRow]] = defaultdict(list)
    for row in map(trial_row, records):
        if row.style is not None and row.replay_ratio is not None and row.outcome == "finished":
            groups[row.replay_ratio].append(row)
    if len(groups) < 2:
        return Markup("")
    figures = ("style", "style_unseen", "spill_over", "retention", "sample_quality")
    cells = []
    for ratio, rows in sorted(groups.items()):
        found = [[value for row in rows if (value := getattr(row, name)) is not None] for name in figures]
        means = [cell_text(fmean(values) if values else None, "decimal") for values in found]
        cells.append([f"{ratio:g}", str(len(rows)), *means])
    heads = ["Base text for each quote", "Trials", "Style", "Style, unseen", "Spill-over", "Retention", "Quality"]
    caption = "What replay costs and buys: means over trials, which differ in rate, epochs and size too."
    return plain_table(heads, cells, caption, "replay")


def _style(quality: QualityReport, name: str, is_base: bool) -> float:
    return getattr(quality, f"base_{name}" if is_base else name)


def _spill_over(row: TrialRow) -> float:
    return row.spill_over or 0.0
