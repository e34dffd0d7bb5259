"""What a trial's wandb run says: configuration by topic, figures for the table of runs, and rows of its tables."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

from analysis.sweep_table.table import trial_row
from trainables.records.record import MemoryReport, TrialRecord
from trainables.records.settings import SETTINGS, Topic, TrialSettings
from trainables.records.sweep_folder import SweepFacts


def config_of(settings: TrialSettings, facts: SweepFacts) -> dict[str, Any]:
    """The trial's whole configuration, nested by topic, and where it comes from."""
    topics: dict[str, dict[str, Any]] = {topic: {} for topic in get_args(Topic)}
    for name, value in asdict(settings).items():
        topics[SETTINGS[name].topic]["name" if name == "model" else name] = value
    topics["memory"] |= {"gpu": facts.plan.gpu, "capacity_bytes": facts.plan.capacity_bytes}
    topics["data"]["fingerprint"] = facts.provenance.data_fingerprint
    return topics | {"provenance": asdict(facts.provenance) | {"sweep": facts.name, "question": facts.question}}


def summary_of(record: TrialRecord) -> dict[str, Any]:
    """Figures for the table of runs: the few that trials are compared by, then everything, nested by what it speaks of.

    What was predicted and what was measured never stand under one name.
    """
    row, report = trial_row(record), record.report
    summary: dict[str, Any] = {
        "outcome": record.outcome.value,
        "seconds": record.seconds,
        "sample_quality": row.sample_quality,
        "style": row.style,
        "spill_over": row.spill_over,
        "peak_bytes_measured": row.peak_bytes,
        "peak_bytes_predicted": row.predicted_bytes,
        "tokens_per_second": row.tokens_per_second,
        "train/final_loss": row.loss,
        "gpu_seconds": record.gpu_seconds,
        "price": record.price,
        "error": row.error,
        "memory_explanation": record.memory_explanation,
    }
    if record.prediction is not None:
        summary["memory_predicted"] = asdict(record.prediction)
    if record.card_prediction is not None:
        summary["memory_predicted_for_card"] = asdict(record.card_prediction)
    if report is not None:
        parts = {"memory_measured": report.memory, "quality": report.quality, "evaluation": report.evaluation}
        summary |= {name: asdict(part) for name, part in parts.items() if part is not None}
        summary["resumed_from_step"] = report.resumed_from_step
    return {name: value for name, value in summary.items() if value is not None}


def anatomy_rows(record: TrialRecord) -> list[Any]:
    """Component, predicted bytes at the peak, and the device they are predicted for; the largest first."""
    prediction = record.prediction
    if prediction is None:
        return []
    device = prediction.gpu or "this machine"
    by_size = sorted(prediction.components.items(), key=lambda pair: -pair[1])
    return [[component, size_bytes, device] for component, size_bytes in by_size]


def measured_anatomy_rows(record: TrialRecord) -> list[Any]:
    """Component and its measured bytes at the probe step's peak; none where they were not measured."""
    memory = record.report.memory if record.report else None
    components = (memory.components if memory else None) or {}
    return [[component, size] for component, size in sorted(components.items(), key=lambda pair: -pair[1])]


def phase_rows(record: TrialRecord) -> list[Any]:
    """Phase, its measured peak in bytes and the counter that measured it, in the order of the phases."""
    memory: MemoryReport | None = record.report.memory if record.report else None
    if memory is None:
        return []
    on_cuda = memory.counter == "cuda_reserved"
    peaks = [(p.phase, p.peak_reserved_bytes if on_cuda else p.peak_allocated_bytes) for p in memory.phases]
    return [[phase, size_bytes, memory.counter] for phase, size_bytes in peaks if size_bytes is not None]


def sample_rows(record: TrialRecord) -> list[Any]:
    """Prompt, kind, seed, the base model's text and the tuned one's."""
    samples = record.report.samples if record.report else ()
    return [[s.prompt, s.kind, s.seed, s.base_text, s.text] for s in samples]
