"""What the board shows of a trial: a short row for each, and the whole of the one that was chosen."""

from __future__ import annotations

from typing import Any

from analysis.serve.local_page import visible
from analysis.sweep_table.ladder_tables import PREDICTION_HEADS, RUNG_HEADS, LadderTables
from analysis.sweep_table.table import plain_row, trial_row
from trainables.records.objectives import Aims
from trainables.records.record import MemoryPrediction, TrialRecord

SHORT = (
    "number",
    "trial_id",
    "model",
    "batch_size",
    "micro_batch_size",
    "learning_rate",
    "epochs",
    "replay_ratio",
    "outcome",
    "sample_quality",
    "standard_error",
    "peak_bytes",
    "peak_counter",
    "predicted_bytes",
    "tokens_per_second",
    "loss",
    "quote_loss",
    "seconds",
    "error",
)


def objective_words(aims: Aims) -> list[dict[str, str]]:
    """What a sweep strives for, as the board shows it."""
    return [
        {"name": o.name, "title": o.title, "kind": o.kind, "heading": o.heading, "better": o.better}
        for o in aims.objectives
    ]


def board_row(record: TrialRecord, aims: Aims) -> dict[str, Any]:
    """A trial that has ended, in plain values with those that the sweep strives for; texts come visible.

    `card` is what trained it, `cards` what each card needs: bytes, band and capacity, and whether that was measured.
    """
    whole = plain_row(trial_row(record))
    row: dict[str, Any] = {name: _plain(whole[name]) for name in (*SHORT, *aims.names)}
    report, prediction = record.report, record.prediction
    device = report.device if report else (prediction.gpu if prediction else None) or "cpu"
    cards = {visible(p.gpu): _need(p) for p in (prediction, record.card_prediction) if p is not None and p.gpu}
    memory = report.memory if report else None
    if memory and memory.counter == "cuda_reserved":
        name = visible((prediction and prediction.gpu) or device)
        used = [phase.device_used_bytes for phase in memory.phases if phase.device_used_bytes]
        measured = max(used, default=memory.peak_bytes)
        cards[name] = cards.get(name, {}) | {"measured": measured, "fits": True}
    if record.outcome == "out_of_memory" and prediction and prediction.gpu in cards:
        cards[prediction.gpu]["fits"] = False
    band = {"low": None, "high": None, "capacity": record.settings.memory_cap_bytes}
    if prediction and prediction.low_bytes is not None and prediction.high_bytes is not None:
        # The band is the device's; what lies between its figure and the compared one is context, not uncertainty.
        shift = prediction.device_bytes - (whole["predicted_bytes"] or 0)
        band |= {"low": max(0, prediction.low_bytes - shift), "high": prediction.high_bytes - shift}
    if prediction and band["capacity"] is None:
        band["capacity"] = prediction.capacity_bytes
    return (
        row
        | band
        | {
            "card": visible(device),
            "cards": cards,
            "gpu_seconds": record.gpu_seconds,
            "price": record.price,
            "failure": record.failure and record.failure.value,
            "interruptions": len(record.interruptions),
            "explanation": visible(record.memory_explanation) if record.memory_explanation else None,
            "step": None,
            "total_steps": None,
        }
    )


def running_row(trial_id: str, proposal: dict[str, Any], progress: dict[str, Any]) -> dict[str, Any]:
    """A trial that runs: what was proposed, and how far it is."""
    row: dict[str, Any] = dict.fromkeys(SHORT) | {name: _plain(proposal[name]) for name in SHORT if name in proposal}
    curve = progress.get("curve") or []
    number = trial_id.partition("-")[0]
    return row | {
        "number": int(number) if number.isdecimal() else 0,
        "trial_id": trial_id,
        "outcome": "running",
        "loss": curve[-1]["loss"] if curve else None,
        "card": None,
        "cards": {},
        "step": progress.get("step"),
        "total_steps": progress.get("total_steps"),
        "part": progress.get("part"),  # of its worker's work, and how many pieces of it are done
        "done": progress.get("done"),
        "of": progress.get("of"),
        "curve": [[point["tokens"], point["loss"]] for point in curve],
    }


def detail(record: TrialRecord, aims: Aims) -> dict[str, Any]:
    """All that the board shows of a chosen trial: anatomy, samples beside the base model's, and what went wrong."""
    report = record.report
    memory = report.memory if report else None
    prediction = record.prediction
    return {
        "row": board_row(record, aims),
        "predicted": prediction.components if prediction else None,
        "measured": memory.components if memory else None,
        "predictedFor": visible((prediction.gpu or "this machine") if prediction else ""),
        "phases": {phase.phase: phase.peak_reserved_bytes or phase.peak_allocated_bytes for phase in memory.phases}
        if memory
        else {},
        "interruptions": [f"{item.kind.value}: {visible(item.error)}" for item in record.interruptions],
        "curve": [[point.tokens, point.loss] for point in report.curve] if report else [],
        "samples": [
            {
                "prompt": visible(sample.prompt),
                "kind": sample.kind,
                "seed": sample.seed,
                "base": visible(sample.base_text),
                "tuned": visible(sample.text),
            }
            for sample in (report.samples if report else ())
        ],
    }


def ladder_json(tables: LadderTables) -> dict[str, Any]:
    """Tables and points of a ladder; a point is parameters, value and, of a prediction, the ends of its interval."""
    outcomes, predictions = tables.outcomes.values(), tables.predictions.values()
    return {
        "rungs": [RUNG_HEADS, *tables.rung_rows],
        "predictions": [PREDICTION_HEADS, *tables.prediction_rows],
        "gates": [
            {"size": gate.size, "lines": [[holds, visible(says)] for holds, says in gate.lines]}
            for gate in tables.gates
        ],
        "broken": [visible(line) for line in tables.broken],
        "rates": {
            "fitted": [[out.parameters, out.learning_rate] for out in outcomes],
            "predicted": [
                [
                    prediction.parameters,
                    prediction.learning_rate.value,
                    prediction.learning_rate.low,
                    prediction.learning_rate.high,
                ]
                for prediction in predictions
            ],
        },
        "losses": {
            "fitted": [[out.parameters, out.loss] for out in outcomes],
            "predicted": [
                [prediction.parameters, prediction.loss.value, prediction.loss.low, prediction.loss.high]
                for prediction in predictions
            ],
        },
    }


def _need(prediction: MemoryPrediction) -> dict[str, Any]:
    return {
        "predicted": prediction.device_bytes,
        "low": prediction.low_bytes,
        "high": prediction.high_bytes,
        "capacity": prediction.capacity_bytes,
        "fits": prediction.fits,
    }


def _plain(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value
