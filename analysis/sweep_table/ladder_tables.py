"""A size ladder as rows of text and points of a figure, the same for report and board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.ladder.climb import Climb, RungOutcome
from analysis.ladder.frozen import RungPrediction
from analysis.ladder.ladder_files import LadderFiles
from analysis.ladder.transfer import Forecast
from analysis.sweep_table.table import MISSING, cell_text, rate_text
from trainables.records.plan import SweepPlan
from trainables.records.record import TrialRecord

SHARES = {"sample_quality": "Quality", "spill_over": "Spill-over", "retention": "Retention"}
RUNG_HEADS = ("Rung", "Parameters", "Trials", "Best learning rate", "Best batch", "Quote loss", *SHARES.values())
PREDICTION_HEADS = (
    *("Size", "Predicted of it", "Prediction", "90% interval", "Form", "Came out", "Verdict"),
    "Frozen, SHA-256",
)
NO_RUNG = "No rung has a finished trial yet."


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A gate before a rung as it was last asked: its lines, each with whether it held."""

    size: str
    lines: tuple[tuple[bool, str], ...]


@dataclass(frozen=True, kw_only=True)
class LadderTables:
    """What a ladder says of itself.

    `outcomes` and `predictions` are by place of the rung, 0 for the lowest; a prediction is as it was frozen or, of a
    size that did not run, from what is there now. `broken` are lines about predictions that were changed.
    """

    outcomes: dict[int, RungOutcome]
    predictions: dict[int, RungPrediction]
    rung_rows: tuple[tuple[str, ...], ...]
    prediction_rows: tuple[tuple[str, ...], ...]
    gates: tuple[Gate, ...]
    broken: tuple[str, ...]


def ladder_tables(plan: SweepPlan, records: Sequence[TrialRecord], files: LadderFiles) -> LadderTables | None:
    """The tables of a ladder; None while no rung has a finished trial."""
    climb = Climb(plan=plan, records=tuple(records), earlier=files.earlier)
    outcomes = {place: out for place in range(len(climb.sizes)) if (out := climb.outcome(place))}
    if not outcomes:
        return None
    predictions = _predictions(climb, files, outcomes)
    return LadderTables(
        outcomes=outcomes,
        predictions=predictions,
        rung_rows=tuple(_rung_row(climb, place, out) for place, out in outcomes.items()),
        prediction_rows=tuple(_prediction_rows(files, outcomes, predictions)),
        gates=tuple(Gate(size=climb.sizes[place][0], lines=lines) for place, lines in sorted(files.gates.items())),
        broken=tuple(kept.sha256 for kept in files.predictions.values() if kept.prediction is None),
    )


def _predictions(climb: Climb, files: LadderFiles, outcomes: dict[int, RungOutcome]) -> dict[int, RungPrediction]:
    predictions = {place: kept.prediction for place, kept in files.predictions.items() if kept.prediction}
    for place in range(max(outcomes) + 1, len(climb.sizes)):
        if place not in predictions and climb.below(place):
            predictions[place] = climb.predict(place)
    return dict(sorted(predictions.items()))


def _rung_row(climb: Climb, place: int, out: RungOutcome) -> tuple[str, ...]:
    shares = [out.shares[name].value if name in out.shares else None for name in SHARES]
    return (
        out.size,
        f"{out.parameters:,}",
        f"{len(climb.rung(place).finished)} of {climb.trials_of(place)}",
        rate_text(out.learning_rate),
        f"{out.batch_size:.0f}",
        f"{out.loss:.3f}",
        *(MISSING if share is None else cell_text(share, "decimal") for share in shares),
    )


def _prediction_rows(files: LadderFiles, outcomes: dict[int, RungOutcome], predictions: dict[int, RungPrediction]):
    for place, prediction in predictions.items():
        out, frozen = outcomes.get(place), files.predictions.get(place)
        quantities: list[tuple[str, Forecast, float | None, str]] = [
            ("best learning rate", prediction.learning_rate, out and out.learning_rate, ".2e"),
            ("best batch", prediction.batch_size, out and out.batch_size, ".0f"),
            ("quote loss", prediction.loss, out and out.loss, ".3f"),
        ]
        for name, title in SHARES.items():
            if name in prediction.shares:
                value = out.shares[name].value if out and name in out.shares else None
                quantities.append((title.lower(), prediction.shares[name], value, ".3f"))
        for name, forecast, value, digits in quantities:
            cells = _forecast_cells(forecast, value, digits, frozen is not None)
            yield (prediction.size, name, *cells, frozen.sha256[:16] if frozen else MISSING)


def _forecast_cells(forecast: Forecast, value: float | None, digits: str, is_frozen: bool) -> tuple[str, ...]:
    if value is None:
        verdict = "not run yet" if is_frozen else "extrapolated, not run"
    else:
        verdict = "hit" if forecast.holds(value) else "miss"
    interval = f"{forecast.low:{digits}} to {forecast.high:{digits}}"
    came = MISSING if value is None else f"{value:{digits}}"
    return f"{forecast.value:{digits}}", interval, forecast.form, came, verdict
