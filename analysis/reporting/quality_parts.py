"""Why a trial's quality is what it is: from 1 down to its score, part by part."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.reporting import figure_style as look
from analysis.sweep_table.table import cell_text
from trainables.records.record import Outcome, QualityReport, TrialRecord

SHOWN_TRIALS = 12
LEAST = 1e-3  # a factor below is drawn as this: a logarithmic scale has no 0
TICKS = (1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


def factors(quality: QualityReport) -> dict[str, float]:
    """What the score is the product of, by name, as `trainables/quality/score.py` multiplies it."""
    of_words = {
        "adherence": quality.adherence,
        "fluency": quality.fluency,
        "diversity": quality.diversity,
        "novelty": quality.novelty,
        "spill-over": 1 - quality.spill_over / 2,
        "retention": math.sqrt(quality.retention),
    }
    if quality.likely is None or quality.one_piece is None or quality.sense is None:
        return of_words
    return of_words | {
        "likely": quality.likely,
        "of one piece": quality.one_piece,
        "sense": (1 + quality.sense) / 2,
    }


def quality_parts(records: Sequence[TrialRecord]) -> go.Figure | None:
    """The best trials as bars from 1 to their score, each part as long as what it costs; None where none is scored."""
    scored = [
        (record, record.report.quality)
        for record in records
        if record.outcome is Outcome.FINISHED and record.report and record.report.quality
    ]
    if not scored:
        return None
    scored.sort(key=lambda pair: (-pair[1].sample_quality, pair[0].number))
    shown = scored[:SHOWN_TRIALS][::-1]  # a bar chart's first row is its lowest
    names = [
        f"trial {record.number}, {look.label(record.settings.model)}: {cell_text(quality.sample_quality, 'decimal')}"
        for record, quality in shown
    ]
    figure = go.Figure()
    for kind, part in enumerate(factors(shown[0][1])):  # the same for all: one sweep measures in one way
        values = [factors(quality)[part] for _, quality in shown]
        figure.add_trace(
            go.Bar(
                y=names,
                x=[-math.log10(max(value, LEAST)) for value in values],
                orientation="h",
                name=part,
                marker=_marker(kind),
                customdata=[cell_text(value, "decimal") for value in values],
                hovertemplate="%{y}<br>" + part + " multiplies by %{customdata}<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(
        title_text="Score left after each part, on a logarithmic scale",
        tickvals=[-math.log10(tick) for tick in TICKS],
        ticktext=[f"{tick:g}" for tick in TICKS],
    )
    title = (
        "What quality is lost to" if len(scored) <= SHOWN_TRIALS else f"What quality is lost to, {SHOWN_TRIALS} best"
    )
    figure.update_layout(yaxis={"tickfont": {"size": 12}}, legend={"traceorder": "normal"})
    return look.finish(
        figure, title, "From 1 to the score. The longer a part, the more it costs.", 210 + 26 * len(shown)
    )


def _marker(kind: int) -> dict[str, object]:
    """A colour of its own, and hatched where the colours begin again."""
    rounds, colour = divmod(kind, len(look.PALETTE))
    return {"color": look.PALETTE[colour], "pattern": {"shape": "/" if rounds else ""}}
