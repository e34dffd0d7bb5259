"""Which settings mattered: a forest fitted to the trials, and what it loses when one setting is shuffled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from analysis.reporting import figure_style as style
from analysis.sweep_table.table import TrialRow, trial_row
from trainables.records.record import Outcome, TrialRecord

if TYPE_CHECKING:
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

FEWEST_TRIALS = 8  # assumed: a forest on fewer says nothing
LEAST_EXPLAINED = 0.05  # assumed: shares of less are noise
TREES, SHUFFLES = 200, 20

SETTINGS: dict[str, Callable[[TrialRow], float]] = {
    "model size": lambda row: math.log(row.parameters or 1),
    "batch size": lambda row: math.log(row.batch_size),
    "micro-batch": lambda row: math.log(row.micro_batch_size),
    "learning rate": lambda row: math.log(row.learning_rate),
    "epochs": lambda row: row.epochs or 0.0,
    "replay": lambda row: row.replay_ratio or 0.0,
}
RESULTS: dict[str, Callable[[TrialRow], float | None]] = {
    "sample quality": lambda row: row.sample_quality,
    "spill-over": lambda row: row.spill_over,
    "peak memory": lambda row: row.peak_bytes and math.log(row.peak_bytes),
    "tokens/s": lambda row: row.tokens_per_second and math.log(row.tokens_per_second),
}


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Shares of each setting in one result, which add up to 1; and how much the forest explains out of its bag."""

    result: str
    shares: dict[str, float]
    explained: float


def importances(records: Sequence[TrialRecord]) -> list[Importance]:
    """For each result that varies over finished trials; none where there are too few of them.

    Source: Breiman 2001, "Random forests", section 10: importance by permutation.
    """
    rows = [trial_row(record) for record in records if record.outcome is Outcome.FINISHED]
    chosen = {"micro-batch"} if any(record.automatic_micro_batch for record in records) else set()  # by the others
    varied = {n: value for n, value in SETTINGS.items() if n not in chosen and len({value(row) for row in rows}) > 1}
    found = []
    for result, value in RESULTS.items():
        measured = [row for row in rows if value(row) is not None]
        heights = [float(value(row) or 0.0) for row in measured]
        if len(measured) >= FEWEST_TRIALS and varied and max(heights) - min(heights) > 1e-9:
            found.append(_importance(result, measured, varied, heights))
    return found


def importance_figure(records: Sequence[TrialRecord]) -> go.Figure | None:
    """Bars of the shares, a group for each setting, a colour for each result."""
    everything = importances(records)
    found = [item for item in everything if item.explained >= LEAST_EXPLAINED]
    if not found:
        return None
    settings = sorted(found[0].shares, key=lambda name: -max(item.shares[name] for item in found))
    figure = go.Figure()
    for kind, item in enumerate(found):
        explained = f"{item.result} (explains {item.explained:.0%})"
        bar = go.Bar(
            y=settings,
            x=[item.shares[name] for name in settings],
            orientation="h",
            name=explained,
            marker={"color": style.PALETTE[kind % len(style.PALETTE)]},
            hovertemplate=f"{item.result}: %{{x:.0%}} by %{{y}}<extra></extra>",
        )
        figure.add_trace(bar)
    figure.update_layout(barmode="group", bargap=0.3)
    figure.update_xaxes(title_text="Share of what the forest explains", tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    count = sum(record.outcome is Outcome.FINISHED for record in records)
    unexplained = [item.result for item in everything if item not in found]
    left_out = f" Not explained, so not drawn: {', '.join(unexplained)}." if unexplained else ""
    subtitle = f"From {count} finished trials; in the legend, how much of a result is explained.{left_out}"
    return style.finish(figure, "Which settings mattered", subtitle, 210 + 30 * len(settings) * max(1, len(found) // 2))


def _importance(
    result: str, rows: Sequence[TrialRow], settings: dict[str, Callable[[TrialRow], float]], heights: Sequence[float]
) -> Importance:
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    inputs: np.ndarray = np.array([[value(row) for value in settings.values()] for row in rows])
    forest = RandomForestRegressor(TREES, oob_score=True, random_state=0).fit(inputs, heights)
    losses = np.maximum(permutation_losses(forest, inputs, np.array(heights)), 0.0)
    shares = dict(zip(settings, (losses / max(losses.sum(), 1e-12)).tolist(), strict=True))
    return Importance(result=result, shares=shares, explained=max(0.0, float(forest.oob_score_)))


def permutation_losses(forest: RandomForestRegressor, inputs: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """How much of R² the forest loses when one column of `inputs` is shuffled: the mean over `SHUFFLES`, by column.

    The figures of `sklearn.inspection.permutation_importance` with random_state=0, whose shuffles these are. That one
    asks the forest for each shuffle anew, which took nine tenths of a report's time; here each tree is asked once.
    """
    import numpy as np

    seed = np.random.RandomState(0).randint(2**31)
    columns = []
    for column in range(inputs.shape[1]):
        draw, order, shuffled = np.random.RandomState(seed), np.arange(len(inputs)), inputs.copy()
        for _ in range(SHUFFLES):
            draw.shuffle(order)
            shuffled[:, column] = shuffled[order, column]
            columns.append(shuffled.copy())
    inputs_of_all = np.concatenate([inputs, *columns]).astype(np.float32)  # as sklearn's trees take them
    total = np.zeros(len(inputs_of_all))
    for tree in forest.estimators_:
        total += tree.tree_.predict(inputs_of_all)[:, 0]
    predicted = (total / len(forest.estimators_)).reshape(-1, len(inputs))
    explained = 1 - ((predicted - heights) ** 2).sum(axis=1) / ((heights - heights.mean()) ** 2).sum()
    return explained[0] - explained[1:].reshape(inputs.shape[1], SHUFFLES).mean(axis=1)
