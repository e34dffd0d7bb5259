"""The report's section on style: what was taken on where it is wanted, and what spilled over to where it is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

import plotly.graph_objects as go

from analysis.reporting import figure_style as look
from analysis.reporting.html_parts import plain_table
from analysis.sweep_table.front import nondominated_rows
from analysis.sweep_table.table import MISSING, TrialRow, cell_text, trial_row
from trainables.records.record import QualityReport, TrialRecord


def style_tables(records: Sequence[TrialRecord]) -> str:
    """Near and far prompts in figures, and what replay costs and buys."""
    return near_and_far(records) + replay_table(records)


def style_against_spill_over(records: Iterable[TrialRecord]) -> go.Figure | None:
    """Each scored trial by style and spill-over, the best joined; larger markers had more base text replayed."""
    rows = [row for row in map(trial_row, records) if row.style is not None and row.outcome == "finished"]
    if not rows:
        return None
    front = sorted(nondominated_rows(rows, ("style", "spill_over")), key=_spill_over)
    figure = go.Figure()
    joined = {"color": look.NEUTRAL, "width": 1.5, "shape": "hv"}
    xs, ys = [_spill_over(row) for row in front], [row.style for row in front]
    figure.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=joined, name="none has both better", hoverinfo="skip"))
    most = max(row.replay_ratio or 0 for row in rows) or 1
    for kind, model in enumerate(look.models_in(rows)):
        group = [row for row in rows if row.model == model]
        # The area of a marker says how much was replayed.
        sizes = [9 + 13 * ((row.replay_ratio or 0) / most) ** 0.5 for row in group]
        marker = look.marker(kind) | {"size": sizes, "opacity": 0.85}
        points = look.points(group, _spill_over, lambda row: row.style, look.label(model), marker)
        figure.add_trace(points.update(showlegend=False))
        figure.add_trace(look.legend_entry(look.label(model), look.marker(kind)))
    figure.update_xaxes(title_text="Spill-over: style gained on scientific prompts (lower is better)")
    figure.update_yaxes(title_text="Style on quotation prompts")
    subtitle = "A marker a trial. Larger: more base text replayed. Line: none has more style with as little spill-over."
    return look.finish(figure, "Style against spill-over", subtitle, 480)


def near_and_far(records: Iterable[TrialRecord]) -> str:
    """Base model, best and worst trial against kinds of prompt, from keywords of the training set to far science."""
    scored = [(record, record.report.quality) for record in records if record.report and record.report.quality]
    if not scored:
        return ""
    ranked = sorted(scored, key=lambda pair: (-pair[1].sample_quality, pair[0].number))
    best, worst = ranked[0], ranked[-1]
    named = [(f"Base, {best[0].settings.model}", best[1], True), (f"Best, trial {best[0].number}", best[1], False)]
    if worst is not best:
        named.append((f"Worst, trial {worst[0].number}", worst[1], False))
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


def replay_table(records: Iterable[TrialRecord]) -> str:
    """Means over the trials of each replay ratio; empty where there are fewer than two ratios."""
    groups: dict[float, list[TrialRow]] = defaultdict(list)
    for row in map(trial_row, records):
        if row.style is not None and row.replay_ratio is not None and row.outcome == "finished":
            groups[row.replay_ratio].append(row)
    if len(groups) < 2:
        return ""
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
